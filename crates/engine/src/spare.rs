//! Memory goes back to the system when a burst is over.

use crate::drafter::Drafter;
use crate::panics::catch;
use crate::{Engine, Executor};

/// Free blocks whose memory is kept, of a cache that is at least eight times as large: the next requests find it warm.
const RESERVE: usize = 64;

/// So many steps show what is needed.
const WINDOW: usize = 256;

/// Free states whose memory is kept likewise.
const STATES_RESERVE: usize = 2;

/// What nobody needs.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    blocks: Fewest,
    states: Fewest,
}

/// The fewest that were free and had memory in recent steps: nobody has missed them.
#[derive(Debug, Default)]
struct Fewest {
    steps: usize,
    fewest: Option<usize>,
}

impl Fewest {
    /// A step has left so many with memory; says how many of them are too many.
    fn too_many(&mut self, free: usize, reserve: usize, idle: bool) -> usize {
        let recent = self.after(free, reserve);
        if idle { free.saturating_sub(reserve) } else { recent }
    }

    fn after(&mut self, free: usize, reserve: usize) -> usize {
        self.steps += 1;
        let fewest = self.fewest.map_or(free, |fewest| fewest.min(free));
        self.fewest = (self.steps < WINDOW).then_some(fewest);
        if self.steps < WINDOW {
            return 0;
        }
        self.steps = 0;
        fewest.saturating_sub(reserve)
    }
}

impl<E: Executor> Engine<E> {
    /// A step has ended: gives back what no recent step has needed, or, if there is nothing left to do, all but a reserve.
    pub(crate) fn give_back(&mut self) {
        let (idle, blocks) = (self.is_idle(), self.scheduler.cache().blocks());
        self.delivery.drafter.iter_mut().filter(|_| idle).for_each(Drafter::give_back);
        let many = self.spare.blocks.too_many(blocks.warm(), RESERVE.min(blocks.total() / 8), idle);
        let blocks = blocks.cool(many);
        let states = self.scheduler.states();
        let many = self.spare.states.too_many(states.warm(), STATES_RESERVE.min(states.total() / 8), idle);
        let states = states.cool(many);
        // An executor that panics here computes nothing wrong.
        if !blocks.is_empty() {
            let _ = catch(|| self.executor.forget(&blocks));
        }
        if !states.is_empty() {
            let _ = catch(|| self.executor.forget_states(&states));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_step_of_a_window_needed_is_too_much() {
        let mut spare = Fewest::default();
        let mut window =
            |free: &dyn Fn(usize) -> usize| (0..WINDOW).map(|step| spare.after(free(step), 64)).sum::<usize>();
        assert_eq!(window(&|_| 1000), 936);
        assert_eq!(window(&|step| if step == 100 { 70 } else { 1000 }), 6);
        assert_eq!(window(&|step| if step == 255 { 10 } else { 1000 }), 0);
        assert_eq!(window(&|_| 65), 1);
    }
}
