// Keys and values as they are: two words for a pair.

fn key(at: u32, i: u32) -> vec2<f32> {
    return bitcast<vec2<f32>>(vec2(keys[at + 2u * i], keys[at + 2u * i + 1u]));
}

fn value(at: u32, i: u32) -> vec2<f32> {
    return bitcast<vec2<f32>>(vec2(values[at + 2u * i], values[at + 2u * i + 1u]));
}
