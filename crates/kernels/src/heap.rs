//! The C library's heap.

/// Lets glibc's heap have at most `arenas`, where it would have 8 for each core.
///
/// An arena serves some threads and keeps what they free, in pieces between what still lives. A server whose models come and go
/// allocates a model on one thread and the next on another, and so pays for each arena with a part of a model. Call it before the first
/// thread starts. Other C libraries have no arenas, and nothing happens.
pub fn limit_heap_arenas(arenas: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let most = arenas.clamp(1, 1024) as i32;
        #[allow(unsafe_code)]
        // SAFETY: it sets a number under the heap's own lock, and reads nothing of ours.
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, most) };
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = arenas;
}
