//! Attention over the paged cache, split by split of the positions (split-KV; Dao et al. 2022). Splits begin at fixed positions
//! and are merged in their order, whichever thread computes them. So a row's result depends on its own position and cache alone.

mod products;
mod queries;
mod query_chunks;
mod softmax;
pub(super) mod unfused;

pub(crate) use query_chunks::QueryChunks;

use std::ops::Range;
use std::sync::atomic::Ordering::AcqRel;

use graph::{Attention, BackendError, Batch};

use super::cache::Layer;
use super::{Memories, Worker};
use crate::cpu::memory::{Buffer, Shared};
use crate::cpu::simd::{Line, Vector};
use products::{Pages, Scores, Values};
use queries::Queries;
use query_chunks::{Partials, QueryChunk, ROWS, split_blocks, split_len};
use softmax::{Finish, Merge, Softmax};

/// A thread's scratch memory for attention. Its rows are those of a chunk, each head of the group after the other.
#[derive(Debug)]
pub(crate) struct AttentionScratch {
    queries: Buffer<f32>,
    scores: Buffer<Line>,
    /// Each row's state from one split, and from all splits so far.
    split: Buffer<Line>,
    states: Buffer<Line>,
}

impl AttentionScratch {
    /// Enough for each of `attentions`.
    pub(crate) fn new<'a>(
        attentions: impl Iterator<Item = &'a Attention> + Clone,
        memories: &Memories,
    ) -> Result<AttentionScratch, BackendError> {
        let most = |f: &dyn Fn(&Layer) -> usize| {
            let layers = attentions.clone().map(|op| (op, memories.kv(op.layer)));
            layers.map(|(op, layer)| ROWS * group(op, layer) * f(layer)).max().unwrap_or(0)
        };
        Ok(AttentionScratch {
            queries: Buffer::zeroed(most(&Layer::query_words), "scratch")?,
            scores: Buffer::zeroed(most(&split_tiles), "scratch")?,
            split: Buffer::zeroed(most(&state_len), "scratch")?,
            states: Buffer::zeroed(most(&state_len), "scratch")?,
        })
    }
}

/// Query heads of a KV head.
pub(super) fn group(op: &Attention, layer: &Layer) -> usize {
    op.heads / layer.shape.heads
}

/// Lines of a row's state.
pub(super) fn state_len(layer: &Layer) -> usize {
    layer.strips() + softmax::REST
}

fn split_tiles(layer: &Layer) -> usize {
    split_blocks(layer.block_len) * layer.tiles()
}

/// What every task of one attention needs.
#[derive(Clone, Copy)]
pub(super) struct Heads<'a> {
    pub(super) op: &'a Attention,
    pub(super) layer: &'a Layer,
    pub(super) sinks: Option<&'a [f32]>,
    pub(super) batch: &'a Batch,
    pub(super) queries: &'a [f32],
}

impl Heads<'_> {
    /// out ← the attention of all rows.
    pub(super) fn run(&self, cpu: &mut Worker, chunks: &mut QueryChunks, out: &mut [f32]) {
        let (heads, vector, out) = (self.layer.shape.heads, cpu.vector, Shared::new(out));
        let (chunks, partials) = chunks.cut(self, cpu.pool.threads(), cpu.kernel.inner);
        cpu.pool.run_with(cpu.scratch, chunks.len() * heads, &|scratch, i| {
            let task = |i: usize| HeadTask { all: self, chunk: &chunks[i / heads], head: i % heads, vector };
            let then = task((i + 1).min(chunks.len() * heads - 1));
            task(i).run(&mut scratch.attention, &partials, &out, then.pages(then.chunk.first()));
        });
    }
}

/// The query heads of one KV head, for the rows of one chunk. Row r's head g is row r · group + g of the scratch.
struct HeadTask<'a> {
    all: &'a Heads<'a>,
    chunk: &'a QueryChunk,
    head: usize,
    vector: Vector,
}

