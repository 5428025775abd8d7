//! What routes have learned of their variants: text here, and the units that have counted.

use rusqlite::{OptionalExtension, params};

use crate::{Result, Store};

impl Store {
    /// Keeps what a route has learned, in the place of what it was, and further units that have counted: both or neither.
    ///
    /// # Errors
    /// If the database fails.
    pub fn keep_learned(&self, route: &str, what: &str, units: &[u64]) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let keep = "INSERT INTO learned (route, what) VALUES (?1, ?2) ON CONFLICT (route) DO UPDATE SET what = ?2";
        transaction.execute(keep, [route, what])?;
        {
            let mut insert = transaction.prepare("INSERT OR IGNORE INTO units (route, unit) VALUES (?1, ?2)")?;
            for unit in units {
                insert.execute(params![route, unit.cast_signed()])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// What a route had learned, and the units that had counted.
    ///
    /// # Errors
    /// If the database fails.
    pub fn learned(&self, route: &str) -> Result<Option<(String, Vec<u64>)>> {
        let connection = self.lock();
        let what = "SELECT what FROM learned WHERE route = ?1";
        let Some(what) = connection.query_row(what, [route], |row| row.get(0)).optional()? else { return Ok(None) };
        let mut found = connection.prepare("SELECT unit FROM units WHERE route = ?1")?;
        let units = found.query_map([route], |row| Ok(row.get::<_, i64>(0)?.cast_unsigned()))?;
        Ok(Some((what, units.collect::<std::result::Result<_, _>>()?)))
    }

    /// Forgets what a route has learned.
    ///
    /// # Errors
    /// If the database fails.
    pub fn forget_learned(&self, route: &str) -> Result<()> {
        self.lock().execute("DELETE FROM learned WHERE route = ?1", [route])?;
        Ok(())
    }
}
