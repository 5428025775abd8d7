//! What a step did and what an engine has done, as plain data; telemetry is made from it elsewhere.

use std::time::Duration;

/// What a step did and what it left. Counts of ended sequences include what happened since the step before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepReport {
    /// When it began.
    pub started: Duration,
    /// When its tokens were chosen.
    pub ended: Duration,
    /// Rows of prompts (or of preempted sequences) computed.
    pub prefill_rows: usize,
    /// Rows of running sequences computed, a token each.
    pub decode_rows: usize,
    /// Tokens chosen.
    pub tokens: usize,
    /// Continuations that ended, be it with an error, except those cancelled.
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

/// Counters of an engine at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Sequences waiting for their first token.
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
    /// Batches that the executor failed to compute so far.
    pub failed_batches: u64,
}

impl EngineStats {
    /// Counts a step.
    pub(crate) fn add(&mut self, report: &StepReport) {
        self.steps += u64::from(report.rows() > 0);
        self.prompt_tokens += report.prefill_rows as u64;
        self.generated_tokens += report.tokens as u64;
    }
}
