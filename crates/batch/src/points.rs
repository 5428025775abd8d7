//! The history of engines: what a point says is text here.

use rusqlite::params;

use crate::{Result, Store};

/// What was measured of an engine up to one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPoint {
    /// Which engine.
    pub engine: String,
    /// When, in seconds since 1970.
    pub time: i64,
    /// What was measured.
    pub values: String,
}

impl Store {
    /// Keeps points, in the place of those of the same engine and time, and forgets all that are not after `oldest`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn add_points(&self, points: &[StoredPoint], oldest: i64) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for StoredPoint { engine, time, values } in points {
            let insert = "INSERT OR REPLACE INTO points (engine, time, measured) VALUES (?1, ?2, ?3)";
            transaction.execute(insert, params![engine, time, values])?;
        }
        transaction.execute("DELETE FROM points WHERE time <= ?1", [oldest])?;
        Ok(transaction.commit()?)
    }

    /// All points, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn points(&self) -> Result<Vec<StoredPoint>> {
        let connection = self.lock();
        let mut found = connection.prepare("SELECT engine, time, measured FROM points ORDER BY time, engine")?;
        let points = found
            .query_map([], |row| Ok(StoredPoint { engine: row.get(0)?, time: row.get(1)?, values: row.get(2)? }))?;
        Ok(points.collect::<std::result::Result<_, _>>()?)
    }
}
