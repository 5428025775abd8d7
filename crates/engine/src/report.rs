//! What a step did, as plain data; telemetry is made from it elsewhere.

use std::time::Duration;

/// What a step did and what it left. Counts of ended and preempted sequences include what happened since the step before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepReport {
    /// The time the step was given.
    pub now: Duration,
    /// Rows of prompts (or of preempted sequences) computed.
    pub prefill_rows: usize,
    /// Rows of running sequences computed, a token each.
    pub decode_rows: usize,
    /// Tokens chosen.
    pub tokens: usize,
    /// Continuations that ended with a `Finished`.
    pub finished: usize,
    /// Continuations dropped because their receiver was gone.
    pub cancelled: usize,
    /// Sequences that lost their blocks to others and will be computed again.
    pub preempted: usize,
    /// Sequences that wait for a receiver to make room.
    pub stalled: usize,
    /// Sequences that hold blocks.
    pub running: usize,
    /// Sequences in the queue.
    pub waiting: usize,
    /// Blocks of the KV cache in use.
    pub blocks_used: usize,
}

impl StepReport {
    /// Rows computed.
    pub fn rows(&self) -> usize {
        self.prefill_rows + self.decode_rows
    }
}
