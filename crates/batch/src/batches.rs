//! Batches: lines to answer, answers, and what became of the whole.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::files::{self, NewFile};
use crate::{Owned, Result, Store};

/// Where a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its file could not be used; it has no lines.
    Failed,
    /// Lines are being answered.
    InProgress,
    /// It is to end; lines that have begun are answered yet.
    Cancelling,
    /// Every line has an answer.
    Completed,
    /// Time was up.
    Expired,
    /// It was ended on request.
    Cancelled,
}

const STATUSES: [(Status, &str); 6] = [
    (Status::Failed, "failed"),
    (Status::InProgress, "in_progress"),
    (Status::Cancelling, "cancelling"),
    (Status::Completed, "completed"),
    (Status::Expired, "expired"),
    (Status::Cancelled, "cancelled"),
];

impl Status {
    /// Its name.
    pub fn name(self) -> &'static str {
        STATUSES.iter().find(|(status, _)| *status == self).map_or("", |(_, name)| name)
    }

    /// Whether lines may still be answered.
    pub fn is_open(self) -> bool {
        matches!(self, Status::InProgress | Status::Cancelling)
    }
}

/// A batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its name.
    pub id: String,
    /// Where its requests go.
    pub endpoint: String,
    /// The file its lines came from.
    pub input: String,
    /// What its client keeps with it, as text.
    pub metadata: Option<String>,
    /// Where it is.
    pub status: Status,
    /// When it came.
    pub created: i64,
    /// When its time is up.
    pub expires: i64,
    /// When it was to end.
    pub cancelling: Option<i64>,
    /// When it ended.
    pub ended: Option<i64>,
    /// The file with the answers of lines that succeeded, if any did.
    pub output: Option<String>,
    /// The file with those that did not, if any.
    pub errors: Option<String>,
    /// Why its file could not be used, as text.
    pub problem: Option<String>,
}

/// Lines of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub total: i64,
    /// Those that succeeded.
    pub completed: i64,
    /// Those that did not.
    pub failed: i64,
}

/// A batch that is to be kept.
#[derive(Clone, Copy, Debug)]
pub struct NewBatch<'a> {
    /// Its name, never given before.
    pub id: &'a str,
    /// Where its requests go.
    pub endpoint: &'a str,
    /// The file its lines come from.
    pub input: &'a str,
    /// What its client keeps with it, as text.
    pub metadata: Option<&'a str>,
    /// When it came.
    pub created: i64,
    /// When its time is up.
    pub expires: i64,
    /// After how many seconds the files of its answers are to be forgotten, if ever.
    pub output_expires: Option<i64>,
    /// Its lines in order, as `custom_id` and body; or why the file cannot be used.
    pub lines: std::result::Result<&'a [(String, String)], &'a str>,
}

/// A line without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the batch, from 0.
    pub line: i64,
    /// What its client calls it.
    pub custom_id: String,
    /// The request.
    pub body: String,
}

/// How a line was answered.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// The answer as its line in a file.
    pub answer: &'a str,
}

const BATCH: &str =
    "SELECT id, endpoint, input, metadata, status, created, expires, cancelling, ended, output, errors, problem, owner
     FROM batches";

/// Whether a batch is one that is looked for; the second parameter names whose they are.
const MINE: &str = "(?2 IS NULL OR owner = ?2)";

