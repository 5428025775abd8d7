//! Files: what clients sent, and what batches gave.

use rusqlite::{OptionalExtension, Row, params};

use crate::{Owned, Result, Store};

/// A file, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name for programs.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// When it came.
    pub created: i64,
    /// When it is forgotten, if ever.
    pub expires: Option<i64>,
    /// Its length.
    pub bytes: i64,
}

/// A file that is to be kept.
#[derive(Clone, Copy, Debug)]
pub struct NewFile<'a> {
    /// Its name for programs, never given before.
    pub id: &'a str,
    /// Its name for people.
    pub name: &'a str,
    /// What it is for.
    pub purpose: &'a str,
    /// When it came.
    pub created: i64,
    /// When it is to be forgotten, if ever.
    pub expires: Option<i64>,
    /// What is in it.
    pub content: &'a [u8],
}

const FILE: &str = "SELECT id, name, purpose, created, expires, length(content) FROM files";

impl Owned<'_> {
    /// Keeps a file.
    ///
    /// # Errors
    /// If the database fails.
    pub fn add_file(&self, file: &NewFile) -> Result<()> {
        insert(&self.store.lock(), file, self.who.name())
    }

    /// The file of this id.
    ///
    /// # Errors
    /// If the database fails.
    pub fn file(&self, id: &str) -> Result<Option<File>> {
        let query = format!("{FILE} WHERE id = ?1 AND (?2 IS NULL OR owner = ?2)");
        Ok(self.store.lock().query_row(&query, params![id, self.who.finds()], file).optional()?)
    }

    /// The newest files, or the `oldest`, of one purpose or of all, after the file `after` if one is named; at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn files(&self, purpose: Option<&str>, oldest: bool, after: Option<&str>, limit: usize) -> Result<Vec<File>> {
        let connection = self.store.lock();
        let (beyond, order) = if oldest { (">", "ASC") } else { ("<", "DESC") };
        let mut found = connection.prepare(&format!(
            "{FILE} WHERE (?1 IS NULL OR purpose = ?1) AND (?4 IS NULL OR owner = ?4)
             AND (?2 IS NULL OR rowid {beyond} (SELECT rowid FROM files WHERE id = ?2 AND (?4 IS NULL OR owner = ?4)))
             ORDER BY rowid {order} LIMIT ?3"
        ))?;
        let files = found.query_map(params![purpose, after, limit as i64, self.who.finds()], file)?;
        Ok(files.collect::<std::result::Result<_, _>>()?)
    }

    /// What is in a file.
    ///
    /// # Errors
    /// If the database fails.
    pub fn content(&self, id: &str) -> Result<Option<Vec<u8>>> {
        let query = "SELECT content FROM files WHERE id = ?1 AND (?2 IS NULL OR owner = ?2)";
        Ok(self.store.lock().query_row(query, params![id, self.who.finds()], |row| row.get(0)).optional()?)
    }

    /// Forgets a file; says whether there was one.
    ///
    /// # Errors
    /// If the database fails.
    pub fn delete_file(&self, id: &str) -> Result<bool> {
        let delete = "DELETE FROM files WHERE id = ?1 AND (?2 IS NULL OR owner = ?2)";
        Ok(self.store.lock().execute(delete, params![id, self.who.finds()])? > 0)
    }

    /// Bytes of all files that belong to who asks, and of the lines of open batches.
    ///
    /// # Errors
    /// If the database fails.
    pub fn bytes(&self) -> Result<u64> {
        let query = "SELECT coalesce((SELECT sum(length(content)) FROM files WHERE owner IS ?1), 0)
             + coalesce((SELECT sum(octet_length(body)) FROM lines JOIN batches ON batch = id WHERE owner IS ?1), 0)";
        let bytes: i64 = self.store.lock().query_row(query, [self.who.name()], |row| row.get(0))?;
        Ok(bytes.try_into().unwrap_or_default())
    }
}

impl Store {
    /// Forgets the files whose time is up.
    ///
    /// # Errors
    /// If the database fails.
    pub fn expire_files(&self, now: i64) -> Result<()> {
        self.lock().execute("DELETE FROM files WHERE expires <= ?1", [now])?;
        Ok(())
    }
}

pub(crate) fn insert(connection: &rusqlite::Connection, file: &NewFile, owner: Option<&str>) -> Result<()> {
    let NewFile { id, name, purpose, created, expires, content } = file;
    let insert =
        "INSERT INTO files (id, name, purpose, created, expires, content, owner) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.execute(insert, params![id, name, purpose, created, expires, content, owner])?;
    Ok(())
}

fn file(row: &Row) -> rusqlite::Result<File> {
    Ok(File {
        id: row.get(0)?,
        name: row.get(1)?,
        purpose: row.get(2)?,
        created: row.get(3)?,
        expires: row.get(4)?,
        bytes: row.get(5)?,
    })
}
