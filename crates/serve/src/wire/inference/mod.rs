//! Text to tokens and back, and what the chat template makes of a conversation: the endpoints that vLLM and llama.cpp have
//! beside OpenAI's, in the shapes of both; who is served when; and sessions. Errors are OpenAI's.

mod alone;
mod rank;
mod scheduler;
mod sessions;
mod tokens;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::fields::{self, Fields};
use super::{known, openai, reply};
use crate::{App, Problem};

/// What a request is answered with.
type Work = fn(&App, &[u8]) -> Result<Response, Problem>;

/// The routes of these endpoints. llama.cpp's name has a hyphen.
pub(super) fn routes() -> Router<Arc<App>> {
    let at = |work: Work| {
        post(move |State(app): State<Arc<App>>, request: Request| async move {
            reply(app, request, work).await.unwrap_or_else(|problem| openai::problem(&problem))
        })
    };
    Router::new()
        .route("/tokenize", at(tokens::tokenize))
        .route("/detokenize", at(tokens::detokenize))
        .route("/apply_template", at(apply_template))
        .route("/apply-template", at(apply_template))
        .route("/v1/rerank", post(rank::rerank))
        .route("/v2/rerank", post(rank::rerank))
        .route("/rerank", post(rank::rerank))
        .route("/v1/score", post(rank::score))
        .route("/score", post(rank::score))
        .route("/v1/scheduler", get(scheduler::scheduler))
        .route("/examples", get(alone::examples))
        .route("/try", get(alone::page))
        .route("/debug", get(alone::debug))
        .merge(sessions::routes())
}

/// The prompt of a chat.
fn apply_template(app: &App, body: &[u8]) -> Result<Response, Problem> {
    let map = fields::object(body)?;
    let fields = Fields::of(&known::APPLY_TEMPLATE, &map)?;
    let chat = openai::chat(fields)?;
    let prompt = app.model(fields.string("model")?)?.render(&chat)?;
    Ok(Json(json!({ "prompt": prompt.text() })).into_response())
}
