// Q6_K: blocks of 256 columns in 52 words: nibbles, upper pairs of bits, 8-bit scales of 16 columns; the scale of scales in the tail.

fn columns(u: u32) -> vec2<u32> {
    let column = 256u * (u / 32u) + 128u * (u % 32u / 16u) + 32u * (u % 16u / 8u) + 4u * (u % 8u);
    return vec2(column, column + 64u);
}

fn unit(row: u32, u: u32) -> Unit {
    let at = row * p.stride + 52u * (u / 32u);
    let word = stored(at + u % 32u);
    let group = u % 32u / 16u;
    let which = u % 16u / 8u;
    let pairs = stored(at + 32u + 8u * group + u % 8u);
    let d = tail_half(row, u / 32u);
    // Of the first run of 4 columns; that of the second is 4 further.
    let i = 8u * group + 2u * which + u % 8u / 4u;
    let lo = d * signed(stored(at + 48u + i / 4u))[i % 4u];
    let hi = d * signed(stored(at + 49u + i / 4u))[i % 4u];
    let low = nibbles(word, 0u) | (twos(pairs, 2u * which) << vec4(4u));
    let high = nibbles(word, 4u) | (twos(pairs, 2u * which + 4u) << vec4(4u));
    return Unit(lo * (vec4<f32>(low) - 32.0), hi * (vec4<f32>(high) - 32.0));
}
