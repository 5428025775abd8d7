//! Blocks that free themselves: who holds which.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Eviction;
use super::local::LocalBlocks;
use super::manager::{BlockManager, Managing, StateManager};
use crate::StateSlot;
use crate::tier::Evicted;

/// A block of the KV cache. Cloning it shares the block; dropping the last clone frees it.
#[derive(Debug)]
pub struct BlockId {
    index: u32,
    home: Arc<Pool>,
}

impl BlockId {
    /// Its index in the cache.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// How many hold it.
    pub fn owners(&self) -> usize {
        self.home.lock().owners[self.index as usize] as usize
    }
}

impl Clone for BlockId {
    fn clone(&self) -> BlockId {
        self.home.lock().acquire(self.index);
        BlockId { index: self.index, home: Arc::clone(&self.home) }
    }
}

impl Drop for BlockId {
    fn drop(&mut self) {
        self.home.lock().release(self.index);
    }
}

/// Hands out the blocks of a cache as its manager says, and counts who holds them. Blocks find their way home from any thread.
#[derive(Debug)]
pub struct BlockAllocator {
    pool: Arc<Pool>,
    total: usize,
}

/// A mutex because a block's owners and what its manager knows change together; it is held for a few instructions, or, where the
/// manager is elsewhere, until that has answered.
#[derive(Debug)]
struct Pool(Mutex<Blocks>);

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Blocks {
    /// How many hold each block.
    owners: Vec<u32>,
    /// Blocks that somebody holds.
    held: usize,
    manager: Box<dyn BlockManager>,
}

impl BlockAllocator {
    /// An allocator of blocks 0 … `total` − 1 (as many as a `u32` can name), which forgets what a block held when it is
    /// freed.
    pub fn new(total: usize) -> BlockAllocator {
        let managing = Managing { blocks: total, block_len: 1, eviction: Eviction::Lru, most_kept: usize::MAX };
        BlockAllocator::managed(total, Box::new(LocalBlocks::new(managing)))
    }

    /// An allocator of so many blocks, whose manager knows as many.
    pub(super) fn managed(total: usize, manager: Box<dyn BlockManager>) -> BlockAllocator {
        let total = total.min(u32::MAX as usize);
        let blocks = Blocks { owners: vec![0; total], held: 0, manager };
        BlockAllocator { pool: Arc::new(Pool(Mutex::new(blocks))), total }
    }

    /// A block that nobody holds, or `None`.
    pub fn allocate(&self) -> Option<BlockId> {
        self.take(1).pop()
    }

    /// So many blocks that nobody holds, as far as there are any.
    pub(super) fn take(&self, count: usize) -> Vec<BlockId> {
        self.holding(|manager| manager.allocate(count))
    }

    /// Blocks that nobody holds; some of them may still have contents that can be shared.
    pub fn free(&self) -> usize {
        self.total - self.used()
    }

    /// Blocks in use.
    pub fn used(&self) -> usize {
        self.pool.lock().held
    }

    /// All blocks.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Blocks that nobody holds and whose contents can be shared.
    pub fn kept(&self) -> usize {
        self.pool.lock().manager.kept()
    }

    /// Free blocks that have memory: who gets one next finds it there.
    pub fn warm(&self) -> usize {
        self.pool.lock().manager.warm()
    }

    /// Takes the memory of so many free blocks for given back, of those first that were let go first; names them in ascending
    /// order.
    pub fn cool(&self, blocks: usize) -> Vec<u32> {
        if blocks == 0 { Vec::new() } else { self.pool.lock().manager.cool(blocks) }
    }

    /// Blocks that can be filled and let go without being forgotten at once.
    pub(super) fn room(&self) -> usize {
        self.free().min(self.most_managed())
    }

    /// Blocks that the manager keeps though nobody holds them, at most.
    pub(super) fn most_managed(&self) -> usize {
        self.pool.lock().manager.most_kept()
    }

