//! `/admin/models`: models are listed, loaded, put in each other's place and taken away while the server answers. Errors are
//! OpenAI's.

mod adapters;
mod change;
mod described;
mod faults;
mod memory;
mod plan;
mod plans;
mod releases;
mod routes;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::Extensions;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use axum::{Json, Router};
use serde_json::{Value, json};

use self::change::Change;
pub(crate) use self::faults::all as lasting_faults;
use super::fields::{self, Fields};
use super::{known, ollama, openai};
use crate::http::{Caller, body, is_local};
use crate::models::{Key, retire};
use crate::{App, Kind, LoadOrder, Problem};

/// Letters of a version's name at most.
const LONGEST_VERSION: usize = 64;

type Name = Result<Path<String>, PathRejection>;

/// The routes.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/admin/models", get(list).post(load))
        .route("/admin/models/{*name}", patch(change).delete(remove))
        .merge(adapters::routes())
        .merge(faults::routes())
        .merge(routes::routes())
        .merge(releases::routes())
        .merge(plans::routes())
        .merge(memory::routes())
}

async fn list(State(app): State<Arc<App>>, request: Request) -> Response {
    let models = || {
        check(&app, request.extensions())?;
        Ok(json!({ "object": "list", "data": described::all(&app) }))
    };
    respond(models())
}

/// Loads a model. One of the same name is replaced as soon as the new one is there, and finishes what it began.
async fn load(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(try_load(app, request).await)
}

async fn try_load(app: Arc<App>, request: Request) -> Result<Value, Problem> {
    check(&app, request.extensions())?;
    let (head, body) = request.into_parts();
    let body = body::read(&head, body).await?;
    let map = fields::object(&body)?;
    let fields = Fields::of(&known::LOAD, &map)?;
    let order = order(&app, fields)?;
    if fields.bool("load")? == Some(false) {
        let name = order.name.clone().unwrap_or_else(|| order.source.clone());
        app.know(order)?;
        return Ok(json!({ "object": "model", "model": described::named(&app, &name), "replaced": false }));
    }
    done(async move {
        let began = Instant::now();
        let model = app.load(order.clone()).await.map_err(|why| failed(&why))?;
        let (Key { name, version }, replaced) = app.put(model, Some(order));
        let was_there = replaced.is_some();
        retire(replaced);
        tracing::info!(model = name, version, replaced = was_there, "loaded");
        let (model, millis) = (described::named(&app, &name), began.elapsed().as_millis() as u64);
        Ok(json!({ "object": "model", "model": model, "version": version, "replaced": was_there, "load_ms": millis }))
    })
    .await
}

/// What a body orders.
fn order(app: &App, fields: Fields<'_>) -> Result<LoadOrder, Problem> {
    fields.required("model")?;
    let name = fields.string("name")?.filter(|name| !name.is_empty()).map(str::to_owned);
    let version = fields.string("version")?.map(checked_version).transpose()?;
    if let Some(name) = &name {
        app.models.read().check_name(name)?;
    }
    Ok(LoadOrder {
        source: fields.string("model")?.unwrap_or_default().to_owned(),
        name,
        version,
        keep_alive: ollama::keep_alive(fields)?,
        context: fields.count("context", 1)?,
        kv_tokens: fields.count("kv_tokens", 1)?,
        max_sequences: fields.count("max_sequences", 1)?,
        draft_model: fields.string("draft_model")?.map(str::to_owned),
        adapters: change::adapters(fields)?.into_iter().filter_map(|(name, source)| Some((name, source?))).collect(),
    })
}

/// A version's name stands behind an @ and in paths.
fn checked_version(version: &str) -> Result<String, Problem> {
    let letters = version.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if letters && (1..=LONGEST_VERSION).contains(&version.len()) {
        return Ok(version.to_owned());
    }
    let message = format!(
        "version must have 1 to {LONGEST_VERSION} letters (a to z, A to Z), digits, '-', '_' or '.', but it is {version:?}."
    );
    Err(Problem::of(Kind::Ask(answer::Kind::InvalidValue), "version", message))
}

/// Changes what is known of a model.
async fn change(State(app): State<Arc<App>>, name: Name, request: Request) -> Response {
    respond(try_change(app, name, request).await)
}

async fn try_change(app: Arc<App>, name: Name, request: Request) -> Result<Value, Problem> {
    check(&app, request.extensions())?;
    let name = path(name)?;
    let (head, body) = request.into_parts();
    let change = Change::read(&body::read(&head, body).await?)?;
    done(async move {
        let key = change.apply(&app, &name).await?;
        Ok(json!({ "object": "model", "model": described::named(&app, &key.name) }))
    })
    .await
}

async fn remove(State(app): State<Arc<App>>, name: Name, request: Request) -> Response {
    let removed = || {
        check(&app, request.extensions())?;
        let name = path(name)?;
        let last = {
            let catalog = app.models.read();
            let key = catalog.key(&name)?;
            catalog.entries.len() == 1 && (key.name == name || catalog.entries[0].versions.len() == 1)
        };
        if last {
            let message = format!("{name} is the only model. Load another one first, or stop the server.");
            return Err(Problem::of(Kind::Ask(answer::Kind::InvalidValue), "name", message));
        }
        retire(app.take_away(&name)?);
        tracing::info!(model = name, "removed");
        Ok(json!({ "id": name, "object": "model", "deleted": true }))
    };
    respond(removed())
}

/// Who asked may go away: what was begun is done.
async fn done<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.map_err(|_| failed("changing it panicked; the server's log says why"))?
}

fn path(name: Name) -> Result<String, Problem> {
    let Path(name) = name.map_err(|e| Problem::of(Kind::ModelNotFound, "name", format!("{}.", e.body_text())))?;
    Ok(name)
}

/// Whether the server is asked by somebody who may: it has to be started for it, and is asked on this machine.
fn check(app: &App, extensions: &Extensions) -> Result<(), Problem> {
    if !app.models.read().rules.admin {
        return Err(Problem::new(
            Kind::UnknownUrl,
            "Models are fixed: start whinchat serve with --admin to change them.",
        ));
    }
    check_local(extensions)?;
    app.check_open()
}

/// Whether who asks may change what the server does.
fn check_local(extensions: &Extensions) -> Result<(), Problem> {
    // With keys, the one that was shown is an administrator's: it has been looked at before.
    if !is_local(extensions) && Caller::of(extensions).name().is_none() {
        let message = "/admin answers on loopback addresses and unix sockets alone: ask on the server's own machine, or with a \
                       key of the role admin (--api-keys).";
        return Err(Problem::new(Kind::NotLocal, message));
    }
    Ok(())
}

/// A model could not be loaded; what was there is as it was.
fn failed(why: &str) -> Problem {
    Problem::of(Kind::Ask(answer::Kind::InvalidValue), "model", format!("The model was not loaded: {why}."))
}

fn respond(result: Result<Value, Problem>) -> Response {
    result.map_or_else(|problem| openai::problem(&problem), |value| Json(value).into_response())
}
