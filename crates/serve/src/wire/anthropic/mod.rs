//! Anthropic's dialect: messages, their event stream, and the count of their tokens.

mod count;
mod error;
mod events;
mod messages;
mod models;
mod reply;
mod request;

use std::sync::Arc;

use axum::Router;
use axum::routing::post;

use super::answer;
use crate::App;

pub(super) use error::problem;
pub(super) use models::in_own_words as models_in_own_words;
pub(super) use reply::Messages;

/// The routes of this dialect.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/messages", post(answer::<Messages>))
        .route("/v1/messages/count_tokens", post(count::count_tokens))
}
