//! Attention before it is fused: scores, softmax and the weighted sum of values, each over all positions before the next begins. It
//! is slow and here to be compared with. A row's result depends on its own position and cache alone.

use graph::{Batch, Op};

use super::products::{Pages, Scores, Values};
use super::queries::Queries;
use super::softmax::{self, Merge, Normalize, REST, Softmax};
use crate::cpu::memory::{Shared, as_numbers, as_numbers_mut, in_lines, in_lines_mut};
use crate::cpu::ops::cache::Layer;
use crate::cpu::ops::{self, Step, ThreadScratch, Worker, rows};
use crate::cpu::simd::{LANES, Line};

/// Computes an operator that gives or takes numbers by position.
pub(crate) fn compute(cpu: &mut Worker, step: &Step, op: &Op, values: &ops::Values) {
    let (x, out, words) = (values.inputs[0], values.out(), values.words);
    let layer = |i: usize| step.memories.kv(i);
    let all = |heads, groups, words| Positions {
        batch: step.batch,
        block_len: step.block_len,
        heads,
        groups,
        stride: words / heads / LANES,
    };
    match op {
        Op::Scores { layer: i, heads, scale } => {
            all(*heads, layer(*i).shape.heads, words).scores(cpu, layer(*i), (x.x, *scale), out);
        }
        Op::SoftCap { cap } => all(values.width, values.width, words).soft_cap(cpu, *cap, out),
        Op::Softmax { window, sinks } => {
            let sinks = sinks.map(|id| step.weights[id.index()].values());
            all(values.width, values.width, words).softmax(cpu, *window, sinks, out);
        }
        Op::Weigh { layer: i } => {
            let words = x.x.len() / x.rows.max(1);
            all(x.width, layer(*i).shape.heads, words).weigh(cpu, layer(*i), x.x, out);
        }
        _ => unreachable!("computed by another function"),
    }
}

/// How numbers by position lie: rows of `heads` times `stride` lines, each head's by tiles of the sequence's blocks.
struct Positions<'a> {
    batch: &'a Batch,
    block_len: usize,
    heads: usize,
    /// Tasks in a row: some neighbouring heads each.
    groups: usize,
    stride: usize,
}

/// Some heads of one row.
struct RowHeads<'a> {
    /// Their number among the groups of the row.
    number: usize,
    /// The first of them among all heads of all rows, and how many they are.
    first: usize,
    group: usize,
    /// Positions up to and including the row's own, their blocks, and the tiles of these.
    positions: usize,
    blocks: &'a [u32],
    tiles: usize,
}

