//! The manager of blocks in this process: a stack of free blocks, and a tree of those that can be found.

use super::evict::Rule;
use super::manager::{BlockManager, Managing, StateManager};
use super::prefix::{Prefixes, Shared};
use crate::StateSlot;
use crate::tier::Evicted;

/// Hands out the block that was freed last first: it is still in the processor's cache, and memory that was never touched stays
/// untouched. What nobody holds is evicted when free blocks run out.
#[derive(Debug)]
pub struct LocalBlocks {
    /// A stack.
    pub(super) free: Vec<u32>,
    pub(super) held: Vec<bool>,
    /// Blocks whose memory was touched and has not gone back to the system.
    touched: Vec<bool>,
    /// Free ones among them.
    warm: usize,
    block_len: usize,
    pub(super) prefixes: Prefixes,
    /// Blocks that are kept though nobody holds them.
    pub(super) most_kept: usize,
    /// States that are kept with them.
    most_states: usize,
}

impl LocalBlocks {
    /// All blocks, free.
    pub fn new(managing: Managing) -> LocalBlocks {
        LocalBlocks::with_rule(managing, managing.eviction.rule(managing.blocks))
    }

    /// As [`LocalBlocks::new`], by any rule of eviction.
    pub fn with_rule(managing: Managing, rule: Box<dyn Rule>) -> LocalBlocks {
        let Managing { blocks, block_len, most_kept, .. } = managing;
        let total = blocks.min(u32::MAX as usize);
        LocalBlocks {
            free: (0..total as u32).rev().collect(),
            held: vec![false; total],
            touched: vec![false; total],
            warm: 0,
            block_len: block_len.max(1),
            prefixes: Prefixes::new(total, rule),
            most_kept,
            most_states: 0,
        }
    }

    /// Whether somebody holds a block; `None` if there is no such block.
    pub fn is_held(&self, block: u32) -> Option<bool> {
        self.held.get(block as usize).copied()
    }

    /// Blocks that nobody has and that hold nothing.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    fn take(&mut self) -> Option<u32> {
        let index = match self.free.pop() {
            Some(index) => {
                self.warm -= usize::from(std::mem::replace(&mut self.touched[index as usize], true));
                index
            }
            None => self.prefixes.evict(&self.held)?,
        };
        self.held[index as usize] = true;
        Some(index)
    }

    pub(super) fn hold(&mut self, block: u32) {
        if !std::mem::replace(&mut self.held[block as usize], true) {
            self.prefixes.taken(block);
        }
    }

    pub(super) fn set_free(&mut self, block: u32) {
        self.free.push(block);
        self.warm += 1;
    }

    /// Forgets until no more than so many blocks are kept.
    pub(super) fn keep_at_most(&mut self, most: usize) {
        // While the end of a sequence is held, its beginning cannot be forgotten.
        while self.prefixes.idle() > most
            && let Some(block) = self.prefixes.evict(&self.held)
        {
            self.set_free(block);
        }
    }
}

impl BlockManager for LocalBlocks {
    fn allocate(&mut self, count: usize) -> Vec<u32> {
        (0..count).map_while(|_| self.take()).collect()
    }

    fn let_go(&mut self, block: u32) {
        self.held[block as usize] = false;
        if !self.prefixes.let_go(block) {
            self.set_free(block);
        }
        self.keep_at_most(self.most_kept);
    }

    fn find(&mut self, mut parent: Option<u32>, salt: Option<&str>, tokens: &[u32]) -> Vec<u32> {
        let mut found = Vec::new();
        for tokens in tokens.chunks_exact(self.block_len) {
            let Some(block) = self.prefixes.find(parent, salt, tokens) else { break };
            self.hold(block);
            parent = Some(block);
            found.push(block);
        }
        found
    }