impl HeadTask<'_> {
    /// `then` is what is read after it.
    fn run(&self, scratch: &mut AttentionScratch, partials: &Partials, out: &Shared<f32>, then: Pages) {
        self.scale_queries(&mut scratch.queries);
        let len = self.rows(0..self.chunk.len).len() * self.state_len();
        let states = &mut scratch.states[..len];
        match self.chunk.only {
            None => {
                let split_states = &mut scratch.split[..len];
                self.start(states);
                for split in self.chunk.splits.clone() {
                    let then = if split + 1 < self.chunk.splits.end { self.pages(split + 1) } else { then };
                    self.split(split, &scratch.queries, &mut scratch.scores, split_states, then);
                    self.merge(split, states, split_states);
                }
            }
            Some(only) => {
                let place = |split| partials.place(only, split, self.head, len);
                // SAFETY: only this task writes this split's states, and nobody reads them before it is counted below.
                #[allow(unsafe_code)]
                let split_states = unsafe { partials.states.part(place(only.number), len) };
                self.split(only.number, &scratch.queries, &mut scratch.scores, split_states, then);
                if partials.left(only, self.head).fetch_sub(1, AcqRel) > 1 {
                    return;
                }
                self.start(states);
                for split in self.chunk.splits.clone() {
                    // SAFETY: all splits are counted, so their writers are done.
                    #[allow(unsafe_code)]
                    self.merge(split, states, unsafe { partials.states.view(place(split), len) });
                }
            }
        }
        self.finish(states, out);
    }

    /// Query heads.
    fn group(&self) -> usize {
        group(self.all.op, self.all.layer)
    }

    fn state_len(&self) -> usize {
        state_len(self.all.layer)
    }

    /// The scratch's rows of rows of the chunk.
    fn rows(&self, rows: Range<usize>) -> Range<usize> {
        rows.start * self.group()..rows.end * self.group()
    }

    /// The query heads of one row of the chunk among all queries, and their results among all results.
    fn place(&self, row: usize) -> Range<usize> {
        let (heads, head_dim) = (self.group(), self.all.layer.shape.head_dim);
        let first = (self.chunk.row + row) * self.all.op.heads + self.head * heads;
        first * head_dim..(first + heads) * head_dim
    }

    /// The queries, scaled.
    fn scale_queries(&self, scratch: &mut [f32]) {
        let words = self.group() * self.all.layer.query_words();
        for (row, out) in (0..self.chunk.len).zip(scratch.chunks_exact_mut(words)) {
            let queries = &self.all.queries[self.place(row)];
            self.vector.run(Queries { layer: self.all.layer, queries, scale: self.all.op.scale, out });
        }
    }

    fn start(&self, states: &mut [Line]) {
        let heads = self.rows(self.head..self.head + 1);
        for (state, head) in states.chunks_exact_mut(self.state_len()).zip(heads.cycle()) {
            softmax::start(state, self.all.sinks.map(|sinks| sinks[head]));
        }
    }

    /// Where a split lies, and what comes after it.
    fn pages(&self, split: usize) -> Pages<'_> {
        let blocks = &self.all.batch.blocks[self.chunk.table + split * split_blocks(self.all.layer.block_len)..];
        Pages { head: self.head, blocks }
    }

    /// The positions of a split that a row of the chunk sees, counted from the split's first.
    fn seen(&self, split: usize, row: usize) -> Range<usize> {
        let Range { start, end } = self.chunk.sees(self.all.op, row);
        let len = split_len(self.all.layer.block_len);
        let within = |position: usize| position.saturating_sub(split * len).min(len);
        within(start)..within(end)
    }

    /// The rows of the chunk that see something of a split. They are neighbours.
    fn seeing(&self, split: usize) -> Range<usize> {
        let sees = |row: &usize| !self.seen(split, *row).is_empty();
        let first = (0..self.chunk.len).find(sees).unwrap_or(0);
        first..(first..self.chunk.len).find(|row| !sees(row)).unwrap_or(self.chunk.len)
    }

    /// Computes the states that the rows of the chunk have from one split.
    fn split(&self, split: usize, queries: &[f32], scores: &mut [Line], states: &mut [Line], then: Pages) {
        let (op, layer, rows) = (self.all.op, self.all.layer, self.seeing(split));
        let (stride, state_len, block_len) = (split_tiles(layer), self.state_len(), layer.block_len);
        let scratch_rows = self.rows(rows.clone());
        let table = self.pages(split).blocks;
        let seen = self.seen(split, rows.start).start..self.seen(split, rows.end - 1).end;
        let tiles = seen.start / block_len * layer.tiles()..seen.end.div_ceil(block_len) * layer.tiles();
        let scores = &mut scores[..scratch_rows.len() * stride];
        let queries = &queries[scratch_rows.start * layer.query_words()..];
        let states = &mut states[scratch_rows.start * state_len..scratch_rows.end * state_len];
        let (head, first) = (self.head, tiles.start);
        self.vector.run(Scores { layer, head, blocks: table, tiles: tiles.clone(), queries, scores, stride });
        let each = scores.chunks_exact_mut(stride).zip(states.chunks_exact_mut(state_len));
        for (i, (scores, state)) in each.enumerate() {
            state.fill(Line::default());
            let (scores, softcap) = (&mut scores[tiles.clone()], op.softcap);
            let seen = self.seen(split, rows.start + i / self.group());
            self.vector.run(Softmax { scores, first, block_len, seen, softcap, state });
        }
        self.weigh(split, rows, scores, states, then);
    }

    /// Adds up the values of a split. A row reads only the values that it sees: another one may be NaN. What all rows see is read
    /// once.
    fn weigh(&self, split: usize, rows: Range<usize>, weights: &[Line], states: &mut [Line], then: Pages) {
        let (layer, first) = (self.all.layer, self.rows(0..rows.start).end);
        let (weights_stride, stride) = (split_tiles(layer), self.state_len());
        let blocks = self.pages(split).blocks;
        let mut values = |rows: Range<usize>, positions: Range<usize>| {
            if !positions.is_empty() {
                let Range { start, end } = self.rows(rows);
                let (start, end) = (start - first, end - first);
                let weights = &weights[start * weights_stride..end * weights_stride];
                let values = &mut states[start * stride..end * stride];
                let (layer, head) = (layer, self.head);
                self.vector.run(Values {
                    layer,
                    head,
                    blocks,
                    positions,
                    weights,
                    weights_stride,
                    values,
                    stride,
                    then,
                });
            }
        };
        // From row to row, both the first and the last position seen move up.
        let (start, end) = (self.seen(split, rows.end - 1).start, self.seen(split, rows.start).end);
        let end = end.max(start);
        for row in rows.clone() {
            let seen = self.seen(split, row);
            values(row..row + 1, seen.start..seen.end.min(start));
        }
        values(rows.clone(), start..end);
        for row in rows {
            let seen = self.seen(split, row);
            values(row..row + 1, seen.start.max(end)..seen.end);
        }
    }

    /// Merges a split's states into those of the splits before it.
    fn merge(&self, split: usize, states: &mut [Line], split_states: &[Line]) {
        let len = self.state_len();
        for row in self.rows(self.seeing(split)) {
            let (state, split) = (&mut states[row * len..][..len], &split_states[row * len..][..len]);
            self.vector.run(Merge { state, split });
        }
    }

    fn finish(&self, states: &[Line], out: &Shared<f32>) {
        let (head_dim, heads) = (self.all.layer.shape.head_dim, self.group());
        for (row, states) in states.chunks_exact(heads * self.state_len()).enumerate() {
            let place = self.place(row);
            // SAFETY: a task has its rows' heads in the result for itself.
            #[allow(unsafe_code)]
            let out = unsafe { out.part(place.start, place.len()) };
            for (state, out) in states.chunks_exact(self.state_len()).zip(out.chunks_exact_mut(head_dim)) {
                self.vector.run(Finish { state, out });
            }
        }
    }
}
