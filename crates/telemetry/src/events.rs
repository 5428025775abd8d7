//! What an observer of an engine says of it.

use std::time::Duration;

use crate::{KvGauges, Span};

/// A step of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Rows of prompts.
    pub prefill_rows: usize,
    /// Rows that decoded.
    pub decode_rows: usize,
    /// Positions that attention read, over all rows.
    pub context: usize,
    /// Tokens of prompts that were found in the KV cache.
    pub found: usize,
    /// Tokens chosen.
    pub tokens: usize,
    /// Sequences that lost their blocks.
    pub preempted: usize,
    /// How long it took.
    pub took: Duration,
    /// Since the step before ended, of an engine that was busy between.
    pub since_last: Option<Duration>,
    /// What it left.
    pub left: Left,
}

/// What an engine says of itself between steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Sequences that run.
    pub running: usize,
    /// Sequences that wait.
    pub waiting: usize,
    /// Sequences that may run at once.
    pub slots: usize,
    /// Longest sequence, prompt and answer.
    pub context: usize,
    /// Batches that could not be computed so far.
    pub failed_batches: u64,
    /// The KV cache.
    pub kv: KvGauges,
}

/// Sequences after a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Those that hold blocks.
    pub running: usize,
    /// Those in the queue.
    pub waiting: usize,
    /// Those that wait until their client reads.
    pub stalled: usize,
}

/// A request that has ended. Times are since it was submitted; `None` for what never happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// In the queue.
    pub queued: Option<Duration>,
    /// To its first token.
    pub first_token: Option<Duration>,
    /// To its last token.
    pub last_token: Option<Duration>,
    /// Tokens of its prompt.
    pub prompt: usize,
    /// Tokens generated.
    pub generated: usize,
    /// Tokens that were drafted and computed, and of these accepted.
    pub drafts: (usize, usize),
    /// Of these, those by a draft model.
    pub model_drafts: (usize, usize),
    /// And those by a head of the model itself.
    pub head_drafts: (usize, usize),
    /// Answers to it.
    pub answers: usize,
    /// Why it ended: `stop`, `length`, `abort`, `timeout` or `error`.
    pub reason: &'static str,
    /// How much of its answer was there before, 0 to 1: the share of its runs of four tokens. Of several answers the worst; `None`
    /// of one that is too short.
    pub repetition: Option<f64>,
    /// When its first token was expected.
    pub foretold: Option<Foretold>,
}

/// When a first token was expected, and between which bounds nine in ten times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foretold {
    /// Not before.
    pub least: Duration,
    /// Most likely.
    pub likely: Duration,
    /// Not after.
    pub most: Duration,
}

impl Request {
    /// The mean time between two tokens of an answer, and how many such times there were.
    pub fn between(&self) -> Option<(Duration, usize)> {
        let each = self.generated / self.answers.max(1);
        match (self.first_token, self.last_token, each) {
            (Some(first), Some(last), 2..) => Some((last.saturating_sub(first).div_f64((each - 1) as f64), each - 1)),
            _ => None,
        }
    }
}

/// A request that has ended, with all that is known of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    /// Its times and tokens.
    pub request: Request,
    /// Its number, which no other request of the process has.
    pub id: u64,
    /// On whose behalf it ran.
    pub tenant: Option<&'a str>,
    /// Tokens of its prompt that were found in the KV cache.
    pub cached: usize,
    /// How often one of its sequences lost its blocks.
    pub preemptions: usize,
    /// From its coming to its end.
    pub total: Duration,
    /// Its stages.
    pub spans: &'a [Span],
}
