//! Responses that are kept: a bounded number of them, in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::log::Log;
use crate::Bounds;

/// What is kept.
#[derive(Default)]
pub(crate) struct Store(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// With the bytes that each takes.
    by_id: HashMap<String, (Entry, usize)>,
    /// In the order in which they were first kept; some are gone. The oldest go first.
    order: VecDeque<String>,
    bytes: usize,
    most: Bounds,
}

/// A response.
pub(super) struct Entry {
    /// As it is now.
    pub(super) response: Value,
    /// The conversation up to it, its answer included.
    pub(super) messages: Vec<Value>,
    /// The items of its request.
    pub(super) input: Vec<Value>,
    /// Ends what still makes it.
    pub(super) running: Option<CancellationToken>,
    /// Its events, if it is made in the background and told as a stream.
    pub(super) log: Option<Arc<Log>>,
}

impl Entry {
    fn bytes(&self) -> usize {
        size(&self.response) + size(&self.messages) + size(&self.input) + self.log.as_ref().map_or(0, |log| log.bytes())
    }
}

impl Store {
    /// Keeps no more than this from now on.
    pub(crate) fn bound(&self, most: Bounds) {
        let mut kept = self.lock();
        kept.most = most;
        kept.shrink();
    }

    /// Keeps a response, in place of what was kept of it. One that was cancelled or deleted while it was made stays so.
    pub(super) fn put(&self, id: &str, entry: Entry) {
        let (bytes, response) = (entry.bytes(), &entry.response);
        let mut kept = self.lock();
        let known = kept.by_id.get(id).map(|(known, _)| known);
        let begun = response["background"] == true && response["status"] != "queued";
        if known.is_some_and(|known| known.response["status"] == "cancelled") || known.is_none() && begun {
            return;
        }
        if known.is_none() {
            kept.order.push_back(id.to_owned());
        }
        kept.bytes += bytes;
        if let Some((_, old)) = kept.by_id.insert(id.to_owned(), (entry, bytes)) {
            kept.bytes -= old;
        }
        kept.shrink();
    }

    /// The place that ends so, if there is one.
    pub(super) fn place(&self, end: &str) -> Option<String> {
        self.lock().by_id.keys().find(|place| place.ends_with(end)).cloned()
    }

    /// A response as it is now.
    pub(super) fn response(&self, id: &str) -> Option<Value> {
        self.lock().by_id.get(id).map(|(entry, _)| entry.response.clone())
    }

    /// The events of a response; `Some(None)` if it has none.
    pub(super) fn log(&self, id: &str) -> Option<Option<Arc<Log>>> {
        self.lock().by_id.get(id).map(|(entry, _)| entry.log.clone())
    }

    /// The conversation up to a response that is complete, its answer included.
    pub(super) fn messages(&self, id: &str) -> Option<Vec<Value>> {
        let kept = self.lock();
        let (entry, _) = kept.by_id.get(id).filter(|(entry, _)| entry.running.is_none())?;
        Some(entry.messages.clone())
    }

    /// The items of its request.
    pub(super) fn input(&self, id: &str) -> Option<Vec<Value>> {
        self.lock().by_id.get(id).map(|(entry, _)| entry.input.clone())
    }

    /// Forgets a response, and ends what still makes it; says whether it was there.
    pub(super) fn remove(&self, id: &str) -> bool {
        let mut kept = self.lock();
        let Some((entry, bytes)) = kept.by_id.remove(id) else { return false };
        kept.bytes -= bytes;
        entry.running.inspect(CancellationToken::cancel);
        true
    }

    /// Ends a response that is still made; gives it as it is then. `Err` if it is not made in the background.
    pub(super) fn cancel(&self, id: &str) -> Option<Result<Value, ()>> {
        let mut kept = self.lock();
        let (entry, _) = kept.by_id.get_mut(id)?;
        if entry.response["background"] != true {
            return Some(Err(()));
        }
        if let Some(running) = entry.running.take() {
            running.cancel();
            entry.response["status"] = "cancelled".into();
        }
        Some(Ok(entry.response.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn shrink(&mut self) {
        let Bounds { responses, response_bytes, .. } = self.most;
        while self.by_id.len() > responses
            || self.bytes > response_bytes
            || self.order.len() > responses.saturating_mul(2)
        {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some((entry, bytes)) = self.by_id.remove(&oldest) {
                self.bytes -= bytes;
                entry.running.inspect(CancellationToken::cancel);
            }
        }
    }
}

/// Bytes of a value as JSON. What cannot be written takes none.
fn size(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |bytes| bytes.len())
}
