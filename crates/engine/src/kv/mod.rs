//! The paged KV cache: blocks that free themselves, and the tables that name them. The memory itself is the executor's.

mod blocks;
mod checkpoints;
mod evict;
mod key;
mod local;
mod manager;
mod planned;
mod prefix;

pub use blocks::{BlockAllocator, BlockId};
pub use evict::{Eviction, Rule, Usage};
pub use key::{TierKey, prefix_salt};
pub use local::LocalBlocks;
pub use manager::{BlockManager, Managing, StateManager};

use crate::StateSlot;
use crate::tier::Evicted;

/// The blocks of a cache and how many positions each holds.
#[derive(Debug)]
pub struct KvCache {
    blocks: BlockAllocator,
    block_len: usize,
    /// Whether full blocks are shared by who has the same tokens.
    shares: bool,
    /// Of models with recurrent layers: states that are kept at most. A sequence can go on only where there is one.
    states: Option<usize>,
    /// What its manager was told.
    managing: Managing,
}

/// What others have computed of a sequence.
#[derive(Debug, Default)]
pub struct Found {
    /// The blocks to go on from.
    pub blocks: Vec<BlockId>,
    /// The slot with the state after them, of models with recurrent layers.
    pub state: Option<u32>,
    /// Blocks from the sequence's first that the cache has. Where these are more than can be used, their states are missing.
    pub known: usize,
}

impl KvCache {
    /// A cache of `blocks` blocks of `block_len` positions (at least one). With a rule of eviction, sequences find the full
    /// blocks of others that began with the same tokens, also after those have ended.
    pub fn new(blocks: usize, block_len: usize, prefixes: Option<Eviction>) -> KvCache {
        KvCache::keeping(blocks, block_len, prefixes, usize::MAX)
    }

    /// A cache in which sequences find the blocks of others, by any rule of eviction.
    pub fn with_rule(blocks: usize, block_len: usize, rule: Box<dyn Rule>) -> KvCache {
        let block_len = block_len.max(1);
        let managing = Managing { blocks, block_len, eviction: Eviction::default(), most_kept: usize::MAX };
        KvCache::managed(managing, true, Box::new(LocalBlocks::with_rule(managing, rule)))
    }

    /// As [`KvCache::new`], keeping so many positions at most that nobody uses.
    pub fn keeping(blocks: usize, block_len: usize, prefixes: Option<Eviction>, positions: usize) -> KvCache {
        let block_len = block_len.max(1);
        let (eviction, most_kept) = (prefixes.unwrap_or_default(), positions / block_len);
        let managing = Managing { blocks, block_len, eviction, most_kept };
        KvCache::managed(managing, prefixes.is_some(), Box::new(LocalBlocks::new(managing)))
    }

    /// A cache whose blocks somebody else manages, as `managing` says; `shares`: sequences find the full blocks of others.
    pub fn managed(managing: Managing, shares: bool, manager: Box<dyn BlockManager>) -> KvCache {
        let blocks = BlockAllocator::managed(managing.blocks, manager);
        KvCache { blocks, block_len: managing.block_len.max(1), shares, states: None, managing }
    }

    /// The same cache, empty, with another manager of its blocks. It keeps no states: of models with recurrent layers no prefix is
    /// found then.
    pub(crate) fn managed_by(self, make: impl FnOnce(Managing) -> Box<dyn BlockManager>) -> KvCache {
        let managing = self.managing;
        let states = self.states.map(|_| 0);
        KvCache { states, ..KvCache::managed(managing, self.shares, make(managing)) }
    }

    /// For a model with recurrent layers: a prefix is a state too, and so many of them are kept at most.
    #[must_use]
    pub fn recurrent(self, states: usize) -> KvCache {
        let states = if self.shares { states } else { 0 };
        self.blocks.states(|kept| kept.keep_states(states));
        KvCache { states: Some(states), ..self }
    }

    /// The blocks.
    pub fn blocks(&self) -> &BlockAllocator {
        &self.blocks
    }

    /// Positions in a block.
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// Positions that all blocks together hold.
    pub fn positions(&self) -> usize {
        self.blocks.total().saturating_mul(self.block_len)
    }

    /// Blocks that hold `positions` positions.
    pub fn blocks_for(&self, positions: usize) -> usize {
        positions.div_ceil(self.block_len)
    }

