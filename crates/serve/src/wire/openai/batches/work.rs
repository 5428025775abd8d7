//! Answers the lines of batches, the oldest batch first, several lines at once, behind everything that somebody waits for.

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use batch::{Batch, Line, Outcome, Status, StoreError};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::{Batches, seconds};
use crate::app::State;
use crate::wire::{routes, unique};
use crate::{App, Problem};

/// After this time a line is tried again that the server had no room for, where it does not say how long that takes.
const PAUSE: Duration = Duration::from_secs(1);

/// A line's answer as a line of a file, and whether it succeeded; `None` if the server ends before there is one.
type Answered = (Line, Option<(bool, String)>);

/// Works until the app is gone or drains.
pub(crate) async fn work(app: Weak<App>) {
    let kept = || app.upgrade().filter(|app| app.state() != State::Draining);
    while let Some((app, batches)) = kept().and_then(|app| app.batches.get().cloned().map(|batches| (app, batches))) {
        let wake = Arc::clone(&batches.wake);
        match next(&app, &batches).await {
            Ok(true) => {}
            Ok(false) => {
                // Nothing is held while there is nothing to do.
                drop((app, batches));
                wake.notified().await;
            }
            Err(error) => {
                tracing::error!("answering batches: {error}");
                let _ = tokio::time::timeout(PAUSE, wake.notified()).await;
            }
        }
    }
}

/// Works on the oldest open batch; says whether there was one.
async fn next(app: &Arc<App>, batches: &Arc<Batches>) -> Result<bool, Problem> {
    let Some(batch) = open(batches).await? else { return Ok(false) };
    finish(app, batches, &batch).await?;
    Ok(true)
}

async fn open(batches: &Arc<Batches>) -> Result<Option<Batch>, Problem> {
    blocking(batches, |batches| Ok(batches.store.open_batches()?.into_iter().next())).await
}

/// Answers what is left of a batch, and ends it; does not end it if the server drains.
async fn finish(app: &Arc<App>, batches: &Arc<Batches>, batch: &Batch) -> Result<(), Problem> {
    let router = routes().with_state(Arc::clone(app));
    let mut running = JoinSet::new();
    let (mut next, mut drains) = (0, false);
    let end = loop {
        let (id, room) = (batch.id.clone(), app.batch_requests().saturating_sub(running.len()));
        let from = next;
        let (status, lines) = blocking(batches, move |batches| {
            let status = batches.store.batch(&id)?.map_or(Status::Cancelled, |(batch, _)| batch.status);
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
                let answered = answered(router.clone(), Arc::downgrade(app), batch.endpoint.clone(), line);
                running.spawn(app.open.track_future(answered));
            }
        }
        let Some(done) = running.join_next().await else { break end };
        match done {
            Ok((line, Some((succeeded, answer)))) => {
                let id = batch.id.clone();
                let record = move |batches: &Batches| {
                    batches.store.record(&id, line.line, Outcome { succeeded, answer: &answer })
                };
                blocking(batches, record).await?;
            }
            // The server ends: the line is answered when it is back.
            Ok((_, None)) => drains = true,
            // What a panic says may be of the line.
            Err(_) => return Err(Problem::new(crate::Kind::Internal, "answering a line panicked")),
        }
    };
    if drains {
        return Ok(());
    }
    let id = batch.id.clone();
    let (output, errors, missing) = (unique("file-"), unique("file-"), missing(end));
    blocking(batches, move |batches| batches.store.end(&id, (end, seconds()), [&output, &errors], missing)).await
}

/// The answer to a line, by the route that its endpoint has for everybody.
async fn answered(router: Router, app: Weak<App>, endpoint: String, line: Line) -> Answered {
    loop {
        let request = Request::post(&endpoint)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-priority", "low")
            .body(Body::from(line.body.clone()));
        let Ok(request) = request else { return (line, None) };
        let response = match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (head, body) = response.into_parts();
        // A model that has failed or cannot be loaded does not say when to try again.
        let passes = head.headers.contains_key(header::RETRY_AFTER);
        if passes && matches!(head.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            match app.upgrade().map(|app| app.state()) {
                None | Some(State::Draining) => return (line, None),
                // Nobody will answer it.
                Some(State::Failed) => {}
                Some(State::Loading | State::Ready | State::Degraded) => {
                    let after =
                        head.headers.get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
                    // The server has said when there is room.
                    let after = after.map_or(PAUSE, Duration::from_secs);
                    let _ = tokio::time::timeout(after, std::future::pending::<()>()).await;
                    continue;
                }
            }
        }
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let request = unique("batch_req_");
        let response = json!({ "status_code": head.status.as_u16(), "request_id": request, "body": body });
        let answer = json!({ "id": request, "custom_id": line.custom_id, "response": response, "error": null });
        return (line, Some((head.status.is_success(), answer.to_string())));
    }
}

/// What stands for the answer of a line that was not computed.
fn missing(end: Status) -> impl Fn(&str) -> String + Send + 'static {
    let (code, message) = match end {
        Status::Expired => ("batch_expired", "The batch's time was up before this request was computed."),
        _ => ("batch_cancelled", "The batch was cancelled before this request was computed."),
    };
    move |custom_id| {
        let error = json!({ "code": code, "message": message });
        let id = unique("batch_req_");
        json!({ "id": id, "custom_id": custom_id, "response": null, "error": error }).to_string()
    }
}

async fn blocking<T: Send + 'static>(
    batches: &Arc<Batches>,
    work: impl FnOnce(&Batches) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let batches = Arc::clone(batches);
    let worked = tokio::task::spawn_blocking(move || work(&batches)).await;
    let failed = |_| Problem::new(crate::Kind::Internal, "the database's thread has ended");
    Ok(worked.map_err(failed)??)
}
