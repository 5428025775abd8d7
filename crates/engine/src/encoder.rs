//! Texts to vectors: many texts share a batch, and the rows of each become one vector.

use std::collections::VecDeque;
use std::ops::Range;

use graph::Batch;

use crate::faults::execute;
use crate::{Executor, ExecutorError, ExecutorLimits};

/// How the rows of a text become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The mean of all rows.
    Mean,
    /// The first row: of models whose first token stands for the whole text.
    First,
    /// The last row: where a model only looks back, the one that has seen the whole text.
    #[default]
    Last,
    /// None: all rows, one after the other.
    Rows,
}

/// A text that is to become a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncoderText {
    /// By which its vector is known.
    pub id: u64,
    /// Its tokens, at least one.
    pub tokens: Vec<u32>,
    /// Where its tokens of the second type begin, if the model has types and the text has two parts.
    pub second: Option<usize>,
    /// How its rows are pooled.
    pub pooling: Pooling,
}

/// What became of a text: its vector, as wide as a row of the executor's output.
pub type Encoded = (u64, Result<Vec<f32>, ExecutorError>);

/// Computes vectors with an executor whose output is hidden states. Texts are begun in the order in which they came; long ones are
/// computed in pieces, if the model only looks back. A vector does not depend on what else is computed.
pub struct Encoder<E> {
    executor: E,
    /// Whether all tokens of a text have to be in one batch.
    whole: bool,
    queue: VecDeque<EncoderText>,
    running: Vec<Running>,
    /// Blocks of the KV cache, and slots for recurrent states, that no text has.
    blocks: Vec<u32>,
    slots: Vec<u32>,
    batch: Batch,
    /// Of each output row of the batch: the text, as its place in `running`.
    owners: Vec<usize>,
}

/// A text that has begun.
struct Running {
    text: EncoderText,
    blocks: Vec<u32>,
    slot: Option<u32>,
    /// Tokens that are computed or in the batch.
    done: usize,
    /// The row, or the sum of the rows.
    pooled: Vec<f32>,
    in_batch: bool,
}

impl<E: Executor> Encoder<E> {
    /// Nothing to do yet; long texts are computed in pieces.
    pub fn new(executor: E) -> Encoder<E> {
        Encoder::of(executor, false)
    }

    /// As [`Encoder::new`], of a model whose tokens see those after them: each text is computed in one batch.
    pub fn whole(executor: E) -> Encoder<E> {
        Encoder::of(executor, true)
    }

    fn of(executor: E, whole: bool) -> Encoder<E> {
        let ExecutorLimits { kv_blocks, state_slots, .. } = executor.limits();
        Encoder {
            executor,
            whole,
            queue: VecDeque::new(),
            running: Vec::new(),
            blocks: (0..kv_blocks as u32).rev().collect(),
            slots: (0..state_slots as u32).rev().collect(),
            batch: Batch::default(),
            owners: Vec::new(),
        }
    }

    /// The longest text that it can compute, in tokens.
    pub fn longest(&self) -> usize {
        let ExecutorLimits { kv_blocks, block_len, max_tokens, .. } = self.executor.limits();
        if self.whole { max_tokens.min(kv_blocks * block_len) } else { kv_blocks * block_len }
    }

    /// The same for texts that are pooled so: of some, every row is an output.
    fn longest_of(&self, pooling: Pooling) -> usize {
        let all_rows = matches!(pooling, Pooling::Mean | Pooling::Rows);
        let outputs = self.executor.limits().max_outputs;
        if self.whole && all_rows { self.longest().min(outputs) } else { self.longest() }
    }

    /// Adds a text. What is empty or too long ends with an error at the next step.
    pub fn push(&mut self, text: EncoderText) {
        self.queue.push_back(text);
    }

