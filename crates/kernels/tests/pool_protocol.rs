//! The protocol of the thread pool in every order in which its threads can run, by loom's model of atomics, locks and memory.

#[path = "../src/cpu/pool/dispatch.rs"]
#[allow(unsafe_code, dead_code, clippy::reversed_empty_ranges)]
mod dispatch;

use loom::cell::UnsafeCell;
use loom::sync::Arc;

use dispatch::Dispatch;

/// What the protocol is made of, as loom models it.
#[allow(unsafe_code)]
mod sync {
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
    pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};

    /// A thread that spins tells nothing that one that sleeps does not.
    pub(super) const SPINS: usize = 0;

    pub(super) fn spin() {
        loom::hint::spin_loop();
    }

    #[derive(Debug)]
    pub(super) struct Place<T>(loom::cell::UnsafeCell<T>);

    impl<T: Copy> Place<T> {
        pub(super) fn new(value: T) -> Place<T> {
            Place(loom::cell::UnsafeCell::new(value))
        }

        pub(super) unsafe fn read(&self) -> T {
            // SAFETY: loom stops the test if somebody writes it at the same time.
            self.0.with(|value| unsafe { *value })
        }

        pub(super) unsafe fn write(&self, new: T) {
            // SAFETY: loom stops the test if somebody else looks at the same time.
            self.0.with_mut(|value| unsafe { *value = new });
        }
    }
}

/// A number that tasks write and the caller reads; loom stops the test if they do so without an order.
struct Number(UnsafeCell<usize>);

// SAFETY: loom watches over it.
#[allow(unsafe_code)]
unsafe impl Sync for Number {}

impl Number {
    fn add(&self, n: usize) {
        // SAFETY: as above.
        #[allow(unsafe_code)]
        self.0.with_mut(|value| unsafe { *value += n });
    }

    fn get(&self) -> usize {
        // SAFETY: as above.
        #[allow(unsafe_code)]
        self.0.with(|value| unsafe { *value })
    }
}

/// A caller with so many workers does jobs of so many tasks each; then the pool ends. Each task is done once, and the caller sees
/// what it wrote.
fn check(workers: usize, jobs: &'static [usize], preemptions: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let dispatch = Arc::new(Dispatch::new(workers + 1));
        let spawn = |thread| {
            let dispatch = dispatch.clone();
            loom::thread::spawn(move || dispatch.serve(thread))
        };
        let threads: Vec<_> = (1..=workers).map(spawn).collect();
        for &tasks in jobs {
            let numbers: Vec<Number> = (0..tasks).map(|_| Number(UnsafeCell::new(0))).collect();
            let done = dispatch.run(tasks, &|_, task| numbers[task].add(task + 1));
            assert!(done.is_ok());
            assert!(numbers.iter().enumerate().all(|(task, number)| number.get() == task + 1));
        }
        dispatch.stop();
        threads.into_iter().for_each(|thread| thread.join().expect("no panics"));
    });
}

#[test]
fn one_worker_and_two_jobs() {
    check(1, &[2, 2], 3);
}

#[test]
fn two_workers_and_one_job() {
    check(2, &[3], 2);
}

#[test]
fn a_sleeping_worker_is_woken() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let dispatch = Arc::new(Dispatch::new(2));
        let worker = dispatch.clone();
        let worker = loom::thread::spawn(move || worker.serve(1));
        // The caller's task waits for the other, which only the worker can take meanwhile.
        let (done, changed) = (sync::Mutex::new(false), sync::Condvar::new());
        let work = |_, task: usize| {
            let mut done = done.lock().expect("no panics");
            *done |= task == 1;
            changed.notify_all();
            while !*done {
                done = changed.wait(done).expect("no panics");
            }
        };
        assert!(dispatch.run(2, &work).is_ok());
        dispatch.stop();
        worker.join().expect("no panics");
    });
}

#[test]
fn a_panic_ends_its_job_alone() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let dispatch = Arc::new(Dispatch::new(2));
        let worker = dispatch.clone();
        let worker = loom::thread::spawn(move || worker.serve(1));
        assert!(dispatch.run(2, &|_, task| assert!(task == 0, "the second task")).is_err());
        assert!(dispatch.run(1, &|_, _| {}).is_ok());
        dispatch.stop();
        worker.join().expect("no panics");
    });
}
