// Recurrent layers: a thread brings a column of a sequence's state forward, row by row. OP says how.

struct Params {
    // The inputs, in the operator's order.
    a_at: u32,
    b_at: u32,
    c_at: u32,
    d_at: u32,
    e_at: u32,
    out_at: u32,
    heads: u32,
    // Heads of keys, or groups.
    groups: u32,
    key_dim: u32,
    value_dim: u32,
    // Decays of a head, or taps of a channel.
    each: u32,
    // Numbers of a state.
    len: u32,
}

@group(0) @binding(3) var<storage, read> first: array<f32>;
@group(0) @binding(4) var<storage, read> second: array<f32>;
@group(0) @binding(7) var<storage, read_write> states: array<f32>;

// Four words of a span: its first row, its rows, its position, its slot.
fn span(i: u32, word: u32) -> u32 {
    return batch[batch[SPANS_AT] + 4u * i + word];
}

// The state is `[taps - 1, channels]`; a thread has a channel.
fn conv(rows: vec2<u32>, at: u32, c: u32) {
    let channels = p.heads;
    let last = p.each - 1u;
    for (var row = rows.x; row < rows.x + rows.y; row++) {
        let x = arena[p.a_at + row * channels + c];
        var sum = 0.0;
        for (var j = 0u; j < last; j++) {
            sum = fma(states[at + j * channels + c], first[c * p.each + j], sum);
        }
        arena[p.out_at + row * channels + c] = fma(x, first[c * p.each + last], sum);
        for (var j = 0u; j + 1u < last; j++) {
            states[at + j * channels + c] = states[at + (j + 1u) * channels + c];
        }
        states[at + (last - 1u) * channels + c] = x;
    }
}

// The state of a head is `[key_dim, value_dim]`; a thread has a column of it.
fn delta(rows: vec2<u32>, at: u32, head: u32, c: u32) {
    let key_head = select(head / (p.heads / p.groups), head % p.groups, OP == DELTA_TILED);
    let start = at + head * p.key_dim * p.value_dim + c;
    for (var row = rows.x; row < rows.x + rows.y; row++) {
        let q = p.a_at + (row * p.groups + key_head) * p.key_dim;
        let k = p.b_at + (row * p.groups + key_head) * p.key_dim;
        let decay = p.d_at + (row * p.heads + head) * p.each;
        var known = 0.0;
        for (var i = 0u; i < p.key_dim; i++) {
            let s = start + i * p.value_dim;
            states[s] = states[s] * exp(arena[decay + i % p.each]);
            known = fma(arena[k + i], states[s], known);
        }
        let column = (row * p.heads + head) * p.value_dim + c;
        let change = arena[p.e_at + row * p.heads + head] * (arena[p.c_at + column] - known);
        var sum = 0.0;
        for (var i = 0u; i < p.key_dim; i++) {
            let s = start + i * p.value_dim;
            states[s] = fma(arena[k + i], change, states[s]);
            sum = fma(arena[q + i], states[s], sum);
        }
        arena[p.out_at + column] = sum;
    }
}

// The state of a head is `[key_dim, value_dim]`, as Mamba-2's state and head widths are called here; a thread has a column of it.
fn scan(rows: vec2<u32>, at: u32, head: u32, c: u32) {
    let group = head / (p.heads / p.groups);
    let start = at + head * p.key_dim * p.value_dim + c;
    for (var row = rows.x; row < rows.x + rows.y; row++) {
        let b = p.b_at + (row * p.groups + group) * p.key_dim;
        let read = p.c_at + (row * p.groups + group) * p.key_dim;
        let step = arena[p.d_at + row * p.heads + head];
        let column = (row * p.heads + head) * p.value_dim + c;
        let x = arena[p.a_at + column];
        let decay = exp(first[head] * step);
        var sum = 0.0;
        for (var i = 0u; i < p.key_dim; i++) {
            let s = start + i * p.value_dim;
            states[s] = fma(arena[b + i], step * x, states[s] * decay);
            sum = fma(arena[read + i], states[s], sum);
        }
        arena[p.out_at + column] = fma(second[head], x, sum);
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
    let rows = vec2(span(thread.z, 0u), span(thread.z, 1u));
    let at = span(thread.z, 3u) * p.len;
    let head = thread.y;
    let c = thread.x;
    let columns = select(p.value_dim, p.heads, OP == CONV);
    if (c >= columns) {
        return;
    }
    // A new sequence begins with zeros.
    if (span(thread.z, 2u) == 0u) {
        let stride = columns;
        let start = at + select(head * p.key_dim * p.value_dim, 0u, OP == CONV);
        let count = select(p.key_dim, p.each - 1u, OP == CONV);
        for (var i = 0u; i < count; i++) {
            states[start + i * stride + c] = 0.0;
        }
    }
    if (OP == CONV) {
        conv(rows, at, c);
    } else if (OP == SCAN) {
        scan(rows, at, head, c);
    } else {
        delta(rows, at, head, c);
    }
}
