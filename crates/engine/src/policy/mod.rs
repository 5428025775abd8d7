//! The order of service: which sequence runs, which gives way, how large a prompt's share of a step is, who is let in.

mod first_come;

use std::time::Duration;

pub use first_come::FirstCome;

use crate::Sequence;

/// Decides between sequences. The scheduler does the rest: it keeps both lists in the policy's order, never exceeds the
/// limits, and takes blocks from sequences whose receivers have stopped reading before it asks who gives way.
pub trait Policy: Send {
    /// Where a sequence stands in the queue and among the running: the lowest comes first. Among equals the order of
    /// arrival decides.
    fn rank(&self, sequence: &Sequence, now: Duration) -> u64;

    /// Whether the running sequence `holder` gives up its blocks to `needy`, which is running too or first in the queue,
    /// and comes before it in rank. If several do, the last in rank is preempted; if none does, a running `needy` is
    /// preempted itself and a queued one waits.
    fn victim(&self, holder: &Sequence, needy: &Sequence, now: Duration) -> bool;

    /// Rows of prompts in a step, with so much going on. The scheduler cuts them to what the step has left.
    fn chunk(&self, load: &Load) -> usize;

    /// Whether the first in the queue, whose tokens need `blocks` blocks that are free, may start.
    fn admit(&self, sequence: &Sequence, blocks: usize, load: &Load) -> bool;
}

/// What goes on in an engine at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// The time.
    pub now: Duration,
    /// Rows that a step can have.
    pub rows: usize,
    /// Sequences that decode in this step.
    pub decoding: usize,
    /// Sequences that hold blocks.
    pub running: usize,
    /// Sequences in the queue.
    pub waiting: usize,
    /// Free blocks of the KV cache.
    pub free_blocks: usize,
}
