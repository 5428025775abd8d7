//! How a job is handed to the threads and how its caller knows that they are done.
//!
//! A job is open while its gate is: workers enter, take tasks and leave. The caller works too. When no task is left it closes the
//! gate and waits for those inside, so a worker that the system has put aside before it entered costs nothing.
//!
//! Threads spin for a bounded time, then sleep. Who goes to sleep says so, then looks again; who wakes others changes what they
//! wait for, then looks who sleeps. Between its write and its look each has a sequentially consistent fence, so that at least one
//! of the two sees the other. `tests/pool_protocol.rs` checks this for every order in which the threads can run.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::sync::{AtomicBool, AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, Place, SPINS, fence, spin};

/// Bit of the gate: threads may enter. Above it stands the number of the job, below it how many threads are inside.
const OPEN: u64 = 1 << 31;
const INSIDE: u64 = OPEN - 1;

/// What is done for each task of a job: called with the number of the thread and the number of the task.
pub(super) type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// The tasks that a thread has yet to take: first << 32 | end. On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Queue(AtomicU64);

impl Queue {
    fn set(&self, tasks: Range<u32>) {
        self.0.store(u64::from(tasks.start) << 32 | u64::from(tasks.end), Relaxed);
    }

    /// Takes one from the front, or from the back for a thread that helps.
    fn take(&self, help: bool) -> Option<u32> {
        let rest = |queue: u64| {
            let (first, end) = halves(queue);
            (first < end).then(|| if help { queue - 1 } else { queue + (1 << 32) })
        };
        let (first, end) = halves(self.0.fetch_update(Relaxed, Relaxed, rest).ok()?);
        Some(if help { end - 1 } else { first })
    }
}

fn halves(queue: u64) -> (u32, u32) {
    let [a, b, c, d, rest @ ..] = queue.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(rest))
}

/// What the threads of a pool share.
pub(super) struct Dispatch {
    gate: AtomicU64,
    /// What is to be done; read by threads inside the gate only.
    work: Place<*const Work<'static>>,
    /// The tasks of each thread, the caller first.
    queues: Box<[Queue]>,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    caller_sleeps: AtomicBool,
    /// Guards nothing: it makes looking again and going to sleep one.
    sleep: Mutex<()>,
    wake: Condvar,
    done: Condvar,
    panicked: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `work` is written by the caller alone while the gate is closed and nobody is inside, and read inside only.
unsafe impl Send for Dispatch {}
// SAFETY: as above.
unsafe impl Sync for Dispatch {}

impl std::fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatch").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl Dispatch {
    /// For so many threads, the caller counted; at least one.
    pub(super) fn new(threads: usize) -> Dispatch {
        fn nothing(_: usize, _: usize) {}
        Dispatch {
            gate: AtomicU64::new(0),
            work: Place::new(&nothing),
            queues: (0..threads.max(1)).map(|_| Queue(AtomicU64::new(0))).collect(),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            caller_sleeps: AtomicBool::new(false),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            done: Condvar::new(),
            panicked: AtomicBool::new(false),
            panic: Mutex::new(None),
        }
    }

    /// Does a job of so many tasks with whichever workers come; the panic of a task if there was one.
    ///
    /// # Panics
    /// If there are more tasks than a `u32` counts.
    pub(super) fn run(&self, tasks: usize, work: &Work<'_>) -> Result<(), Box<dyn Any + Send>> {
        // SAFETY: only the lifetime changes, and `close` returns when nobody can use it any more.
        let work: &Work<'static> = unsafe { std::mem::transmute::<&Work<'_>, &Work<'static>>(work) };
        self.open(work, tasks);
        self.work(work, 0);
        self.close();
        if !self.panicked.load(Relaxed) {
            return Ok(());
        }
        self.panicked.store(false, Relaxed);
        Err(lock(&self.panic).take().expect("kept before it was told"))
    }

    /// A worker's life, until [`Dispatch::stop`].
    pub(super) fn serve(&self, thread: usize) {
        let mut last = 0;
        while let Some(number) = self.wait(last) {
            last = number;
            if self.enter(number) {
                // SAFETY: inside the gate it does not change, and entering has acquired what `open` released.
                let work = unsafe { self.work.read() };
                self.work(work, thread);
                self.leave();
            }
        }
    }

