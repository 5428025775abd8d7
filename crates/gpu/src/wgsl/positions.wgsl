// The parts of attention, where a graph has them apart: numbers for each head and position. A row of them is `[heads, stride]`.
// A thread has a head of a row, or a pair of a head. OP says what.

struct Params {
    x_at: u32,
    out_at: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    block_len: u32,
    words: u32,
    stride: u32,
    window: u32,
    // Bits of a number: the scale or the cap.
    scale: u32,
}

@group(0) @binding(3) var<storage, read> sinks: array<f32>;
@group(0) @binding(5) var<storage, read_write> keys: array<u32>;
@group(0) @binding(6) var<storage, read_write> values: array<u32>;

fn place(row: u32, at: u32, head: u32) -> u32 {
    return slot(row, at, p.block_len) * p.words + head / (p.heads / p.kv_heads) * (p.words / p.kv_heads);
}

fn score(row: u32, head: u32, at: u32) {
    var product = 0.0;
    let q = p.x_at + (row * p.heads + head) * p.head_dim;
    let from_ = place(row, at, head);
    for (var i = 0u; i < p.head_dim; i++) {
        product = fma(arena[q + i], key(from_, i / 2u)[i % 2u], product);
    }
    arena[p.out_at + (row * p.heads + head) * p.stride + at] = product * bitcast<f32>(p.scale);
}

fn softmax(row: u32, head: u32, end: u32) {
    let x = p.x_at + (row * p.heads + head) * p.stride;
    let out = p.out_at + (row * p.heads + head) * p.stride;
    let start = select(0u, end - p.window, p.window < end);
    var most = -3.0e38;
    for (var at = start; at < end; at++) {
        most = max(most, arena[x + at]);
    }
    var sum = 0.0;
    if (SINKS == 1u) {
        most = max(most, sinks[head]);
        sum = exp(sinks[head] - most);
    }
    for (var at = start; at < end; at++) {
        sum += exp(arena[x + at] - most);
    }
    for (var at = 0u; at < end; at++) {
        if (at < start) {
            arena[out + at] = 0.0;
        } else {
            arena[out + at] = exp(arena[x + at] - most) / sum;
        }
    }
}

fn weigh(row: u32, head: u32, i: u32, end: u32) {
    let x = p.x_at + (row * p.heads + head) * p.stride;
    var sum = 0.0;
    var hidden = true;
    for (var at = 0u; at < end; at++) {
        hidden = hidden && arena[x + at] == 0.0;
        if (!hidden) {
            sum = fma(arena[x + at], value(place(row, at, head), i / 2u)[i % 2u], sum);
        }
    }
    arena[p.out_at + (row * p.heads + head) * p.head_dim + i] = sum;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
    let row = thread.y;
    let head = thread.z;
    let end = position(row) + 1u;
    if (OP == SCORES && thread.x < end) {
        score(row, head, thread.x);
    }
    if (OP == CAP && thread.x < end) {
        let cap = bitcast<f32>(p.scale);
        let x = arena[p.x_at + (row * p.heads + head) * p.stride + thread.x];
        arena[p.out_at + (row * p.heads + head) * p.stride + thread.x] = cap * tanh(clamp(x / cap, -15.0, 15.0));
    }
    if (OP == SOFTMAX && thread.x == 0u) {
        softmax(row, head, end);
    }
    if (OP == WEIGH && thread.x < p.head_dim) {
        weigh(row, head, thread.x, end);
    }
}
