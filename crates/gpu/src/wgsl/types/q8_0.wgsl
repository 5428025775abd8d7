// Q8_0: bytes; a scale for 32 of them in the tail.

fn columns(u: u32) -> vec2<u32> {
    return vec2(8u * u, 8u * u + 4u);
}

fn unit(row: u32, u: u32) -> Unit {
    let at = row * p.stride + 2u * u;
    let scale = tail_half(row, u / 4u);
    return Unit(scale * signed(stored(at)), scale * signed(stored(at + 1u)));
}
