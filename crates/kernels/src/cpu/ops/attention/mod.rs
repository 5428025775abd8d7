//! Attention over the paged cache, part by part of the positions (Dao et al. 2022). Parts begin at fixed positions and are
//! merged in their order, whoever does them: what a row gets depends on its own position and cache alone.

pub(super) mod parts;
mod products;
mod softmax;
mod tasks;

pub(crate) use tasks::Tasks;

use std::ops::Range;
use std::sync::atomic::Ordering::AcqRel;

use graph::{Attention, BackendError, Batch};

use super::Memories;
use super::Worker;
use super::cache::Layer;
use crate::cpu::memory::{Buffer, Shared};
use crate::cpu::simd::{Line, Vector};
use products::{Pages, Scores, Values};
use softmax::{Finish, Merge, Softmax};
use tasks::{ROWS, Shares, Task, part_blocks, part_len};

/// A thread's room for attention. Its rows are those of a task, each head of the group after the other.
#[derive(Debug)]
pub(crate) struct Room {
    queries: Buffer<f32>,
    scores: Buffer<Line>,
    /// What each row has from one part, and from all parts so far.
    part: Buffer<Line>,
    states: Buffer<Line>,
}

impl Room {
    /// Enough for each of `attentions`.
    pub(crate) fn new<'a>(
        attentions: impl Iterator<Item = &'a Attention> + Clone,
        memories: &Memories,
    ) -> Result<Room, BackendError> {
        let most = |f: &dyn Fn(&Layer) -> usize| {
            let layers = attentions.clone().map(|op| (op, memories.kv(op.layer)));
            layers.map(|(op, layer)| ROWS * group(op, layer) * f(layer)).max().unwrap_or(0)
        };
        Ok(Room {
            queries: Buffer::zeroed(most(&|layer| layer.shape.head_dim), "scratch")?,
            scores: Buffer::zeroed(most(&part_tiles), "scratch")?,
            part: Buffer::zeroed(most(&state_len), "scratch")?,
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

fn part_tiles(layer: &Layer) -> usize {
    part_blocks(layer.block_len) * layer.tiles()
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
    pub(super) fn run(&self, cpu: &mut Worker, tasks: &mut Tasks, out: &mut [f32]) {
        let (heads, vector, out) = (self.layer.shape.heads, cpu.vector, Shared::new(out));
        let (tasks, shares) = tasks.cut(self, cpu.pool.threads());
        cpu.pool.run_with(cpu.rooms, tasks.len() * heads, &|room, i| {
            let piece = |i: usize| Piece { all: self, task: &tasks[i / heads], head: i % heads, vector };
            let then = piece((i + 1).min(tasks.len() * heads - 1));
            piece(i).run(&mut room.attention, &shares, &out, then.pages(then.task.first()));
        });
    }
}

/// The query heads of one KV head, for the rows of one task. Row r's head g is row r · group + g of the room.
struct Piece<'a> {
    all: &'a Heads<'a>,
    task: &'a Task,
    head: usize,
    vector: Vector,
}

impl Piece<'_> {
    /// `then` is what is read after it.
    fn run(&self, room: &mut Room, shares: &Shares, out: &Shared<f32>, then: Pages) {
        self.bring_queries(&mut room.queries);
        let len = self.rows(0..self.task.len).len() * self.state_len();
        let states = &mut room.states[..len];
        match self.task.share {
            None => {
                let part_states = &mut room.part[..len];
                self.start(states);
                for part in self.task.parts.clone() {
                    let then = if part + 1 < self.task.parts.end { self.pages(part + 1) } else { then };
                    self.part(part, &room.queries, &mut room.scores, part_states, then);
                    self.merge(part, states, part_states);
                }
            }
            Some(share) => {
                let place = |part| shares.place(share, part, self.head, len);
                // SAFETY: only this piece writes this part's states, and nobody reads them before it is counted below.
                #[allow(unsafe_code)]
                let part_states = unsafe { shares.states.part(place(share.part), len) };
                self.part(share.part, &room.queries, &mut room.scores, part_states, then);
                if shares.left(share, self.head).fetch_sub(1, AcqRel) > 1 {
                    return;
                }
                self.start(states);
                for part in self.task.parts.clone() {
                    // SAFETY: all parts are counted, so their writers are done.
                    #[allow(unsafe_code)]
                    self.merge(part, states, unsafe { shares.states.view(place(part), len) });
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

    /// The room's rows of rows of the task.
    fn rows(&self, rows: Range<usize>) -> Range<usize> {
        rows.start * self.group()..rows.end * self.group()
    }

    /// The query heads of one row of the task among all queries, and their results among all results.
    fn place(&self, row: usize) -> Range<usize> {
        let (heads, head_dim) = (self.group(), self.all.layer.shape.head_dim);
        let first = (self.task.row + row) * self.all.op.heads + self.head * heads;
        first * head_dim..(first + heads) * head_dim
    }

    /// The queries, scaled.
    fn bring_queries(&self, room: &mut [f32]) {
        for row in 0..self.task.len {
            let queries = &self.all.queries[self.place(row)];
            for (to, from) in room[row * queries.len()..].iter_mut().zip(queries) {
                *to = from * self.all.op.scale;
            }
        }
    }

    fn start(&self, states: &mut [Line]) {
        let heads = self.rows(self.head..self.head + 1);
        for (state, head) in states.chunks_exact_mut(self.state_len()).zip(heads.cycle()) {
            softmax::start(state, self.all.sinks.map(|sinks| sinks[head]));
        }
    }

    /// Where a part lies, and what comes after it.
    fn pages(&self, part: usize) -> Pages<'_> {
        let blocks = &self.all.batch.blocks[self.task.table + part * part_blocks(self.all.layer.block_len)..];
        Pages { head: self.head, blocks }
    }

    /// The positions of a part that a row of the task sees, from the part's first on.
    fn seen(&self, part: usize, row: usize) -> Range<usize> {
        let Range { start, end } = self.task.sees(self.all.op, row);
        let len = part_len(self.all.layer.block_len);
        let within = |position: usize| position.saturating_sub(part * len).min(len);
        within(start)..within(end)
    }

    /// The rows of the task that see something of a part; they are neighbours.
    fn seeing(&self, part: usize) -> Range<usize> {
        let sees = |row: &usize| !self.seen(part, *row).is_empty();
        let first = (0..self.task.len).find(sees).unwrap_or(0);
        first..(first..self.task.len).find(|row| !sees(row)).unwrap_or(self.task.len)
    }

    /// states ← what the rows that see something of a part have from it.
    fn part(&self, part: usize, queries: &[f32], scores: &mut [Line], states: &mut [Line], then: Pages) {
        let (op, layer, rows) = (self.all.op, self.all.layer, self.seeing(part));
        let (stride, state_len, block_len) = (part_tiles(layer), self.state_len(), layer.block_len);
        let room_rows = self.rows(rows.clone());
        let table = self.pages(part).blocks;
        let seen = self.seen(part, rows.start).start..self.seen(part, rows.end - 1).end;
        let tiles = seen.start / block_len * layer.tiles()..seen.end.div_ceil(block_len) * layer.tiles();
        let scores = &mut scores[..room_rows.len() * stride];
        let queries = &queries[room_rows.start * layer.shape.head_dim..];
        let states = &mut states[room_rows.start * state_len..room_rows.end * state_len];
        let (head, first) = (self.head, tiles.start);
        self.vector.run(Scores { layer, head, blocks: table, tiles: tiles.clone(), queries, scores, stride });
        let each = scores.chunks_exact_mut(stride).zip(states.chunks_exact_mut(state_len));
        for (i, (scores, state)) in each.enumerate() {
            state.fill(Line::default());
            let (scores, softcap) = (&mut scores[tiles.clone()], op.softcap);
            let seen = self.seen(part, rows.start + i / self.group());
            self.vector.run(Softmax { scores, first, block_len, seen, softcap, state });
        }
        self.weigh(part, rows, scores, states, then);
    }

    /// Adds up the values of a part. Only what a row sees is touched for it, so that no other value, were it not a number,
    /// shows; what all rows see is read once.
    fn weigh(&self, part: usize, rows: Range<usize>, shares: &[Line], states: &mut [Line], then: Pages) {
        let (layer, first) = (self.all.layer, self.rows(0..rows.start).end);
        let (shares_stride, stride) = (part_tiles(layer), self.state_len());
        let blocks = self.pages(part).blocks;
        let mut values = |rows: Range<usize>, positions: Range<usize>| {
            if !positions.is_empty() {
                let Range { start, end } = self.rows(rows);
                let (start, end) = (start - first, end - first);
                let shares = &shares[start * shares_stride..end * shares_stride];
                let values = &mut states[start * stride..end * stride];
                let (layer, head) = (layer, self.head);
                self.vector.run(Values { layer, head, blocks, positions, shares, shares_stride, values, stride, then });
            }
        };
        // Both ends of what a row sees move up from row to row.
        let (start, end) = (self.seen(part, rows.end - 1).start, self.seen(part, rows.start).end);
        let end = end.max(start);
        for row in rows.clone() {
            let seen = self.seen(part, row);
            values(row..row + 1, seen.start..seen.end.min(start));
        }
        values(rows.clone(), start..end);
        for row in rows {
            let seen = self.seen(part, row);
            values(row..row + 1, seen.start.max(end)..seen.end);
        }
    }

    /// Adds a part's states to the states of the parts before it.
    fn merge(&self, part: usize, states: &mut [Line], part_states: &[Line]) {
        let len = self.state_len();
        for row in self.rows(self.seeing(part)) {
            let (state, part) = (&mut states[row * len..][..len], &part_states[row * len..][..len]);
            self.vector.run(Merge { state, part });
        }
    }

    fn finish(&self, states: &[Line], out: &Shared<f32>) {
        let (head_dim, heads) = (self.all.layer.shape.head_dim, self.group());
        for (row, states) in states.chunks_exact(heads * self.state_len()).enumerate() {
            let place = self.place(row);
            // SAFETY: a piece has its rows' heads in the result for itself.
            #[allow(unsafe_code)]
            let out = unsafe { out.part(place.start, place.len()) };
            for (state, out) in states.chunks_exact(self.state_len()).zip(out.chunks_exact_mut(head_dim)) {
                self.vector.run(Finish { state, out });
            }
        }
    }
}
