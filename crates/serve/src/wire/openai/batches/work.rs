//! Answers the lines of batches, several at once, behind everything that somebody waits for: of each owner the oldest batch first.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use batch::{Batch, Outcome, Status, StoreError, Who};
use tokio::task::{Id, JoinError, JoinSet};

use super::line::{Answered, Lines, missing};
use super::{Batches, seconds};
use crate::app::State;
use crate::wire::unique;
use crate::{App, Kind, Problem};

/// After this time it is tried again what the database did not do.
const PAUSE: Duration = Duration::from_secs(1);

/// The owners whose batches are worked on, by the task that does.
#[derive(Default)]
struct Tasks {
    running: JoinSet<Result<(), Problem>>,
    owners: HashMap<Id, Option<Arc<str>>>,
}

/// Works until the app is gone or drains.
pub(crate) async fn work(app: Weak<App>) {
    let kept = || app.upgrade().filter(|app| app.state() != State::Draining);
    let mut tasks = Tasks::default();
    while let Some((app, batches)) = kept().and_then(|app| app.batches.get().cloned().map(|batches| (app, batches))) {
        let begun = tasks.begin(&app, &batches).await;
        let wake = Arc::clone(&batches.wake);
        // Nothing is held while there is nothing to do.
        drop((app, batches));
        let failed = match begun {
            Ok(()) => tokio::select! {
                () = wake.notified() => None,
                Some(done) = tasks.running.join_next_with_id() => tasks.ended(done).err(),
            },
            Err(problem) => Some(problem),
        };
        if let Some(problem) = failed {
            tracing::error!("answering batches: {problem}");
            let _ = tokio::time::timeout(PAUSE, wake.notified()).await;
        }
    }
    while tasks.running.join_next().await.is_some() {}
}

impl Tasks {
    /// Begins with the oldest open batch of each owner none of whose batches is worked on.
    async fn begin(&mut self, app: &Arc<App>, batches: &Arc<Batches>) -> Result<(), Problem> {
        let open = blocking(batches, |batches| batches.store.open_batches()).await?;
        for (batch, owner) in open {
            let owner = owner.map(Arc::from);
            if !self.owners.values().any(|other| *other == owner) {
                let work = finish(Arc::clone(app), Arc::clone(batches), batch, owner.clone());
                self.owners.insert(self.running.spawn(work).id(), owner);
            }
        }
        batches.owners.store(self.owners.len().max(1), Ordering::Relaxed);
        Ok(())
    }

    fn ended(&mut self, done: Result<(Id, Result<(), Problem>), JoinError>) -> Result<(), Problem> {
        // What a panic says may be of a line.
        let panicked = |_| Err(Problem::new(Kind::Internal, "answering a batch panicked"));
        let id = done.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        self.owners.remove(&id);
        done.map_or_else(panicked, |(_, ended)| ended)
    }
}

/// Answers what is left of a batch, and ends it; does not end it if the server drains.
async fn finish(app: Arc<App>, batches: Arc<Batches>, batch: Batch, owner: Option<Arc<str>>) -> Result<(), Problem> {
    let work = Lines::of(&app, &batch.endpoint, owner);
    let mut running = JoinSet::new();
    let (mut next, mut drains) = (0, false);
    let end = loop {
        let room = batches.room(app.batch_requests()).saturating_sub(running.len());
        let (id, from) = (batch.id.clone(), next);
        let (status, lines) = blocking(&batches, move |batches| {
            let found = batches.store.of(Who::Anybody).batch(&id)?;
            let status = found.map_or(Status::Cancelled, |(batch, _)| batch.status);
            Ok((status, batches.store.unanswered(&id, from, room)?))
        })
        .await?;
        drains |= app.state() == State::Draining;
        let end = match status {
            Status::InProgress if seconds() >= batch.expires => Status::Expired,
            Status::InProgress => Status::Completed,
            _ => Status::Cancelled,
        };
        if end == Status::Completed && !drains {
            for line in lines {
                next = line.line + 1;
                running.spawn(app.open.track_future(work.clone().answer(line)));
            }
        }
        let Some(done) = running.join_next().await else { break end };
        // The server ends: the line is answered when it is back.
        drains |= !record(&batches, &batch.id, done).await?;
    };
    if drains {
        return Ok(());
    }
    let id = batch.id.clone();
    let (output, errors, missing) = (unique("file-"), unique("file-"), missing(end));
    blocking(&batches, move |batches| batches.store.end(&id, (end, seconds()), [&output, &errors], missing)).await
}

/// Keeps the answer of a line; says whether there is one.
async fn record(batches: &Arc<Batches>, batch: &str, done: Result<Answered, JoinError>) -> Result<bool, Problem> {
    // What a panic says may be of the line.
    let panicked = |_| Problem::new(Kind::Internal, "answering a line panicked");
    let (line, Some((succeeded, answer))) = done.map_err(panicked)? else { return Ok(false) };
    let id = batch.to_owned();
    let record = move |batches: &Batches| batches.store.record(&id, line.line, Outcome { succeeded, answer: &answer });
    blocking(batches, record).await?;
    Ok(true)
}

async fn blocking<T: Send + 'static>(
    batches: &Arc<Batches>,
    work: impl FnOnce(&Batches) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let batches = Arc::clone(batches);
    let worked = tokio::task::spawn_blocking(move || work(&batches)).await;
    let failed = |_| Problem::new(Kind::Internal, "the database's thread has ended");
    Ok(worked.map_err(failed)??)
}
