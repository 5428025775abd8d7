//! `POST /v1/messages/count_tokens`: how many tokens a request's prompt has.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{error, request};
use crate::wire::fields::{self, Fields};
use crate::wire::{known, reply};
use crate::{App, Problem};

#[derive(Debug, Serialize)]
struct Count {
    input_tokens: usize,
}

pub(super) async fn count_tokens(State(app): State<Arc<App>>, request: Request) -> Response {
    reply(app, request, count).await.unwrap_or_else(|problem| error::problem(&problem))
}

fn count(app: &App, body: &[u8]) -> Result<Response, Problem> {
    let map = fields::object(body)?;
    let fields = Fields::of(&known::COUNT_TOKENS, &map)?;
    let chat = request::chat(fields, request::thinking(fields)?)?;
    let input_tokens = app.model(fields.string("model")?)?.chat_tokens(&chat)?.len();
    Ok(Json(Count { input_tokens }).into_response())
}
