//! The thread pool: fork and join without allocation, and without ever waiting for a thread that has no core.
//!
//! Work is cut into pieces. Each thread, the caller too, has a run of them that it takes one after the other, so that what it
//! reads goes on where it was; whoever is done takes from the end of another's run. A thread that the system has put aside
//! costs the others at most the piece in its hands: the caller closes the gate when the pieces are taken and waits only
//! for those inside. Threads spin for a bounded time, then sleep.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::cores::{self, Core};
use super::memory::Shared;

/// Looks at the gate before a thread goes to sleep: some hundred microseconds, longer than a piece of a step of many streams
/// takes.
const SPINS: usize = 4000;
/// Bit of the gate: threads may come in. Above it stands the number of the job, below it how many threads are inside.
const OPEN: u64 = 1 << 31;
const INSIDE: u64 = OPEN - 1;

/// A pool of threads that lives as long as this value. It is not `Sync`: whoever shares it takes turns, once for many jobs, so
/// that a job takes no lock.
#[derive(Debug)]
pub(crate) struct Pool {
    club: Arc<Club>,
    workers: Vec<JoinHandle<()>>,
    /// The core of the threads that call [`Pool::run`].
    core: Option<Core>,
    not_sync: PhantomData<Cell<()>>,
}

thread_local! {
    /// The core that a caller was bound to.
    static BOUND: Cell<Option<Core>> = const { Cell::new(None) };
}

type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// The pieces that a thread has yet to take: first << 32 | end. On cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Run(AtomicU64);

impl Run {
    fn set(&self, pieces: Range<usize>) {
        self.0.store((pieces.start as u64) << 32 | pieces.end as u64, Relaxed);
    }

    /// Takes one from the front, or from the back for a thread that helps.
    fn take(&self, help: bool) -> Option<usize> {
        let rest = |run: u64| {
            let (first, end) = (run >> 32, run & u64::from(u32::MAX));
            (first < end).then(|| if help { run - 1 } else { run + (1 << 32) })
        };
        let run = self.0.fetch_update(Relaxed, Relaxed, rest).ok()?;
        Some(if help { (run - 1) as u32 as usize } else { (run >> 32) as usize })
    }
}