    /// Makes positions `filled..positions` of a sequence writable: extends its table, and replaces a partly filled block
    /// that is shared by a copy, named in `copies` (from, to). With too few free blocks nothing is changed and the answer
    /// is false.
    pub fn reserve(
        &self,
        table: &mut Vec<BlockId>,
        filled: usize,
        positions: usize,
        copies: &mut Vec<(u32, u32)>,
    ) -> bool {
        let partial = table.get_mut(filled / self.block_len).filter(|block| block.owners() > 1);
        let shared = partial.is_some();
        let missing = self.blocks_for(positions).saturating_sub(table.len());
        let wanted = missing + usize::from(shared);
        if wanted == 0 {
            return true;
        }
        if self.blocks.free() < wanted {
            return false;
        }
        let mut fresh = self.blocks.take(wanted);
        if fresh.len() < wanted {
            // The manager is elsewhere and has not answered.
            return false;
        }
        if shared {
            let copy = fresh.remove(0);
            let original = std::mem::replace(&mut table[filled / self.block_len], copy);
            copies.push((original.index(), table[filled / self.block_len].index()));
        }
        table.append(&mut fresh);
        true
    }

    /// The blocks that follow the full blocks `before` of a sequence of these tokens and that others have computed. At
    /// least one token is left to compute. Sequences with another salt are strangers.
    pub fn find(&self, before: &[BlockId], salt: Option<&str>, tokens: &[u32]) -> Vec<BlockId> {
        let known = tokens.split_last().map_or(&[][..], |(_, known)| known);
        let full = known.len() / self.block_len * self.block_len;
        match known[..full].get(before.len() * self.block_len..) {
            Some(rest) if self.shares && !rest.is_empty() => {
                self.blocks.find(before.last().map(BlockId::index), salt, rest)
            }
            _ => Vec::new(),
        }
    }

    /// As [`KvCache::find`], as far as a sequence can go on from it: to the last block after which a state is kept, of models
    /// with recurrent layers.
    pub fn resume(&self, before: &[BlockId], salt: Option<&str>, tokens: &[u32]) -> Found {
        let mut blocks = self.find(before, salt, tokens);
        let known = before.len() + blocks.len();
        if self.states.is_none() {
            return Found { blocks, state: None, known };
        }
        let states = blocks.iter().enumerate().rev();
        let last = states.map(|(at, block)| (at + 1, self.state_after(block))).find(|(_, state)| state.is_some());
        let (usable, state) = last.unwrap_or_default();
        blocks.truncate(usable);
        Found { blocks, state, known }
    }

    /// Blocks that can be filled for later sequences; none if these find nothing.
    pub(crate) fn room(&self) -> usize {
        if self.shares { self.blocks.room() } else { 0 }
    }

    /// Gives blocks names that hold elsewhere, and writes down what is evicted.
    pub(crate) fn keep_keys(&self) {
        self.blocks.states(|kept| kept.keep_keys());
    }

    /// What was evicted since this was last asked for, in order.
    pub(crate) fn take_evicted(&self) -> Vec<Evicted> {
        self.blocks.take_evicted()
    }

    /// Whether a sequence can go on only where a state is kept too.
    pub(crate) fn is_recurrent(&self) -> bool {
        self.states.is_some()
    }

    /// Whether states are kept.
    pub(crate) fn keeps_states(&self) -> bool {
        self.states.is_some_and(|most| most > 0)
    }

    /// States that are kept.
    pub fn states(&self) -> usize {
        self.blocks.states(|kept| kept.count())
    }

    /// Whether the state after `block` is kept.
    pub(crate) fn has_state(&self, block: &BlockId) -> bool {
        self.state_after(block).is_some()
    }

    /// The slot with the state after `block`, if it is kept.
    fn state_after(&self, block: &BlockId) -> Option<u32> {
        self.blocks.states(|kept| kept.after(block.index()))
    }

    /// Keeps the state after `block`, which others can find, until its slot or the block is needed. Says whether it does.
    pub fn keep_state(&self, block: &BlockId, slot: StateSlot) -> bool {
        self.blocks.keep_state(block, slot)
    }

    /// Takes back the state after the block of this index, unless somebody has gone on from it.
    pub(crate) fn unused_state(&self, block: u32) -> Option<StateSlot> {
        self.blocks.states(|kept| kept.unused(block))
    }

    /// Takes back the kept state that was used least recently.
    pub fn evict_state(&self) -> Option<StateSlot> {
        self.blocks.states(|kept| kept.evict())
    }

