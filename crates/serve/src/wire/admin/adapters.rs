//! `/v1/load_lora_adapter` and `/v1/unload_lora_adapter`: adapters come and go as by vLLM's API, for who may do so.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::change::change_adapters;
use super::{check, done};
use crate::http::body;
use crate::wire::fields::{self, Fields};
use crate::wire::{known, openai};
use crate::{App, Kind, Problem};

/// The routes.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/v1/load_lora_adapter", post(load)).route("/v1/unload_lora_adapter", post(unload))
}

async fn load(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(try_load(app, request).await)
}

async fn unload(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(try_unload(app, request).await)
}

async fn try_load(app: Arc<App>, request: Request) -> Result<String, Problem> {
    check(&app, request.extensions())?;
    let (head, body) = request.into_parts();
    let map = fields::object(&body::read(&head, body).await?)?;
    let fields = Fields::of(&known::LOAD_ADAPTER, &map)?;
    let (name, path) = (required(fields, "lora_name")?, required(fields, "lora_path")?);
    let base = fields.string("base_model_name")?.unwrap_or_default().to_owned();
    let in_place = fields.bool("load_inplace")?.unwrap_or(false);
    let there = app.models.read().find(&base)?.1.adapters().iter().any(|(known, _)| *known == name);
    if there && !in_place {
        let message = format!("The adapter {name} is loaded already. With load_inplace another one takes its place.");
        return Err(Problem::of(Kind::Ask(answer::Kind::InvalidValue), "lora_name", message));
    }
    changed(app, base, name.clone(), Some(path)).await?;
    Ok(format!("Success: LoRA adapter '{name}' added successfully."))
}

async fn try_unload(app: Arc<App>, request: Request) -> Result<String, Problem> {
    check(&app, request.extensions())?;
    let (head, body) = request.into_parts();
    let map = fields::object(&body::read(&head, body).await?)?;
    let name = required(Fields::of(&known::UNLOAD_ADAPTER, &map)?, "lora_name")?;
    let (base, adapter) = match app.models.read().find_adapted(&name)? {
        (entry, version, Some(adapter)) => (format!("{}@{}", entry.name, version.id), adapter.to_owned()),
        (entry, _, None) => {
            let message = format!("{name} is no adapter, but means the model {}.", entry.name);
            return Err(Problem::of(Kind::ModelNotFound, "lora_name", message));
        }
    };
    changed(app, base, adapter, None).await?;
    Ok(format!("Success: LoRA adapter '{name}' removed successfully."))
}

async fn changed(app: Arc<App>, base: String, name: String, path: Option<String>) -> Result<(), Problem> {
    done(async move { change_adapters(&app, &base, vec![(name, path)]).await }).await
}

fn required(fields: Fields<'_>, name: &'static str) -> Result<String, Problem> {
    fields.required(name)?;
    Ok(fields.string(name)?.unwrap_or_default().to_owned())
}

fn respond(result: Result<String, Problem>) -> Response {
    result.map_or_else(|problem| openai::problem(&problem), IntoResponse::into_response)
}
