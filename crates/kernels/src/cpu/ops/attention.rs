//! Attention over the paged cache: an online softmax that goes block by block, so that what a position sees is summed up
//! in an order that its blocks alone decide.

use std::ops::Range;

use graph::{Attention, BackendError, Batch};

use super::Worker;
use super::cache::Layer;
use super::gemm::Gemm;
use super::softmax::{Finish, Softmax, SoftmaxState};
use crate::cpu::memory::{Buffer, Shared, as_numbers};
use crate::cpu::simd::{LANES, Line, Vector};

/// Rows in one piece of work; they share what is read of the cache.
const ROWS: usize = 8;

/// Some rows of one span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    span: usize,
    first: usize,
    len: usize,
}

/// Cuts a batch into chunks, as many as it has rows at most.
pub(crate) fn chunks(batch: &Batch, out: &mut Vec<Chunk>) {
    out.clear();
    for (span, rows) in batch.spans.iter().map(|span| span.rows.len()).enumerate() {
        out.extend((0..rows).step_by(ROWS).map(|first| Chunk { span, first, len: ROWS.min(rows - first) }));
    }
}

/// A thread's room for attention.
#[derive(Debug)]
pub(crate) struct Room {
    /// Queries: a row for each row and head of the group.
    queries: Buffer<f32>,
    scores: Buffer<Line>,
    values: Buffer<Line>,
    states: Vec<SoftmaxState>,
    /// Decoded keys or values of one head in one block.
    cache: Buffer<Line>,
}

impl Room {
    /// Enough for each of `attentions` over the cache's `layers`.
    pub(crate) fn new<'a>(
        attentions: impl Iterator<Item = &'a Attention> + Clone,
        layers: &[Layer],
    ) -> Result<Room, BackendError> {
        let most = |f: &dyn Fn(&Layer, usize) -> usize| {
            let sizes = attentions.clone().map(|a| f(&layers[a.layer], ROWS * a.heads / layers[a.layer].shape.heads));
            sizes.max().unwrap_or(0)
        };
        Ok(Room {
            queries: Buffer::zeroed(most(&|layer, rows| rows * layer.shape.head_dim), "scratch")?,
            scores: Buffer::zeroed(most(&|layer, rows| rows * layer.tiles()), "scratch")?,
            values: Buffer::zeroed(most(&|layer, rows| rows * layer.strips()), "scratch")?,
            states: vec![SoftmaxState::new(None); most(&|_, rows| rows)],
            cache: Buffer::zeroed(most(&|layer, _| layer.lines().0.max(layer.lines().1)), "scratch")?,
        })
    }
}

/// What every piece of one attention needs.
pub(super) struct Heads<'a> {
    pub(super) op: &'a Attention,
    pub(super) layer: &'a Layer,
    pub(super) sinks: Option<&'a [f32]>,
    pub(super) batch: &'a Batch,
    pub(super) chunks: &'a [Chunk],
    pub(super) queries: &'a [f32],
}

impl Heads<'_> {
    /// out ← the attention of all rows.
    pub(super) fn run(&self, cpu: &mut Worker, out: &mut [f32]) {
        let (kv_heads, vector, out) = (self.layer.shape.heads, cpu.vector, Shared::new(out));
        cpu.pool.run_with(cpu.rooms, self.chunks.len() * kv_heads, &|room, i| {
            let piece = Piece { all: self, chunk: self.chunks[i / kv_heads], head: i % kv_heads, vector };
            piece.run(&mut room.attention, &out);
        });
    }
}

/// The query heads of one KV head, for the rows of one chunk. Row r's head g is row r · group + g of the room.
struct Piece<'a> {
    all: &'a Heads<'a>,
    chunk: Chunk,
    head: usize,
    vector: Vector,
}

