//! Waiting with the interpreter let go, so that other threads of Python run, and Ctrl-C is heard.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::errors;

/// How often somebody who waits looks for signals.
const GLANCE: Duration = Duration::from_millis(50);

/// Wakes a thread that waits for something to be ready.
#[derive(Default)]
struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    /// Waits until somebody wakes it; false if that was not before `until`.
    fn park(&self, until: Instant) -> bool {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(woken, left, |woken| !*woken);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
        Instant::now() < until
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Parker>) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}

/// Polls until it is ready.
///
/// # Errors
/// What a handler of a signal raised: `KeyboardInterrupt` after Ctrl-C.
pub(crate) fn wait<T: Send>(py: Python<'_>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T> + Send) -> PyResult<T> {
    let parker = Arc::new(Parker::default());
    let waker = Waker::from(Arc::clone(&parker));
    loop {
        let ready = py.detach(|| {
            let until = Instant::now() + GLANCE;
            loop {
                if let Poll::Ready(value) = poll(&mut Context::from_waker(&waker)) {
                    return Some(value);
                }
                if !parker.park(until) {
                    return None;
                }
            }
        });
        match ready {
            Some(value) => return Ok(value),
            None => py.check_signals()?,
        }
    }
}

/// Awaits a future.
///
/// # Errors
/// As [`wait`].
pub(crate) fn future<T: Send>(py: Python<'_>, future: impl Future<Output = T> + Send) -> PyResult<T> {
    let mut future = Box::pin(future);
    wait(py, |cx| future.as_mut().poll(cx))
}

/// Does `work` on a thread of its own. Who is interrupted leaves the thread to itself: it ends when the work does.
///
/// # Errors
/// As [`wait`], and if there is no thread.
pub(crate) fn on_thread<T: Send + 'static>(
    py: Python<'_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let (sender, mut receiver) = channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    // Who asked may be gone.
    let spawned = thread.spawn(move || drop(sender.send(work())));
    spawned.map_err(|error| errors::raised("FileError", &format!("starting a thread: {error}")))?;
    loop {
        let receiver = &mut receiver;
        let got = py.detach(move || receiver.recv_timeout(GLANCE));
        match got {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(errors::raised(
                    "EngineError",
                    &format!("the thread {name} panicked; its message is on stderr"),
                ));
            }
        }
    }
}

/// Drops a value whose destructor waits for threads that may want the interpreter.
pub(crate) fn drop_detached<T: Send>(value: T) {
    // Where the interpreter is gone there is nobody to let go; the value is dropped with the closure.
    let _ = Python::try_attach(|py| py.detach(|| drop(value)));
}
