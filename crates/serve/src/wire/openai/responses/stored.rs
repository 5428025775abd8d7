//! What can be done with responses that are kept.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{Extensions, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::owned::Owned;
use super::{error, listed};
use crate::http::{Caller, Settings};
use crate::wire::query::Query;
use crate::{App, Kind, Problem};

type Id = Result<Path<String>, PathRejection>;

/// `GET /v1/responses/ID`: as it is, or the events of its stream.
pub(super) async fn one(State(app): State<Arc<App>>, id: Id, request: Request) -> Response {
    let found = name(id).and_then(|id| {
        let query = Query::of(request.uri());
        let after = query.maybe_count("starting_after")?;
        match query.bool("stream")? {
            true => followed(&app, &id, after, request.extensions()),
            false => owned(&app, request.extensions())
                .response(&id)
                .map(|value| Json(value).into_response())
                .ok_or_else(|| absent(&id)),
        }
    });
    found.unwrap_or_else(|problem| error::problem(&problem))
}

/// The events from the one after `starting_after` on.
fn followed(app: &App, id: &str, after: Option<usize>, extensions: &Extensions) -> Result<Response, Problem> {
    let from = after.map_or(0, |after| after.saturating_add(1));
    let log = owned(app, extensions).log(id).ok_or_else(|| absent(id))?.ok_or_else(|| {
        let message = format!("The response `{id}` was not made with background and stream: its events are not kept.");
        Problem::of(Kind::Ask(answer::Kind::InvalidValue), "stream", message)
    })?;
    Ok(log.follow(from, Settings::of(extensions).ping_interval))
}

/// `DELETE /v1/responses/ID`.
pub(super) async fn delete(State(app): State<Arc<App>>, extensions: Extensions, id: Id) -> Response {
    let gone = |id: &str| json!({ "id": id, "object": "response", "deleted": true });
    respond(name(id).and_then(|id| owned(&app, &extensions).remove(&id).then(|| gone(&id)).ok_or_else(|| absent(&id))))
}

/// `POST /v1/responses/ID/cancel`.
pub(super) async fn cancel(State(app): State<Arc<App>>, extensions: Extensions, id: Id) -> Response {
    respond(name(id).and_then(|id| {
        owned(&app, &extensions).cancel(&id).ok_or_else(|| absent(&id))?.map_err(|()| {
            let message = format!("The response `{id}` was not made with background: there is nothing to cancel.");
            Problem::of(Kind::Ask(answer::Kind::InvalidValue), "response_id", message)
        })
    }))
}

/// `GET /v1/responses/ID/input_items`.
pub(super) async fn input_items(State(app): State<Arc<App>>, extensions: Extensions, id: Id, uri: Uri) -> Response {
    respond(name(id).and_then(|id| {
        let items = owned(&app, &extensions).input(&id).ok_or_else(|| absent(&id))?;
        listed::page(items.iter().map(listed::item).collect(), &Query::of(&uri))
    }))
}

/// The responses of who asks.
fn owned(app: &App, extensions: &Extensions) -> Owned {
    Owned::of(app, &Caller::of(extensions))
}

fn name(id: Id) -> Result<String, Problem> {
    let unreadable =
        |e: PathRejection| Problem::of(Kind::ResponseNotFound, "response_id", format!("{}.", e.body_text()));
    id.map(|Path(id)| id).map_err(unreadable)
}

fn respond(found: Result<Value, Problem>) -> Response {
    found.map_or_else(|problem| error::problem(&problem), |value| Json(value).into_response())
}

fn absent(id: &str) -> Problem {
    unknown("response_id", id)
}

/// No response of this name is kept.
pub(super) fn unknown(param: &str, id: &str) -> Problem {
    let message = format!(
        "There is no response `{id}` that is complete: it was not kept (store), was deleted, or gave its place to newer ones."
    );
    Problem::of(Kind::ResponseNotFound, param, message)
}
