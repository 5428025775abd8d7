//! Where sessions are kept; what is in them is the engine's business.

use std::io;

/// A session that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFile {
    /// Its name, with its owner's before it if it has one: `OWNER@NAME`.
    pub name: String,
    /// Bytes it takes.
    pub bytes: u64,
    /// When it was saved, in seconds since 1970.
    pub saved: u64,
}

/// Keeps sessions by name. Names are checked before: letters, digits, `-`, `_`, `@` and `.`; without an owner they do not begin with `.`.
pub trait SessionFiles: Send + Sync {
    /// Keeps a session, perhaps in the place of one with its name.
    ///
    /// # Errors
    /// If it cannot be written; then what was there still is.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// The session of this name; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// All of them, by name.
    ///
    /// # Errors
    /// If they cannot be listed.
    fn list(&self) -> io::Result<Vec<SessionFile>>;

    /// Forgets a session; says whether there was one.
    ///
    /// # Errors
    /// If it cannot be taken away.
    fn remove(&self, name: &str) -> io::Result<bool>;
}
