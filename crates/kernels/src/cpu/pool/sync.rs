//! What the pool's protocol is made of. `tests/pool_protocol.rs` puts loom's model of the same in its place.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};

/// Looks at the gate before a thread goes to sleep: some hundred microseconds, longer than a task of a step of many sequences
/// takes.
pub(super) const SPINS: usize = 4000;

/// Says that a thread is spinning.
pub(super) fn spin() {
    std::hint::spin_loop();
}

/// A place that one thread writes while nobody else looks.
#[derive(Debug)]
pub(super) struct Place<T>(std::cell::UnsafeCell<T>);

impl<T: Copy> Place<T> {
    pub(super) fn new(value: T) -> Place<T> {
        Place(std::cell::UnsafeCell::new(value))
    }

    /// # Safety
    /// Nobody writes it at the same time.
    pub(super) unsafe fn read(&self) -> T {
        // SAFETY: the caller's promise.
        unsafe { *self.0.get() }
    }

    /// # Safety
    /// Nobody reads or writes it at the same time.
    pub(super) unsafe fn write(&self, value: T) {
        // SAFETY: the caller's promise.
        unsafe { *self.0.get() = value }
    }
}
