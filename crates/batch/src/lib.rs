//! Files and batches of requests, the history of engines and releases with their journals, kept in a SQLite database. What [`Store`] has said yes to survives the process: each change is
//! one transaction, on the disk before the call returns.
//!
//! A batch is a file of requests, one on each line. Its lines are answered in any order; an answer is recorded once, whoever
//! tries, so a batch whose process was killed goes on with the lines that have none. When all have one, or time is up, the
//! answers become files. Files and batches have owners; who asks for one of another's is told that there is none.
//!
//! Architecture invariant: this crate knows nothing of HTTP, of any API's JSON, of models or of the clock (time is passed in, in
//! seconds since 1970). What a line or an answer says is text to it.

mod batches;
mod files;
mod learned;
mod owner;
mod points;
mod profiles;
mod releases;
mod schema;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

pub use batches::{Batch, Counts, Line, NewBatch, Outcome, Status};
pub use files::{File, NewFile};
pub use owner::{Owned, Who};
pub use points::StoredPoint;
pub use profiles::{NewProfile, Profiles, StoredProfile};

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the database open.
    #[error("{0} is used by another process; each needs a folder of its own")]
    InUse(String),
    /// A newer version of this program made it.
    #[error("{0} was made by a newer version of whinchat; take that one, or another folder")]
    Newer(String),
    /// The database's own words.
    #[error("the database of files and batches: {0}")]
    Database(#[from] rusqlite::Error),
}

type Result<T> = std::result::Result<T, StoreError>;

/// The database. Calls block while the disk works.
pub struct Store(Mutex<Connection>);

impl Store {
    /// Opens the database at `path`, or makes it. It is this process's alone until it is dropped.
    ///
    /// # Errors
    /// If another process has it, or the file cannot be used.
    pub fn open(path: &Path) -> Result<Store> {
        schema::opened(path).map(|connection| Store(Mutex::new(connection)))
    }

    /// A panic while it is held left no transaction open, so a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