impl Positions<'_> {
    fn scores(&self, cpu: &mut Worker, layer: &Layer, (queries, by): (&[f32], f32), out: &mut [f32]) {
        let (vector, stride) = (cpu.vector, self.stride);
        self.each(cpu, out, |scratch, heads, scores| {
            let (head, blocks, tiles) = (heads.number, heads.blocks, 0..heads.tiles);
            let head_dim = layer.shape.head_dim;
            let read = &queries[heads.first * head_dim..][..heads.group * head_dim];
            let queries = &mut scratch.row[..heads.group * layer.query_words()];
            vector.run(Queries { layer, queries: read, scale: 1.0, out: &mut *queries });
            vector.run(Scores { layer, head, blocks, tiles, queries, scores, stride });
            for scores in scores.chunks_exact_mut(stride) {
                vector.run(rows::Scale { x: as_numbers_mut(&mut scores[..heads.tiles]), by });
            }
        });
    }

    fn soft_cap(&self, cpu: &mut Worker, cap: f32, out: &mut [f32]) {
        let vector = cpu.vector;
        self.each(cpu, out, |_, heads, scores| {
            vector.run(rows::SoftCap { x: as_numbers_mut(&mut scores[..heads.tiles]), cap });
        });
    }

    fn softmax(&self, cpu: &mut Worker, window: Option<usize>, sinks: Option<&[f32]>, out: &mut [f32]) {
        let (vector, block_len) = (cpu.vector, self.block_len);
        self.each(cpu, out, |_, heads, scores| {
            let scores = &mut scores[..heads.tiles];
            let seen = heads.positions - window.map_or(heads.positions, |w| w.min(heads.positions))..heads.positions;
            let (mut split, mut state) = ([Line::default(); REST], [Line::default(); REST]);
            softmax::start(&mut state, sinks.map(|sinks| sinks[heads.number]));
            vector.run(Softmax { scores, first: 0, block_len, seen, softcap: None, state: &mut split });
            vector.run(Merge { state: &mut state, split: &split });
            vector.run(Normalize { weights: scores, split: &split, state: &state });
        });
    }

    /// Values before the first that any of the heads gives a weight are not read: a window hides them.
    fn weigh(&self, cpu: &mut Worker, layer: &Layer, weights: &[f32], out: &mut [f32]) {
        let (vector, weights_stride, stride) = (cpu.vector, self.stride, layer.strips());
        let (weights, head_dim) = (in_lines(weights), layer.shape.head_dim);
        self.heads_of(cpu, out, head_dim, |scratch, heads, out| {
            let weights = &weights[heads.first * weights_stride..][..heads.group * weights_stride];
            let values = in_lines_mut(&mut scratch.row[..heads.group * stride * LANES]);
            values.fill(Line::default());
            let seen = self.first_weighted(&heads, weights)..heads.positions;
            if !seen.is_empty() {
                let (head, blocks, positions) = (heads.number, heads.blocks, seen);
                let then = Pages { head, blocks };
                vector.run(Values { layer, head, blocks, positions, weights, weights_stride, values, stride, then });
            }
            for (out, values) in out.chunks_exact_mut(head_dim).zip(values.chunks_exact(stride)) {
                out.copy_from_slice(&as_numbers(values)[..head_dim]);
            }
        });
    }

    fn first_weighted(&self, heads: &RowHeads, weights: &[Line]) -> usize {
        let block = self.block_len.next_multiple_of(LANES);
        let place = |position: usize| position / self.block_len * block + position % self.block_len;
        let has = |&position: &usize| {
            weights.chunks_exact(self.stride).any(|weights| as_numbers(weights)[place(position)] != 0.0)
        };
        (0..heads.positions).find(has).unwrap_or(heads.positions)
    }

    /// Calls `work` with the heads of every task and their lines.
    fn each(&self, cpu: &mut Worker, out: &mut [f32], work: impl Fn(&mut ThreadScratch, RowHeads, &mut [Line]) + Sync) {
        let words = self.stride * LANES;
        self.heads_of(cpu, out, words, |scratch, heads, out| work(scratch, heads, in_lines_mut(out)));
    }

    /// Calls `work` with the heads of every task and the `words` of `out` that each of them has.
    fn heads_of(
        &self,
        cpu: &mut Worker,
        out: &mut [f32],
        words: usize,
        work: impl Fn(&mut ThreadScratch, RowHeads, &mut [f32]) + Sync,
    ) {
        let out = Shared::new(out);
        cpu.pool.run_with(cpu.scratch, self.batch.tokens.len() * self.groups, &|scratch, i| {
            let heads = self.row_heads(i / self.groups, i % self.groups);
            // SAFETY: a task has its heads' part of `out` for itself.
            #[allow(unsafe_code)]
            let out = unsafe { out.part(heads.first * words, heads.group * words) };
            work(scratch, heads, out);
        });
    }

    fn row_heads(&self, row: usize, number: usize) -> RowHeads<'_> {
        let spans = &self.batch.spans;
        let span = &spans[spans.partition_point(|span| span.rows.end <= row)];
        let (positions, group) = (span.position + row - span.rows.start + 1, self.heads / self.groups);
        let blocks = &self.batch.blocks[span.table.start..][..positions.div_ceil(self.block_len)];
        let tiles = blocks.len() * self.block_len.div_ceil(LANES);
        RowHeads { number, first: row * self.heads + number * group, group, positions, blocks, tiles }
    }
}
