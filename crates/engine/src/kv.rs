//! The paged KV cache: blocks that free themselves, and the tables that name them. The memory itself is the executor's.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

/// A block of the KV cache. Cloning it shares the block; dropping the last clone frees it.
#[derive(Clone, Debug)]
pub struct BlockId(Arc<Owned>);

impl BlockId {
    /// Its index in the cache.
    pub fn index(&self) -> u32 {
        self.0.index
    }

    /// How many hold it.
    pub fn owners(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

#[derive(Debug)]
struct Owned {
    index: u32,
    home: Sender<u32>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // The channel has room for every block, so this fails only when the allocator is gone, and then nobody asks.
        let _ = self.home.try_send(self.index);
    }
}

/// Hands out the blocks of a cache. The free list is a channel: blocks find their way home from any thread, without a lock.
#[derive(Debug)]
pub struct BlockAllocator {
    free: Receiver<u32>,
    home: Sender<u32>,
    total: usize,
}

impl BlockAllocator {
    /// An allocator of blocks 0 … `total` − 1 (as many as a `u32` can name).
    pub fn new(total: usize) -> BlockAllocator {
        let total = total.min(u32::MAX as usize);
        let (home, free) = bounded(total);
        (0..total as u32).for_each(|index| home.try_send(index).expect("the channel has room for every block"));
        BlockAllocator { free, home, total }
    }

    /// A free block, or `None`.
    pub fn allocate(&self) -> Option<BlockId> {
        let index = self.free.try_recv().ok()?;
        Some(BlockId(Arc::new(Owned { index, home: self.home.clone() })))
    }

    /// Blocks not in use.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Blocks in use.
    pub fn used(&self) -> usize {
        self.total - self.free.len()
    }

    /// All blocks.
    pub fn total(&self) -> usize {
        self.total
    }
}

/// The blocks of a cache and how many positions each holds.
#[derive(Debug)]
pub struct KvCache {
    blocks: BlockAllocator,
    block_len: usize,
}

impl KvCache {
    /// A cache of `blocks` blocks of `block_len` positions (at least one).
    pub fn new(blocks: usize, block_len: usize) -> KvCache {
        KvCache { blocks: BlockAllocator::new(blocks), block_len: block_len.max(1) }
    }

    /// The blocks.
    pub fn blocks(&self) -> &BlockAllocator {
        &self.blocks
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
        if self.blocks.free() < missing + usize::from(shared) {
            return false;
        }
        if shared {
            let copy = self.take();
            let original = std::mem::replace(&mut table[filled / self.block_len], copy);
            copies.push((original.index(), table[filled / self.block_len].index()));
        }
        table.extend((0..missing).map(|_| self.take()));
        true
    }

    fn take(&self) -> BlockId {
        self.blocks.allocate().expect("free blocks were counted before")
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
        let cache = KvCache::new(4, 4);
        let mut a = Vec::new();
        check(&cache, &mut a, (0, 6), "true [0, 1] []");
        let mut b = a.clone();
        check(&cache, &mut b, (6, 7), "true [0, 2] [(1, 2)]");
        check(&cache, &mut a, (6, 7), "true [0, 1] []");
        check(&cache, &mut a, (8, 17), "false [0, 1] []");
        assert_eq!((cache.blocks().used(), a[0].owners(), a[1].owners()), (3, 2, 1));
        drop(a);
        assert_eq!(cache.blocks().used(), 2);
        check(&cache, &mut b, (8, 9), "true [0, 2, 3] []");
        drop(b);
        assert_eq!((cache.blocks().free(), cache.blocks().total()), (4, 4));
    }

    #[test]
    fn a_block_boundary_needs_no_copy() {
        let cache = KvCache::new(4, 4);
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
}