    /// Whether every text has ended.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.running.is_empty()
    }

    /// Forgets the texts for which `unwanted` holds.
    pub fn forget(&mut self, unwanted: impl Fn(u64) -> bool) {
        self.queue.retain(|text| !unwanted(text.id));
        while let Some(at) = self.running.iter().position(|running| unwanted(running.text.id)) {
            self.end(at);
        }
    }

    /// Computes a batch; gives what has ended with it.
    pub fn step(&mut self) -> Vec<Encoded> {
        let mut ended = self.admit();
        self.fill();
        if self.batch.tokens.is_empty() {
            return ended;
        }
        match execute(&mut self.executor, &self.batch) {
            Ok(outputs) => {
                for (row, &owner) in outputs.numbers().chunks(outputs.width()).zip(&self.owners) {
                    self.running[owner].take(row);
                }
                ended.extend(self.finished());
            }
            Err(error) => ended.extend(self.failed(&error)),
        }
        ended
    }

    /// Begins texts while there is memory for the next one.
    fn admit(&mut self) -> Vec<Encoded> {
        let ExecutorLimits { block_len, state_slots, .. } = self.executor.limits();
        let mut refused = Vec::new();
        while let Some(next) = self.queue.front() {
            let (length, needed) = (next.tokens.len(), next.tokens.len().div_ceil(block_len));
            let longest = self.longest_of(next.pooling);
            let fits = needed <= self.blocks.len() && (state_slots == 0 || !self.slots.is_empty());
            if (1..=longest).contains(&length) && !fits {
                break;
            }
            let Some(text) = self.queue.pop_front() else { break };
            if !(1..=longest).contains(&length) {
                let why = format!("a text of {length} tokens, where 1 to {longest} can be computed");
                refused.push((text.id, Err(ExecutorError::Batch(why))));
                continue;
            }
            let blocks = self.blocks.split_off(self.blocks.len() - needed);
            let slot = self.slots.pop();
            self.running.push(Running { text, blocks, slot, done: 0, pooled: Vec::new(), in_batch: false });
        }
        refused
    }

    /// The next rows of the texts that have begun, in the order in which they came.
    fn fill(&mut self) {
        let ExecutorLimits { max_tokens, max_outputs, block_len, .. } = self.executor.limits();
        self.batch.clear();
        self.owners.clear();
        for (at, running) in self.running.iter_mut().enumerate() {
            let outputs = max_outputs - self.batch.outputs.len();
            let room = match running.text.pooling {
                Pooling::Mean | Pooling::Rows => (max_tokens - self.batch.tokens.len()).min(outputs),
                Pooling::First | Pooling::Last if outputs == 0 => 0,
                Pooling::First | Pooling::Last => max_tokens - self.batch.tokens.len(),
            };
            let (done, length) = (running.done, running.text.tokens.len());
            let next = done..if self.whole && room < length { done } else { length.min(done + room) };
            running.in_batch = !next.is_empty();
            if next.is_empty() {
                continue;
            }
            let table = running.blocks[..next.end.div_ceil(block_len)].iter().copied();
            let rows = self.batch.push_with_state(&running.text.tokens[next.clone()], next.start, table, running.slot);
            if let Some(second) = running.text.second {
                self.batch.types.resize(rows.start + second.clamp(next.start, next.end) - next.start, 0);
                self.batch.types.resize(rows.end, 1);
            }
            for position in running.wanted(next.clone()) {
                self.batch.outputs.push((rows.start + position - next.start) as u32);
                self.owners.push(at);
            }
            running.done = next.end;
        }
        if !self.batch.types.is_empty() {
            self.batch.types.resize(self.batch.tokens.len(), 0);
        }
    }

    /// Ends the texts that are complete.
    fn finished(&mut self) -> Vec<Encoded> {
        let complete = |running: &Running| running.done == running.text.tokens.len();
        self.end_all(complete, Running::vector)
    }

    /// Ends the texts of a batch that was not computed.
    fn failed(&mut self, error: &ExecutorError) -> Vec<Encoded> {
        self.end_all(|running| running.in_batch, |_| Err(error.clone()))
    }

    fn end_all(
        &mut self,
        which: impl Fn(&Running) -> bool,
        how: impl Fn(Running) -> Result<Vec<f32>, ExecutorError>,
    ) -> Vec<Encoded> {
        let mut ended = Vec::new();
        while let Some(at) = self.running.iter().position(&which) {
            let running = self.end(at);
            ended.push((running.text.id, how(running)));
        }
        ended
    }

    /// Takes a text out; its memory is free.
    fn end(&mut self, at: usize) -> Running {
        let running = self.running.remove(at);
        self.blocks.extend(&running.blocks);
        self.slots.extend(running.slot);
        running
    }
}

impl Running {
    /// Those of these positions whose rows its vector is made of.
    fn wanted(&self, positions: Range<usize>) -> impl Iterator<Item = usize> + use<> {
        let (pooling, last) = (self.text.pooling, self.text.tokens.len() - 1);
        positions.filter(move |&position| match pooling {
            Pooling::Mean | Pooling::Rows => true,
            Pooling::First => position == 0,
            Pooling::Last => position == last,
        })
    }

    /// Takes the next row.
    fn take(&mut self, row: &[f32]) {
        if self.pooled.is_empty() || self.text.pooling == Pooling::Rows {
            self.pooled.extend_from_slice(row);
        } else {
            self.pooled.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
    }

    fn vector(self) -> Result<Vec<f32>, ExecutorError> {
        let rows = if self.text.pooling == Pooling::Mean { self.text.tokens.len() as f32 } else { 1.0 };
        let vector: Vec<f32> = self.pooled.into_iter().map(|sum| sum / rows).collect();
        let finite = vector.iter().all(|x| x.is_finite());
        if finite { Ok(vector) } else { Err(ExecutorError::Batch("the model gave numbers that are not finite".into())) }
    }
}
