// Writes keys and values of rows into the cache: a thread for each pair of elements, or for each block of 32 with a scale. Keys may
// be rotated as they are written.

struct Params {
    k_at: u32,
    v_at: u32,
    width: u32,
    heads: u32,
    head_dim: u32,
    pairs: u32,
    rope: u32,
    block_len: u32,
    // Words of a position, and threads for each head.
    words: u32,
    threads: u32,
}

@group(0) @binding(5) var<storage, read_write> keys: array<u32>;
@group(0) @binding(6) var<storage, read_write> values: array<u32>;

// An element of a head, rotated if it is a key's; 0 past its end.
fn element(row: u32, value: bool, head: u32, i: u32) -> f32 {
    if (i >= p.head_dim) {
        return 0.0;
    }
    let at = select(p.k_at, p.v_at, value) + row * p.width + head * p.head_dim;
    if (value || TURN == 0u || i >= 2u * p.pairs) {
        return arena[at + i];
    }
    if (PAIRS == 1u) {
        let turn = rotation(p.rope, row, p.pairs, i / 2u);
        let other = arena[at + (i ^ 1u)];
        return select(arena[at + i] * turn.x - other * turn.y, arena[at + i] * turn.x + other * turn.y, i % 2u == 1u);
    }
    let second = i >= p.pairs;
    let turn = rotation(p.rope, row, p.pairs, select(i, i - p.pairs, second));
    let other = arena[at + select(i + p.pairs, i - p.pairs, second)];
    return select(arena[at + i] * turn.x - other * turn.y, arena[at + i] * turn.x + other * turn.y, second);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let head = id.x / p.threads;
    let i = id.x % p.threads;
    if (head >= p.heads) {
        return;
    }
    let value = id.z == 1u;
    let at = slot(id.y, position(id.y), p.block_len) * p.words + head * (p.words / p.heads);
    store(value, at, id.y, head, i);
}
