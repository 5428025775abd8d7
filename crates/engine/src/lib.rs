//! Who runs when: requests, the scheduler, the paged KV cache, the sampler and the step that joins them.
//!
//! Architecture invariant: this crate knows nothing of text, HTTP, JSON, async, the wall clock (time is passed in), files
//! or metrics exporters.

mod driver;
mod executor;
mod request;

pub use driver::{Command, EngineConfig, EngineHandle, EngineStats, SubmitError, spawn};
pub use executor::{BackendExecutor, Executor, ExecutorError, ExecutorLimits};
pub use request::{
    Finish, FinishReason, Penalties, Prompt, Request, RequestId, SampledToken, SamplingParams, SinkState, StopRules, TokenEvent,
    TokenSink,
};
