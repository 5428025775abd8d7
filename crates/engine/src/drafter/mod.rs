//! A draft model: a smaller model with the same vocabulary says what may follow sequences, token by token, of all that it drafts for in one
//! batch. Or a head of the model itself (multi-token prediction), which reads the model's hidden states beside tokens.
//!
//! It has a KV cache of its own. Of a sequence it has read what it was asked to read; how far that goes is kept with the sequence
//! ([`Reading`]), and freed with it. Nothing that it says is part of an answer: it decides how long answers take.

mod acceptance;
mod hidden;
mod plan;
mod text;

use std::time::Duration;

pub(crate) use acceptance::Acceptance;
use graph::{Batch, MemoryPart};
use hidden::HiddenOf;
pub(crate) use text::{Reading, Text, in_a_row};

use crate::faults::execute;
use crate::memory::DraftMemory;
use crate::panics::catch;
use crate::{Executor, ExecutorError, ExecutorLimits, KvCache, LatencyModel, Work};

/// Tokens that are read with the first draft. A sequence of which more are unread has fallen behind, and reads them as a prompt.
const FEW: usize = 8;

/// What an older comparison counts beside the next newer one, of all sequences.
const KEPT: f64 = 0.98;

/// A model that drafts for another one with the same vocabulary.
pub struct DraftModel {
    /// Computes it; its output is logits. It has no recurrent layers, whose states could not be taken back.
    pub executor: Box<dyn Executor>,
    /// The longest sequence that it can read, in tokens.
    pub context: usize,
    /// If it is a head of the other model: how it reads its hidden states.
    pub hidden: Option<HiddenInputs>,
    /// The token of the other model that each of its logits is for, if they are not the same.
    pub tokens: Option<Box<[u32]>>,
}

/// How a head reads hidden states, in a batch's inputs: beside each token a row for the one before it. That is the model's row
/// ([`Executor::hidden`]), or, for tokens that it drafts, the row that it has made itself. A row of inputs begins with the model's numbers
/// and ends with its own; what is not there is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HiddenInputs {
    /// Numbers of a row of the model's.
    pub model: usize,
    /// Numbers of a row of its own.
    pub own: usize,
    /// Numbers of a row of inputs: at least as many as either.
    pub input: usize,
}

impl HiddenInputs {
    /// Appends the inputs of these rows.
    fn extend(self, inputs: &mut Vec<f32>, rows: HiddenOf<'_>) {
        let HiddenInputs { model, own, input } = self;
        let (rows, width, first) = match rows {
            HiddenOf::Model(rows) => (rows, model, 0),
            HiddenOf::Head(rows) => (rows, own, input - own),
        };
        for row in rows.chunks_exact(width) {
            let start = inputs.len();
            inputs.resize(start + input, 0.0);
            inputs[start + first..][..width].copy_from_slice(row);
        }
    }
}

/// A draft model at work.
pub(crate) struct Drafter {
    executor: Box<dyn Executor>,
    limits: ExecutorLimits,
    context: usize,
    hidden: Option<HiddenInputs>,
    /// Of its logits, so many are of tokens that may be drafted.
    vocab: usize,
    /// See [`DraftModel::tokens`].
    tokens: Option<Box<[u32]>>,
    cache: KvCache,
    /// How long its own batches take.
    latency: LatencyModel,
    batch: Batch,
    /// What it drafted of late for whatever sequence: what is expected of a new one.
    yields: Acceptance,
    /// Blocks were short the last time.
    is_short: bool,
}

impl Drafter {
    /// With an empty cache, for a model that chooses from so many tokens.
    pub(crate) fn new(DraftModel { executor, context, hidden, tokens }: DraftModel, vocab: usize) -> Drafter {
        let limits = executor.limits();
        let vocab = if tokens.is_some() { limits.vocab } else { vocab.min(limits.vocab) };
        Drafter {
            executor,
            context,
            hidden,
            vocab,
            tokens,
            cache: KvCache::new(limits.kv_blocks, limits.block_len, None),
            limits,
            latency: LatencyModel::default(),
            batch: Batch::default(),
            yields: Acceptance::default(),
            is_short: false,
        }
    }

    /// The longest sequence that it can read.
    pub(crate) fn context(&self) -> usize {
        self.context.min(self.cache.positions())
    }

    /// The width of the model's hidden states that it reads, if it is a head.
    pub(crate) fn hidden(&self) -> Option<usize> {
        self.hidden.map(|hidden| hidden.model)
    }

    /// Whether it can read a sequence to its end, so that it can draft for it.
    pub(crate) fn can_read(&self, reading: &mut Reading, tokens: usize) -> bool {
        // Drafts of a step that was not computed were not compared.
        if self.hidden.is_none() {
            reading.tokens = reading.tokens.min(tokens - 1);
            return true;
        }
        if reading.tokens >= tokens {
            reading.let_go();
        }
        reading.catch_up();
        reading.tokens < tokens && reading.readable() >= tokens
    }

    /// Reads of sequences what there are rows for, but for the last token: a head keeps up with its model, so that few rows wait for it.
    ///
    /// # Errors
    /// If a batch could not be computed.
    pub(crate) fn keep_up(
        &mut self,
        waiting: &mut [(&[u32], &mut Reading)],
        clock: &dyn Fn() -> Duration,
    ) -> Result<(), ExecutorError> {
        waiting.iter_mut().for_each(|(_, reading)| reading.catch_up());
        loop {
            let work = self.fill_with_prompts(waiting);
            if self.batch.tokens.is_empty() {
                return Ok(());
            }
            let started = clock();
            execute(&mut self.executor, &self.batch)?;
            self.latency.learn(work, clock().saturating_sub(started));
        }
    }