    /// The blocks that hold `tokens` after what `parent` and the blocks before it hold, as far as there are any.
    pub(super) fn find(&self, parent: Option<u32>, salt: Option<&str>, tokens: &[u32]) -> Vec<BlockId> {
        self.holding(|manager| manager.find(parent, salt, tokens))
    }

    /// Lets others find `blocks`, which hold `tokens` after what `parent` and the blocks before it hold. A block that another one is the
    /// same as becomes that one. Says how many can be found now.
    pub(super) fn share(
        &self,
        (parent, blocks): (Option<u32>, &mut [BlockId]),
        salt: Option<&str>,
        tokens: &[u32],
    ) -> usize {
        let own: Vec<u32> = blocks.iter().map(BlockId::index).collect();
        let shared = self.pool.lock().manager.share(parent, salt, &own, tokens);
        for (block, index) in blocks.iter_mut().zip(&shared).filter(|(block, index)| block.index != **index) {
            self.pool.lock().acquire(*index);
            *block = self.own(*index);
        }
        shared.len()
    }

    /// Takes note that a sequence uses these blocks of others, and the state after the last one.
    pub(super) fn used_again(&self, found: &[BlockId]) {
        let found: Vec<u32> = found.iter().map(BlockId::index).collect();
        if !found.is_empty() {
            self.pool.lock().manager.hit(&found);
        }
    }

    /// The manager of this process; what it is asked is nothing where another one manages the blocks.
    pub(super) fn local<T: Default>(&self, ask: impl FnOnce(&mut LocalBlocks) -> T) -> T {
        self.pool.lock().manager.local().map(ask).unwrap_or_default()
    }

    /// A step begins: blocks let go from now on were used later than those before.
    pub(super) fn tick(&self) {
        let Blocks { held, manager, .. } = &mut *self.pool.lock();
        manager.tick(*held);
    }

    /// Forgets what nobody holds.
    pub(super) fn forget(&self) {
        self.pool.lock().manager.forget();
    }

    /// Why the manager could not answer in this step, if it could not.
    pub(super) fn trouble(&self) -> Option<String> {
        self.pool.lock().manager.trouble()
    }

    /// What the manager keeps with its blocks, if it keeps anything.
    pub(super) fn states<T: Default>(&self, ask: impl FnOnce(&mut dyn StateManager) -> T) -> T {
        self.pool.lock().manager.states().map(ask).unwrap_or_default()
    }

    /// Keeps the state after `block` as long as the block can be found; says whether it is kept.
    pub(super) fn keep_state(&self, block: &BlockId, slot: StateSlot) -> bool {
        self.states(|states| states.keep(block.index, slot))
    }

    /// What was evicted since this was last asked for.
    pub(super) fn take_evicted(&self) -> Vec<Evicted> {
        self.states(|states| states.take_evicted())
    }

    /// Checks that owners and what the manager knows fit together.
    pub(super) fn check(&self) -> Result<(), String> {
        let blocks = self.pool.lock();
        let held = blocks.owners.iter().filter(|owners| **owners > 0).count();
        if held != blocks.held {
            return Err(format!("{held} blocks are held, not {}", blocks.held));
        }
        blocks.manager.check(&blocks.owners)
    }

    /// Blocks that the manager names, each with one owner more.
    pub(super) fn holding(&self, ask: impl FnOnce(&mut dyn BlockManager) -> Vec<u32>) -> Vec<BlockId> {
        let mut blocks = self.pool.lock();
        let named = ask(&mut *blocks.manager);
        named.iter().for_each(|index| blocks.acquire(*index));
        drop(blocks);
        named.into_iter().map(|index| self.own(index)).collect()
    }

    fn own(&self, index: u32) -> BlockId {
        BlockId { index, home: Arc::clone(&self.pool) }
    }
}

impl Blocks {
    fn acquire(&mut self, index: u32) {
        let owners = &mut self.owners[index as usize];
        *owners += 1;
        self.held += usize::from(*owners == 1);
    }

    fn release(&mut self, index: u32) {
        let owners = &mut self.owners[index as usize];
        *owners -= 1;
        if *owners == 0 {
            self.held -= 1;
            self.manager.let_go(index);
        }
    }
}
