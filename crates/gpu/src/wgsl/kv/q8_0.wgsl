// Keys and values in 8 bits: for 32 elements a word with their scale, then 8 words.

// Two signed bytes of a word: the lower half or the upper.
fn two(word: u32, upper: bool) -> vec2<f32> {
    let half = select(word << 16u, word, upper);
    return vec2<f32>(bitcast<vec2<i32>>(vec2(half << 8u, half)) >> vec2(24u));
}

fn key(at: u32, i: u32) -> vec2<f32> {
    let block = at + i / 16u * 9u;
    return bitcast<f32>(keys[block]) * two(keys[block + 1u + i % 16u / 2u], i % 2u == 1u);
}

fn value(at: u32, i: u32) -> vec2<f32> {
    let block = at + i / 16u * 9u;
    return bitcast<f32>(values[block]) * two(values[block + 1u + i % 16u / 2u], i % 2u == 1u);
}
