//! One plain thread per engine, driven by a bounded channel of commands.

use std::thread::JoinHandle;
use std::time::Duration;

use crate::{Executor, Request, RequestId};

/// Everything that can wake an engine.
pub enum Command {
    /// Take a request into the queue.
    Submit(Box<Request>),
    /// End a request now.
    Abort(RequestId),
    /// A receiver that was full has room again.
    Wake,
    /// Take no more requests; end when the last one has.
    Drain,
    /// Abort everything and end.
    Stop,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubmitError {
    /// The queue is full.
    #[error("the queue is full")]
    Full,
    /// The engine takes no more requests.
    #[error("the engine is draining")]
    Draining,
}

/// Counters of an engine at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Requests waiting for their first token.
    pub waiting: usize,
    /// Sequences running.
    pub running: usize,
    /// KV blocks in use.
    pub kv_blocks_used: usize,
    /// KV blocks in all.
    pub kv_blocks: usize,
    /// Steps so far.
    pub steps: u64,
    /// Prompt tokens computed so far.
    pub prompt_tokens: u64,
    /// Tokens generated so far.
    pub generated_tokens: u64,
}

/// The settings of an engine that the executor does not fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Rows computed in a step at most: long prompts are cut to it and go on in later steps.
    pub max_batch_tokens: usize,
    /// Sequences running at once at most.
    pub max_sequences: usize,
    /// Requests queued at most before `Full`.
    pub max_queue: usize,
    /// Longest sequence (prompt and answer).
    pub context: usize,
    /// Seeds requests that bring none.
    pub seed: u64,
}

/// Speaks to an engine from any thread; never blocks.
#[derive(Clone)]
pub struct EngineHandle {}

impl EngineHandle {
    /// Queues a request.
    ///
    /// # Errors
    /// If the queue is full or the engine is draining; the request's sinks are dropped.
    pub fn submit(&self, request: Request) -> Result<(), SubmitError> {
        let _ = request;
        todo!()
    }

    /// Ends a request (dropping its receivers does the same within a step).
    pub fn abort(&self, id: RequestId) {
        let _ = id;
        todo!()
    }

    /// Says that a receiver that was full has room again.
    pub fn wake(&self) {
        todo!()
    }

    /// Takes no more requests; the engine's thread ends when the last one has.
    pub fn drain(&self) {
        todo!()
    }

    /// Aborts everything; the engine's thread ends.
    pub fn stop(&self) {
        todo!()
    }

    /// The counters now.
    pub fn stats(&self) -> EngineStats {
        todo!()
    }
}

/// Starts an engine's thread. `clock` gives the time since some fixed moment.
///
/// # Errors
/// If the thread cannot be started.
pub fn spawn(
    executor: impl Executor + 'static,
    config: EngineConfig,
    clock: impl Fn() -> Duration + Send + 'static,
) -> std::io::Result<(EngineHandle, JoinHandle<()>)> {
    let _ = (executor, config, clock);
    todo!()
}