impl Piece<'_> {
    fn run(&self, room: &mut Room, out: &Shared<f32>) {
        let rows = self.chunk.len * self.group();
        self.start(room);
        let block_len = self.all.layer.block_len;
        let (first, last) = (self.sees(0).start / block_len, self.position(self.chunk.len - 1) / block_len);
        for block in first..=last {
            self.block(room, block);
        }
        for row in 0..rows {
            self.finish(room, row, out);
        }
    }

    /// Query heads of a KV head.
    fn group(&self) -> usize {
        self.all.op.heads / self.all.layer.shape.heads
    }

    fn position(&self, row: usize) -> usize {
        self.all.batch.spans[self.chunk.span].position + self.chunk.first + row
    }

    /// The positions that a row of the chunk sees.
    fn sees(&self, row: usize) -> Range<usize> {
        let end = self.position(row) + 1;
        end.saturating_sub(self.all.op.window.unwrap_or(end))..end
    }

    /// Where the query of the room's `row` stands among the queries, and its result in the result.
    fn place(&self, row: usize) -> Range<usize> {
        let (group, head_dim) = (self.group(), self.all.layer.shape.head_dim);
        let batch_row = self.all.batch.spans[self.chunk.span].rows.start + self.chunk.first + row / group;
        let at = (batch_row * self.all.op.heads + self.head * group + row % group) * head_dim;
        at..at + head_dim
    }

    /// Brings in the queries, scaled, and forgets what was seen.
    fn start(&self, room: &mut Room) {
        let (group, rows) = (self.group(), self.chunk.len * self.group());
        let queries = room.queries.chunks_exact_mut(self.all.layer.shape.head_dim);
        for ((row, query), state) in (0..rows).zip(queries).zip(&mut room.states) {
            for (to, from) in query.iter_mut().zip(&self.all.queries[self.place(row)]) {
                *to = from * self.all.op.scale;
            }
            *state = SoftmaxState::new(self.all.sinks.map(|sinks| sinks[self.head * group + row % group]));
        }
        room.values[..rows * self.all.layer.strips()].fill(Line::default());
    }

    /// Goes through one block; rows that see the same part of it together.
    fn block(&self, room: &mut Room, block: usize) {
        let block_len = self.all.layer.block_len;
        let seen = |row: usize| {
            let Range { start, end } = self.sees(row);
            let within = |position: usize| position.saturating_sub(block * block_len).min(block_len);
            within(start)..within(end)
        };
        let mut row = 0;
        while row < self.chunk.len {
            let part = seen(row);
            let end = (row..self.chunk.len).find(|&other| seen(other) != part).unwrap_or(self.chunk.len);
            if !part.is_empty() {
                self.rows(room, block, row * self.group()..end * self.group(), part);
            }
            row = end;
        }
    }

    /// The room's `rows` and the positions `seen` of one block.
    fn rows(&self, room: &mut Room, block: usize, rows: Range<usize>, seen: Range<usize>) {
        let (layer, vector) = (self.all.layer, self.vector);
        let (head_dim, strips, tiles) = (layer.shape.head_dim, layer.strips(), layer.tiles());
        let tables = &self.all.batch.spans[self.chunk.span].table;
        let place = (self.all.batch.blocks[tables.start + block] as usize, self.head);
        let (first, end) = (seen.start / LANES, seen.end.div_ceil(LANES));
        let seen = seen.start - first * LANES..seen.end - first * LANES;
        let scores = &mut room.scores[rows.start * tiles..rows.end * tiles];
        let values = &mut room.values[rows.start * strips..rows.end * strips];
        vector.run(Gemm {
            w: &layer.read(vector, place, false, &mut room.cache)[first * head_dim..],
            w_stride: head_dim,
            tiles: end - first,
            x: &room.queries[rows.start * head_dim..],
            x_stride: head_dim,
            rows: rows.len(),
            k: head_dim,
            acc: scores,
            acc_stride: tiles,
            resume: false,
        });
        let states = &mut room.states[rows.clone()];
        let each = scores.chunks_exact_mut(tiles).zip(values.chunks_exact_mut(strips)).zip(states);
        for ((scores, values), state) in each {
            let (scores, softcap) = (&mut scores[..end - first], self.all.op.softcap);
            vector.run(Softmax { scores, seen: seen.clone(), softcap, state, values });
        }
        vector.run(Gemm {
            w: &layer.read(vector, place, true, &mut room.cache)[first * LANES + seen.start..],
            w_stride: layer.block_len,
            tiles: strips,
            x: &as_numbers(scores)[seen.start..],
            x_stride: tiles * LANES,
            rows: rows.len(),
            k: seen.len(),
            acc: values,
            acc_stride: strips,
            resume: true,
        });
    }

    fn finish(&self, room: &Room, row: usize, out: &Shared<f32>) {
        let (place, strips) = (self.place(row), self.all.layer.strips());
        // SAFETY: a piece has its rows' heads in the result for itself.
        #[allow(unsafe_code)]
        let out = unsafe { out.part(place.start, place.len()) };
        let values = &room.values[row * strips..][..strips];
        self.vector.run(Finish { values, state: &room.states[row], out });
    }
}
