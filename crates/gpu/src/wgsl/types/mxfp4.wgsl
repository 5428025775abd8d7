// MXFP4: nibbles that stand for E2M1 numbers, of 16 columns low and of the next 16 high; an exponent for 32 in the tail.

fn columns(u: u32) -> vec2<u32> {
    let column = 32u * (u / 4u) + 4u * (u % 4u);
    return vec2(column, column + 16u);
}

// Twice the number: 0, 1, 2, 3, 4, 6, 8, 12, and the same below 0.
fn e2m1(nibble: u32) -> f32 {
    let magnitude = (0xc8643210u >> (4u * (nibble & 7u))) & 15u;
    return select(f32(magnitude), -f32(magnitude), nibble >= 8u);
}

// 2^(exponent - 128); the two smallest are below the smallest normal number.
fn half_power(exponent: u32) -> f32 {
    if (exponent < 2u) {
        return bitcast<f32>(0x00200000u << exponent);
    }
    return bitcast<f32>((exponent - 1u) << 23u);
}

fn unit(row: u32, u: u32) -> Unit {
    let word = stored(row * p.stride + u);
    let block = u / 4u;
    let scale = half_power(byte(stored(p.tail_at + row * p.tail_stride + block / 4u), block % 4u));
    let lo = nibbles(word, 0u);
    let hi = nibbles(word, 4u);
    return Unit(
        scale * vec4(e2m1(lo.x), e2m1(lo.y), e2m1(lo.z), e2m1(lo.w)),
        scale * vec4(e2m1(hi.x), e2m1(hi.y), e2m1(hi.z), e2m1(hi.w)),
    );
}
