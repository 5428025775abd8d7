//! States of recurrent layers, each kept with the block whose last position it follows.

use std::collections::{BTreeMap, HashMap};

use crate::StateSlot;

/// The states, by block. The one that was used least recently goes first.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    kept: HashMap<u32, Kept>,
    /// By the time of their last use.
    order: BTreeMap<u64, u32>,
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    slot: StateSlot,
    last: u64,
    /// Whether a sequence has gone on from it.
    used: bool,
}

impl Checkpoints {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// The slot with the state after `block`.
    pub(super) fn get(&self, block: u32) -> Option<u32> {
        self.kept.get(&block).map(|kept| kept.slot.index())
    }

    /// Keeps the state after `block`; one that is there stays.
    pub(super) fn insert(&mut self, block: u32, slot: StateSlot) {
        if !self.kept.contains_key(&block) {
            self.uses += 1;
            self.order.insert(self.uses, block);
            self.kept.insert(block, Kept { slot, last: self.uses, used: false });
        }
    }

    /// A sequence goes on from the state after `block`.
    pub(super) fn hit(&mut self, block: u32) {
        if let Some(kept) = self.kept.get_mut(&block) {
            self.uses += 1;
            self.order.remove(&kept.last);
            self.order.insert(self.uses, block);
            (kept.last, kept.used) = (self.uses, true);
        }
    }

    /// Takes out the state after `block`.
    pub(super) fn remove(&mut self, block: u32) -> Option<StateSlot> {
        let kept = self.kept.remove(&block)?;
        self.order.remove(&kept.last);
        Some(kept.slot)
    }

    /// Takes out the state after `block` if nobody has gone on from it.
    pub(super) fn remove_unused(&mut self, block: u32) -> Option<StateSlot> {
        let unused = self.kept.get(&block).is_some_and(|kept| !kept.used);
        if unused { self.remove(block) } else { None }
    }

    /// Takes out the state that was used least recently, and names its block.
    pub(super) fn evict(&mut self) -> Option<(u32, StateSlot)> {
        let block = *self.order.first_key_value()?.1;
        self.remove(block).map(|slot| (block, slot))
    }

    /// Checks that each state's block is one that `can_be_found`, and that the order is complete.
    pub(super) fn check(&self, can_be_found: impl Fn(u32) -> bool) -> Result<(), String> {
        if let Some(block) = self.kept.keys().find(|block| !can_be_found(**block)) {
            return Err(format!("a state is kept after block {block}, which cannot be found"));
        }
        let ordered = self.order.iter().filter(|(last, block)| self.kept.get(block).is_some_and(|k| k.last == **last));
        let counted = (self.order.len(), ordered.count());
        let due = (self.kept.len(), self.kept.len());
        if counted == due { Ok(()) } else { Err(format!("states in order: {counted:?} of {due:?}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateSlots;

    #[test]
    fn the_state_that_was_used_least_recently_goes_first() {
        let slots = StateSlots::new(4);
        let mut states = Checkpoints::default();
        let mut taken = slots.take(4).into_iter();
        (10..14).zip(&mut taken).for_each(|(block, slot)| states.insert(block, slot));
        states.hit(10);
        states.hit(99);
        assert_eq!((states.len(), states.get(10), states.get(99)), (4, Some(0), None));
        assert!(states.remove_unused(10).is_none());
        assert_eq!(states.remove_unused(12).map(|slot| slot.index()), Some(2));
        states.check(|block| block != 12).unwrap();
        assert!(states.check(|block| block != 13).is_err());
        let evicted: Vec<_> = std::iter::from_fn(|| states.evict()).map(|(_, slot)| slot.index()).collect();
        assert_eq!((evicted, slots.used()), (vec![1, 3, 0], 0));
    }
}
