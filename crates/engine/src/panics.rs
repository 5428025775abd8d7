//! Panics of code that is not the engine's own (executors, sinks, masks, observers) end in an error, not in the engine.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `f`.
///
/// # Errors
/// The message of its panic. What `f` borrowed may be left half changed: the caller must not rely on it.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| message(payload.as_ref()))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// Something that may panic whenever it is called, even when it is dropped. It is dropped after its first panic.
pub(crate) struct Guarded<T: ?Sized>(Option<Box<T>>);

impl<T: ?Sized> Guarded<T> {
    pub(crate) fn new(inner: Box<T>) -> Guarded<T> {
        Guarded(Some(inner))
    }

    /// # Errors
    /// The message of the panic, also if there was one before.
    pub(crate) fn call<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> Result<R, String> {
        let inner = self.0.as_mut().ok_or("it has panicked before")?;
        let result = catch(|| f(inner.as_mut()));
        if result.is_err() {
            self.discard();
        }
        result
    }

    fn discard(&mut self) {
        let inner = self.0.take();
        let _ = catch(move || drop(inner));
    }
}

impl<T: ?Sized> Drop for Guarded<T> {
    fn drop(&mut self) {
        self.discard();
    }
}
