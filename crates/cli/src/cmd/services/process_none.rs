//! Systems without unix sockets: no process of the server's own computes.

use std::sync::Arc;
use std::time::Duration;

use engine::{Answer, Courier, Executor};
use serve::services::{Elsewhere, Ledger};
use whinchat::Prepared;

/// Nobody.
pub(super) enum Process {}

/// What is told of it.
pub(super) struct Worker(Ledger);

impl Worker {
    /// Of a process, which this word stands for.
    pub(super) fn new(word: &str) -> Worker {
        Worker(Ledger::new("compute", word.to_owned()))
    }
}

impl Elsewhere for Worker {
    fn ledger(&self) -> &Ledger {
        &self.0
    }

    fn resident_bytes(&self) -> Option<u64> {
        None
    }
}

impl Courier for Process {
    fn carry(&mut self, _: &[u8], _: &mut Answer) -> Result<(), String> {
        match *self {}
    }

    fn name(&self) -> String {
        match *self {}
    }
}

pub(super) fn start(_: &Prepared, _: Arc<Worker>, _: Duration) -> anyhow::Result<Process> {
    anyhow::bail!("--compute process: this system has no unix sockets; take --compute http://…")
}

pub(super) fn answer<E: Executor>(_: impl FnOnce() -> anyhow::Result<E>) -> anyhow::Result<()> {
    anyhow::bail!("this system has no unix sockets")
}
