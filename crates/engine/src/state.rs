//! Slots for the recurrent states of sequences, of models that have such layers. The memory itself is the executor's.

use crate::{BlockAllocator, BlockId};

/// A slot for a state: that of one sequence, or one that is kept for later ones. Never shared: a fork gets a slot of its own
/// and a copy. Dropping it frees it.
#[derive(Debug)]
pub struct StateSlot(BlockId);

impl StateSlot {
    /// Its index.
    pub fn index(&self) -> u32 {
        self.0.index()
    }
}

/// The slots of an executor; none if its model has no recurrent layers.
#[derive(Debug)]
pub struct StateSlots(BlockAllocator);

impl StateSlots {
    /// So many slots.
    pub fn new(total: usize) -> StateSlots {
        StateSlots(BlockAllocator::new(total))
    }

    /// Slots in all.
    pub fn total(&self) -> usize {
        self.0.total()
    }

    /// Slots in use, those of kept states too.
    pub fn used(&self) -> usize {
        self.0.used()
    }

    /// Slots that nobody has.
    pub fn free(&self) -> usize {
        self.0.free()
    }

    /// Free slots that have memory.
    pub fn warm(&self) -> usize {
        self.0.warm()
    }

    /// Takes the memory of so many free slots for given back; names them in ascending order.
    pub fn cool(&self, slots: usize) -> Vec<u32> {
        self.0.cool(slots)
    }

    /// Slots that so many sequences take: none where there are none.
    pub fn slots_for(&self, sequences: usize) -> usize {
        if self.total() == 0 { 0 } else { sequences }
    }

    /// A slot for each of so many sequences, which fit.
    pub(crate) fn take(&self, sequences: usize) -> Vec<StateSlot> {
        let slot = || StateSlot(self.0.allocate().expect("free slots were counted before"));
        (0..self.slots_for(sequences)).map(|_| slot()).collect()
    }
}
