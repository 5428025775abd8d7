//! Memory goes back to the system when a burst is over.

use crate::panics::catch;
use crate::{Engine, Executor};

/// Free blocks whose memory is kept, of a cache that is at least eight times as large: the next requests find it warm.
const RESERVE: usize = 64;

/// So many steps show what is needed.
const WINDOW: usize = 256;

/// The fewest free blocks with memory in recent steps: nobody has missed them.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    steps: usize,
    fewest: Option<usize>,
}

impl Spare {
    /// A step has left so many free blocks with memory; says how many of them are too many.
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
        let blocks = self.scheduler.cache().blocks();
        let (warm, reserve) = (blocks.warm(), RESERVE.min(blocks.total() / 8));
        let recent = self.spare.after(warm, reserve);
        let many = if self.is_idle() { warm.saturating_sub(reserve) } else { recent };
        if many > 0 {
            let blocks = self.scheduler.cache().blocks().cool(many);
            // An executor that panics here computes nothing wrong.
            let _ = catch(|| self.executor.forget(&blocks));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_step_of_a_window_needed_is_too_much() {
        let mut spare = Spare::default();
        let mut window =
            |free: &dyn Fn(usize) -> usize| (0..WINDOW).map(|step| spare.after(free(step), 64)).sum::<usize>();
        assert_eq!(window(&|_| 1000), 936);
        assert_eq!(window(&|step| if step == 100 { 70 } else { 1000 }), 6);
        assert_eq!(window(&|step| if step == 255 { 10 } else { 1000 }), 0);
        assert_eq!(window(&|_| 65), 1);
    }
}
