//! What the memory plan does with blocks, where they are managed in this process: evicting, holding and listing prefixes.

use std::collections::HashMap;

use super::evict::Eviction;
use super::key::TierKey;
use super::local::LocalBlocks;
use super::{BlockAllocator, BlockId};
use crate::PrefixMemory;

impl BlockAllocator {
    /// Evicts so many blocks that nobody holds, or as many as there are; gives how many.
    pub(crate) fn evict_kept(&self, most: usize) -> usize {
        self.local(|blocks| (0..most).take_while(|_| blocks.evict_one()).count())
    }

    /// Evicts what nobody holds of a prefix, from its end on; gives how many blocks, `None` if there is no such prefix.
    pub(crate) fn evict_prefix(&self, key: &TierKey) -> Option<usize> {
        self.local(|blocks| blocks.evict_prefix(key))
    }

    /// The blocks of a prefix, held.
    pub(crate) fn table_of(&self, key: &TierKey) -> Option<Vec<BlockId>> {
        let table =
            self.holding(|manager| manager.local().and_then(|blocks| blocks.hold_prefix(key)).unwrap_or_default());
        (!table.is_empty()).then_some(table)
    }

    /// Evicts by another rule from now on; gives how many blocks it may evict.
    pub(crate) fn evict_by(&self, eviction: Eviction) -> usize {
        self.local(|blocks| {
            let LocalBlocks { prefixes, held, .. } = blocks;
            prefixes.evict_by(eviction.rule(held.len()), held)
        })
    }

    /// Keeps so many blocks at most that nobody holds; gives how many had to go.
    pub(crate) fn keep_at_most(&self, most: usize) -> usize {
        self.local(|blocks| {
            blocks.most_kept = most;
            let before = blocks.free.len();
            blocks.keep_at_most(most);
            blocks.free.len() - before
        })
    }

    /// Evicts the last blocks of these prefixes next, in this order; gives how many of them are there.
    pub(crate) fn advise(&self, order: &[TierKey]) -> usize {
        self.local(|blocks| {
            let prefixes = &mut blocks.prefixes;
            let known: HashMap<TierKey, u32> =
                (0..).zip(prefixes.keys()).filter_map(|(at, key)| Some((key?, at))).collect();
            let found = order.iter().filter_map(|key| known.get(key));
            prefixes.advice.next = found.filter_map(|&block| Some((block, prefixes.content(block)?))).collect();
            prefixes.advice.next.len()
        })
    }

    /// Blocks that were evicted by advice, and by the rule.
    pub(crate) fn evicted(&self) -> (u64, u64) {
        self.local(|blocks| blocks.prefixes.advice.evicted)
    }

    /// By which rule blocks are evicted; empty if that is decided elsewhere.
    pub(crate) fn rule(&self) -> &'static str {
        self.local(|blocks| blocks.prefixes.rule())
    }

    /// How many blocks are kept that nobody holds.
    pub(crate) fn most_kept(&self) -> usize {
        self.most_managed().min(self.total())
    }

    /// The prefixes that can be found.
    pub(crate) fn prefixes(&self, pinned: &dyn Fn(&TierKey) -> bool) -> Vec<PrefixMemory> {
        self.local(|blocks| blocks.prefixes.list(&blocks.held, pinned))
    }
}

impl LocalBlocks {
    /// Evicts a block that nobody holds, if there is one; says whether it did.
    fn evict_one(&mut self) -> bool {
        let evicted = self.prefixes.evict(&self.held);
        evicted.map(|block| self.set_free(block)).is_some()
    }

    fn evict_prefix(&mut self, key: &TierKey) -> Option<usize> {
        let chain = self.prefixes.chain(key)?;
        let LocalBlocks { prefixes, held, .. } = &mut *self;
        let gone: Vec<u32> = chain.into_iter().rev().take_while(|block| prefixes.evict_leaf(*block, held)).collect();
        gone.iter().for_each(|block| self.set_free(*block));
        Some(gone.len())
    }

    fn hold_prefix(&mut self, key: &TierKey) -> Option<Vec<u32>> {
        let chain = self.prefixes.chain(key)?;
        chain.iter().for_each(|block| self.hold(*block));
        Some(chain)
    }
}
