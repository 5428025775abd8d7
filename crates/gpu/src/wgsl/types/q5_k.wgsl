// Q5_K: as Q4_K, in 44 words: between scales and nibbles are 8 words of fifth bits, bit j of each byte for run j of 32 columns.

fn columns(u: u32) -> vec2<u32> {
    let column = 256u * (u / 32u) + 64u * (u % 32u / 8u) + 4u * (u % 8u);
    return vec2(column, column + 32u);
}

fn unit(row: u32, u: u32) -> Unit {
    let at = row * p.stride + 44u * (u / 32u);
    let word = stored(at + 12u + u % 32u);
    let fifths = stored(at + 4u + u % 8u);
    let run = 2u * (u % 32u / 8u);
    let lo = scale_and_min(at, run);
    let hi = scale_and_min(at, run + 1u);
    let low = nibbles(word, 0u) | ((twos(fifths, run) & vec4(1u)) << vec4(4u));
    let high = nibbles(word, 4u) | ((twos(fifths, run) >> vec4(1u)) << vec4(4u));
    return Unit(lo.x * vec4<f32>(low) - lo.y, hi.x * vec4<f32>(high) - hi.y);
}
