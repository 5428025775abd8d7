//! Blocks that free themselves: who holds which, which are free, and which nobody holds but the prefix cache keeps.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::evict::Eviction;
use super::prefix::{Prefixes, Shared};
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

/// Hands out the blocks of a cache, the one that was freed last first: it is still in the processor's cache, and memory that
/// was never touched stays untouched. Blocks find their way home from any thread.
#[derive(Debug)]
pub struct BlockAllocator {
    pool: Arc<Pool>,
    total: usize,
}

/// A mutex because a block's owners, the free list and the prefix cache change together; it is held for a few instructions.
#[derive(Debug)]
struct Pool(Mutex<Blocks>);

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Blocks {
    /// A stack.
    free: Vec<u32>,
    /// How many hold each block.
    owners: Vec<u32>,
    /// Blocks whose memory was touched and has not gone back to the system.
    touched: Vec<bool>,
    /// Free ones among them.
    warm: usize,
    /// Blocks whose contents later sequences may share; those that nobody holds are evicted when free ones run out.
    prefixes: Prefixes,
    /// How many of these are kept.
    most_kept: usize,
    /// How many states are kept with them.
    most_states: usize,
}

impl BlockAllocator {
    /// An allocator of blocks 0 … `total` − 1 (as many as a `u32` can name), which forgets what a block held when it is
    /// freed.
    pub fn new(total: usize) -> BlockAllocator {
        BlockAllocator::with_eviction(total, Eviction::Lru)
    }

    /// An allocator whose shared blocks are evicted by a rule.
    pub(super) fn with_eviction(total: usize, eviction: Eviction) -> BlockAllocator {
        let total = total.min(u32::MAX as usize);
        let blocks = Blocks {
            free: (0..total as u32).rev().collect(),
            owners: vec![0; total],
            touched: vec![false; total],
            warm: 0,
            prefixes: Prefixes::new(total, eviction),
            most_kept: usize::MAX,
            most_states: 0,
        };
        BlockAllocator { pool: Arc::new(Pool(Mutex::new(blocks))), total }
    }

    /// Keeps the contents of so many blocks that nobody holds.
    pub(super) fn keep(&mut self, blocks: usize) {
        self.pool.lock().most_kept = blocks;
    }

    /// Gives what is found names that hold elsewhere, and writes down what is evicted.
    pub(super) fn keep_keys(&self) {
        self.pool.lock().prefixes.keyed = true;
    }

    /// What was evicted since this was last asked for.
    pub(super) fn take_evicted(&self) -> Vec<Evicted> {
        std::mem::take(&mut self.pool.lock().prefixes.evicted)
    }

    /// Keeps so many states with blocks.
    pub(super) fn keep_states(&mut self, states: usize) {
        self.pool.lock().most_states = states;
    }

    /// Free blocks that have memory: who gets one next finds it there.
    pub fn warm(&self) -> usize {
        self.pool.lock().warm
    }

    /// Takes the memory of so many free blocks for given back, of those first that were let go first; names them in ascending
    /// order.
    pub fn cool(&self, blocks: usize) -> Vec<u32> {
        self.pool.lock().cool(blocks)
    }

    /// A block that nobody holds, or `None`.
    pub fn allocate(&self) -> Option<BlockId> {
        let index = self.pool.lock().allocate()?;
        Some(self.own(index))
    }

    /// Blocks that nobody holds; some of them may still have contents that can be shared.
    pub fn free(&self) -> usize {
        self.pool.lock().available()
    }

    /// Blocks in use.
    pub fn used(&self) -> usize {
        self.total - self.free()
    }

    /// All blocks.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Blocks that nobody holds and whose contents can be shared.
    pub fn kept(&self) -> usize {
        self.pool.lock().prefixes.idle()
    }

    /// Blocks that can be filled and let go without being forgotten at once.
    pub(super) fn room(&self) -> usize {
        let blocks = self.pool.lock();
        blocks.available().min(blocks.most_kept)
    }

    /// The block that holds `tokens` after what `parent` and the blocks before it hold, if there is one.
    pub(super) fn find(&self, parent: Option<u32>, salt: Option<&str>, tokens: &[u32]) -> Option<BlockId> {
        let mut blocks = self.pool.lock();
        let index = blocks.prefixes.find(parent, salt, tokens)?;
        blocks.acquire(index);
        drop(blocks);
        Some(self.own(index))
    }

    /// Lets others find `block`, which holds `tokens` after what `parent` and the blocks before it hold. If another one
    /// holds the same, `block` becomes that one. Says whether it can be found now.
    pub(super) fn share(&self, block: &mut BlockId, parent: Option<u32>, salt: Option<&str>, tokens: &[u32]) -> bool {
        let mut blocks = self.pool.lock();
        match blocks.prefixes.insert(block.index, parent, salt, tokens) {
            Shared::Inserted => true,
            Shared::Known(index) => {
                blocks.acquire(index);
                drop(blocks);
                *block = self.own(index);
                true
            }
            Shared::Refused => false,
        }
    }

