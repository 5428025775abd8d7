//! The tables, and how a database is opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::{Result, StoreError};

/// What each version added to the one before. Their number is what is written as `user_version`.
const VERSIONS: [&str; 3] = [TABLES, EXPIRY, OWNERS];

/// A batch's times are seconds since 1970. `input` may name a file that is gone: the lines are a copy.
const TABLES: &str = "
CREATE TABLE files (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, purpose TEXT NOT NULL, created INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE TABLE batches (
    id TEXT PRIMARY KEY, endpoint TEXT NOT NULL, input TEXT NOT NULL, metadata TEXT, status TEXT NOT NULL,
    created INTEGER NOT NULL, expires INTEGER NOT NULL, cancelling INTEGER, ended INTEGER, output TEXT, errors TEXT, problem TEXT
) STRICT;
CREATE TABLE lines (
    batch TEXT NOT NULL REFERENCES batches (id) ON DELETE CASCADE, line INTEGER NOT NULL, custom_id TEXT NOT NULL,
    body TEXT NOT NULL, succeeded INTEGER, answer TEXT, PRIMARY KEY (batch, line)
) STRICT, WITHOUT ROWID;
";

/// Files are forgotten at a time; those of a batch's answers so many seconds after they were written.
const EXPIRY: &str = "
ALTER TABLE files ADD COLUMN expires INTEGER;
ALTER TABLE batches ADD COLUMN output_expires INTEGER;
CREATE INDEX files_by_expiry ON files (expires) WHERE expires IS NOT NULL;
";

/// Whose they are; nobody's where nobody is named.
const OWNERS: &str = "
ALTER TABLE files ADD COLUMN owner TEXT;
ALTER TABLE batches ADD COLUMN owner TEXT;
";

/// A table that came later, and that versions without it need not know.
const POINTS: &str = "
CREATE TABLE IF NOT EXISTS points (
    engine TEXT NOT NULL, time INTEGER NOT NULL, measured TEXT NOT NULL, PRIMARY KEY (time, engine)
) STRICT, WITHOUT ROWID;
";

/// Tables of releases, which versions without them need not know either.
const RELEASES: &str = "
CREATE TABLE IF NOT EXISTS releases (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, about TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS journal (
    release TEXT NOT NULL REFERENCES releases (id) ON DELETE CASCADE, entry INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (release, entry)
) STRICT, WITHOUT ROWID;
";

/// What routes have learned, which versions without it need not know.
const LEARNED: &str = "
CREATE TABLE IF NOT EXISTS learned (route TEXT PRIMARY KEY, what TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS units (
    route TEXT NOT NULL REFERENCES learned (route) ON DELETE CASCADE, unit INTEGER NOT NULL, PRIMARY KEY (route, unit)
) STRICT, WITHOUT ROWID;
";

/// A database that only this process uses.
pub(crate) fn opened(path: &Path) -> Result<Connection> {
    let in_use = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse(path.display().to_string()),
        _ => error.into(),
    };
    let connection = Connection::open(path)?;
    // Who has it keeps it: there is nothing to wait for.
    connection.busy_timeout(Duration::ZERO)?;
    // Exclusive from the first read on; the log is on the disk before a transaction has ended.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(in_use)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(in_use)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(in_use)?;
    let added = VERSIONS.get(version as usize..).ok_or_else(|| StoreError::Newer(path.display().to_string()))?.concat();
    if !added.is_empty() {
        let current = VERSIONS.len();
        let upgrade = format!("BEGIN IMMEDIATE; {added} PRAGMA user_version = {current}; COMMIT;");
        connection.execute_batch(&upgrade).map_err(in_use)?;
    }
    for tables in [POINTS, RELEASES, LEARNED] {
        connection.execute_batch(tables).map_err(in_use)?;
    }
    Ok(connection)
}
