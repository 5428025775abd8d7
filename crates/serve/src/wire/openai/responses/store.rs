//! Responses that are kept: a bounded number of them, in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::Bounds;

/// What is kept.
#[derive(Default)]
pub(crate) struct Store(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_id: HashMap<String, Entry>,
    /// In the order in which they were first kept; some are gone. The oldest go first.
    order: VecDeque<String>,
    bytes: usize,
    most: Bounds,
}

struct Entry {
    response: Value,
    messages: Vec<Value>,
    input: Vec<Value>,
    /// Ends what still makes it.
    running: Option<CancellationToken>,
    bytes: usize,
}

impl Store {
    /// Keeps no more than this from now on.
    pub(crate) fn bound(&self, most: Bounds) {
        let mut kept = self.lock();
        kept.most = most;
        kept.shrink();
    }

    /// Keeps a response, in place of what was kept of it. One that was cancelled or deleted while it was made stays so.
    pub(super) fn put(
        &self,
        id: &str,
        response: Value,
        messages: Vec<Value>,
        input: Vec<Value>,
        running: Option<CancellationToken>,
    ) {
        let bytes = size(&response) + size(&messages) + size(&input);
        let mut kept = self.lock();
        let known = kept.by_id.get(id);
        let begun = response["background"] == true && response["status"] != "queued";
        if known.is_some_and(|known| known.response["status"] == "cancelled") || known.is_none() && begun {
            return;
        }
        if known.is_none() {
            kept.order.push_back(id.to_owned());
        }
        kept.bytes += bytes;
        let entry = Entry { response, messages, input, running, bytes };
        if let Some(old) = kept.by_id.insert(id.to_owned(), entry) {
            kept.bytes -= old.bytes;
        }
        kept.shrink();
    }

    /// A response as it is now.
    pub(super) fn response(&self, id: &str) -> Option<Value> {
        self.lock().by_id.get(id).map(|entry| entry.response.clone())
    }

    /// The conversation up to a response that is complete, its answer included.
    pub(super) fn messages(&self, id: &str) -> Option<Vec<Value>> {
        let kept = self.lock();
        let entry = kept.by_id.get(id).filter(|entry| entry.running.is_none())?;
        Some(entry.messages.clone())
    }

    /// The items of its request.
    pub(super) fn input(&self, id: &str) -> Option<Vec<Value>> {
        self.lock().by_id.get(id).map(|entry| entry.input.clone())
    }

    /// Forgets a response, and ends what still makes it; says whether it was there.
    pub(super) fn remove(&self, id: &str) -> bool {
        let mut kept = self.lock();
        let Some(entry) = kept.by_id.remove(id) else { return false };
        kept.bytes -= entry.bytes;
        entry.running.inspect(CancellationToken::cancel);
        true
    }

    /// Ends a response that is still made; gives it as it is then. `Err` if it is not made in the background.
    pub(super) fn cancel(&self, id: &str) -> Option<Result<Value, ()>> {
        let mut kept = self.lock();
        let entry = kept.by_id.get_mut(id)?;
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
            if let Some(entry) = self.by_id.remove(&oldest) {
                self.bytes -= entry.bytes;
                entry.running.inspect(CancellationToken::cancel);
            }
        }
    }
}

/// Bytes of a value as JSON. What cannot be written takes none.
fn size(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |bytes| bytes.len())
}
