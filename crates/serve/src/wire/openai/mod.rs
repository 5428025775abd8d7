//! OpenAI's dialect: the only place where its JSON is read and written.

#[cfg(feature = "batches")]
mod batches;
mod chat;
mod completion;
mod constraint;
mod embeddings;
mod error;
mod logprobs;
mod messages;
mod models;
mod reply;
mod request;
mod responses;

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Router, middleware};

use super::{answer, anthropic};
use crate::App;

#[cfg(feature = "batches")]
pub(crate) use batches::{Batches, work as work_on_batches};
pub(super) use chat::{ChatCompletion, chat};
pub(super) use completion::{Completion, texts};
pub(crate) use error::code;
pub(super) use error::{problem, status};
pub(super) use responses::Responses;
pub(crate) use responses::Store;

/// The routes of this dialect.
pub(super) fn routes() -> Router<Arc<App>> {
    let router = Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route_layer(middleware::from_fn(anthropic::models_in_own_words))
        .route("/v1/chat/completions", post(answer::<ChatCompletion>))
        .route("/v1/completions", post(answer::<Completion>))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .merge(responses::routes());
    #[cfg(feature = "batches")]
    let router = router.merge(batches::routes());
    router
}
