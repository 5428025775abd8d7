//! Cores, and binding threads to them. Only Linux offers both; on other systems no thread is bound.

/// A core, by the system's number.
pub(crate) type Core = usize;

/// The cores that this process may use.
#[cfg(target_os = "linux")]
pub(crate) fn all() -> Vec<Core> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
}

/// Binds the calling thread to a core. If the system refuses, the thread stays unbound.
#[cfg(target_os = "linux")]
pub(crate) fn bind(core: Core) {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn all() -> Vec<Core> {
    vec![]
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn bind(_: Core) {}
