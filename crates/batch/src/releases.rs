//! Releases and their journals: what a release and an entry of a journal say is text here.

use rusqlite::params;

use crate::{Result, Store};

impl Store {
    /// Keeps what a release is, in the place of what it was, and further entries of its journal: both or neither.
    ///
    /// # Errors
    /// If the database fails, or an entry of that number is there.
    pub fn keep_release(&self, id: &str, about: Option<&str>, (first, entries): (i64, &[String])) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        if let Some(about) = about {
            let keep = "INSERT INTO releases (id, about) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET about = ?2";
            transaction.execute(keep, params![id, about])?;
        }
        {
            let mut insert = transaction.prepare("INSERT INTO journal (release, entry, text) VALUES (?1, ?2, ?3)")?;
            for (number, entry) in (first..).zip(entries) {
                insert.execute(params![id, number, entry])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Every release, the oldest first: its id, and what it is.
    ///
    /// # Errors
    /// If the database fails.
    pub fn releases(&self) -> Result<Vec<(String, String)>> {
        let connection = self.lock();
        let mut found = connection.prepare("SELECT id, about FROM releases ORDER BY number")?;
        let releases = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(releases.collect::<std::result::Result<_, _>>()?)
    }

    /// The journal of a release.
    ///
    /// # Errors
    /// If the database fails.
    pub fn journal(&self, id: &str) -> Result<Vec<String>> {
        let connection = self.lock();
        let mut found = connection.prepare("SELECT text FROM journal WHERE release = ?1 ORDER BY entry")?;
        let entries = found.query_map([id], |row| row.get(0))?;
        Ok(entries.collect::<std::result::Result<_, _>>()?)
    }

    /// Forgets releases, with their journals.
    ///
    /// # Errors
    /// If the database fails.
    pub fn forget_releases(&self, ids: &[String]) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for id in ids {
            transaction.execute("DELETE FROM releases WHERE id = ?1", [id])?;
        }
        Ok(transaction.commit()?)
    }
}
