//! The thread pool: fork and join without allocation, and without ever waiting for a thread that has no core.
//!
//! A job is cut into tasks. Each thread, the caller too, has a range of them that it takes one after the other, so that what it
//! reads goes on where it was. A thread that is done takes from the end of another's range. A thread that the system has put
//! aside costs the others at most the task in its hands.
#![allow(unsafe_code)]

mod dispatch;
mod sync;

use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::cores::{self, Core};
use super::memory::Shared;
use dispatch::{Dispatch, Work};

/// A pool of threads that lives as long as this value. It is not `Sync`: whoever shares it takes turns, once for many jobs, so
/// that a job takes no lock.
#[derive(Debug)]
pub(crate) struct Pool {
    dispatch: Arc<Dispatch>,
    workers: Vec<JoinHandle<()>>,
    /// The core of the threads that call [`Pool::run`].
    core: Option<Core>,
    not_sync: PhantomData<Cell<()>>,
}

thread_local! {
    /// The core that a caller was bound to.
    static BOUND: Cell<Option<Core>> = const { Cell::new(None) };
}

impl Pool {
    /// A pool of `threads`, the caller of [`Pool::run`] counted; of fewer if the system gives no more. If there are `cores`,
    /// each thread is bound to one of them, the caller to the first; threads that are left are not bound.
    pub(crate) fn new(threads: usize, cores: &[Core]) -> Pool {
        let dispatch = Arc::new(Dispatch::new(threads));
        let spawn = |thread| {
            let (dispatch, core) = (dispatch.clone(), cores.get(thread).copied());
            let serve = move || {
                core.into_iter().for_each(cores::bind);
                dispatch.serve(thread);
            };
            std::thread::Builder::new().name(format!("kernel-{thread}")).spawn(serve).ok()
        };
        let workers = (1..threads).map_while(spawn).collect();
        Pool { dispatch, workers, core: cores.first().copied(), not_sync: PhantomData }
    }

    /// Threads, the caller counted.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work(thread, task)` for every task, on all threads, and returns when all are done. Each thread begins with its
    /// part of the tasks, first to last. No two calls at the same time have the same `thread`, which is below
    /// [`Pool::threads`]. `work` must not call `run` of the same pool.
    ///
    /// # Panics
    /// As `work` does.
    pub(crate) fn run(&self, tasks: usize, work: &Work<'_>) {
        if let Some(core) = self.core
            && BOUND.replace(Some(core)) != Some(core)
        {
            cores::bind(core);
        }
        if tasks <= 1 || self.workers.is_empty() {
            return (0..tasks).for_each(|task| work(0, task));
        }
        if let Err(panic) = self.dispatch.run(tasks, work) {
            resume_unwind(panic);
        }
    }

    /// As [`Pool::run`], with one of `states` for each thread.
    pub(crate) fn run_with<T: Send>(&self, states: &mut [T], tasks: usize, work: &(dyn Fn(&mut T, usize) + Sync)) {
        assert!(states.len() >= self.threads(), "a state for every thread");
        let states = Shared::new(states);
        self.run(tasks, &|thread, task| {
            // SAFETY: no two calls at the same time have the same thread.
            let state = unsafe { states.part(thread, 1) };
            work(&mut state[0], task);
        });
    }

    /// Calls `work(i, chunk)` for every chunk of `len` elements of `out`; the last may be shorter.
    pub(crate) fn chunks<T: Send>(&self, out: &mut [T], len: usize, work: impl Fn(usize, &mut [T]) + Sync) {
        let (total, out) = (out.len(), Shared::new(out));
        self.run(total.div_ceil(len), &|_, i| {
            // SAFETY: chunks do not overlap and each task is done once.
            let chunk = unsafe { out.part(i * len, len.min(total - i * len)) };
            work(i, chunk);
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.dispatch.stop();
        for worker in self.workers.drain(..) {
            // Its panics were caught and handed to the callers.
            let _ = worker.join();
        }
    }
}

/// Nothing that a lock here guards can be left half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[test]
    fn every_task_is_done_once() {
        for threads in [1, 2, 5] {
            let cores = if threads == 2 { cores::all() } else { vec![] };
            let pool = Pool::new(threads, &cores);
            let threads = pool.threads();
            for round in 0..if cfg!(miri) { 12 } else { 300 } {
                let counts: Vec<AtomicUsize> = (0..round % 40).map(|_| AtomicUsize::new(0)).collect();
                pool.run(counts.len(), &|thread, task| {
                    assert!(thread < threads);
                    counts[task].fetch_add(1, Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3, &[]);
        for _ in 0..if cfg!(miri) { 2 } else { 20 } {
            let result = catch_unwind(AssertUnwindSafe(|| pool.run(50, &|_, task| assert!(task != 17, "task 17"))));
            assert!(result.is_err());
        }
        pool.run(50, &|_, _| {});
    }

    #[test]
    fn chunks_and_states_are_each_ones_own() {
        let pool = Pool::new(4, &[]);
        let mut out = vec![0; 1003];
        pool.chunks(&mut out, 10, |i, chunk| chunk.iter_mut().for_each(|x| *x += i + 1));
        assert!(out.iter().enumerate().all(|(at, &x)| x == at / 10 + 1));
        let mut sums = vec![0; 4];
        pool.run_with(&mut sums, 100, &|sum, task| *sum += task);
        assert_eq!(sums.iter().sum::<usize>(), 4950);
    }

    #[test]
    fn callers_on_several_threads_take_turns() {
        const ROUNDS: usize = if cfg!(miri) { 3 } else { 100 };
        let (pool, total) = (Mutex::new(Pool::new(3, &[])), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..ROUNDS).for_each(|_| lock(&pool).run(7, &|_, _| _ = total.fetch_add(1, Relaxed))));
            }
        });
        assert_eq!(total.load(Relaxed), 4 * 7 * ROUNDS);
    }
}
