//! First come, first served: nobody is overtaken, and the youngest gives way.

use std::time::Duration;

use super::{Load, Policy};
use crate::Sequence;

/// Rows of prompts in a step in which others decode: this share of the rows, but so many at least. Chunks of a few dozen
/// rows run at nearly the speed of large ones, and a stream pauses for a quarter of the time.
const BESIDE_DECODING: (usize, usize) = (4, 32);

/// Serves sequences in the order of arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstCome;

impl Policy for FirstCome {
    fn rank(&self, sequence: &Sequence, _: Duration) -> u64 {
        sequence.id().0
    }

    /// To anyone older that is running; the queue waits.
    fn victim(&self, _: &Sequence, needy: &Sequence, _: Duration) -> bool {
        needy.is_running()
    }

    fn chunk(&self, load: &Load) -> usize {
        let (share, least) = BESIDE_DECODING;
        if load.decoding == 0 { load.rows } else { (load.rows / share).max(least) }
    }

    /// If a block is left for each running sequence to grow into, lest the newcomer be sent away again at once.
    fn admit(&self, _: &Sequence, blocks: usize, load: &Load) -> bool {
        blocks + load.running <= load.free_blocks
    }
}
