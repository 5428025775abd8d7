// Rotates heads by their rows' positions: a thread for each element. The table has a cosine and a sine for each pair of each row.

struct Params {
    x_at: u32,
    out_at: u32,
    width: u32,
    head_dim: u32,
    pairs: u32,
    rope: u32,
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    // A thread rotates a pair, or copies one element that stays: the pairs come first, then the rest.
    let each = p.head_dim - p.pairs;
    let head = id.x / each;
    let i = id.x % each;
    if (head * p.head_dim >= p.width) {
        return;
    }
    let at = p.x_at + id.y * p.width + head * p.head_dim;
    let out = p.out_at + id.y * p.width + head * p.head_dim;
    if (i >= p.pairs) {
        arena[out + i + p.pairs] = arena[at + i + p.pairs];
        return;
    }
    let turn = rotation(p.rope, id.y, p.pairs, i);
    let first = select(i, 2u * i, PAIRS == 1u);
    let second = select(i + p.pairs, 2u * i + 1u, PAIRS == 1u);
    let x = vec2(arena[at + first], arena[at + second]);
    arena[out + first] = x.x * turn.x - x.y * turn.y;
    arena[out + second] = x.y * turn.x + x.x * turn.y;
}