/// What the threads share.
///
/// Whoever goes to sleep says so, then looks again; whoever wakes others changes what they wait for, then looks who sleeps. What
/// is written before such a look is written by a `swap` or another read-modify-write, never by a `store`: QEMU up to 7.2
/// lets the load after a sequentially consistent store of ARM overtake it, and then nobody wakes. On x86 both are one instruction.
struct Club {
    gate: AtomicU64,
    /// What is to be done; read by threads inside the gate only.
    work: UnsafeCell<*const Work<'static>>,
    /// Of each thread, the caller first.
    runs: Box<[Run]>,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    caller_sleeps: AtomicBool,
    bed: Mutex<()>,
    bell: Condvar,
    done: Condvar,
    panicked: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `work` is written by the caller alone while the gate is closed and nobody is inside, and read inside only.
unsafe impl Send for Club {}
// SAFETY: as above.
unsafe impl Sync for Club {}

impl std::fmt::Debug for Club {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Club").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads`, the caller of [`Pool::run`] counted; of fewer if the system gives no more. If there are `cores`,
    /// each thread is bound to one of them, the caller to the first; threads that are left are not bound.
    pub(crate) fn new(threads: usize, cores: &[Core]) -> Pool {
        fn nothing(_: usize, _: usize) {}
        let club = Arc::new(Club {
            gate: AtomicU64::new(0),
            work: UnsafeCell::new(&nothing),
            runs: (0..threads.max(1)).map(|_| Run::default()).collect(),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            caller_sleeps: AtomicBool::new(false),
            bed: Mutex::new(()),
            bell: Condvar::new(),
            done: Condvar::new(),
            panicked: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let spawn = |thread| {
            let (club, core) = (club.clone(), cores.get(thread).copied());
            let serve = move || {
                core.into_iter().for_each(cores::bind);
                club.serve(thread);
            };
            std::thread::Builder::new().name(format!("kernel-{thread}")).spawn(serve).ok()
        };
        let workers = (1..threads).map_while(spawn).collect();
        Pool { club, workers, core: cores.first().copied(), not_sync: PhantomData }
    }

    /// Threads, the caller counted.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work(thread, piece)` for every piece, on all threads, and returns when all are done. Each thread begins with
    /// its part of the pieces, first to last. No two calls at the same time have the same `thread`, which is below
    /// [`Pool::threads`]. `work` must not call `run` of the same pool.
    ///
    /// # Panics
    /// As `work` does.
    pub(crate) fn run(&self, pieces: usize, work: &Work<'_>) {
        if let Some(core) = self.core
            && BOUND.replace(Some(core)) != Some(core)
        {
            cores::bind(core);
        }
        if pieces <= 1 || self.workers.is_empty() {
            return (0..pieces).for_each(|piece| work(0, piece));
        }
        // SAFETY: only the lifetime changes, and `close` below returns when nobody can use it any more.
        let work: &Work<'static> = unsafe { std::mem::transmute::<&Work<'_>, &Work<'static>>(work) };
        self.club.open(work, pieces);
        self.club.work(work, 0);
        self.club.close();
        if self.club.panicked.load(Relaxed) {
            self.club.panicked.store(false, Relaxed);
            let panic = lock(&self.club.panic).take();
            resume_unwind(panic.expect("kept before it was told"));
        }
    }

    /// As [`Pool::run`], with one of `states` for each thread.
    pub(crate) fn run_with<T: Send>(&self, states: &mut [T], pieces: usize, work: &(dyn Fn(&mut T, usize) + Sync)) {
        assert!(states.len() >= self.threads(), "a state for every thread");
        let states = Shared::new(states);
        self.run(pieces, &|thread, piece| {
            // SAFETY: no two calls at the same time have the same thread.
            let state = unsafe { states.part(thread, 1) };
            work(&mut state[0], piece);
        });
    }

    /// Calls `work(i, chunk)` for every chunk of `len` elements of `out`; the last may be shorter.
    pub(crate) fn chunks<T: Send>(&self, out: &mut [T], len: usize, work: impl Fn(usize, &mut [T]) + Sync) {
        let (total, out) = (out.len(), Shared::new(out));
        self.run(total.div_ceil(len), &|_, i| {
            // SAFETY: chunks do not overlap and each piece is done once.
            let chunk = unsafe { out.part(i * len, len.min(total - i * len)) };
            work(i, chunk);
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.club.stop.store(true, SeqCst);
        drop(lock(&self.club.bed));
        self.club.bell.notify_all();
        for worker in self.workers.drain(..) {
            // Its panics were caught and handed to the callers.
            let _ = worker.join();
        }
    }
}

impl Club {
    /// A worker's life.
    fn serve(&self, thread: usize) {
        let mut last = 0;
        while let Some(number) = self.wait(last) {
            last = number;
            if self.enter(number) {
                // SAFETY: inside the gate it does not change, and entering has acquired what `open` released.
                let work = unsafe { *self.work.get() };
                self.work(work, thread);
                self.leave();
            }
        }
    }

    /// Does pieces until none is left. After a panic nobody takes another.
    fn work(&self, work: *const Work<'static>, thread: usize) {
        // SAFETY: the caller of `run` keeps the closure until the gate is closed and all are out.
        let work = unsafe { &*work };
        let result = catch_unwind(AssertUnwindSafe(|| {
            let (before, from) = self.runs.split_at(thread);
            for (i, run) in from.iter().chain(before).enumerate() {
                while let Some(piece) = run.take(i > 0) {
                    work(thread, piece);
                }
            }
        }));
        if let Err(panic) = result {
            self.runs.iter().for_each(|run| run.set(0..0));
            lock(&self.panic).get_or_insert(panic);
            // Seen by the caller, as whoever is inside comes out after this.
            self.panicked.store(true, Relaxed);
        }
    }

    /// The number of an open job other than `last`, or `None` at the end.
    fn wait(&self, last: u64) -> Option<u64> {
        let look = || {
            let gate = self.gate.load(SeqCst);
            (gate & OPEN != 0 && gate >> 32 != last).then_some(gate >> 32)
        };
        for _ in 0..SPINS {
            if let Some(number) = look() {
                return Some(number);
            }
            std::hint::spin_loop();
        }
        let mut bed = lock(&self.bed);
        self.sleepers.fetch_add(1, SeqCst);
        let number = loop {
            if self.stop.load(SeqCst) {
                break None;
            }
            if let Some(number) = look() {
                break Some(number);
            }
            bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, SeqCst);
        number
    }

    /// Comes in, if job `number` is still open.
    fn enter(&self, number: u64) -> bool {
        let come_in = |gate: u64| (gate & OPEN != 0 && gate >> 32 == number).then_some(gate + 1);
        self.gate.fetch_update(SeqCst, SeqCst, come_in).is_ok()
    }

    fn leave(&self) {
        let before = self.gate.fetch_sub(1, SeqCst);
        if before & INSIDE == 1 && before & OPEN == 0 && self.caller_sleeps.load(SeqCst) {
            drop(lock(&self.bed));
            self.done.notify_one();
        }
    }

    /// Lets the workers in. The gate is closed and nobody inside.
    fn open(&self, work: *const Work<'static>, pieces: usize) {
        // SAFETY: nobody is inside, so nobody reads.
        unsafe { *self.work.get() = work };
        assert!(u32::try_from(pieces).is_ok(), "{pieces} pieces");
        let start = |run: usize| run * pieces / self.runs.len();
        self.runs.iter().enumerate().for_each(|(i, run)| run.set(start(i)..start(i + 1)));
        let number = (self.gate.load(Relaxed) >> 32).wrapping_add(1);
        self.gate.swap(number << 32 | OPEN, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            drop(lock(&self.bed));
            self.bell.notify_all();
        }
    }

    /// Lets nobody in any more and waits until all are out.
    fn close(&self) {
        self.gate.fetch_and(!OPEN, SeqCst);
        let empty = || self.gate.load(SeqCst) & INSIDE == 0;
        for _ in 0..SPINS {
            if empty() {
                return;
            }
            std::hint::spin_loop();
        }
        let mut bed = lock(&self.bed);
        self.caller_sleeps.swap(true, SeqCst);
        while !empty() {
            bed = self.done.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.caller_sleeps.store(false, SeqCst);
    }
}

/// Nothing that a lock here guards can be left half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once() {
        for threads in [1, 2, 5] {
            let cores = if threads == 2 { cores::all() } else { vec![] };
            let pool = Pool::new(threads, &cores);
            let threads = pool.threads();
            for round in 0..300 {
                let counts: Vec<AtomicUsize> = (0..round % 40).map(|_| AtomicUsize::new(0)).collect();
                pool.run(counts.len(), &|thread, piece| {
                    assert!(thread < threads);
                    counts[piece].fetch_add(1, Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3, &[]);
        for _ in 0..20 {
            let result = catch_unwind(AssertUnwindSafe(|| pool.run(50, &|_, piece| assert!(piece != 17, "piece 17"))));
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
        pool.run_with(&mut sums, 100, &|sum, piece| *sum += piece);
        assert_eq!(sums.iter().sum::<usize>(), 4950);
    }

    #[test]
    fn callers_on_several_threads_take_turns() {
        let (pool, total) = (Mutex::new(Pool::new(3, &[])), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| lock(&pool).run(7, &|_, _| _ = total.fetch_add(1, Relaxed))));
            }
        });
        assert_eq!(total.load(Relaxed), 2800);
    }
}
