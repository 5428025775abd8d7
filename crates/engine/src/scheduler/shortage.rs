//! Blocks that are taken away for a time, so that others can see what comes of a shortage.

use std::time::Duration;

use super::Scheduler;
use crate::{BlockId, KvCache};

/// What is taken away, and until when.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    taken: Vec<BlockId>,
    wanted: usize,
    until: Duration,
}

impl Shortage {
    /// Blocks that are taken away now.
    pub(super) fn blocks(&self) -> usize {
        self.taken.len()
    }

    /// Takes what is free of what is wanted, or gives back what is not wanted any more. Blocks that sequences hold are taken as
    /// they are let go: before others get them.
    pub(super) fn update(&mut self, now: Duration, cache: &KvCache) {
        if self.until <= now {
            self.wanted = 0;
        }
        self.taken.truncate(self.wanted);
        let missing = self.wanted - self.taken.len();
        self.taken.extend((0..missing).map_while(|_| cache.blocks().allocate()));
    }
}

impl Scheduler {
    /// From the next step on takes blocks away until the time `until`, in place of those that were taken before.
    pub fn withhold(&mut self, blocks: usize, until: Duration) {
        (self.held.shortage.wanted, self.held.shortage.until) = (blocks, until);
    }
}