    /// Takes note that a sequence uses these blocks of others, and the state after the last one.
    pub(super) fn used_again(&self, found: &[BlockId]) {
        let mut blocks = self.pool.lock();
        found.iter().for_each(|block| blocks.prefixes.hit(block.index));
        found.iter().next_back().into_iter().for_each(|block| blocks.prefixes.states.hit(block.index));
    }

    /// States that are kept with blocks.
    pub(super) fn states(&self) -> usize {
        self.pool.lock().prefixes.states.len()
    }

    /// The slot with the state after `block`, if it is kept.
    pub(super) fn state_after(&self, block: &BlockId) -> Option<u32> {
        self.pool.lock().prefixes.states.get(block.index)
    }

    /// Keeps the state after `block` as long as the block can be found; says whether it is kept.
    pub(super) fn keep_state(&self, block: &BlockId, slot: StateSlot) -> bool {
        let mut blocks = self.pool.lock();
        let Blocks { prefixes, most_states, .. } = &mut *blocks;
        if !prefixes.has(block.index) || *most_states == 0 {
            return false;
        }
        prefixes.states.insert(block.index, slot);
        while prefixes.states.len() > *most_states {
            prefixes.evict_state();
        }
        true
    }

    /// Takes back the state after `block`, unless somebody has gone on from it.
    pub(super) fn unused_state(&self, block: u32) -> Option<StateSlot> {
        self.pool.lock().prefixes.states.remove_unused(block)
    }

    /// Takes back the state that was used least recently.
    pub(super) fn evict_state(&self) -> Option<StateSlot> {
        self.pool.lock().prefixes.evict_state()
    }

    /// A step begins: blocks let go from now on were used later than those before.
    pub(super) fn tick(&self) {
        self.pool.lock().prefixes.tick();
    }

    /// Checks that free list, owners and shared blocks fit together.
    pub(super) fn check(&self) -> Result<(), String> {
        let blocks = self.pool.lock();
        if let Some(index) = blocks.free.iter().find(|&&index| blocks.owners[index as usize] > 0) {
            return Err(format!("block {index} is free and held"));
        }
        let warm = blocks.free.iter().filter(|&&index| blocks.touched[index as usize]).count();
        if warm != blocks.warm {
            return Err(format!("{warm} free blocks are warm, not {}", blocks.warm));
        }
        if blocks.prefixes.idle() > blocks.most_kept && blocks.owners.iter().all(|owners| *owners == 0) {
            return Err(format!("{} blocks are kept, more than {}", blocks.prefixes.idle(), blocks.most_kept));
        }
        let held = blocks.owners.iter().filter(|owners| **owners > 0).count();
        if held + blocks.available() != self.total {
            return Err(format!("{held} blocks held and {} free of {}", blocks.available(), self.total));
        }
        blocks.prefixes.check(&blocks.owners)
    }

    fn own(&self, index: u32) -> BlockId {
        BlockId { index, home: Arc::clone(&self.pool) }
    }
}

impl Blocks {
    fn available(&self) -> usize {
        self.free.len() + self.prefixes.idle()
    }

    fn allocate(&mut self) -> Option<u32> {
        let index = match self.free.pop() {
            Some(index) => {
                self.warm -= usize::from(std::mem::replace(&mut self.touched[index as usize], true));
                index
            }
            None => self.prefixes.evict(&self.owners)?,
        };
        self.owners[index as usize] = 1;
        Some(index)
    }

    fn cool(&mut self, blocks: usize) -> Vec<u32> {
        let Blocks { free, touched, .. } = self;
        let warm = free.iter().copied().filter(|index| touched[*index as usize]);
        let mut cooled: Vec<u32> = warm.take(blocks).collect();
        cooled.iter().for_each(|index| touched[*index as usize] = false);
        self.warm -= cooled.len();
        cooled.sort_unstable();
        cooled
    }

    fn acquire(&mut self, index: u32) {
        let owners = &mut self.owners[index as usize];
        *owners += 1;
        if *owners == 1 {
            self.prefixes.taken(index);
        }
    }

    fn release(&mut self, index: u32) {
        let owners = &mut self.owners[index as usize];
        *owners -= 1;
        if *owners > 0 {
            return;
        }
        if !self.prefixes.let_go(index) {
            self.set_free(index);
        }
        // While the end of a sequence is held, its beginning cannot be forgotten.
        while self.prefixes.idle() > self.most_kept
            && let Some(index) = self.prefixes.evict(&self.owners)
        {
            self.set_free(index);
        }
    }

    fn set_free(&mut self, index: u32) {
        self.free.push(index);
        self.warm += 1;
    }
}
