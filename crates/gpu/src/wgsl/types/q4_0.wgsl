// Q4_0: nibbles, of 16 columns low and of the next 16 high; a scale for 32 in the tail.

fn columns(u: u32) -> vec2<u32> {
    let column = 32u * (u / 4u) + 4u * (u % 4u);
    return vec2(column, column + 16u);
}

fn unit(row: u32, u: u32) -> Unit {
    let word = stored(row * p.stride + u);
    let scale = tail_half(row, u / 4u);
    return Unit(
        scale * (vec4<f32>(nibbles(word, 0u)) - 8.0),
        scale * (vec4<f32>(nibbles(word, 4u)) - 8.0),
    );
}
