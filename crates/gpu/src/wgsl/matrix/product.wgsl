// x · weightᵀ by matrix units: a workgroup, which is one subgroup, takes 32 rows of the weight times 8 · TALL rows of x. 32 columns of
// both are brought to half precision at a time. Each row of x is scaled by a power of two of its own, so that its largest number is
// between 1 and 2. The order of additions depends on the number of columns alone, whatever TALL is.

const WIDE: u32 = 32u;
const DEEP: u32 = 32u;
const ROWS_OF_X: u32 = 8u * TALL;

var<workgroup> xs: array<Half, ROWS_OF_X * DEEP>;
var<workgroup> ws: array<Half, WIDE * DEEP>;
var<workgroup> sums: array<f32, ROWS_OF_X * WIDE>;
// What rows of x are divided by.
var<workgroup> scales: array<f32, ROWS_OF_X>;
var<workgroup> lanes: array<u32, LANES>;

fn stored(i: u32) -> u32 {
    return weight[i];
}

// The power of two of a row's largest number; 1 where there is none or it cannot be inverted.
fn scale_of(m: u32, lane: u32) -> f32 {
    var most = 0u;
    for (var i = lane; i < p.cols; i += LANES) {
        most = max(most, bitcast<u32>(arena[p.x_at + m * p.x_width + i]) & 0x7f800000u);
    }
    lanes[lane] = most;
    workgroupBarrier();
    for (var l = 0u; l < LANES; l++) {
        most = max(most, lanes[l]);
    }
    workgroupBarrier();
    return select(bitcast<f32>(most), 1.0, most == 0u || most >= 0x7f000000u);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let rows = batch[COUNT];
    let first_m = group.y * ROWS_OF_X;
    let first_r = p.first + group.x * WIDE;
    for (var m = 0u; m < ROWS_OF_X; m++) {
        let scale = scale_of(min(first_m + m, rows - 1u), lane);
        if (lane == 0u) {
            scales[m] = scale;
        }
    }
    for (var i = lane; i < ROWS_OF_X * WIDE; i += LANES) {
        sums[i] = 0.0;
    }
    workgroupBarrier();
    clear();
    for (var base = 0u; base < p.units; base += DEEP / 8u) {
        for (var i = lane; i < WIDE * DEEP / 8u; i += LANES) {
            let r = i / (DEEP / 8u);
            let u = base + i % (DEEP / 8u);
            var w = Unit(vec4(0.0), vec4(0.0));
            if (u < p.units) {
                w = unit(min(first_r + r, p.first + p.count - 1u) - p.first, u);
            }
            for (var e = 0u; e < 4u; e++) {
                ws[8u * i + e] = half(w.lo[e]);
                ws[8u * i + 4u + e] = half(w.hi[e]);
            }
        }
        for (var i = lane; i < ROWS_OF_X * DEEP / 8u; i += LANES) {
            let m = i / (DEEP / 8u);
            let u = base + i % (DEEP / 8u);
            var lo = vec4(0.0);
            var hi = vec4(0.0);
            if (u < p.units) {
                let at = p.x_at + min(first_m + m, rows - 1u) * p.x_width;
                let column = columns(u);
                lo = four(at, column.x) / scales[m];
                hi = four(at, column.y) / scales[m];
            }
            for (var e = 0u; e < 4u; e++) {
                xs[8u * i + e] = half(lo[e]);
                xs[8u * i + 4u + e] = half(hi[e]);
            }
        }
        workgroupBarrier();
        multiply(lane);
        workgroupBarrier();
    }
    finish();
    workgroupBarrier();
    for (var i = lane; i < ROWS_OF_X * WIDE; i += LANES) {
        let m = first_m + i / WIDE;
        let r = first_r + i % WIDE;
        if (m < rows && r < p.first + p.count) {
            var sum = sums[i] * scales[i / WIDE];
            if (BIAS == 1u) {
                sum += bias[r];
            }
            let at = m * p.out_width + r;
            if (END == 1u) {
                sum = arena[p.residual_at + at] + sum;
            }
            arena[p.out_at + at] = sum;
        }
    }
}
