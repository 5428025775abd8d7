// Q4_K: blocks of 256 columns in 36 words: scales in the first 4, then nibbles, of 32 columns low and of the next 32 high.

fn columns(u: u32) -> vec2<u32> {
    let column = 256u * (u / 32u) + 64u * (u % 32u / 8u) + 4u * (u % 8u);
    return vec2(column, column + 32u);
}

fn unit(row: u32, u: u32) -> Unit {
    let at = row * p.stride + 36u * (u / 32u);
    let word = stored(at + 4u + u % 32u);
    let run = 2u * (u % 32u / 8u);
    let lo = scale_and_min(at, run);
    let hi = scale_and_min(at, run + 1u);
    return Unit(
        lo.x * vec4<f32>(nibbles(word, 0u)) - lo.y,
        hi.x * vec4<f32>(nibbles(word, 4u)) - hi.y,
    );
}
