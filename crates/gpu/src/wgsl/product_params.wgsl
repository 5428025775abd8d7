// What products are given.

struct Params {
    x_at: u32,
    x_width: u32,
    out_at: u32,
    out_width: u32,
    residual_at: u32,
    cols: u32,
    // Rows of a matrix; experts and heads have one each.
    rows: u32,
    // The rows of all matrices that are in this part of the weight.
    first: u32,
    count: u32,
    units: u32,
    stride: u32,
    tail_at: u32,
    tail_stride: u32,
    bias_at: u32,
    ids_at: u32,
    slots: u32,
    // Whether each slot has its own x.
    own: u32,
    // Bits of an activation's numbers.
    x: u32,
    y: u32,
    z: u32,
}

@group(0) @binding(3) var<storage, read> weight: array<u32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;

// Four columns of x from a column on; those past the end count as 0, since what is behind a row may be no number.
fn four(at: u32, column: u32) -> vec4<f32> {
    if (GUARD == 0u || column + 4u <= p.cols) {
        return vec4(arena[at + column], arena[at + column + 1u], arena[at + column + 2u], arena[at + column + 3u]);
    }
    var x = vec4(0.0);
    for (var i = 0u; i < 4u; i++) {
        if (column + i < p.cols) {
            x[i] = arena[at + column + i];
        }
    }
    return x;
}
