//! How the attention of a step is cut into tasks: rows of a span, and where they see more than a thread's fair share,
//! part by part of what they see.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use graph::{Attention, BackendError, Limits, Span};

use super::{Heads, group, state_len};
use crate::cpu::memory::{Buffer, Shared};
use crate::cpu::ops::Memories;
use crate::cpu::simd::Line;

/// Rows in one task at most; they share what is read of the cache.
pub(super) const ROWS: usize = 8;
/// Positions of a part, if that is whole blocks.
const PART: usize = 256;
/// Pieces wanted for each thread, so that one that comes late costs little.
const PIECES: usize = 4;

/// Blocks of a part.
pub(super) fn part_blocks(block_len: usize) -> usize {
    (PART / block_len).max(1)
}

/// Positions of a part.
pub(super) fn part_len(block_len: usize) -> usize {
    part_blocks(block_len) * block_len
}

/// Some rows of one span, with all parts that they see or with one of them.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// The first row, in the batch.
    pub(super) row: usize,
    pub(super) len: usize,
    /// Position of the first row.
    position: usize,
    /// Where the span's block table begins.
    pub(super) table: usize,
    /// The parts that they see.
    pub(super) parts: Range<usize>,
    pub(super) share: Option<Share>,
}

/// One of several tasks that share the same rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// The part that this task does.
    pub(super) part: usize,
    /// The first part that any of them does.
    first: usize,
    /// Number of the shared rows, and of the states before theirs.
    id: usize,
    states: usize,
}

impl Task {
    fn new(op: &Attention, part_len: usize, span: &Span, first: usize) -> Task {
        let (row, position) = (span.rows.start + first, span.position + first);
        let len = ROWS.min(span.rows.len() - first);
        let mut task = Task { row, len, position, table: span.table.start, parts: 0..0, share: None };
        task.parts = task.sees(op, 0).start / part_len..task.sees(op, len - 1).end.div_ceil(part_len);
        task
    }

    /// The positions that a row of the task sees.
    pub(super) fn sees(&self, op: &Attention, row: usize) -> Range<usize> {
        let end = self.position + row + 1;
        end.saturating_sub(op.window.unwrap_or(end))..end
    }

    /// The part that it does first.
    pub(super) fn first(&self) -> usize {
        self.share.map_or(self.parts.start, |share| share.part)
    }

    /// Rows times parts.
    fn work(&self) -> usize {
        self.len * self.parts.len()
    }
}

/// The tasks of one attention, and where those that share rows leave what they have for the last of them.
#[derive(Debug)]
pub(crate) struct Tasks {
    list: Vec<Task>,
    states: Buffer<Line>,
    /// Tasks not yet done, for the heads of each number of shared rows.
    left: Vec<AtomicUsize>,
    /// The most parts of rows that `states` hold.
    most: usize,
}

impl Tasks {
    /// Room to share as many parts as the cache holds, rounded up for each of several sequences.
    pub(crate) fn new<'a>(
        attentions: impl Iterator<Item = &'a Attention>,
        memories: &Memories,
        limits: &Limits,
    ) -> Result<Tasks, BackendError> {
        let layers = memories.layers();
        let most = if layers.is_empty() { 0 } else { 2 * limits.kv_blocks.div_ceil(part_blocks(limits.block_len)) };
        let lines = attentions.map(|op| op.heads * state_len(memories.kv(op.layer))).max().unwrap_or(0);
        let heads = layers.iter().map(|layer| layer.shape.heads).max().unwrap_or(0);
        Ok(Tasks {
            list: Vec::with_capacity(limits.max_tokens + most),
            states: Buffer::zeroed(lines.saturating_mul(most), "scratch")?,
            left: (0..most / 2 * heads).map(|_| AtomicUsize::new(0)).collect(),
            most,
        })
    }

    /// Cuts `heads` for a number of threads.
    pub(super) fn cut(&mut self, heads: &Heads, threads: usize) -> (&[Task], Shares<'_>) {
        let (op, kv_heads, part_len) = (heads.op, heads.layer.shape.heads, part_len(heads.layer.block_len));
        let spans = heads.batch.spans.iter();
        let tasks = spans
            .flat_map(|span| (0..span.rows.len()).step_by(ROWS).map(move |first| Task::new(op, part_len, span, first)));
        let fair = tasks.clone().map(|task| task.work()).sum::<usize>() * kv_heads / (PIECES * threads);
        let (mut id, mut states) = (0, 0);
        self.list.clear();
        for task in tasks {
            let work = task.work();
            if task.parts.len() == 1 || work <= fair || states + work > self.most {
                self.list.push(task);
                continue;
            }
            let shared = task.parts.clone().map(|part| {
                let share = Some(Share { part, first: task.parts.start, id, states });
                Task { share, ..task.clone() }
            });
            self.list.extend(shared);
            self.left[id * kv_heads..][..kv_heads].iter().for_each(|left| left.store(task.parts.len(), Relaxed));
            (id, states) = (id + 1, states + work);
        }
        let row = group(op, heads.layer) * state_len(heads.layer);
        (&self.list, Shares { states: Shared::new(&mut self.states), left: &self.left, kv_heads, row })
    }
}

/// What tasks that share rows leave for each other.
pub(super) struct Shares<'a> {
    pub(super) states: Shared<'a, Line>,
    left: &'a [AtomicUsize],
    kv_heads: usize,
    /// Lines of the states of one row and KV head.
    row: usize,
}

impl Shares<'_> {
    /// Where the states of one part and KV head begin, `len` lines.
    pub(super) fn place(&self, share: Share, part: usize, head: usize, len: usize) -> usize {
        share.states * self.kv_heads * self.row + ((part - share.first) * self.kv_heads + head) * len
    }

    /// How many of the tasks that share rows are not done for a KV head.
    pub(super) fn left(&self, share: Share, head: usize) -> &AtomicUsize {
        &self.left[share.id * self.kv_heads + head]
    }
}
