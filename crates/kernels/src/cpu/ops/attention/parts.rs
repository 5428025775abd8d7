//! Attention as its parts, as a graph has it before it is fused: each goes over all positions that a row may see before the
//! next begins. It is here to be right and to be compared with. What a row gets depends on its own position and cache alone.

use graph::{Batch, Op};

use super::products::{Pages, Scores, Values};
use super::softmax::{self, Merge, Normalize, REST, Softmax};
use crate::cpu::memory::{Shared, as_numbers, as_numbers_mut, in_lines, in_lines_mut};
use crate::cpu::ops::cache::Layer;
use crate::cpu::ops::{self, Room, Step, Worker, rows};
use crate::cpu::simd::{LANES, Line};

/// Computes an operator that gives or takes numbers by position.
pub(crate) fn compute(cpu: &mut Worker, step: &Step, op: &Op, values: &ops::Values) {
    let (x, out, words) = (values.inputs[0], values.out(), values.words);
    let layer = |i: usize| step.memories.kv(i);
    let all = |heads, pieces, words| Positions {
        batch: step.batch,
        block_len: step.block_len,
        heads,
        pieces,
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
    /// Pieces of work in a row: some neighbouring heads each.
    pieces: usize,
    stride: usize,
}

/// Some heads of one row.
struct Piece<'a> {
    /// Its number in the row.
    number: usize,
    /// Its first head, among all heads of all rows, and how many they are.
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
        self.each(cpu, out, |_, piece, scores| {
            let (head, blocks, tiles) = (piece.number, piece.blocks, 0..piece.tiles);
            let queries = &queries[piece.first * layer.shape.head_dim..];
            vector.run(Scores { layer, head, blocks, tiles, queries, scores, stride });
            for scores in scores.chunks_exact_mut(stride) {
                vector.run(rows::Scale { x: as_numbers_mut(&mut scores[..piece.tiles]), by });
            }
        });
    }

    fn soft_cap(&self, cpu: &mut Worker, cap: f32, out: &mut [f32]) {
        let vector = cpu.vector;
        self.each(cpu, out, |_, piece, scores| {
            vector.run(rows::SoftCap { x: as_numbers_mut(&mut scores[..piece.tiles]), cap });
        });
    }

    fn softmax(&self, cpu: &mut Worker, window: Option<usize>, sinks: Option<&[f32]>, out: &mut [f32]) {
        let (vector, block_len) = (cpu.vector, self.block_len);
        self.each(cpu, out, |_, piece, scores| {
            let scores = &mut scores[..piece.tiles];
            let seen = piece.positions - window.map_or(piece.positions, |w| w.min(piece.positions))..piece.positions;
            let (mut part, mut state) = ([Line::default(); REST], [Line::default(); REST]);
            softmax::start(&mut state, sinks.map(|sinks| sinks[piece.number]));
            vector.run(Softmax { scores, first: 0, block_len, seen, softcap: None, state: &mut part });
            vector.run(Merge { state: &mut state, part: &part });
            vector.run(Normalize { shares: scores, part: &part, state: &state });
        });
    }

    /// Only values from the first on that has a share in any of a piece's heads are looked at: what a window hides is not.
    fn weigh(&self, cpu: &mut Worker, layer: &Layer, shares: &[f32], out: &mut [f32]) {
        let (vector, shares_stride, stride) = (cpu.vector, self.stride, layer.strips());
        let (shares, head_dim) = (in_lines(shares), layer.shape.head_dim);
        self.heads_of(cpu, out, head_dim, |room, piece, out| {
            let shares = &shares[piece.first * shares_stride..][..piece.group * shares_stride];
            let values = in_lines_mut(&mut room.row[..piece.group * stride * LANES]);
            values.fill(Line::default());
            let seen = self.first_share(&piece, shares)..piece.positions;
            if !seen.is_empty() {
                let (head, blocks, positions) = (piece.number, piece.blocks, seen);
                let then = Pages { head, blocks };
                vector.run(Values { layer, head, blocks, positions, shares, shares_stride, values, stride, then });
            }
            for (out, values) in out.chunks_exact_mut(head_dim).zip(values.chunks_exact(stride)) {
                out.copy_from_slice(&as_numbers(values)[..head_dim]);
            }
        });
    }

    fn first_share(&self, piece: &Piece, shares: &[Line]) -> usize {
        let block = self.block_len.next_multiple_of(LANES);
        let place = |position: usize| position / self.block_len * block + position % self.block_len;
        let has = |&position: &usize| {
            shares.chunks_exact(self.stride).any(|shares| as_numbers(shares)[place(position)] != 0.0)
        };
        (0..piece.positions).find(has).unwrap_or(piece.positions)
    }

    /// Calls `work` with every piece and the lines of its heads.
    fn each(&self, cpu: &mut Worker, out: &mut [f32], work: impl Fn(&mut Room, Piece, &mut [Line]) + Sync) {
        let words = self.stride * LANES;
        self.heads_of(cpu, out, words, |room, piece, out| work(room, piece, in_lines_mut(out)));
    }

    /// Calls `work` with every piece and the `words` of `out` that each of its heads has.
    fn heads_of(
        &self,
        cpu: &mut Worker,
        out: &mut [f32],
        words: usize,
        work: impl Fn(&mut Room, Piece, &mut [f32]) + Sync,
    ) {
        let out = Shared::new(out);
        cpu.pool.run_with(cpu.rooms, self.batch.tokens.len() * self.pieces, &|room, i| {
            let piece = self.piece(i / self.pieces, i % self.pieces);
            // SAFETY: a piece has its heads' part of `out` for itself.
            #[allow(unsafe_code)]
            let out = unsafe { out.part(piece.first * words, piece.group * words) };
            work(room, piece, out);
        });
    }

    fn piece(&self, row: usize, number: usize) -> Piece<'_> {
        let spans = &self.batch.spans;
        let span = &spans[spans.partition_point(|span| span.rows.end <= row)];
        let (positions, group) = (span.position + row - span.rows.start + 1, self.heads / self.pieces);
        let blocks = &self.batch.blocks[span.table.start..][..positions.div_ceil(self.block_len)];
        let tiles = blocks.len() * self.block_len.div_ceil(LANES);
        Piece { number, first: row * self.heads + number * group, group, positions, blocks, tiles }
    }
}
