// Norms: a workgroup for each span of a row. A lane sums every LANES-th element, then the lanes' sums are added in order.

struct Params {
    x_at: u32,
    out_at: u32,
    width: u32,
    span: u32,
    // Elements of the weight; 0 if there is none.
    weights: u32,
    biases: u32,
    // Bits of numbers: what is added to the mean square, and from the mean to what stays.
    eps: u32,
    deviations: u32,
}

@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;

var<workgroup> sums: array<f32, LANES>;

// The sum over all lanes.
fn total(lane: u32, mine: f32) -> f32 {
    workgroupBarrier();
    sums[lane] = mine;
    workgroupBarrier();
    var sum = 0.0;
    for (var l = 0u; l < LANES; l++) {
        sum += sums[l];
    }
    return sum;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = p.x_at + group.y * p.width + group.x * p.span;
    let out = p.out_at + group.y * p.width + group.x * p.span;
    var mean = 0.0;
    if (CENTER == 1u) {
        var sum = 0.0;
        for (var i = lane; i < p.span; i += LANES) {
            sum += arena[at + i];
        }
        mean = total(lane, sum) / f32(p.span);
    }
    var squares = 0.0;
    for (var i = lane; i < p.span; i += LANES) {
        let x = arena[at + i] - mean;
        squares = fma(x, x, squares);
    }
    let root = sqrt(total(lane, squares) / f32(p.span) + bitcast<f32>(p.eps));
    for (var i = lane; i < p.span; i += LANES) {
        var x = arena[at + i] - mean;
        if (BEYOND == 1u) {
            x -= bitcast<f32>(p.deviations) * root;
            // Unlike `max`, keeps what is no number.
            arena[out + i] = select(x, 0.0, x < 0.0);
            continue;
        }
        x = x / root;
        if (WEIGHT == 1u) {
            x *= weight[(group.x * p.span + i) % p.weights];
        }
        if (BIAS == 1u) {
            x += bias[(group.x * p.span + i) % p.biases];
        }
        arena[out + i] = x;
    }
}
