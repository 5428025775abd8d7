// Keys and values in half precision: a pair in a word.

fn key(at: u32, i: u32) -> vec2<f32> {
    return unpack2x16float(keys[at + i]);
}

fn value(at: u32, i: u32) -> vec2<f32> {
    return unpack2x16float(values[at + i]);
}
