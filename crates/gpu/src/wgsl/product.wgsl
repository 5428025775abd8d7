// x · weightᵀ: each workgroup takes R rows of the weight times M rows of x. A lane sums every LANES-th unit of 8 columns from left to
// right, then the lanes' sums are added in order: the order depends on the number of columns alone, whatever R and M are.

@group(0) @binding(8) var<storage, read> up: array<u32>;

// Sums of the weight, then those of a second one where the product ends with a gated activation.
var<workgroup> sums: array<f32, (LANES + 1) * R * M>;
var<workgroup> ups: array<f32, (LANES + 1) * R * M * GATED + 1>;
// Which of the two is read.
var<private> second: bool;

fn stored(i: u32) -> u32 {
    if (GATED == 1u && second) {
        return up[i];
    }
    return weight[i];
}

fn add(sum: f32, w: vec4<f32>, x: vec4<f32>) -> f32 {
    return fma(w.w, x.w, fma(w.z, x.z, fma(w.y, x.y, fma(w.x, x.x, sum))));
}

// Where the x of a row, or of a slot of it, begins.
fn x_of(m: u32) -> u32 {
    if (SLOTS == 0u) {
        return p.x_at + m * p.x_width;
    }
    return p.x_at + m / p.slots * p.x_width + p.own * (m % p.slots) * p.cols;
}

// The matrix that a slot is multiplied with.
fn matrix(m: u32) -> u32 {
    if (SLOTS == 0u) {
        return 0u;
    }
    if (SLOTS == 1u) {
        return u32(arena[p.ids_at + m]);
    }
    return m % p.slots;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let rows = batch[COUNT] * p.slots;
    let first_m = group.y * M;
    // The first of the R rows, of all matrices.
    // Of one matrix each part has workgroups of its own.
    let before = select(0u, p.first, SLOTS == 0u);
    let first_r = matrix(min(first_m, rows - 1u)) * p.rows + before + group.x * R;
    var acc: array<f32, R * M>;
    var acc_up: array<f32, R * M * GATED + 1>;
    for (var u = lane; u < p.units; u += LANES) {
        let column = columns(u);
        var lo: array<vec4<f32>, M>;
        var hi: array<vec4<f32>, M>;
        for (var m = 0u; m < M; m++) {
            let at = x_of(min(first_m + m, rows - 1u));
            lo[m] = four(at, column.x);
            hi[m] = four(at, column.y);
        }
        for (var r = 0u; r < R; r++) {
            let row = clamp(first_r + r, p.first, p.first + p.count - 1u) - p.first;
            second = false;
            let w = unit(row, u);
            for (var m = 0u; m < M; m++) {
                acc[r * M + m] = add(add(acc[r * M + m], w.lo, lo[m]), w.hi, hi[m]);
            }
            if (GATED == 1u) {
                second = true;
                let v = unit(row, u);
                for (var m = 0u; m < M; m++) {
                    acc_up[r * M + m] = add(add(acc_up[r * M + m], v.lo, lo[m]), v.hi, hi[m]);
                }
            }
        }
    }
    for (var i = 0u; i < R * M; i++) {
        sums[i * (LANES + 1u) + lane] = acc[i];
        if (GATED == 1u) {
            ups[i * (LANES + 1u) + lane] = acc_up[i];
        }
    }
    workgroupBarrier();
    for (var i = lane; i < R * M; i += LANES) {
        var sum = 0.0;
        for (var l = 0u; l < LANES; l++) {
            sum += sums[i * (LANES + 1u) + l];
        }
        let row = first_r + i / M;
        let inner = before + group.x * R + i / M;
        let m = first_m + i % M;
        if (m < rows && inner < p.rows && row >= p.first && row < p.first + p.count) {
            if (BIAS == 1u) {
                sum += bias[inner];
            }
            let at = m * (p.out_width / p.slots) + inner;
            if (END == 1u) {
                sum = arena[p.residual_at + at] + sum;
            }
            if (GATED == 1u) {
                var opened = 0.0;
                for (var l = 0u; l < LANES; l++) {
                    opened += ups[i * (LANES + 1u) + l];
                }
                sum = gated(sum, opened);
            }
            arena[p.out_at + at] = sum;
        }
    }
}