impl Owned<'_> {
    /// Keeps a batch with all its lines.
    ///
    /// # Errors
    /// If the database fails; nothing is kept then.
    pub fn add_batch(&self, batch: &NewBatch) -> Result<()> {
        let mut connection = self.store.lock();
        let transaction = connection.transaction()?;
        let (status, ended) = match batch.lines {
            Ok(_) => (Status::InProgress, None),
            Err(_) => (Status::Failed, Some(batch.created)),
        };
        let NewBatch { id, endpoint, input, metadata, created, expires, output_expires, lines } = batch;
        transaction.execute(
            "INSERT INTO batches
             (id, endpoint, input, metadata, status, created, expires, output_expires, ended, problem, owner)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                id,
                endpoint,
                input,
                metadata,
                status.name(),
                created,
                expires,
                output_expires,
                ended,
                lines.err(),
                self.who.name()
            ],
        )?;
        let insert = "INSERT INTO lines (batch, line, custom_id, body) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = transaction.prepare(insert)?;
        for (line, (custom_id, body)) in (0i64..).zip(lines.unwrap_or_default()) {
            insert.execute(params![id, line, custom_id, body])?;
        }
        drop(insert);
        transaction.commit()?;
        Ok(())
    }

    /// The batch of this id, with its lines counted.
    ///
    /// # Errors
    /// If the database fails.
    pub fn batch(&self, id: &str) -> Result<Option<(Batch, Counts)>> {
        let connection = self.store.lock();
        let found =
            connection.query_row(&format!("{BATCH} WHERE id = ?1 AND {MINE}"), params![id, self.who.finds()], batch);
        let found = found.optional()?;
        found.map(|batch| counted(&connection, batch)).transpose()
    }

    /// The newest batches, after the batch `after` if one is named; at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn batches(&self, after: Option<&str>, limit: usize) -> Result<Vec<(Batch, Counts)>> {
        let query = format!(
            "{BATCH} WHERE {MINE} AND (?1 IS NULL OR rowid < (SELECT rowid FROM batches WHERE id = ?1 AND {MINE}))
             ORDER BY rowid DESC LIMIT ?3"
        );
        let connection = self.store.lock();
        let mut found = connection.prepare(&query)?;
        let batches = found
            .query_map(params![after, self.who.finds(), limit as i64], batch)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        batches.into_iter().map(|batch| counted(&connection, batch)).collect()
    }

    /// Asks a batch to end, if it is in progress; says whether it was.
    ///
    /// # Errors
    /// If the database fails.
    pub fn cancel(&self, id: &str, now: i64) -> Result<bool> {
        let update = format!(
            "UPDATE batches SET status = 'cancelling', cancelling = ?3 WHERE id = ?1 AND {MINE} AND status = 'in_progress'"
        );
        Ok(self.store.lock().execute(&update, params![id, self.who.finds(), now])? > 0)
    }
}

impl Store {
    /// The batches whose lines may still be answered, each with its owner, the oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn open_batches(&self) -> Result<Vec<(Batch, Option<String>)>> {
        let query = format!("{BATCH} WHERE status IN ('in_progress', 'cancelling') ORDER BY rowid");
        let connection = self.lock();
        let mut found = connection.prepare(&query)?;
        let batches = found.query_map([], |row| Ok((batch(row)?, row.get(12)?)))?;
        Ok(batches.collect::<rusqlite::Result<_>>()?)
    }

    /// The next lines without an answer, from the line `from` on; at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn unanswered(&self, batch: &str, from: i64, limit: usize) -> Result<Vec<Line>> {
        let connection = self.lock();
        let mut found = connection.prepare(
            "SELECT line, custom_id, body FROM lines WHERE batch = ?1 AND line >= ?2 AND answer IS NULL
             ORDER BY line LIMIT ?3",
        )?;
        let line = |row: &Row| Ok(Line { line: row.get(0)?, custom_id: row.get(1)?, body: row.get(2)? });
        let lines = found.query_map(params![batch, from, limit as i64], line)?;
        Ok(lines.collect::<rusqlite::Result<_>>()?)
    }

    /// Records the answer of a line, if it has none; says whether it had none.
    ///
    /// # Errors
    /// If the database fails.
    pub fn record(&self, batch: &str, line: i64, outcome: Outcome) -> Result<bool> {
        let update = "UPDATE lines SET succeeded = ?3, answer = ?4 WHERE batch = ?1 AND line = ?2 AND answer IS NULL";
        Ok(self.lock().execute(update, params![batch, line, outcome.succeeded, outcome.answer])? > 0)
    }

    /// Ends an open batch: lines without an answer get the one that `missing` makes of their `custom_id`, and the answers become
    /// files with the ids given. A batch that has ended stays as it is.
    ///
    /// # Errors
    /// If the database fails; the batch is open still then.
    pub fn end(
        &self,
        id: &str,
        (status, now): (Status, i64),
        [output, errors]: [&str; 2],
        missing: impl Fn(&str) -> String,
    ) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let open =
            "SELECT output_expires, owner FROM batches WHERE id = ?1 AND status IN ('in_progress', 'cancelling')";
        let found = transaction.query_row(open, [id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((stays, owner)): Option<(Option<i64>, Option<String>)> = found else { return Ok(()) };
        let expires = stays.map(|stays| now.saturating_add(stays));
        fill(&transaction, id, missing)?;
        let made = (now, expires, owner.as_deref());
        let output = written(&transaction, (id, true), output, made)?.then_some(output);
        let errors = written(&transaction, (id, false), errors, made)?.then_some(errors);
        transaction.execute(
            "UPDATE batches SET status = ?2, ended = ?3, output = ?4, errors = ?5 WHERE id = ?1",
            params![id, status.name(), now, output, errors],
        )?;
        // What they said is in files now, and in the file that they came from.
        transaction.execute("UPDATE lines SET body = '', answer = '' WHERE batch = ?1", [id])?;
        transaction.commit()?;
        Ok(())
    }
}

