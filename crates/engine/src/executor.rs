//! Where batches are computed.

use std::sync::Arc;

use graph::{Backend, BackendError, Batch, Limits, MemoryPart};

use crate::{Instruments, Tier};

/// What an executor can take; the scheduler stays within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorLimits {
    /// Rows in a batch.
    pub max_tokens: usize,
    /// Output rows in a batch; no more sequences than this decode at once.
    pub max_outputs: usize,
    /// Blocks of the KV cache.
    pub kv_blocks: usize,
    /// Positions in a block.
    pub block_len: usize,
    /// Slots for recurrent states; 0 if the model has no recurrent layers.
    pub state_slots: usize,
    /// Width of a row of the output: of logits, the size of the vocabulary.
    pub vocab: usize,
}

/// A batch was not computed; its sequences end with this error.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ExecutorError {
    /// This batch failed; the next may not. An engine that sees nothing but failures gives up after
    /// [`FAILURES_IN_A_ROW`](crate::FAILURES_IN_A_ROW).
    #[error("{0}")]
    Batch(String),
    /// Nothing can be computed any more: the engine ends.
    #[error("{0}")]
    Broken(String),
    /// What computes is elsewhere and was lost, and with it all that it had kept of sequences: those of the batch end, others are
    /// computed again. It may be there again for the next batch, so this is never a reason to give up.
    #[error("{0}")]
    Lost(String),
}

/// Computes batches. A panic counts as a failed batch.
pub trait Executor: Send {
    /// What it can take.
    fn limits(&self) -> ExecutorLimits;

    /// The program's output for the batch, such as logits: `[outputs, vocab]`, or of some rows the greatest numbers ([`Batch::top`]). Valid
    /// until the next call.
    ///
    /// # Errors
    /// If the batch could not be computed.
    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError>;

    /// Of the last batch, the hidden states of every row that its head made the output of: `[rows, width]`; empty if it does not give them
    /// ([`Pipeline`](crate::Pipeline) does).
    fn hidden(&self) -> &[f32] {
        &[]
    }

    /// Forgets what these blocks of the KV cache hold (in ascending order; each is one): nobody needs them for now, and their
    /// memory may go back to the system until they are written again.
    fn forget(&mut self, _blocks: &[u32]) {}

    /// Forgets the recurrent states in these slots, likewise.
    fn forget_states(&mut self, _slots: &[u32]) {}

    /// What else its threads can do between two batches; asked for once, when the engine starts.
    fn spread(&self) -> Arc<dyn Spread> {
        Arc::new(Alone)
    }

    /// Whether somebody else computes on its threads too, now or a moment ago. Prompts are then cut as if they were beside
    /// sequences that decode.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether rows of a batch may have adapters.
    fn adapts(&self) -> bool {
        false
    }

    /// How many of the greatest numbers of an output row it can give in place of all ([`Batch::top`]); 0: it gives all.
    fn top(&self) -> usize {
        0
    }

    /// Names the model and the form in which blocks and states are saved: only equal ones can load each other's.
    fn fingerprint(&self) -> [u8; 32] {
        [0; 32]
    }

    /// Where what the KV cache evicts goes, if anywhere; asked for once, when the engine starts.
    fn tier(&mut self) -> Option<Box<dyn Tier>> {
        None
    }

    /// Makes counters and histograms of its own; called once, when the engine starts.
    fn register(&mut self, _instruments: &Instruments) {}

    /// Adds what a block or a slot holds to `bytes`; says whether it can.
    fn save(&mut self, _part: MemoryPart, _bytes: &mut Vec<u8>) -> bool {
        false
    }

    /// Lets a block or a slot hold what was saved of another one; says whether it can. Bytes that were not are refused.
    fn load(&mut self, _part: MemoryPart, _bytes: &[u8]) -> bool {
        false
    }
}

impl<E: Executor + ?Sized> Executor for Box<E> {
    fn limits(&self) -> ExecutorLimits {
        (**self).limits()
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        (**self).forward(batch)
    }

    fn hidden(&self) -> &[f32] {
        (**self).hidden()
    }

    fn forget(&mut self, blocks: &[u32]) {
        (**self).forget(blocks);
    }

    fn forget_states(&mut self, slots: &[u32]) {
        (**self).forget_states(slots);
    }

    fn spread(&self) -> Arc<dyn Spread> {
        (**self).spread()
    }

