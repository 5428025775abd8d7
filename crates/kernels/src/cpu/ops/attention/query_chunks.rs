//! How the attention of a step is cut into work: a few rows of a span at a time, and split-KV where they see more than a
//! thread's fair share of all positions.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use graph::{Attention, BackendError, Limits, Span};

use super::{Heads, group, state_len};
use crate::cpu::memory::{Buffer, Shared};
use crate::cpu::named::Inner;
use crate::cpu::ops::Memories;
use crate::cpu::simd::Line;

/// Rows in one chunk at most. They share what is read of the cache.
pub(super) const ROWS: usize = 8;
/// Positions of a split, if that is whole blocks.
const SPLIT: usize = 256;
/// Tasks wanted for each thread, so that one that comes late costs little.
const TASKS: usize = 4;

/// Blocks of a split.
pub(super) fn split_blocks(block_len: usize) -> usize {
    (SPLIT / block_len).max(1)
}

/// Positions of a split.
pub(super) fn split_len(block_len: usize) -> usize {
    split_blocks(block_len) * block_len
}

/// Some rows of one span, with all the splits that they see or with one of them.
#[derive(Clone, Debug)]
pub(super) struct QueryChunk {
    /// The first row, in the batch.
    pub(super) row: usize,
    pub(super) len: usize,
    /// Position of the first row, and the end of the span's positions.
    position: usize,
    end: usize,
    /// Where the span's block table begins.
    pub(super) table: usize,
    /// The splits that they see.
    pub(super) splits: Range<usize>,
    /// The only split that this chunk computes, if others have the same rows.
    pub(super) only: Option<Split>,
}

/// One split of rows whose splits are computed by chunks of their own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    /// Its number among all splits of the sequence.
    pub(super) number: usize,
    /// The number of the rows' first split.
    first: usize,
    /// The number of these rows among all that are split, and how many states come before theirs.
    id: usize,
    states: usize,
}

impl QueryChunk {
    fn new(op: &Attention, split_len: usize, span: &Span, first: usize) -> QueryChunk {
        let (row, position) = (span.rows.start + first, span.position + first);
        let end = span.position + span.rows.len();
        let len = ROWS.min(span.rows.len() - first);
        let mut chunk = QueryChunk { row, len, position, end, table: span.table.start, splits: 0..0, only: None };
        chunk.splits = chunk.sees(op, 0).start / split_len..chunk.sees(op, len - 1).end.div_ceil(split_len);
        chunk
    }

    /// The positions that a row of the chunk sees.
    pub(super) fn sees(&self, op: &Attention, row: usize) -> Range<usize> {
        let (next, window) = (self.position + row + 1, op.window.unwrap_or(usize::MAX));
        let end = if op.causal { next } else { self.end.min((next - 1).saturating_add(window)) };
        next.saturating_sub(window)..end
    }

    /// The split that it computes first.
    pub(super) fn first(&self) -> usize {
        self.only.map_or(self.splits.start, |split| split.number)
    }

    /// Rows times splits.
    fn work(&self) -> usize {
        self.len * self.splits.len()
    }
}

/// The chunks of one attention, and the partial results of split rows, which whoever is last merges.
#[derive(Debug)]
pub(crate) struct QueryChunks {
    list: Vec<QueryChunk>,
    states: Buffer<Line>,
    /// Chunks not yet done, for each KV head of each of the rows that are split.
    left: Vec<AtomicUsize>,
    /// The most partial results of a row that `states` hold.
    most: usize,
}

impl QueryChunks {
    /// Enough memory for as many splits as the cache holds, rounded up for each of several sequences.
    pub(crate) fn new<'a>(
        attentions: impl Iterator<Item = &'a Attention>,
        memories: &Memories,
        limits: &Limits,
    ) -> Result<QueryChunks, BackendError> {
        let layers = memories.layers();
        let most = if layers.is_empty() { 0 } else { 2 * limits.kv_blocks.div_ceil(split_blocks(limits.block_len)) };
        let lines = attentions.map(|op| op.heads * state_len(memories.kv(op.layer))).max().unwrap_or(0);
        let heads = layers.iter().map(|layer| layer.shape.heads).max().unwrap_or(0);
        Ok(QueryChunks {
            list: Vec::with_capacity(limits.max_tokens + most),
            states: Buffer::zeroed(lines.saturating_mul(most), "scratch")?,
            left: (0..most / 2 * heads).map(|_| AtomicUsize::new(0)).collect(),
            most,
        })
    }

    /// Cuts `heads` for a number of threads, unless the kernel that was chosen says how. The result does not depend on it.
    pub(super) fn cut(&mut self, heads: &Heads, threads: usize, inner: Inner) -> (&[QueryChunk], Partials<'_>) {
        let (op, kv_heads, split_len) = (heads.op, heads.layer.shape.heads, split_len(heads.layer.block_len));
        let spans = heads.batch.spans.iter();
        let chunks = spans.flat_map(|span| {
            (0..span.rows.len()).step_by(ROWS).map(move |first| QueryChunk::new(op, split_len, span, first))
        });
        let fair = match inner {
            Inner::Whole => usize::MAX,
            Inner::Split => 0,
            _ => chunks.clone().map(|chunk| chunk.work()).sum::<usize>() * kv_heads / (TASKS * threads),
        };
        let (mut id, mut states) = (0, 0);
        self.list.clear();
        for chunk in chunks {
            let work = chunk.work();
            if chunk.splits.len() == 1 || work <= fair || states + work > self.most {
                self.list.push(chunk);
                continue;
            }
            self.list.extend(chunk.splits.clone().map(|number| {
                let only = Some(Split { number, first: chunk.splits.start, id, states });
                QueryChunk { only, ..chunk.clone() }
            }));
            self.left[id * kv_heads..][..kv_heads].iter().for_each(|left| left.store(chunk.splits.len(), Relaxed));
            (id, states) = (id + 1, states + work);
        }
        let row = group(op, heads.layer) * state_len(heads.layer);
        (&self.list, Partials { states: Shared::new(&mut self.states), left: &self.left, kv_heads, row })
    }
}

/// Where chunks of the same rows leave their partial results.
pub(super) struct Partials<'a> {
    pub(super) states: Shared<'a, Line>,
    left: &'a [AtomicUsize],
    kv_heads: usize,
    /// Lines of the states of one row and KV head.
    row: usize,
}

impl Partials<'_> {
    /// Where the states of one split and KV head begin, `len` lines.
    pub(super) fn place(&self, split: Split, number: usize, head: usize, len: usize) -> usize {
        split.states * self.kv_heads * self.row + ((number - split.first) * self.kv_heads + head) * len
    }

    /// How many chunks of the same rows are not done for a KV head.
    pub(super) fn left(&self, split: Split, head: usize) -> &AtomicUsize {
        &self.left[split.id * self.kv_heads + head]
    }
}
