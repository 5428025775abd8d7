//! `GET /v1/models` and `GET /v1/models/NAME`.

use std::sync::Arc;

use answer::{LoadedModel, Sampling};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error;
use crate::{App, Kind, Problem};

/// A model. What stands after `owned_by` is not OpenAI's.
#[derive(Debug, Serialize)]
struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// Tokens of prompt and answer at most.
    context: usize,
    /// Whether it has a chat template.
    chat: bool,
    sampling: Defaults,
}

/// What holds where a request is silent.
#[derive(Debug, Serialize)]
struct Defaults {
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    repetition_penalty: f32,
}

#[derive(Debug, Serialize)]
struct Models {
    object: &'static str,
    data: Vec<Model>,
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    match app.models() {
        Ok(models) => {
            Json(Models { object: "list", data: models.iter().map(|model| described(model)).collect() }).into_response()
        }
        Err(problem) => error::problem(&problem),
    }
}

pub(super) async fn one(State(app): State<Arc<App>>, id: Result<Path<String>, PathRejection>) -> Response {
    let id = id.map_err(|e| Problem::of(Kind::ModelNotFound, "model", format!("{}.", e.body_text())));
    match id.and_then(|Path(id)| app.model(Some(&id))) {
        Ok(model) => Json(described(&model)).into_response(),
        Err(problem) => error::problem(&problem),
    }
}

fn described(model: &LoadedModel) -> Model {
    Model {
        id: model.info.name.clone(),
        object: "model",
        created: model.info.created,
        owned_by: "whinchat",
        context: model.context(),
        chat: model.info.template.is_ok(),
        sampling: defaults(&model.info.sampling),
    }
}

fn defaults(sampling: &Sampling) -> Defaults {
    let params = sampling.params(None);
    Defaults {
        temperature: params.temperature,
        top_k: params.top_k,
        top_p: params.top_p,
        min_p: params.min_p,
        repetition_penalty: params.penalties.repetition,
    }
}
