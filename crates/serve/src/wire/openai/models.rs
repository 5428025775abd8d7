//! `GET /v1/models` and `GET /v1/models/NAME`.

use std::sync::Arc;

use answer::Sampling;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error;
use crate::models::{Entry, Version};
use crate::{App, Kind, Problem};

/// A model. What stands after `owned_by` is not OpenAI's.
#[derive(Debug, Serialize)]
struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// Whether it is in memory; else it is loaded when it is asked for.
    loaded: bool,
    /// Which one of the name's versions answers.
    version: String,
    /// It is an adapter of this model. What is said here is the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    /// It is a route: several models may answer. What is said here is the first one's.
    #[serde(skip_serializing_if = "is_false")]
    route: bool,
    #[serde(flatten)]
    more: Option<More>,
}

/// What is known of a model since it was loaded.
#[derive(Debug, Serialize)]
struct More {
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
    if let Err(problem) = app.check_open() {
        return error::problem(&problem);
    }
    let catalog = app.models.read();
    let named = |entry: &Entry| {
        let names = std::iter::once(entry.name.as_str()).chain(catalog.aliases(entry));
        let names = names.filter_map(|name| Some(described(name, catalog.find(name).ok()?.1)));
        let adapted = entry.current().into_iter().flat_map(|version| adapted(entry, version));
        names.chain(adapted).collect::<Vec<_>>()
    };
    let taken = |name: &str| catalog.entries.iter().any(|entry| entry.name == name);
    let routes = catalog.routes.iter().map(|(name, _)| name.as_str()).filter(|name| !taken(name));
    let routes = routes.filter_map(|name| Some(described(name, catalog.find(name).ok()?.1)));
    let mut data: Vec<Model> = catalog.entries.iter().flat_map(named).chain(routes).collect();
    data.iter_mut().for_each(|model| model.route = catalog.is_route(&model.id));
    Json(Models { object: "list", data }).into_response()
}

pub(super) async fn one(State(app): State<Arc<App>>, id: Result<Path<String>, PathRejection>) -> Response {
    let id = id.map_err(|e| Problem::of(Kind::ModelNotFound, "model", format!("{}.", e.body_text())));
    let found = id.and_then(|Path(id)| {
        app.check_open()?;
        let catalog = app.models.read();
        let (entry, version, adapter) = catalog.find_adapted(&id)?;
        if let Some(adapter) = adapter {
            return Ok(adapter_of(entry, version, adapter));
        }
        // `default` and names that any model answers to are told whose they are.
        let route = catalog.is_route(&id);
        let known = route || entry.name == id || id.contains('@') || catalog.aliases(entry).any(|alias| alias == id);
        Ok(Model { route, ..described(if known { &id } else { &entry.name }, version) })
    });
    found.map_or_else(|problem| error::problem(&problem), |model| Json(model).into_response())
}

/// The adapters of a model.
fn adapted(entry: &Entry, version: &Version) -> Vec<Model> {
    version.adapters().iter().map(|(adapter, _)| adapter_of(entry, version, adapter)).collect()
}

fn adapter_of(entry: &Entry, version: &Version, adapter: &str) -> Model {
    Model { parent: Some(entry.name.clone()), ..described(&format!("{}:{adapter}", entry.name), version) }
}

fn described(id: &str, version: &Version) -> Model {
    let card = version.card.as_ref();
    Model {
        id: id.to_owned(),
        object: "model",
        created: card.map_or(0, |card| card.created),
        owned_by: "whinchat",
        loaded: version.resident().is_some(),
        version: version.id.clone(),
        parent: None,
        route: false,
        more: card.map(|card| More { context: card.context, chat: card.chat, sampling: defaults(&card.sampling) }),
    }
}

fn is_false(value: &bool) -> bool {
    !value
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
