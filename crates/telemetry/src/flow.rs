//! One request from stage to stage: what a waterfall shows.

use serde::Serialize;

use crate::Labels;

/// A request that has ended, with its stages.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Flow {
    /// Its name: that of its answer's `x-request-id`, else the engine's.
    pub id: String,
    /// Whose engine.
    #[serde(flatten)]
    pub labels: Labels,
    /// On whose behalf.
    pub tenant: Option<String>,
    /// Why it ended: `stop`, `length`, `abort`, `timeout` or `error`.
    pub reason: &'static str,
    /// When it came, in milliseconds since 1970.
    pub came_ms: u64,
    /// From coming to its end, in microseconds.
    pub total_us: u64,
    /// Tokens of its prompt.
    pub prompt: usize,
    /// Of these, found in the KV cache.
    pub cached: usize,
    /// Tokens generated.
    pub generated: usize,
    /// Its stages, in the order of their beginning.
    pub spans: Vec<Span>,
    /// Its place in a trace; known once its answer has gone out.
    #[serde(skip)]
    pub trace: Option<Trace>,
}

/// A request's place in a distributed trace, and what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub trace: u128,
    /// The request's span.
    pub span: u64,
    /// The client's span, if it has one.
    pub parent: Option<u64>,
    /// Whether it is to be kept.
    pub sampled: bool,
    /// What was asked for: `chat`, `text_completion` or `embeddings`.
    pub operation: &'static str,
}

impl Flow {
    /// From its coming to its first token, in microseconds.
    pub fn first_token_us(&self) -> Option<u64> {
        let first = self.spans.iter().position(|span| span.stage == Stage::Decode).unwrap_or(self.spans.len());
        let before = self.spans[..first].iter().rev().find(|span| span.stage == Stage::Prefill);
        before.filter(|_| self.generated > 0).map(|span| span.end_us)
    }
}

/// A stage of a request, in microseconds from its coming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    /// What happened.
    pub stage: Stage,
    /// When it began.
    pub start_us: u64,
    /// When it ended.
    pub end_us: u64,
    /// Tokens: computed of a prompt, or generated.
    pub tokens: usize,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It waits in the queue.
    #[default]
    Queued,
    /// A chunk of its prompt is computed.
    Prefill,
    /// Its answer is generated.
    Decode,
    /// It lost its blocks to others and waits to be computed again.
    Preempted,
    /// Its client takes what is left of the answer.
    Sent,
}

impl Stage {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Queued => "queued",
            Stage::Prefill => "prefill",
            Stage::Decode => "decode",
            Stage::Preempted => "preempted",
            Stage::Sent => "sent",
        }
    }
}
