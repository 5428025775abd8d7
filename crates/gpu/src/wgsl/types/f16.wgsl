// F16: two in a word.

fn columns(u: u32) -> vec2<u32> {
    return vec2(8u * u, 8u * u + 4u);
}

fn unit(row: u32, u: u32) -> Unit {
    let at = row * p.stride + 4u * u;
    let lo = vec4(unpack2x16float(stored(at)), unpack2x16float(stored(at + 1u)));
    let hi = vec4(unpack2x16float(stored(at + 2u)), unpack2x16float(stored(at + 3u)));
    return Unit(lo, hi);
}