    fn is_shared(&self) -> bool {
        (**self).is_shared()
    }

    fn adapts(&self) -> bool {
        (**self).adapts()
    }

    fn top(&self) -> usize {
        (**self).top()
    }

    fn register(&mut self, instruments: &Instruments) {
        (**self).register(instruments);
    }

    fn fingerprint(&self) -> [u8; 32] {
        (**self).fingerprint()
    }

    fn tier(&mut self) -> Option<Box<dyn Tier>> {
        (**self).tier()
    }

    fn save(&mut self, part: MemoryPart, bytes: &mut Vec<u8>) -> bool {
        (**self).save(part, bytes)
    }

    fn load(&mut self, part: MemoryPart, bytes: &[u8]) -> bool {
        (**self).load(part, bytes)
    }
}

/// Threads that share work.
pub trait Spread: Send + Sync {
    /// Calls `work` for each of so many tasks, in any order and on any threads, and waits for all; says whether it did: else it
    /// has called it for none.
    fn each(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) -> bool;
}

/// Nobody helps.
pub(crate) struct Alone;

impl Spread for Alone {
    fn each(&self, _: usize, _: &(dyn Fn(usize) + Sync)) -> bool {
        false
    }
}

/// The threads of a backend, for an executor that computes elsewhere.
pub fn spread_of<B: Backend + Send + Sync + 'static>(backend: B) -> Arc<dyn Spread> {
    Arc::new(Threads(backend))
}

/// The threads of a backend.
struct Threads<B>(B);

impl<B: Backend + Send + Sync> Spread for Threads<B> {
    fn each(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) -> bool {
        self.0.spread(tasks, work)
    }
}

/// A compiled program on a backend, in this process.
pub struct BackendExecutor<B: Backend> {
    backend: B,
    program: B::Program,
    limits: ExecutorLimits,
    tier: Option<Box<dyn Tier>>,
    fingerprint: [u8; 32],
}

impl<B: Backend> BackendExecutor<B> {
    /// Joins a backend and a program that it compiled for `limits`; `vocab` is the width of its output.
    pub fn new(backend: B, program: B::Program, limits: Limits, vocab: usize) -> BackendExecutor<B> {
        let Limits { max_tokens, max_outputs, kv_blocks, block_len, state_slots, .. } = limits;
        let limits = ExecutorLimits { max_tokens, max_outputs, kv_blocks, block_len, state_slots, vocab };
        BackendExecutor { backend, program, limits, tier: None, fingerprint: [0; 32] }
    }

    /// With a place for what the KV cache evicts.
    #[must_use]
    pub fn with_tier(self, tier: Option<Box<dyn Tier>>) -> BackendExecutor<B> {
        BackendExecutor { tier, ..self }
    }

    /// With a name for the model and the form of its memories.
    #[must_use]
    pub fn with_fingerprint(self, fingerprint: [u8; 32]) -> BackendExecutor<B> {
        BackendExecutor { fingerprint, ..self }
    }
}

impl<B: Backend + Clone + Send + Sync + 'static> Executor for BackendExecutor<B>
where
    B::Program: Send,
{
    fn limits(&self) -> ExecutorLimits {
        self.limits
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        self.backend.run(&mut self.program, batch).map_err(|error| match error {
            BackendError::Lost(why) => ExecutorError::Broken(why),
            other => ExecutorError::Batch(other.to_string()),
        })?;
        Ok(self.backend.download(&self.program))
    }

    fn forget(&mut self, blocks: &[u32]) {
        self.backend.forget(&mut self.program, blocks);
    }

    fn forget_states(&mut self, slots: &[u32]) {
        self.backend.forget_states(&mut self.program, slots);
    }

    fn spread(&self) -> Arc<dyn Spread> {
        Arc::new(Threads(self.backend.clone()))
    }

    fn is_shared(&self) -> bool {
        self.backend.is_shared()
    }

    fn adapts(&self) -> bool {
        self.backend.device().adapts
    }

    fn top(&self) -> usize {
        self.backend.device().top
    }

    fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    fn tier(&mut self) -> Option<Box<dyn Tier>> {
        self.tier.take()
    }

    fn save(&mut self, part: MemoryPart, bytes: &mut Vec<u8>) -> bool {
        self.backend.save(&self.program, part, bytes)
    }

    fn load(&mut self, part: MemoryPart, bytes: &[u8]) -> bool {
        self.backend.load(&mut self.program, part, bytes)
    }
}
