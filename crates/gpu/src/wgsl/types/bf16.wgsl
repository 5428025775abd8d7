// BF16: two in a word, the upper halves of F32 numbers.

fn columns(u: u32) -> vec2<u32> {
    return vec2(8u * u, 8u * u + 4u);
}

fn pair(word: u32) -> vec2<f32> {
    return vec2(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
}

fn unit(row: u32, u: u32) -> Unit {
    let at = row * p.stride + 4u * u;
    return Unit(
        vec4(pair(stored(at)), pair(stored(at + 1u))),
        vec4(pair(stored(at + 2u)), pair(stored(at + 3u))),
    );
}
