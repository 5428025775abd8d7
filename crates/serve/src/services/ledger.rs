//! What is known of a stage that is elsewhere: how it is asked, how that goes, and what it takes of the memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

/// A stage that another process is.
pub trait Elsewhere: Send + Sync {
    /// How asking it goes.
    fn ledger(&self) -> &Ledger;

    /// Bytes that its process has in memory, if it can be found out. It may be asked over the network.
    fn resident_bytes(&self) -> Option<u64>;
}

/// How asking a stage goes: counts since the start, and why the last question had no answer.
#[derive(Debug)]
pub struct Ledger {
    name: &'static str,
    place: String,
    trouble: Mutex<Option<(String, Instant)>>,
    /// Questions, those without an answer, and the microseconds that all of them took.
    calls: AtomicU64,
    failed: AtomicU64,
    micros: AtomicU64,
    /// Bytes sent and received.
    bytes: [AtomicU64; 2],
}

/// Questions and their answers in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) micros: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Ledger {
    /// Of the stage of this name, which is at an address or is a `process`.
    pub fn new(name: &'static str, place: String) -> Ledger {
        let (trouble, calls, failed, micros, bytes) = Default::default();
        Ledger { name, place, trouble, calls, failed, micros, bytes }
    }

    /// What the stage is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where it is.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The stage for people: `the tokenizer at http://127.0.0.1:8001`.
    pub fn title(&self) -> String {
        let word = match self.name {
            "memory" => "memory manager",
            "compute" if self.place == "process" => return "the process that computes".to_owned(),
            "compute" => "computation manager",
            name => name,
        };
        format!("the {word} at {}", self.place)
    }

    /// A question of so many bytes was answered with so many, or not; it was asked at a time.
    pub fn asked_at(&self, began: Instant, (sent, received): (usize, usize), answered: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
        self.bytes[0].fetch_add(sent as u64, Ordering::Relaxed);
        self.bytes[1].fetch_add(received as u64, Ordering::Relaxed);
        if answered {
            *self.trouble() = None;
        }
    }

    /// A question has no answer that can be used.
    pub fn failed(&self, why: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        *self.trouble() = Some((why, Instant::now()));
    }

    /// What is said of it in `/health`: whether the last question was answered, and what has been asked.
    pub fn health(&self) -> Value {
        let Asked { calls, failed, .. } = self.asked();
        let trouble = self.trouble().clone();
        let status = if trouble.is_some() { "unavailable" } else { "ready" };
        let mut told = json!({ "status": status, "url": self.place, "calls": calls, "failed": failed });
        if let Some((why, since)) = trouble {
            told["reason"] = why.into();
            told["seconds_ago"] = since.elapsed().as_secs_f64().into();
        }
        told
    }

    pub(crate) fn asked(&self) -> Asked {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let [sent, received] = self.bytes.each_ref().map(read);
        Asked { calls: read(&self.calls), failed: read(&self.failed), micros: read(&self.micros), sent, received }
    }

    fn trouble(&self) -> MutexGuard<'_, Option<(String, Instant)>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