    /// Lets others find the blocks of a table, which hold the first `filled` tokens: the full ones after the first `shared`,
    /// which can be found already. A block that another one is the same as gives way to it. Returns how many can be found.
    pub fn share(
        &self,
        table: &mut [BlockId],
        (shared, filled): (usize, usize),
        salt: Option<&str>,
        tokens: &[u32],
    ) -> usize {
        let full = tokens.get(..filled).map_or(0, |tokens| tokens.len() / self.block_len).min(table.len());
        if full <= shared || !self.shares {
            return shared;
        }
        let (before, rest) = table.split_at_mut(shared);
        let (parent, tokens) = (before.last().map(BlockId::index), &tokens[shared * self.block_len..]);
        shared
            + self.blocks.share((parent, &mut rest[..full - shared]), salt, &tokens[..(full - shared) * self.block_len])
    }

    /// Takes note that a sequence goes on from blocks that it found; gives the positions they hold.
    pub fn used_again(&self, found: &[BlockId]) -> usize {
        self.blocks.used_again(found);
        found.len() * self.block_len
    }

    /// Whether so many positions are those of so many whole blocks.
    pub(crate) fn filled(&self, positions: usize, blocks: usize) -> bool {
        positions == blocks * self.block_len
    }

    /// A step begins: what is let go from now on was used later than what was let go before.
    pub fn tick(&self) {
        self.blocks.tick();
    }

