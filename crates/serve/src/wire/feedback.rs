//! `POST /v1/feedback`: a client says how good an answer was. Errors are OpenAI's.

use std::sync::Arc;

use answer::{Kind, Problem as Refused};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::fields::{self, Fields, wrong_type};
use super::openai;
use crate::http::{Caller, body};
use crate::{App, Problem};

/// The route.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/v1/feedback", post(feedback))
}

async fn feedback(State(app): State<Arc<App>>, request: Request) -> Response {
    marked(&app, request).await.map_or_else(|problem| openai::problem(&problem), |said| Json(said).into_response())
}

async fn marked(app: &App, request: Request) -> Result<Value, Problem> {
    let (head, body) = request.into_parts();
    let body = body::read(&head, body).await?;
    let map = fields::object(&body)?;
    let fields = Fields::new(&map);
    fields.required("id")?;
    let id = fields.string("id")?.unwrap_or_default();
    let score = fields.required("score")?;
    let score = score.as_f64().ok_or_else(|| wrong_type("score", "a number", score))?;
    if !(0.0..=1.0).contains(&score) {
        let message = format!("score must be from 0 (useless) to 1 (right), but it is {score}.");
        return Err(Refused::of(Kind::InvalidValue, "score", message).into());
    }
    let key = Caller::of(&head.extensions).name();
    let marked = app.mark(id, key.as_deref().unwrap_or_default(), score)?;
    Ok(json!({
        "object": "feedback", "id": id, "score": score, "model": marked.answered.public,
        "variant": marked.answered.variant, "release": marked.release, "counted": marked.counted,
    }))
}
