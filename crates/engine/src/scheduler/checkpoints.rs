//! Where the states of recurrent layers are kept for later sequences, so that these need not compute them anew.
//!
//! A state is kept at the end of a block, with the block: in a prompt at the ends of its first and its last message, near its
//! end, and where the cache has shown that an earlier sequence parts from it; in an answer at its latest end of a block. It
//! is copied before the step that goes on from it, and can be found when that step has succeeded.

use super::{Contents, Scheduler, Sequence, Step};
use crate::{BlockId, KvCache, StateSlot};

/// States in a prompt are so many tokens apart at least: a step ends at each, which is worth more than a few tokens.
const APART: usize = 32;

impl Step {
    /// Lets a sequence go on from the state in a slot.
    pub(super) fn resume(&mut self, sequence: &Sequence, state: Option<u32>) {
        let copy = state.zip(sequence.state()).filter(|(from, to)| from != to);
        self.state_copies.extend(copy);
    }
}

impl Sequence {
    /// The block that ends where the sequence stands, if others can find it.
    fn last_full(&self, cache: &KvCache) -> Option<&BlockId> {
        let full = self.cached > 0 && cache.filled(self.cached, self.prefix.shared);
        self.blocks.get(self.prefix.shared.checked_sub(1)?).filter(|_| full)
    }

    /// Whether it stands in its answer, or where its prompt's state is to be kept.
    fn is_at_checkpoint(&self) -> bool {
        self.cached >= self.arrival.prompt || self.prefix.checkpoints.planned.contains(&self.cached)
    }
}

impl Scheduler {
    /// Slots that sequences can have: those that nobody has, and those of kept states.
    pub(super) fn free_slots(&self) -> usize {
        self.states.free() + self.cache.states()
    }

    /// A slot for each of so many continuations, which there are.
    pub(super) fn take_slots(&self, continuations: usize) -> Vec<StateSlot> {
        while self.states.free() < self.states.slots_for(continuations) && self.cache.evict_state().is_some() {}
        self.states.take(continuations)
    }

    /// Where states of a prompt are to be kept, of which the cache knows so many blocks.
    pub(super) fn checkpoints(&self, sequence: &Sequence, known: usize, contents: &impl Contents) -> Vec<usize> {
        if !self.cache.keeps_states() || sequence.scores() {
            return Vec::new();
        }
        let (len, prompt) = (self.cache.block_len(), sequence.arrival.prompt);
        let ends = contents.ends(sequence.id).into_iter().chain([known * len, prompt - 1]);
        let mut positions: Vec<usize> = ends.filter(|end| *end < prompt).map(|end| end / len * len).collect();
        positions.sort_unstable();
        let mut before = sequence.cached;
        positions.retain(|&position| {
            let apart = position >= before + APART;
            before = if apart { position } else { before };
            apart
        });
        positions
    }

    /// Plans the copies of states that the step leaves behind.
    pub(super) fn keep_states(&mut self) {
        if !self.cache.keeps_states() {
            return;
        }
        let due: Vec<_> =
            self.step.batch.iter().filter_map(|&at| Some((at, self.state_to_keep(&self.running[at])?))).collect();
        for (at, state) in due {
            // The answer's state before this one is of no use any more.
            let latest = self.running[at].prefix.checkpoints.latest.and_then(|block| self.cache.unused_state(block));
            let Some(slot) = latest.or_else(|| self.spare_slot()) else { continue };
            self.step.state_copies.push((state, slot.index()));
            self.step.checkpoints.push((at, slot));
        }
    }

    /// The state of a sequence that stands where others may go on.
    fn state_to_keep(&self, sequence: &Sequence) -> Option<u32> {
        let block = sequence.last_full(&self.cache).filter(|_| sequence.is_at_checkpoint())?;
        sequence.state().filter(|_| !self.cache.has_state(block))
    }

    /// The step has succeeded: what it copied can be found.
    pub(super) fn states_kept(&mut self) {
        for (at, slot) in self.step.checkpoints.drain(..) {
            let sequence = &mut self.running[at];
            let Some(last) = (sequence.cached / self.cache.block_len()).checked_sub(1) else { continue };
            let Some(block) = sequence.blocks.get(last) else { continue };
            if self.cache.keep_state(block, slot) && sequence.cached >= sequence.arrival.prompt {
                sequence.prefix.checkpoints.latest = Some(block.index());
            }
        }
    }

    /// Sequences that have ended leave their last states behind, if these are at the end of a block.
    pub(super) fn leave_states(&mut self) {
        let Scheduler { running, cache, step, .. } = self;
        for sequence in running.iter_mut().filter(|sequence| sequence.ended()) {
            let Some(block) = sequence.last_full(cache).filter(|block| !cache.has_state(block)).cloned() else {
                continue;
            };
            // A state that is yet to be copied may fail to be.
            let there = |slot: &u32| step.state_copies.iter().all(|(_, to)| to != slot);
            if sequence.state().as_ref().is_some_and(there) {
                sequence.prefix.checkpoints.latest.and_then(|block| cache.unused_state(block));
                cache.keep_state(&block, sequence.slots.swap_remove(0));
            }
        }
    }

    /// A slot for a state that is to be kept: a free one, else that of the one that was used least recently.
    pub(crate) fn spare_slot(&self) -> Option<StateSlot> {
        if self.states.free() == 0 {
            return self.cache.evict_state();
        }
        self.states.take(1).pop()
    }
}