    /// Checks that free list, owners and shared blocks fit together.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.blocks.check()
    }

    /// Forgets what nobody holds: it is not what it was.
    pub(crate) fn forget(&self) {
        self.blocks.forget();
    }

    /// Why the manager of the blocks could not answer in this step, if it could not.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.blocks.trouble()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reserves up to `positions` of `table` with `filled` computed; gives the table and the copies as text.
    fn check(cache: &KvCache, table: &mut Vec<BlockId>, (filled, positions): (usize, usize), expect: &str) {
        let mut copies = Vec::new();
        let done = cache.reserve(table, filled, positions, &mut copies);
        let ids: Vec<u32> = table.iter().map(BlockId::index).collect();
        assert_eq!(format!("{done} {ids:?} {copies:?}"), expect);
    }

    #[test]
    fn a_dropped_block_is_free_again_and_a_shared_one_is_copied_on_write() {
        let cache = KvCache::new(4, 4, None);
        let mut a = Vec::new();
        check(&cache, &mut a, (0, 6), "true [0, 1] []");
        let mut b = a.clone();
        check(&cache, &mut b, (6, 7), "true [0, 2] [(1, 2)]");
        check(&cache, &mut a, (6, 7), "true [0, 1] []");
        check(&cache, &mut a, (8, 17), "false [0, 1] []");
        assert_eq!((cache.blocks().used(), a[0].owners(), a[1].owners()), (3, 2, 1));
        drop(a);
        assert_eq!(cache.blocks().used(), 2);
        check(&cache, &mut b, (8, 9), "true [0, 2, 1] []");
        drop(b);
        assert_eq!((cache.blocks().free(), cache.blocks().total()), (4, 4));
    }

    #[test]
    fn a_block_boundary_needs_no_copy() {
        let cache = KvCache::new(4, 4, None);
        let mut a = Vec::new();
        check(&cache, &mut a, (0, 4), "true [0] []");
        let mut b = a.clone();
        check(&cache, &mut b, (4, 5), "true [0, 1] []");
        check(&cache, &mut a, (4, 5), "true [0, 2] []");
    }

    #[test]
    fn blocks_outlive_their_allocator_without_harm() {
        let allocator = BlockAllocator::new(1);
        let block = allocator.allocate();
        assert!(allocator.allocate().is_none());
        drop(allocator);
        drop(block);
    }

    #[test]
    fn what_was_freed_last_is_used_first() {
        let cache = KvCache::new(100, 4, None);
        for _ in 0..50 {
            let mut table = Vec::new();
            check(&cache, &mut table, (0, 9), "true [0, 1, 2] []");
            while table.pop().is_some() {}
        }
    }

    /// Computes a sequence of `tokens` in blocks of two: what it finds, and what it has then.
    fn compute(cache: &KvCache, salt: Option<&str>, tokens: &[u32], expect: &str) -> Vec<BlockId> {
        cache.tick();
        let mut table = cache.find(&[], salt, tokens);
        let found = table.len();
        cache.used_again(&table);
        assert!(cache.reserve(&mut table, found * 2, tokens.len(), &mut Vec::new()));
        let shared = cache.share(&mut table, (found, tokens.len()), salt, tokens);
        let ids: Vec<u32> = table.iter().map(BlockId::index).collect();
        assert_eq!(format!("{found} {shared} {ids:?}"), expect, "{tokens:?}");
        cache.check().unwrap();
        table
    }

    #[test]
    fn full_blocks_are_found_by_who_begins_with_the_same_tokens() {
        let cache = KvCache::new(8, 2, Some(Eviction::Lru));
        let first = compute(&cache, None, &[1, 2, 3, 4, 5], "0 2 [0, 1, 2]");
        // While the first one runs, and after it; the last token is always computed, and its block given up again.
        let second = compute(&cache, None, &[1, 2, 3, 4], "1 2 [0, 1]");
        drop((first, second));
        assert_eq!((cache.blocks().used(), cache.blocks().kept()), (0, 2));
        drop(compute(&cache, None, &[1, 2, 3, 4, 6], "2 2 [0, 1, 2]"));
        // Another salt, another beginning, the same tokens elsewhere.
        drop(compute(&cache, Some("me"), &[1, 2, 3], "0 1 [2, 3]"));
        drop(compute(&cache, Some("me"), &[1, 2, 3], "1 1 [2, 3]"));
        drop(compute(&cache, None, &[3, 4, 1, 2], "0 2 [3, 4]"));
        assert_eq!((cache.blocks().used(), cache.blocks().kept()), (0, 5));
    }

    #[test]
    fn blocks_that_nobody_holds_are_evicted_from_the_leaves_up() {
        let cache = KvCache::new(4, 2, Some(Eviction::Lru));
        let old = compute(&cache, None, &[1, 2, 3, 4], "0 2 [0, 1]");
        let new = compute(&cache, None, &[5, 6, 7, 8], "0 2 [2, 3]");
        assert_eq!(cache.blocks().free(), 0);
        drop(old);
        let newer = compute(&cache, None, &[9, 9], "0 1 [1]");
        assert_eq!((cache.blocks().free(), cache.blocks().kept()), (1, 1));
        drop(new);
        drop(compute(&cache, None, &[1, 2, 7, 8], "1 2 [0, 3]"));
        assert_eq!((cache.blocks().free(), newer.len()), (3, 1));
    }

    #[test]
    fn only_so_many_blocks_are_kept_and_what_was_used_is_used_again_before_what_was_not() {
        let cache = KvCache::keeping(100, 2, Some(Eviction::Lru), 8);
        drop(compute(&cache, None, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "0 6 [0, 1, 2, 3, 4, 5]"));
        assert_eq!(cache.blocks().kept(), 4);
        for first in 20..60 {
            let mut table = Vec::new();
            assert!(cache.reserve(&mut table, 0, 6, &mut Vec::new()));
            assert_eq!(cache.share(&mut table, (0, 6), None, &[first, 2, 3, 4, 5, 6]), 3);
            assert!(table.iter().all(|block| block.index() < 7), "{table:?}");
            drop(table);
            assert_eq!(cache.blocks().kept(), 4);
        }
    }

    #[test]
    fn blocks_cool_from_the_one_that_was_let_go_first() {
        let cache = KvCache::new(10, 2, None);
        let mut table = compute(&cache, None, &[1, 2, 3, 4, 5, 6, 7, 8], "0 0 [0, 1, 2, 3]");
        assert_eq!(cache.blocks().warm(), 0);
        while let Some(block) = table.pop() {
            drop(block);
        }
        assert_eq!((cache.blocks().warm(), cache.blocks().cool(3)), (4, vec![1, 2, 3]));
        assert_eq!((cache.blocks().warm(), cache.blocks().cool(0)), (1, vec![]));
        let table = compute(&cache, None, &[1, 2, 3], "0 0 [0, 1]");
        assert_eq!(cache.blocks().warm(), 0);
        drop(table);
        assert_eq!((cache.blocks().warm(), cache.blocks().cool(9)), (2, vec![0, 1]));
        cache.check().unwrap();
    }

    #[test]
    fn nothing_is_shared_without_a_rule_of_eviction() {
        let cache = KvCache::new(4, 2, None);
        let first = compute(&cache, None, &[1, 2, 3, 4, 5], "0 0 [0, 1, 2]");
        assert!(cache.find(&[], None, &[1, 2, 3, 4, 5]).is_empty());
        drop(first);
        assert_eq!(cache.blocks().kept(), 0);
    }
}