/// Answers the lines that have no answer.
fn fill(connection: &Connection, batch: &str, missing: impl Fn(&str) -> String) -> Result<()> {
    let mut open = connection.prepare("SELECT line, custom_id FROM lines WHERE batch = ?1 AND answer IS NULL")?;
    let open: Vec<(i64, String)> =
        open.query_map([batch], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut update =
        connection.prepare("UPDATE lines SET succeeded = 0, answer = ?3 WHERE batch = ?1 AND line = ?2")?;
    for (line, custom_id) in open {
        update.execute(params![batch, line, missing(&custom_id)])?;
    }
    Ok(())
}

/// Writes the answers of lines that succeeded, or of those that did not, into a file, in the order of the lines; says whether
/// there are any.
fn written(
    connection: &Connection,
    (batch, succeeded): (&str, bool),
    id: &str,
    (created, expires, owner): (i64, Option<i64>, Option<&str>),
) -> Result<bool> {
    let mut answers =
        connection.prepare("SELECT answer FROM lines WHERE batch = ?1 AND succeeded = ?2 ORDER BY line")?;
    let mut answers = answers.query(params![batch, succeeded])?;
    let mut content = Vec::new();
    while let Some(row) = answers.next()? {
        content.extend_from_slice(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?.as_bytes());
        content.push(b'\n');
    }
    if content.is_empty() {
        return Ok(false);
    }
    let name = format!("{batch}_{}.jsonl", if succeeded { "output" } else { "error" });
    let file = NewFile { id, name: &name, purpose: "batch_output", created, expires, content: &content };
    files::insert(connection, &file, owner)?;
    Ok(true)
}

/// A batch with its lines counted.
fn counted(connection: &Connection, batch: Batch) -> Result<(Batch, Counts)> {
    let mut found = connection.prepare(
        "SELECT count(*), coalesce(sum(succeeded), 0), coalesce(sum(1 - succeeded), 0) FROM lines WHERE batch = ?1",
    )?;
    let counts = |row: &Row| Ok(Counts { total: row.get(0)?, completed: row.get(1)?, failed: row.get(2)? });
    let counts = found.query_row([&batch.id], counts)?;
    Ok((batch, counts))
}

fn batch(row: &Row) -> rusqlite::Result<Batch> {
    let name: String = row.get(4)?;
    let status = STATUSES.iter().find(|(_, known)| *known == name).map_or(Status::Failed, |(status, _)| *status);
    Ok(Batch {
        id: row.get(0)?,
        endpoint: row.get(1)?,
        input: row.get(2)?,
        metadata: row.get(3)?,
        status,
        created: row.get(5)?,
        expires: row.get(6)?,
        cancelling: row.get(7)?,
        ended: row.get(8)?,
        output: row.get(9)?,
        errors: row.get(10)?,
        problem: row.get(11)?,
    })
}
