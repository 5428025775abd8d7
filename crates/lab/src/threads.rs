//! Work for every core that is not the backend's: encoding, and sums over logits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Threads for such work.
pub(crate) fn count() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Calls `work` for each of so many things on every core; what it gives is in their order, whoever was first.
pub(crate) fn each<T: Send>(things: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let share = || {
        let mine = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|thing| *thing < things));
        mine.map(|thing| (thing, work(thing))).collect::<Vec<_>>()
    };
    let mut all: Vec<(usize, T)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..count().min(things)).map(|_| scope.spawn(share)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    all.sort_by_key(|(thing, _)| *thing);
    all.into_iter().map(|(_, given)| given).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_given_is_in_order() {
        assert_eq!(super::each(1000, |i| i * i), (0..1000).map(|i| i * i).collect::<Vec<_>>());
        assert!(super::each(0, |i| i).is_empty());
    }
}
