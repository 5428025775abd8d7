//! `POST /v1/responses/input_tokens`: how many tokens the prompt of a response would have.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::owned::Owned;
use super::{error, request};
use crate::http::Caller;
use crate::wire::fields::{self, Fields};
use crate::wire::openai::request::model;
use crate::wire::{known, reply};
use crate::{App, Problem};

pub(super) async fn input_tokens(State(app): State<Arc<App>>, request: Request) -> Response {
    let kept = Owned::of(&app, &Caller::of(request.extensions()));
    reply(app, request, move |app, body| count(app, &kept, body))
        .await
        .unwrap_or_else(|problem| error::problem(&problem))
}

fn count(app: &App, kept: &Owned, body: &[u8]) -> Result<Response, Problem> {
    let map = fields::object(body)?;
    let fields = Fields::of(&known::INPUT_TOKENS, &map)?;
    let chat = request::prompt(fields, kept)?;
    let tokens = app.model(model(fields)?.as_deref())?.chat_tokens(&chat)?.len();
    Ok(Json(json!({ "object": "response.input_tokens", "input_tokens": tokens })).into_response())
}
