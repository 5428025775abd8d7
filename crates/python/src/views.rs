//! What a policy in Python is shown: a sequence, and what goes on.

use std::sync::Arc;
use std::time::Duration;

use engine::Priority;
use pyo3::prelude::*;

/// A sequence at the moment when a policy is asked about it. Times are in seconds by the engine's clock.
#[pyclass(frozen, module = "whinchat._native")]
pub(crate) struct Sequence {
    /// Numbers grow in the order of arrival.
    #[pyo3(get)]
    id: u64,
    /// When it came.
    #[pyo3(get)]
    arrival: f64,
    /// When it should be complete.
    #[pyo3(get)]
    deadline: Option<f64>,
    /// `high`, `normal` or `low`.
    #[pyo3(get)]
    priority: &'static str,
    tenant: Option<Arc<str>>,
    /// Tokens of its prompt.
    #[pyo3(get)]
    prompt: usize,
    /// Tokens that it has at most, its prompt included; in a simulation whose clients know their answers, exactly.
    #[pyo3(get)]
    longest: usize,
    /// Tokens that it has.
    #[pyo3(get)]
    tokens: usize,
    /// Tokens that the KV cache holds of it.
    #[pyo3(get)]
    cached: usize,
    /// Tokens that the current batch computes.
    #[pyo3(get)]
    rows: usize,
    /// Whether it holds blocks; else it is in the queue.
    #[pyo3(get)]
    running: bool,
    /// Answers that it stands for.
    #[pyo3(get)]
    continuations: usize,
}

impl Sequence {
    pub(crate) fn of(sequence: &engine::Sequence) -> Sequence {
        let arrival = sequence.arrival();
        Sequence {
            id: sequence.id().0,
            arrival: arrival.time.as_secs_f64(),
            deadline: arrival.deadline.as_ref().map(Duration::as_secs_f64),
            priority: match arrival.priority {
                Priority::High => "high",
                Priority::Normal => "normal",
                Priority::Low => "low",
            },
            tenant: arrival.tenant.clone(),
            prompt: arrival.prompt,
            longest: arrival.longest,
            tokens: sequence.tokens(),
            cached: sequence.cached(),
            rows: sequence.rows(),
            running: sequence.is_running(),
            continuations: sequence.continuations(),
        }
    }
}

#[pymethods]
impl Sequence {
    /// On whose behalf it runs.
    #[getter]
    fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Tokens generated.
    #[getter]
    fn generated(&self) -> usize {
        self.tokens - self.prompt
    }

    /// Tokens to be computed before its next one can be chosen.
    #[getter]
    fn pending(&self) -> usize {
        self.tokens - self.cached
    }

    fn __repr__(&self) -> String {
        format!("Sequence(id={}, prompt={}, tokens={}, cached={})", self.id, self.prompt, self.tokens, self.cached)
    }
}

/// What goes on in an engine.
#[pyclass(frozen, get_all, module = "whinchat._native")]
pub(crate) struct Load {
    /// The time in seconds.
    now: f64,
    /// Rows that a step can have.
    rows: usize,
    /// Sequences that decode in this step.
    decoding: usize,
    /// Whether somebody else computes on the same threads.
    shared: bool,
    /// Sequences that hold blocks.
    running: usize,
    /// Sequences in the queue.
    waiting: usize,
    /// Free blocks of the KV cache.
    free_blocks: usize,
}

impl From<&engine::Load> for Load {
    fn from(load: &engine::Load) -> Load {
        Load {
            now: load.now.as_secs_f64(),
            rows: load.rows,
            decoding: load.decoding,
            shared: load.is_shared,
            running: load.running,
            waiting: load.waiting,
            free_blocks: load.free_blocks,
        }
    }
}
