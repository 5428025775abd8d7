//! `POST /api/embed`, and its older form `POST /api/embeddings` for one text.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::error;
use super::models::{tagged, untagged};
use super::request::keep_alive;
use crate::wire::fields::{self, Fields};
use crate::wire::known;
use crate::wire::vectors::{Vectors, Wanted, vectors};
use crate::{App, Problem};

pub(super) async fn embed(State(app): State<Arc<App>>, request: Request) -> Response {
    match vectors(app, request, parse).await {
        Ok(Vectors { name, vectors, tokens, took, .. }) => Json(json!({
            "model": tagged(&name), "embeddings": vectors, "total_duration": took.as_nanos() as u64,
            "load_duration": 0, "prompt_eval_count": tokens,
        }))
        .into_response(),
        Err(problem) => error::problem(&problem),
    }
}

pub(super) async fn embeddings(State(app): State<Arc<App>>, request: Request) -> Response {
    match vectors(app, request, parse_one).await {
        Ok(answer) => Json(json!({ "embedding": answer.vectors.first() })).into_response(),
        Err(problem) => error::problem(&problem),
    }
}

fn parse(body: &[u8]) -> Result<Wanted<()>, Problem> {
    let map = fields::object(body)?;
    let fields = Fields::of(&known::EMBED, &map)?;
    let mut wanted = named(fields, Wanted::new(fields, "input", ())?)?;
    wanted.cut = Some(fields.bool("truncate")?.unwrap_or(true));
    Ok(wanted)
}

/// The older form cuts what is too long, and gives the vector as the model has it.
fn parse_one(body: &[u8]) -> Result<Wanted<()>, Problem> {
    let map = fields::object(body)?;
    let fields = Fields::of(&known::OLLAMA_EMBEDDINGS, &map)?;
    let wanted = named(fields, Wanted::new(fields, "prompt", ())?)?;
    Ok(Wanted { cut: Some(true), raw: true, ..wanted })
}

fn named(fields: Fields<'_>, mut wanted: Wanted<()>) -> Result<Wanted<()>, Problem> {
    wanted.model = wanted.model.map(|name| untagged(&name).to_owned());
    wanted.keep_alive = keep_alive(fields)?;
    Ok(wanted)
}
