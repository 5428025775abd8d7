//! Who runs when: requests, the scheduler, the paged KV cache, the sampler and the step that joins them.
//!
//! Architecture invariant: this crate knows nothing of text, HTTP, JSON, async, the wall clock (time is passed in), files
//! or metrics exporters.

mod channel;
mod driver;
mod executor;
mod kv;
mod report;
mod request;
mod sampler;
mod scheduler;
mod sequence;

use std::time::Duration;

use graph::Batch;

pub use channel::{ChannelSink, TokenReceiver, channel};
pub use driver::{Command, EngineConfig, EngineHandle, EngineStats, SubmitError, spawn};
pub use executor::{BackendExecutor, Executor, ExecutorError, ExecutorLimits};
pub use kv::{BlockAllocator, BlockId, KvCache};
pub use report::StepReport;
pub use request::{
    Finish, FinishReason, Penalties, Prompt, Request, RequestId, SampledToken, SamplingParams, SinkState, StopRules,
    TokenEvent, TokenSink,
};
pub use sampler::{Draw, SampleError, Sampler};
use scheduler::{Drawn, Scheduler};

/// Requests, the memory they share, and what computes them.
pub struct Engine<E> {
    executor: E,
    scheduler: Scheduler,
    sampler: Sampler,
    batch: Batch,
    drawn: Vec<Drawn>,
}

impl<E: Executor> Engine<E> {
    /// An idle engine. Settings beyond what the executor can take are cut to it.
    pub fn new(executor: E, config: EngineConfig) -> Engine<E> {
        let limits = executor.limits();
        let (scheduler, sampler) = (Scheduler::new(&config, limits), Sampler::new());
        Engine { executor, scheduler, sampler, batch: Batch::default(), drawn: Vec::new() }
    }

    /// One step at the time `now` (since any fixed moment): schedule, execute, sample, commit. Waits for nothing but the
    /// executor; with nothing to compute it only looks after receivers that are gone.
    pub fn step(&mut self, now: Duration) -> StepReport {
        let Engine { executor, scheduler, sampler, batch, drawn } = self;
        scheduler.schedule(now, batch);
        let logits = execute(executor, batch);
        let outcome = logits.map(|logits| scheduler.sample(sampler, logits, drawn));
        scheduler.commit(outcome, drawn)
    }

    /// Queues a request. What can never run (a prompt that leaves no room in the context or the cache) is answered with
    /// `Failed` at once.
    pub fn submit(&mut self, request: Request) {
        self.scheduler.submit(request);
    }

    /// Ends a request now, wherever it is.
    pub fn abort(&mut self, id: RequestId) {
        self.scheduler.abort(|request| request == id);
    }

    /// Ends all requests now.
    pub fn abort_all(&mut self) {
        self.scheduler.abort(|_| true);
    }

    /// Whether there is nothing to do until the next request.
    pub fn is_idle(&self) -> bool {
        self.scheduler.is_idle()
    }

    /// Requests that have not started yet.
    pub fn queued(&self) -> usize {
        self.scheduler.queued()
    }

    /// The counters now.
    pub fn stats(&self) -> EngineStats {
        self.scheduler.stats()
    }

    /// What computes the batches.
    pub fn executor(&self) -> &E {
        &self.executor
    }

    /// Checks that everything fits together: each block in use has as many owners as references, tables cover what was
    /// computed, limits are kept. For tests and debugging.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self) -> Result<(), String> {
        self.scheduler.check()
    }
}

/// The logits of the batch, `[outputs, vocabulary]`; an empty batch is not computed.
fn execute<'e, E: Executor>(executor: &'e mut E, batch: &Batch) -> Result<&'e [f32], ExecutorError> {
    if batch.tokens.is_empty() {
        return Ok(&[]);
    }
    let wanted = batch.outputs.len() * executor.limits().vocab;
    let logits = executor.forward(batch)?;
    logits.get(..wanted).ok_or_else(|| ExecutorError(format!("{} logits where {wanted} are due", logits.len())))
}
