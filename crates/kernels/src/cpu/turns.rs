//! Taking turns: first come, first served, so that one model's steps do not starve another's.

use std::sync::{Condvar, Mutex};

use super::pool::lock;

/// A queue in which each thread waits for all that came before it. A plain `Mutex` lets a thread that comes back at once overtake
/// one that has yet to wake up.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    queue: Mutex<Queue>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// The number of the next to come, and of the one whose turn it is.
    next: u64,
    now: u64,
}

/// A turn; it ends when this is dropped.
pub(crate) struct Turn<'t>(&'t Turns);

impl Turns {
    /// Waits for its turn.
    pub(crate) fn wait(&self) -> Turn<'_> {
        let mut queue = lock(&self.queue);
        let mine = queue.next;
        queue.next += 1;
        drop(self.left.wait_while(queue, |queue| queue.now != mine));
        Turn(self)
    }
}

impl Turns {
    /// A turn, if nobody has one now.
    pub(crate) fn take(&self) -> Option<Turn<'_>> {
        let mut queue = lock(&self.queue);
        let free = queue.next == queue.now;
        queue.next += u64::from(free);
        drop(queue);
        free.then(|| Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.0.queue).now += 1;
        self.0.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_first_goes_first() {
        let (turns, order) = (Turns::default(), Mutex::new(vec![]));
        std::thread::scope(|scope| {
            let first = turns.take().expect("nobody has a turn");
            assert!(turns.take().is_none());
            for i in 0..4 {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    let _turn = turns.wait();
                    lock(order).push(i);
                });
                while lock(&turns.queue).next != i + 2 {
                    std::thread::yield_now();
                }
            }
            drop(first);
        });
        assert_eq!(*lock(&order), [0, 1, 2, 3]);
    }
}
