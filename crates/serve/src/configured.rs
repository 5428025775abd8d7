//! What an operator has told the server, as far as it may change while it runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use serde_json::{Value, json};

use crate::App;

/// How the configuration that the server runs with stands to the one that was written last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// The one that was written is invalid: it changes nothing.
    pub invalid: bool,
    /// Settings of it that wait for a restart.
    pub restart: Vec<String>,
}

/// What is kept and worked on at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Responses that later requests may go on from (default 4,096).
    pub responses: usize,
    /// Bytes of them, as JSON (default 256 MiB).
    pub response_bytes: usize,
    /// Requests of batches that are answered at once (default 32); more would wait in the engine's queue.
    pub batch_requests: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { responses: 4096, response_bytes: 256 << 20, batch_requests: 32 }
    }
}

/// What was told.
pub(crate) struct Told {
    batch_requests: AtomicUsize,
    configured: RwLock<Option<Configured>>,
}

impl Default for Told {
    fn default() -> Told {
        let batch_requests = AtomicUsize::new(Bounds::default().batch_requests);
        Told { batch_requests, configured: RwLock::default() }
    }
}

impl App {
    /// Keeps and works on no more than this from now on.
    pub fn bound(&self, most: Bounds) {
        self.responses.bound(most);
        self.told.batch_requests.store(most.batch_requests.max(1), Ordering::Relaxed);
    }

    #[cfg(feature = "batches")]
    pub(crate) fn batch_requests(&self) -> usize {
        self.told.batch_requests.load(Ordering::Relaxed)
    }

    /// Says at /health and /metrics how a configuration was taken that was written while the server runs.
    pub fn configured(&self, how: Configured) {
        let outcome = if how.invalid { "invalid" } else { "applied" };
        self.watch.reloads().ended(outcome, how.invalid, how.restart.len());
        *self.told.configured.write().unwrap_or_else(PoisonError::into_inner) = Some(how);
    }

    /// What /health says of the configuration, once one was written while the server runs. What is wrong with it is in the log: who
    /// asks here may be anybody.
    pub(crate) fn configuration(&self) -> Option<Value> {
        let told = self.told.configured.read().unwrap_or_else(PoisonError::into_inner);
        let Configured { invalid, restart } = told.as_ref()?;
        let word = match (invalid, restart.as_slice()) {
            (true, _) => "invalid",
            (false, []) => "applied",
            (false, _) => "restart needed",
        };
        Some(json!({ "status": word, "restart": restart }))
    }
}
