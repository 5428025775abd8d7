// Keys and values in 4 bits: for 32 elements a word with their scale, then 4 words of 8 elements each.

// Two neighbours of a word's elements.
fn two(word: u32, first: u32) -> vec2<f32> {
    return vec2<f32>(vec2<i32>((vec2(word) >> vec2(4u * first, 4u * first + 4u)) & vec2(15u)) - vec2(8));
}

fn key(at: u32, i: u32) -> vec2<f32> {
    let block = at + i / 16u * 5u;
    return bitcast<f32>(keys[block]) * two(keys[block + 1u + i % 16u / 4u], 2u * (i % 4u));
}

fn value(at: u32, i: u32) -> vec2<f32> {
    let block = at + i / 16u * 5u;
    return bitcast<f32>(values[block]) * two(values[block + 1u + i % 16u / 4u], 2u * (i % 4u));
}
