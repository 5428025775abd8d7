//! What can be done with responses that are kept.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::error;
use crate::{App, Kind, Problem};

type Id = Result<Path<String>, PathRejection>;

/// `GET /v1/responses/ID`.
pub(super) async fn one(State(app): State<Arc<App>>, id: Id) -> Response {
    answer(id, |id| app.responses.response(id))
}

/// `DELETE /v1/responses/ID`.
pub(super) async fn delete(State(app): State<Arc<App>>, id: Id) -> Response {
    let gone = |id: &str| json!({ "id": id, "object": "response", "deleted": true });
    answer(id, |id| app.responses.remove(id).then(|| gone(id)))
}

/// `POST /v1/responses/ID/cancel`.
pub(super) async fn cancel(State(app): State<Arc<App>>, id: Id) -> Response {
    let Ok(Path(name)) = &id else { return answer(id, |_| None) };
    match app.responses.cancel(name) {
        Some(Err(())) => {
            let message = format!("The response `{name}` was not made with background: there is nothing to cancel.");
            error::problem(&Problem::of(Kind::Ask(answer::Kind::InvalidValue), "response_id", message))
        }
        cancelled => answer(id, |_| cancelled.and_then(Result::ok)),
    }
}

/// `GET /v1/responses/ID/input_items`.
pub(super) async fn input_items(State(app): State<Arc<App>>, id: Id) -> Response {
    answer(id, |id| {
        let items = app.responses.input(id)?;
        let at = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
        let (first, last) = (at(items.first()), at(items.last()));
        Some(json!({ "object": "list", "data": items, "first_id": first, "last_id": last, "has_more": false }))
    })
}

fn answer(id: Id, found: impl FnOnce(&str) -> Option<Value>) -> Response {
    let found = match &id {
        Ok(Path(id)) => found(id).ok_or_else(|| unknown("response_id", id)),
        Err(e) => Err(Problem::of(Kind::ResponseNotFound, "response_id", format!("{}.", e.body_text()))),
    };
    found.map_or_else(|problem| error::problem(&problem), |value| Json(value).into_response())
}

/// No response of this name is kept.
pub(super) fn unknown(param: &str, id: &str) -> Problem {
    let message = format!(
        "There is no response `{id}` that is complete: it was not kept (store), was deleted, or gave its place to newer ones."
    );
    Problem::of(Kind::ResponseNotFound, param, message)
}
