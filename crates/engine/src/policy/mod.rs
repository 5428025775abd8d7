//! The order of service: which sequence runs, which gives way, how large a prompt's share of a step is, who is let in.

mod by_name;
mod first_come;

use std::time::Duration;

pub use by_name::{Ageing, EarliestDeadline, FairShare, PolicyName, ShortestPrefill};
pub use first_come::FirstCome;

use crate::{Instruments, Sequence};

/// Rows of prompts in a step in which others decode: this share of the rows, but so many at least. Chunks of a few dozen
/// rows run at nearly the speed of large ones, and a stream pauses for a quarter of the time.
const BESIDE_DECODING: (usize, usize) = (4, 32);

/// Decides between sequences. The scheduler does the rest: it keeps both lists in the policy's order, never exceeds the
/// limits, and takes blocks from sequences whose receivers have stopped reading before it asks who gives way. Only the order
/// must be decided; the rest has defaults.
pub trait Policy: Send {
    /// A step begins at the time `now`, with all these in the queue and running. Each of them is ranked next: a policy that decides
    /// elsewhere asks here once for all.
    fn begin(&mut self, _now: Duration, _all: &mut dyn Iterator<Item = &Sequence>) {}

    /// Why it could not decide since the step began, if it could not: then everything that is queued or runs ends with this.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Where a sequence stands in the queue and among the running: the lowest comes first. Among equals the order of
    /// arrival decides.
    fn rank(&self, sequence: &Sequence, now: Duration) -> u64;

    /// Whether the running sequence `holder` gives up its blocks to `needy`, which is running too or first in the queue,
    /// and comes before it in rank. If several do, the last in rank is preempted; if none does, a running `needy` is
    /// preempted itself and a queued one waits. By default blocks go to anyone earlier that is running; the queue waits.
    fn victim(&self, _holder: &Sequence, needy: &Sequence, _now: Duration) -> bool {
        needy.is_running()
    }

    /// Rows of prompts in a step, with so much going on. The scheduler cuts them to what the step has left. By default all
    /// if nobody decodes and the threads are this engine's alone, else a quarter.
    fn chunk(&self, load: &Load) -> usize {
        let (share, least) = BESIDE_DECODING;
        if load.decoding == 0 && !load.is_shared { load.rows } else { (load.rows / share).max(least) }
    }

    /// Whether the first in the queue, whose tokens need `blocks` blocks that are free, may start. By default if a block is
    /// left for each running sequence to grow into, lest the newcomer be sent away again at once.
    fn admit(&self, _sequence: &Sequence, blocks: usize, load: &Load) -> bool {
        blocks + load.running <= load.free_blocks
    }

    /// Makes counters and histograms of its own; called once, when the engine starts.
    fn register(&mut self, _instruments: &Instruments) {}

    /// Hears what a step has computed: [`Sequence::rows`] of each of these.
    fn computed(&mut self, _batch: &mut dyn Iterator<Item = &Sequence>) {}
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
    /// Whether somebody else computes on the same threads.
    pub is_shared: bool,
    /// Sequences that hold blocks.
    pub running: usize,
    /// Sequences in the queue.
    pub waiting: usize,
    /// Free blocks of the KV cache.
    pub free_blocks: usize,
}
