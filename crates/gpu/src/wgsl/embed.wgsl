// Rows of a table: each thread writes a unit of 8 columns of one row, if the row is in this part of the table.

struct Params {
    out_at: u32,
    cols: u32,
    first: u32,
    count: u32,
    units: u32,
    stride: u32,
    tail_at: u32,
    tail_stride: u32,
}

@group(0) @binding(3) var<storage, read> weight: array<u32>;

fn stored(i: u32) -> u32 {
    return weight[i];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = batch[batch[TOKENS_AT] + id.y];
    if (id.x >= p.units || token < p.first || token >= p.first + p.count) {
        return;
    }
    let w = unit(token - p.first, id.x);
    let column = columns(id.x);
    for (var i = 0u; i < 4u; i++) {
        if (column.x + i < p.cols) {
            arena[p.out_at + id.y * p.cols + column.x + i] = w.lo[i];
        }
        if (column.y + i < p.cols) {
            arena[p.out_at + id.y * p.cols + column.y + i] = w.hi[i];
        }
    }
}
