//! What a step did and what an engine has done, as plain data; telemetry is made from it elsewhere.

use std::time::Duration;

/// What a step did and what it left. Counts of ended sequences include what happened since the step before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepReport {
    /// When it began.
    pub started: Duration,
    /// When its tokens were chosen.
    pub ended: Duration,
    /// What was computed.
    pub work: Work,
    /// Tokens of prompts (or of preempted sequences) found in the cache and not computed.
    pub found: usize,
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
        self.work.prefill_rows + self.work.decode_rows
    }
}

/// What a step computes: what its time depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Rows of prompts (or of preempted sequences).
    pub prefill_rows: usize,
    /// Rows of running sequences: a token each, and those drafted after it.
    pub decode_rows: usize,
    /// Of these, rows of drafted tokens.
    pub draft_rows: usize,
    /// Positions that attention reads, over all rows.
    pub context: usize,
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
    /// KV blocks that nobody uses and that are kept for prompts that begin with the same tokens. They count as free.
    pub kv_blocks_kept: usize,
    /// KV blocks in all.
    pub kv_blocks: usize,
    /// Slots of recurrent states; none of models without recurrent layers.
    pub states: StateCounts,
    /// Steps so far.
    pub steps: u64,
    /// Prompt tokens computed so far.
    pub prompt_tokens: u64,
    /// Prompt tokens found in the cache so far.
    pub found_tokens: u64,
    /// Tokens generated so far.
    pub generated_tokens: u64,
    /// What went to the second tier and came back so far.
    pub tier: TierCounts,
    /// Batches that the executor failed to compute so far.
    pub failed_batches: u64,
}

/// Slots of recurrent states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateCounts {
    /// Those that sequences use.
    pub used: usize,
    /// Those with states that are kept for prompts that begin with the same tokens.
    pub kept: usize,
    /// All.
    pub total: usize,
}

/// Blocks and states that have left the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierCounts {
    /// Those that went to the second tier.
    pub spilled: u64,
    /// Those that came back from it.
    pub restored: u64,
}

impl EngineStats {
    /// Counts a step.
    pub(crate) fn add(&mut self, report: &StepReport) {
        self.steps += u64::from(report.rows() > 0);
        self.prompt_tokens += report.work.prefill_rows as u64;
        self.found_tokens += report.found as u64;
        self.generated_tokens += report.tokens as u64;
    }
}
