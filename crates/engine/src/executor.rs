//! Where batches are computed.

use graph::{Backend, BackendError, Batch, Limits};

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
}

/// Computes batches. A panic counts as a failed batch.
pub trait Executor: Send {
    /// What it can take.
    fn limits(&self) -> ExecutorLimits;

    /// The program's output for the batch, such as logits: `[outputs, vocab]`, valid until the next call.
    ///
    /// # Errors
    /// If the batch could not be computed.
    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError>;

    /// Forgets what these blocks of the KV cache hold (in ascending order; each is one): nobody needs them for now, and their
    /// memory may go back to the system until they are written again.
    fn forget(&mut self, _blocks: &[u32]) {}
}

impl<E: Executor + ?Sized> Executor for Box<E> {
    fn limits(&self) -> ExecutorLimits {
        (**self).limits()
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        (**self).forward(batch)
    }

    fn forget(&mut self, blocks: &[u32]) {
        (**self).forget(blocks);
    }
}

/// A compiled program on a backend, in this process.
pub struct BackendExecutor<B: Backend> {
    backend: B,
    program: B::Program,
    limits: ExecutorLimits,
}

impl<B: Backend> BackendExecutor<B> {
    /// Joins a backend and a program that it compiled for `limits`; `vocab` is the width of its output.
    pub fn new(backend: B, program: B::Program, limits: Limits, vocab: usize) -> BackendExecutor<B> {
        let Limits { max_tokens, max_outputs, kv_blocks, block_len, state_slots, .. } = limits;
        let limits = ExecutorLimits { max_tokens, max_outputs, kv_blocks, block_len, state_slots, vocab };
        BackendExecutor { backend, program, limits }
    }
}

impl<B: Backend + Send> Executor for BackendExecutor<B>
where
    B::Program: Send,
{
    fn limits(&self) -> ExecutorLimits {
        self.limits
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        self.backend.run(&mut self.program, batch).map_err(|e: BackendError| ExecutorError::Batch(e.to_string()))?;
        Ok(self.backend.download(&self.program))
    }

    fn forget(&mut self, blocks: &[u32]) {
        self.backend.forget(&mut self.program, blocks);
    }
}
