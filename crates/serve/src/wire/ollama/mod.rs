//! Ollama's dialect: chats, completions, and what is said of models.

mod embed;
mod error;
mod messages;
mod models;
mod reply;
mod request;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::answer;
use crate::App;

pub(super) use error::problem;
pub(super) use request::keep_alive;
/// `POST /api/chat`.
pub(super) type Chat = reply::Ollama<request::ChatEndpoint>;

/// `POST /api/generate`.
pub(super) type Generate = reply::Ollama<request::GenerateEndpoint>;

/// The routes of this dialect. That the server is there is asked with `HEAD /`, which the chat page answers.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/chat", post(answer::<Chat>))
        .route("/api/generate", post(answer::<Generate>))
        .route("/api/tags", get(models::tags))
        .route("/api/ps", get(models::running))
        .route("/api/show", post(models::show))
        .route("/api/version", get(models::version))
        .route("/api/embed", post(embed::embed))
        .route("/api/embeddings", post(embed::embeddings))
}
