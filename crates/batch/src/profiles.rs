//! Profiles of execution plans: what a profile says is text here. They have a database of their own, which several processes may use.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::Result;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS profiles (
    id INTEGER PRIMARY KEY AUTOINCREMENT, created INTEGER NOT NULL, model TEXT NOT NULL, commit_name TEXT NOT NULL, machine TEXT NOT NULL,
    kernels TEXT NOT NULL, note TEXT NOT NULL, measured TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS profiles_by_model ON profiles (model, id);
";

/// How long another process may hold the database.
const PATIENCE: Duration = Duration::from_secs(5);

/// The profiles in a database.
pub struct Profiles(Mutex<Connection>);

/// A profile, without its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewProfile {
    /// When it was measured, in seconds since 1970.
    pub created: i64,
    /// Of which model.
    pub model: String,
    /// By which state of the program.
    pub commit: String,
    /// On which machine.
    pub machine: String,
    /// With which kernels.
    pub kernels: String,
    /// What else there is to say.
    pub note: String,
    /// What was measured.
    pub measured: String,
}

/// A profile with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredProfile {
    /// Its number.
    pub id: i64,
    /// The profile.
    pub profile: NewProfile,
}

impl Profiles {
    /// Opens the database at `path`, or makes it.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn open(path: &Path) -> Result<Profiles> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(PATIENCE)?;
        connection.execute_batch(TABLES)?;
        Ok(Profiles(Mutex::new(connection)))
    }

    /// Keeps a profile; gives its number.
    ///
    /// # Errors
    /// If the database fails.
    pub fn add(&self, profile: &NewProfile) -> Result<i64> {
        let NewProfile { created, model, commit, machine, kernels, note, measured } = profile;
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let insert = "INSERT INTO profiles (created, model, commit_name, machine, kernels, note, measured) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        connection.execute(insert, params![created, model, commit, machine, kernels, note, measured])?;
        Ok(connection.last_insert_rowid())
    }

    /// The profiles of a model, or all of them, the newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn list(&self, model: Option<&str>) -> Result<Vec<StoredProfile>> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let select = format!("{SELECT} WHERE ?1 IS NULL OR model = ?1 ORDER BY id DESC");
        let mut found = connection.prepare(&select)?;
        Ok(found.query_map([model], read)?.collect::<std::result::Result<_, _>>()?)
    }

    /// The profile of this number, if there is one.
    ///
    /// # Errors
    /// If the database fails.
    pub fn get(&self, id: i64) -> Result<Option<StoredProfile>> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(connection.query_row(&format!("{SELECT} WHERE id = ?1"), [id], read).optional()?)
    }
}

const SELECT: &str = "SELECT id, created, model, commit_name, machine, kernels, note, measured FROM profiles";

fn read(row: &Row) -> rusqlite::Result<StoredProfile> {
    let profile = NewProfile {
        created: row.get(1)?,
        model: row.get(2)?,
        commit: row.get(3)?,
        machine: row.get(4)?,
        kernels: row.get(5)?,
        note: row.get(6)?,
        measured: row.get(7)?,
    };
    Ok(StoredProfile { id: row.get(0)?, profile })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_kept_for_other_processes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("profiles.db");
        let (one, two) = (Profiles::open(&path).expect("it opens"), Profiles::open(&path).expect("it opens twice"));
        let profile = |model: &str, note: &str| NewProfile {
            created: 7,
            model: model.into(),
            commit: "abc".into(),
            note: note.into(),
            measured: "{}".into(),
            ..NewProfile::default()
        };
        let ids = [one.add(&profile("a", "1")), two.add(&profile("b", "2")), one.add(&profile("a", "3"))];
        let ids = ids.map(|id| id.expect("it is kept"));
        let list = |model: Option<&str>| {
            two.list(model)
                .expect("a list")
                .into_iter()
                .map(|stored| (stored.id, stored.profile.note))
                .collect::<Vec<_>>()
        };
        assert_eq!(list(Some("a")), [(ids[2], "3".to_owned()), (ids[0], "1".to_owned())]);
        assert_eq!(list(None).len(), 3);
        let got = two.get(ids[1]).expect("no failure").expect("it is there");
        assert_eq!(got, StoredProfile { id: ids[1], profile: profile("b", "2") });
        assert_eq!(one.get(99).expect("no failure"), None);
    }
}