    fn share(&mut self, mut parent: Option<u32>, salt: Option<&str>, blocks: &[u32], tokens: &[u32]) -> Vec<u32> {
        let mut shared = Vec::with_capacity(blocks.len());
        for (&block, tokens) in blocks.iter().zip(tokens.chunks_exact(self.block_len)) {
            let block = match self.prefixes.insert(block, parent, salt, tokens) {
                Shared::Inserted => block,
                Shared::Known(known) => {
                    self.hold(known);
                    known
                }
                Shared::Refused => break,
            };
            parent = Some(block);
            shared.push(block);
        }
        shared
    }

    fn hit(&mut self, blocks: &[u32]) {
        blocks.iter().for_each(|block| self.prefixes.hit(*block));
        blocks.last().into_iter().for_each(|block| self.prefixes.states.hit(*block));
    }

    fn tick(&mut self, _: usize) {
        self.prefixes.tick();
    }

    fn kept(&self) -> usize {
        self.prefixes.idle()
    }

    fn most_kept(&self) -> usize {
        self.most_kept
    }

    fn warm(&self) -> usize {
        self.warm
    }

    fn cool(&mut self, count: usize) -> Vec<u32> {
        let LocalBlocks { free, touched, .. } = self;
        let warm = free.iter().copied().filter(|index| touched[*index as usize]);
        let mut cooled: Vec<u32> = warm.take(count).collect();
        cooled.iter().for_each(|index| touched[*index as usize] = false);
        self.warm -= cooled.len();
        cooled.sort_unstable();
        cooled
    }

    fn forget(&mut self) {
        self.keep_at_most(0);
        self.prefixes.evicted.clear();
    }

    fn check(&self, owners: &[u32]) -> Result<(), String> {
        if let Some(block) = (0..).zip(owners).find(|(block, owners)| self.is_held(*block) != Some(**owners > 0)) {
            return Err(format!("block {} has {} owners, and the manager thinks otherwise", block.0, block.1));
        }
        if let Some(index) = self.free.iter().find(|&&index| self.held[index as usize]) {
            return Err(format!("block {index} is free and held"));
        }
        let warm = self.free.iter().filter(|&&index| self.touched[index as usize]).count();
        if warm != self.warm {
            return Err(format!("{warm} free blocks are warm, not {}", self.warm));
        }
        let (held, idle) = (self.held.iter().filter(|held| **held).count(), self.prefixes.idle());
        if idle > self.most_kept && held == 0 {
            return Err(format!("{idle} blocks are kept, more than {}", self.most_kept));
        }
        if held + self.free.len() + idle != self.held.len() {
            return Err(format!("{held} blocks held, {} free and {idle} kept of {}", self.free.len(), self.held.len()));
        }
        self.prefixes.check(&self.held)
    }

    fn local(&mut self) -> Option<&mut LocalBlocks> {
        Some(self)
    }

    fn states(&mut self) -> Option<&mut dyn StateManager> {
        Some(self)
    }
}

impl StateManager for LocalBlocks {
    fn keep_states(&mut self, states: usize) {
        self.most_states = states;
    }

    fn count(&self) -> usize {
        self.prefixes.states.len()
    }

    fn after(&self, block: u32) -> Option<u32> {
        self.prefixes.states.get(block)
    }

    fn keep(&mut self, block: u32, slot: StateSlot) -> bool {
        if !self.prefixes.has(block) || self.most_states == 0 {
            return false;
        }
        self.prefixes.states.insert(block, slot);
        while self.prefixes.states.len() > self.most_states {
            self.prefixes.evict_state();
        }
        true
    }

    fn unused(&mut self, block: u32) -> Option<StateSlot> {
        self.prefixes.states.remove_unused(block)
    }

    fn evict(&mut self) -> Option<StateSlot> {
        self.prefixes.evict_state()
    }

    fn keep_keys(&mut self) {
        self.prefixes.keyed = true;
    }

    fn take_evicted(&mut self) -> Vec<Evicted> {
        std::mem::take(&mut self.prefixes.evicted)
    }
}
