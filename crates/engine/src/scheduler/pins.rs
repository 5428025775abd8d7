//! Prefixes that are held on request, so that they are not evicted.

use std::collections::{BTreeMap, HashSet};

use super::Scheduler;
use crate::{BlockId, MemoryError, TierKey};

/// What is held, by the names of the prefixes.
pub(super) type Pins = BTreeMap<TierKey, Vec<BlockId>>;

impl Scheduler {
    /// Holds the blocks of a prefix; gives how many. Half of the cache may be held at most, or nothing could run.
    ///
    /// # Errors
    /// If the cache has no such prefix, or too much would be held.
    pub(crate) fn pin(&mut self, key: &TierKey) -> Result<usize, MemoryError> {
        let table = self.cache.blocks().table_of(key).ok_or(MemoryError::NoPrefix)?;
        let held: HashSet<u32> = self.held.pins.values().flatten().chain(&table).map(BlockId::index).collect();
        let (wanted, blocks) = (held.len(), self.cache.blocks().total());
        if wanted > blocks / 2 {
            return Err(MemoryError::TooManyPins { wanted, blocks });
        }
        let done = table.len();
        self.held.pins.insert(*key, table);
        Ok(done)
    }

    /// Lets a prefix go; gives its blocks, `None` if it was not held.
    pub(crate) fn unpin(&mut self, key: &TierKey) -> Option<usize> {
        self.held.pins.remove(key).map(|table| table.len())
    }

    /// What is held.
    pub(crate) fn pins(&self) -> &BTreeMap<TierKey, Vec<BlockId>> {
        &self.held.pins
    }

    /// Blocks that are held.
    pub(crate) fn pinned_blocks(&self) -> usize {
        self.held.pins.values().flatten().map(BlockId::index).collect::<HashSet<u32>>().len()
    }
}
