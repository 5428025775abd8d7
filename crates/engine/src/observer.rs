//! Who hears what happened: every step, and one record of each request that has ended.

use std::sync::Arc;
use std::time::Duration;

use crate::{FinishReason, Phase, Prediction, Priority, Repetition, RequestId, StepReport};

/// Hears what an engine does, on the engine's thread: it must not block. One that panics is dropped, and the engine goes
/// on unobserved.
pub trait Observer: Send {
    /// After every step.
    fn step(&mut self, report: &StepReport);

    /// When the last continuation of a request has ended.
    fn ended(&mut self, record: &RequestRecord);
}

/// Observes nothing.
impl Observer for () {
    fn step(&mut self, _: &StepReport) {}

    fn ended(&mut self, _: &RequestRecord) {}
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Its name.
    pub id: RequestId,
    /// On whose behalf it ran.
    pub tenant: Option<Arc<str>>,
    /// How urgent it was.
    pub priority: Priority,
    /// When it should have been complete.
    pub deadline: Option<Duration>,
    /// When what happened.
    pub times: RequestTimes,
    /// What was expected when it came, if enough was known of how long steps take.
    pub predicted: Option<Prediction>,
    /// Tokens read and written.
    pub tokens: TokenCounts,
    /// How much the continuation repeated itself that did so most.
    pub repetition: Repetition,
    /// How often one of its sequences lost its blocks to others and was computed again.
    pub preemptions: usize,
    /// What it went through from its start on, in the order in which it began.
    pub phases: Vec<Phase>,
    /// Why each of its continuations ended, in the order in which they did.
    pub reasons: Vec<FinishReason>,
}

impl RequestRecord {
    /// How many continuations it had.
    pub fn continuations(&self) -> usize {
        self.reasons.len()
    }

    /// Why it ended, in one word: the worst of its continuations' reasons.
    pub fn reason(&self) -> &FinishReason {
        self.reasons.iter().max_by_key(|reason| gravity(reason)).unwrap_or(&FinishReason::Complete)
    }
}

fn gravity(reason: &FinishReason) -> u8 {
    match reason {
        FinishReason::Stop(_) => 0,
        FinishReason::Complete => 1,
        FinishReason::Length => 2,
        FinishReason::Cancelled => 3,
        FinishReason::Deadline | FinishReason::TooLate(_) => 4,
        FinishReason::Aborted => 5,
        FinishReason::Failed(_) | FinishReason::Unavailable(_) => 6,
    }
}

/// When what happened to a request, by the engine's clock. What never happened is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestTimes {
    /// It was submitted.
    pub arrived: Duration,
    /// The step began that took it out of the queue.
    pub started: Option<Duration>,
    /// The step that gave its first token ended.
    pub first_token: Option<Duration>,
    /// The step that gave its last token ended.
    pub last_token: Option<Duration>,
}

/// Tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Of these, how many were found in the cache and not computed.
    pub cached: usize,
    /// Tokens generated, of all continuations together, stop tokens included.
    pub generated: usize,
    /// Tokens that were drafted.
    pub drafts: Drafts,
    /// Of these, those by a draft model.
    pub model_drafts: Drafts,
    /// And those by a head of the model itself (multi-token prediction).
    pub head_drafts: Drafts,
}

/// Tokens that were drafted and computed before they were chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drafts {
    /// All of them.
    pub computed: usize,
    /// Those that were then chosen.
    pub accepted: usize,
}
