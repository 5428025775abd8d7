//! The seam of the KV cache's memory: which blocks are free, which hold what, and what is forgotten first.

use std::fmt::Debug;

use super::evict::Eviction;
use super::local::LocalBlocks;
use crate::StateSlot;
use crate::tier::Evicted;

/// Hands out the blocks of a cache and remembers what they hold. It hears of a block when somebody begins to hold it and when nobody
/// does any more; who shares it with whom in between is the cache's business. So it is asked a few times for each block that is
/// filled, and not for each token. It may be elsewhere: then what needs no answer waits for the next question.
pub trait BlockManager: Debug + Send {
    /// So many blocks that nobody holds, as far as there are any: what they held is forgotten, and they are held from now on.
    fn allocate(&mut self, count: usize) -> Vec<u32>;

    /// Nobody holds this block any more.
    fn let_go(&mut self, block: u32);

    /// The blocks that hold these tokens after what `parent` and the blocks before it hold, each a block's length of them, as far as
    /// there are any. They are held from now on.
    fn find(&mut self, parent: Option<u32>, salt: Option<&str>, tokens: &[u32]) -> Vec<u32>;

    /// Lets others find these blocks, which hold these tokens after what `parent` holds. Gives the blocks under which they can be found,
    /// as far as they can: those themselves, or others that hold the same, which are held from now on.
    fn share(&mut self, parent: Option<u32>, salt: Option<&str>, blocks: &[u32], tokens: &[u32]) -> Vec<u32>;

    /// A sequence computes on these blocks, which it found, and on the state after the last of them.
    fn hit(&mut self, blocks: &[u32]);

    /// A step begins, in which so many blocks are held: what is let go from now on was used later than what was let go before.
    fn tick(&mut self, held: usize);

    /// Blocks that nobody holds and that can still be found.
    fn kept(&self) -> usize;

    /// How many of these there may be.
    fn most_kept(&self) -> usize;

    /// Blocks that hold nothing and whose memory was touched.
    fn warm(&self) -> usize;

    /// Takes the memory of so many of them for given back; names them in ascending order.
    fn cool(&mut self, count: usize) -> Vec<u32>;

    /// Forgets everything that nobody holds.
    fn forget(&mut self);

    /// Why it could not answer since the step began, if it could not: then it has found nothing and had no blocks.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Checks that its books balance; so many sequences hold each block.
    ///
    /// # Errors
    /// What does not fit.
    fn check(&self, owners: &[u32]) -> Result<(), String>;

    /// The manager of this process, if it is that.
    fn local(&mut self) -> Option<&mut LocalBlocks> {
        None
    }

    /// Where it keeps states of recurrent layers and the names of what was evicted, if it does.
    fn states(&mut self) -> Option<&mut dyn StateManager> {
        None
    }
}

/// What a manager of blocks keeps with them, in this process alone: states of recurrent layers, and names that hold elsewhere.
pub trait StateManager {
    /// Keeps so many states at most.
    fn keep_states(&mut self, states: usize);

    /// States that are kept.
    fn count(&self) -> usize;

    /// The slot with the state after a block.
    fn after(&self, block: u32) -> Option<u32>;

    /// Keeps the state after a block; says whether it does.
    fn keep(&mut self, block: u32, slot: StateSlot) -> bool;

    /// Takes back the state after a block, unless somebody has gone on from it.
    fn unused(&mut self, block: u32) -> Option<StateSlot>;

    /// Takes back the state that was used least recently.
    fn evict(&mut self) -> Option<StateSlot>;

    /// Gives what is found names that hold elsewhere, and writes down what is evicted.
    fn keep_keys(&mut self);

    /// What was evicted since this was last asked for.
    fn take_evicted(&mut self) -> Vec<Evicted>;
}

/// How a manager manages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Managing {
    /// Blocks in all.
    pub blocks: usize,
    /// Positions in a block.
    pub block_len: usize,
    /// What is forgotten first.
    pub eviction: Eviction,
    /// Blocks that are kept at most though nobody holds them.
    pub most_kept: usize,
}