    /// Ends the workers' lives.
    pub(super) fn stop(&self) {
        let sleep = lock(&self.sleep);
        self.stop.store(true, Relaxed);
        drop(sleep);
        self.wake.notify_all();
    }

    /// Does tasks until none is left: a thread's own, then those of others from the end. After a panic nobody takes another.
    fn work(&self, work: *const Work<'static>, thread: usize) {
        // SAFETY: the caller of `run` keeps the closure until the gate is closed and all are out.
        let work = unsafe { &*work };
        let result = catch_unwind(AssertUnwindSafe(|| {
            let (before, from) = self.queues.split_at(thread);
            for (i, queue) in from.iter().chain(before).enumerate() {
                while let Some(task) = queue.take(i > 0) {
                    work(thread, task as usize);
                }
            }
        }));
        if let Err(panic) = result {
            self.queues.iter().for_each(|queue| queue.set(0..0));
            lock(&self.panic).get_or_insert(panic);
            // Seen by the caller, as whoever is inside leaves after this.
            self.panicked.store(true, Relaxed);
        }
    }

    /// The number of an open job other than `last`, or `None` at the end.
    fn wait(&self, last: u64) -> Option<u64> {
        let look = || {
            let gate = self.gate.load(Acquire);
            (gate & OPEN != 0 && gate >> 32 != last).then_some(gate >> 32)
        };
        for _ in 0..SPINS {
            if let Some(number) = look() {
                return Some(number);
            }
            spin();
        }
        let mut sleep = lock(&self.sleep);
        self.sleepers.fetch_add(1, Relaxed);
        fence(SeqCst);
        let number = loop {
            if self.stop.load(Relaxed) {
                break None;
            }
            if let Some(number) = look() {
                break Some(number);
            }
            sleep = self.wake.wait(sleep).unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, Relaxed);
        number
    }

    /// Enters, if job `number` is still open.
    fn enter(&self, number: u64) -> bool {
        let come_in = |gate: u64| (gate & OPEN != 0 && gate >> 32 == number).then_some(gate + 1);
        self.gate.fetch_update(Acquire, Relaxed, come_in).is_ok()
    }

    fn leave(&self) {
        let before = self.gate.fetch_sub(1, AcqRel);
        if before & INSIDE != 1 || before & OPEN != 0 {
            return;
        }
        fence(SeqCst);
        if self.caller_sleeps.load(Relaxed) {
            drop(lock(&self.sleep));
            self.done.notify_one();
        }
    }

    /// Lets the workers in. The gate is closed and nobody inside.
    fn open(&self, work: *const Work<'static>, tasks: usize) {
        let all = u32::try_from(tasks).unwrap_or_else(|_| panic!("{tasks} tasks in one job"));
        // SAFETY: nobody is inside, so nobody reads.
        unsafe { self.work.write(work) };
        let start = |queue: usize| u32::try_from(queue * tasks / self.queues.len()).unwrap_or(all);
        self.queues.iter().enumerate().for_each(|(i, queue)| queue.set(start(i)..start(i + 1)));
        let number = ((self.gate.load(Relaxed) >> 32) + 1) & u64::from(u32::MAX);
        self.gate.store(number << 32 | OPEN, Release);
        fence(SeqCst);
        if self.sleepers.load(Relaxed) > 0 {
            drop(lock(&self.sleep));
            self.wake.notify_all();
        }
    }

    /// Lets nobody in any more and waits until all are out.
    fn close(&self) {
        self.gate.fetch_and(!OPEN, AcqRel);
        let empty = || self.gate.load(Acquire) & INSIDE == 0;
        for _ in 0..SPINS {
            if empty() {
                return;
            }
            spin();
        }
        let mut sleep = lock(&self.sleep);
        self.caller_sleeps.store(true, Relaxed);
        fence(SeqCst);
        while !empty() {
            sleep = self.done.wait(sleep).unwrap_or_else(PoisonError::into_inner);
        }
        self.caller_sleeps.store(false, Relaxed);
    }
}

/// Nothing that a lock here guards can be left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
