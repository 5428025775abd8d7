//! OpenAI's dialect: the only place where its JSON is read and written.

mod chat;
mod completion;
mod error;
mod logprobs;
mod messages;
mod models;
mod reply;
mod request;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use self::chat::ChatCompletion;
use self::completion::Completion;
use super::{Dialect, answer};
use crate::{App, Problem};

pub(super) use error::problem;

/// The routes of this dialect.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/v1/chat/completions", post(answer::<ChatCompletion>))
        .route("/v1/completions", post(answer::<Completion>))
}

/// Whose body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/completions`.
    Completions,
}

/// Reads the body of a request and gives what it asks for. Never panics, whatever the bytes.
///
/// # Errors
/// If it is not JSON, or a field has the wrong type or value, is missing, or asks for what this server does not do.
pub fn parse_request_body(endpoint: Endpoint, body: &[u8]) -> Result<::answer::Ask, Problem> {
    match endpoint {
        Endpoint::Chat => ChatCompletion::parse(body).map(|call| call.ask),
        Endpoint::Completions => Completion::parse(body).map(|call| call.ask),
    }
}
