// F32: a word each.

fn columns(u: u32) -> vec2<u32> {
    return vec2(8u * u, 8u * u + 4u);
}

fn unit(row: u32, u: u32) -> Unit {
    let at = row * p.stride + 8u * u;
    let lo = vec4(stored(at), stored(at + 1u), stored(at + 2u), stored(at + 3u));
    let hi = vec4(stored(at + 4u), stored(at + 5u), stored(at + 6u), stored(at + 7u));
    return Unit(bitcast<vec4<f32>>(lo), bitcast<vec4<f32>>(hi));
}
