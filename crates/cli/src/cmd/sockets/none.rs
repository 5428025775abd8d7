//! Systems whose processes cannot pass sockets to each other: nobody gives any, and who asks for it is told so.

use std::io;
use std::path::Path;

use serve::http::Listener;

/// There are none.
#[derive(Debug, Default)]
pub(super) struct Sockets;

/// There is none.
pub(super) enum Opened {}

/// There is none.
pub(super) enum Predecessor {}

/// There is none.
pub(super) enum Door {}

impl Sockets {
    pub(super) fn passed() -> anyhow::Result<Sockets> {
        Ok(Sockets)
    }

    pub(super) fn of(_: &[String], _: &[Listener]) -> io::Result<Sockets> {
        Ok(Sockets)
    }

    pub(super) fn names(&self) -> Vec<String> {
        Vec::new()
    }

    pub(super) fn take(&mut self, _: &str) -> Option<io::Result<Opened>> {
        None
    }
}

impl Predecessor {
    pub(super) fn find(path: &Path) -> anyhow::Result<Option<Predecessor>> {
        anyhow::bail!("--hand-over {}: this system has no unix sockets", path.display())
    }

    pub(super) fn sockets(&mut self) -> Sockets {
        match *self {}
    }

    pub(super) fn leave(self) -> io::Result<()> {
        match self {}
    }
}

impl Door {
    pub(super) fn open(path: &Path, _: Sockets) -> anyhow::Result<Door> {
        anyhow::bail!("--hand-over {}: this system has no unix sockets", path.display())
    }

    pub(super) async fn until_taken_over(self) {
        match self {}
    }
}
