// Operators that take each element for itself: a thread each. OP says which.

struct Params {
    a_at: u32,
    a_width: u32,
    b_at: u32,
    b_width: u32,
    out_at: u32,
    width: u32,
    // Elements of the weight, or what an operator needs: spans, columns, parts.
    n: u32,
    first: u32,
    span: u32,
    // Bits of numbers.
    x: u32,
    y: u32,
    z: u32,
}

@group(0) @binding(3) var<storage, read> weight: array<f32>;

fn result(row: u32, i: u32) -> f32 {
    let a = p.a_at + row * p.a_width;
    let b = p.b_at + row * p.b_width;
    if (OP == ADD) {
        return arena[a + i] + arena[b + i];
    }
    if (OP == MUL) {
        return arena[a + i] * arena[b + i / p.span];
    }
    if (OP == SCALE) {
        return arena[a + i] * bitcast<f32>(p.x);
    }
    if (OP == SCALE_BY) {
        return arena[a + i] * weight[i % p.n];
    }
    if (OP == ADD_BIAS) {
        return arena[a + i] + weight[i];
    }
    if (OP == GROW) {
        return arena[a + i] * (1.0 + bitcast<f32>(p.x) * log(f32(1u + position(row) / p.n)));
    }
    if (OP == SOFT_CAP) {
        let cap = bitcast<f32>(p.x);
        return cap * tangent(arena[a + i] / cap);
    }
    if (OP == GLU) {
        return gated(arena[a + i], arena[b + i]);
    }
    if (OP == ACTIVATE) {
        return activation(arena[a + i]);
    }
    if (OP == SLICE) {
        return arena[a + i / p.n * p.span + p.first + i % p.n];
    }
    if (OP == CONCAT) {
        let each = p.width / p.n;
        let part = i / each;
        let x = p.a_width / p.n;
        if (i % each < x) {
            return arena[a + part * x + i % each];
        }
        return arena[b + part * (each - x) + i % each - x];
    }
    if (OP == SELECT) {
        return arena[p.a_at + batch[batch[OUTPUTS_AT] + row] * p.a_width + i];
    }
    // Of experts: the ids are b.
    let slot = i / p.span;
    if (OP == EXPERT_BIAS) {
        return arena[a + i] + weight[u32(arena[b + slot]) * p.span + i % p.span];
    }
    if (OP == EXPERT_SCALE) {
        return arena[a + i] * weight[u32(arena[b + slot])];
    }
    // EXPERT_SUM: the weights are b.
    var sum = 0.0;
    for (var s = 0u; s < p.n; s++) {
        sum = fma(arena[b + s], arena[a + s * p.width + i], sum);
    }
    return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < p.width) {
        arena[p.out_at + id.y * p.width + id.x] = result(id.y, id.x);
    }
}
