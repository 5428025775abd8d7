//! Memory behind the values of a step: the parts of attention, and later the greatest numbers of output rows, lie there.

use graph::{Graph, Limits, Memory, Op};

/// Positions of the cache that attention reads as one part.
pub(crate) const UNIT: usize = 256;
/// Parts of all rows of a batch at most; attention of more is not split.
const PARTS: usize = 2048;
/// Rows that have parts besides one reading of the whole cache.
const ROWS: usize = 64;
/// Numbers of an output row among which a workgroup takes the greatest.
pub(crate) const CHUNK: usize = 4096;
/// The most that are wanted of a row.
pub(crate) const TOP: usize = 128;

/// Parts that attention may be split into.
pub(crate) fn parts(limits: &Limits) -> usize {
    let units = limits.kv_blocks.saturating_mul(limits.block_len).div_ceil(UNIT);
    // With one unit there is nothing to split.
    if units < 2 { 0 } else { units.saturating_add(limits.max_tokens.min(ROWS)).min(PARTS) }
}

/// Words of a head's part: its largest score, the sum of its weights, and that of its values.
fn part_words(head_dim: usize) -> usize {
    head_dim.next_multiple_of(2) + 2
}

/// Words that chunks of output rows take, and the results of all of them.
pub(crate) fn top_words(width: usize, limits: &Limits) -> [usize; 2] {
    let chunks = width.div_ceil(CHUNK);
    [chunks.saturating_mul(2 * TOP + 2), 2 * TOP + 1].map(|words| words.saturating_mul(limits.max_outputs))
}

/// Words that a graph needs.
pub(crate) fn words(graph: &Graph, limits: &Limits) -> usize {
    let attention = |op: &Op| match op {
        Op::Attention(op) => match graph.memory()[op.layer] {
            Memory::Kv(shape) => op.heads.saturating_mul(part_words(shape.head_dim)),
            Memory::Recurrent { .. } => 0,
        },
        _ => 0,
    };
    let heads = graph.nodes().iter().map(|node| attention(&node.op)).max().unwrap_or(0);
    let [chunks, results] = top_words(graph.output_width(), limits);
    heads.saturating_mul(parts(limits)).max(chunks.saturating_add(results))
}