    /// Fills the batch with what can be read; says what that is.
    fn fill_with_prompts(&mut self, waiting: &mut [(&[u32], &mut Reading)]) -> Work {
        self.batch.clear();
        let mut work = Work::default();
        for (tokens, reading) in waiting {
            let (next, position, room) =
                (reading.tokens, reading.positions(), self.limits.max_tokens - self.batch.tokens.len());
            // The last token is read when one is drafted.
            let rows = reading.readable().min(tokens.len() - 1).saturating_sub(next).min(room);
            if rows == 0 {
                continue;
            }
            if !self.reserve(reading, position + rows) {
                reading.skip();
                continue;
            }
            self.batch.push(&tokens[next..next + rows], position, reading.table());
            if let Some(inputs) = self.hidden {
                inputs.extend(&mut self.batch.inputs, HiddenOf::Model(reading.hidden(rows)));
            }
            reading.tokens += rows;
            work.prefill_rows += rows;
            work = work.reading(rows, position);
        }
        work
    }

    /// How much of what it looks for is expected to be right.
    pub(crate) fn yields(&self) -> Acceptance {
        Acceptance::expected(self.yields.share())
    }

    /// Takes note of what became of a draft: how many tokens were right, and how many were looked for.
    pub(crate) fn learn(&mut self, compared: (usize, usize)) {
        self.yields.learn(compared, KEPT);
    }

    /// Drafts for the texts for which that is expected to pay beside what the step computes anyway.
    ///
    /// # Errors
    /// If a batch could not be computed. What was drafted before may be used.
    pub(crate) fn draft(
        &mut self,
        texts: &mut [Text<'_>],
        step: (Work, &LatencyModel),
        clock: &dyn Fn() -> Duration,
    ) -> Result<(), ExecutorError> {
        self.choose(texts, step);
        if std::mem::take(&mut self.is_short) {
            texts.iter_mut().filter(|text| !text.is_open()).for_each(|text| text.reading.let_go());
        }
        // Those that have fallen far behind get the rows that others leave.
        texts.sort_by_key(Text::unread);
        loop {
            let work = self.fill(texts);
            if self.batch.tokens.is_empty() {
                return Ok(());
            }
            let started = clock();
            let logits = execute(&mut self.executor, &self.batch)?;
            let due = texts.iter_mut().filter(|text| text.is_due());
            due.zip(logits.rows()).for_each(|(text, row)| text.take(row, self.vocab, self.tokens.as_deref()));
            if let Some(HiddenInputs { own, .. }) = self.hidden {
                let hidden = self.executor.hidden();
                texts.iter_mut().for_each(|text| text.follow(hidden, own));
            }
            self.latency.learn(work, clock().saturating_sub(started));
        }
    }

    /// Nobody is drafted for now: gives memory back to the system.
    pub(crate) fn give_back(&mut self) {
        let blocks = self.cache.blocks().cool(self.cache.blocks().warm());
        // An executor that panics here computes nothing wrong.
        if !blocks.is_empty() {
            let _ = catch(|| self.executor.forget(&blocks));
        }
    }

    /// What its cache holds.
    pub(crate) fn memory(&mut self) -> DraftMemory {
        let mut bytes = Vec::new();
        let block_bytes = self.executor.save(MemoryPart::Block(0), &mut bytes).then_some(bytes.len());
        let blocks = self.cache.blocks();
        DraftMemory { blocks: blocks.total(), block_len: self.cache.block_len(), block_bytes, used: blocks.used() }
    }

    /// Fills the batch with what the open texts read next; says what that is.
    fn fill(&mut self, texts: &mut [Text<'_>]) -> Work {
        self.batch.clear();
        let mut work = Work::default();
        for text in texts.iter_mut().filter(|text| text.is_open()) {
            let (position, room) = (text.reading.positions(), self.limits.max_tokens - self.batch.tokens.len());
            let rows = text.next(room).len();
            let fits = rows > 0 && self.batch.outputs.len() < self.limits.max_outputs;
            if !fits || !self.reserve(text.reading, position + rows) {
                text.close();
                continue;
            }
            let all = self.batch.push(text.next(rows), position, text.reading.table());
            if let Some(inputs) = self.hidden {
                inputs.extend(&mut self.batch.inputs, text.hidden(rows));
            }
            if text.has_read(rows, all.end) {
                self.batch.outputs.push(all.end as u32 - 1);
                // The most likely token is enough, if every token may be drafted.
                self.batch.top.extend((self.executor.top() > 0 && self.vocab == self.limits.vocab).then_some(1));
            }
            *if rows > FEW { &mut work.prefill_rows } else { &mut work.decode_rows } += rows;
            work = work.reading(rows, position);
        }
        work
    }

    /// Makes room for so many positions; a text for which there is none is read from the beginning another time.
    fn reserve(&mut self, reading: &mut Reading, positions: usize) -> bool {
        let held = reading.positions();
        // Without those of drafts that were wrong.
        reading.blocks.truncate(self.cache.blocks_for(held));
        let is_there = self.cache.reserve(&mut reading.blocks, held, positions, &mut self.batch.copies);
        if !is_there {
            reading.let_go();
            self.is_short = true;
        }
        is_there
    }

    /// Checks that the blocks in use are those of the readings, which are given by their numbers.
    pub(crate) fn check(&self, held: usize) -> Result<(), String> {
        let used = self.cache.blocks().used();
        crate::scheduler::ensure(used == held, || format!("{used} blocks of the draft model used, {held} held"))
    }
}
