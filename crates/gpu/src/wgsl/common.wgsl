// What every kernel shares: the values of a step, the batch, and how many rows there are.

@group(0) @binding(0) var<storage, read_write> arena: array<f32>;
@group(0) @binding(1) var<storage, read> batch: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

// The first words of the batch: numbers of rows, outputs, spans and copies, then where lists begin. `batch.rs` writes them.
const ROWS: u32 = 0u;
const OUTPUTS: u32 = 1u;
const SPANS: u32 = 2u;
const COPIES: u32 = 3u;
const STATE_COPIES: u32 = 4u;
const TOKENS_AT: u32 = 5u;
const POSITIONS_AT: u32 = 6u;
const TABLES_AT: u32 = 7u;
const OUTPUTS_AT: u32 = 8u;
const BLOCKS_AT: u32 = 9u;
const COPIES_AT: u32 = 10u;
const STATE_COPIES_AT: u32 = 11u;
const SPANS_AT: u32 = 12u;
// The units that attention is split into, a row and a unit each, and where each row's begin.
const PARTS_AT: u32 = 13u;
const FIRST_PARTS_AT: u32 = 14u;
// How many of the greatest numbers of an output row are taken, and of which rows.
const TOP: u32 = 15u;
const TOP_AT: u32 = 16u;
const ROPES_AT: u32 = 17u;

// The position of a row in its sequence.
fn position(row: u32) -> u32 {
    return batch[batch[POSITIONS_AT] + row];
}

// Where a position of the row's sequence is in the cache: block · BLOCK_LEN + offset.
fn slot(row: u32, at: u32, block_len: u32) -> u32 {
    let table = batch[batch[TABLES_AT] + row];
    return batch[batch[BLOCKS_AT] + table + at / block_len] * block_len + at % block_len;
}

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-x));
}
