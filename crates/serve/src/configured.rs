//! What an operator has told the server, as far as it may change while it runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use serde_json::{Value, json};

use crate::{App, Keys};

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
    /// Bytes of all files of one key, and of all its sessions (default 4 GiB).
    pub file_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { responses: 4096, response_bytes: 256 << 20, batch_requests: 32, file_bytes: 4 << 30 }
    }
}

/// What was told.
pub(crate) struct Told {
    batch_requests: AtomicUsize,
    file_bytes: AtomicUsize,
    /// The keys of who is answered, once anybody is; none if everybody is.
    keys: OnceLock<Option<Keys>>,
    configured: RwLock<Option<Configured>>,
}

impl Default for Told {
    fn default() -> Told {
        let Bounds { batch_requests, file_bytes, .. } = Bounds::default();
        let [batch_requests, file_bytes] = [batch_requests, file_bytes].map(AtomicUsize::new);
        Told { batch_requests, file_bytes, keys: OnceLock::new(), configured: RwLock::default() }
    }
}

impl App {
    /// Keeps and works on no more than this from now on.
    pub fn bound(&self, most: Bounds) {
        self.responses.bound(most);
        self.told.batch_requests.store(most.batch_requests.max(1), Ordering::Relaxed);
        self.told.file_bytes.store(most.file_bytes, Ordering::Relaxed);
    }

    #[cfg(feature = "batches")]
    pub(crate) fn batch_requests(&self) -> usize {
        self.told.batch_requests.load(Ordering::Relaxed)
    }

    pub(crate) fn file_bytes(&self) -> usize {
        self.told.file_bytes.load(Ordering::Relaxed)
    }

    /// From now on who holds one of these keys is answered; everybody if there are none. Only the first call counts.
    pub(crate) fn answers_keys(&self, keys: Option<&Keys>) {
        self.told.keys.get_or_init(|| keys.cloned());
    }

    /// The keys of who is answered; `None` as long as nobody is.
    #[cfg(feature = "batches")]
    pub(crate) fn answered_keys(&self) -> Option<Option<&Keys>> {
        self.told.keys.get().map(Option::as_ref)
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
