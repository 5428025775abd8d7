//! `/admin/models`: models are listed, loaded, put in each other's place and taken away while the server answers. Errors are
//! OpenAI's.

use std::sync::Arc;
use std::time::Instant;

use answer::LoadedModel;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::Extensions;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::fields::{self, Fields};
use super::openai;
use crate::http::{body, is_local};
use crate::{App, Kind, LoadOrder, Problem};

/// The routes.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/admin/models", get(list).post(load)).route("/admin/models/{*name}", delete(remove))
}

async fn list(State(app): State<Arc<App>>, request: Request) -> Response {
    let models = || {
        check(&app, request.extensions())?;
        let models: Vec<Value> = app.loaded().iter().map(|model| described(model)).collect();
        Ok(json!({ "object": "list", "data": models }))
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
    let order = order(&body::read(&head, body).await?)?;
    // Who asked may go away: what was begun is done.
    let work = tokio::spawn(async move {
        let _turn = app.loading.lock().await;
        let began = Instant::now();
        let loading = Arc::clone(&app);
        let loaded = tokio::task::spawn_blocking(move || loading.load(&order)).await;
        let model = loaded.map_err(|_| failed("loading it panicked; the server's log says why"))??;
        let described = described(&model);
        let replaced = app.add(model);
        let was_there = replaced.is_some();
        retire(replaced);
        tracing::info!(model = described["id"].as_str(), replaced = was_there, "loaded");
        let millis = began.elapsed().as_millis() as u64;
        Ok(json!({ "object": "model", "model": described, "replaced": was_there, "load_ms": millis }))
    });
    work.await.map_err(|_| failed("loading it panicked; the server's log says why"))?
}

/// What a body orders.
fn order(body: &[u8]) -> Result<LoadOrder, Problem> {
    let map = fields::object(body)?;
    let fields = Fields(&map);
    fields.required("model")?;
    Ok(LoadOrder {
        source: fields.string("model")?.unwrap_or_default().to_owned(),
        name: fields.string("name")?.filter(|name| !name.is_empty()).map(str::to_owned),
        context: fields.count("context", 1)?,
        kv_tokens: fields.count("kv_tokens", 1)?,
        max_sequences: fields.count("max_sequences", 1)?,
    })
}

async fn remove(State(app): State<Arc<App>>, name: Result<Path<String>, PathRejection>, request: Request) -> Response {
    let removed = || {
        check(&app, request.extensions())?;
        let Path(name) = name.map_err(|e| Problem::of(Kind::ModelNotFound, "name", format!("{}.", e.body_text())))?;
        if app.loaded().iter().all(|model| model.info.name == name) {
            let message = format!("{name} is the only model. Load another one first, or stop the server.");
            return Err(Problem::of(Kind::Ask(answer::Kind::InvalidValue), "name", message));
        }
        let removed = app.remove(&name).ok_or_else(|| {
            Problem::of(Kind::ModelNotFound, "name", format!("There is no model {name}; GET /admin/models lists them."))
        })?;
        retire(Some(removed));
        tracing::info!(model = name, "removed");
        Ok(json!({ "id": name, "object": "model", "deleted": true }))
    };
    respond(removed())
}

/// Waits elsewhere until a model has finished what it began.
fn retire(model: Option<Arc<LoadedModel>>) {
    if let Some(model) = model {
        tokio::task::spawn_blocking(move || model.join());
    }
}

/// Whether the server is asked by somebody who may: it has to be started for it, and is asked on this machine.
fn check(app: &App, extensions: &Extensions) -> Result<(), Problem> {
    if !app.loads() {
        return Err(Problem::new(
            Kind::UnknownUrl,
            "Models are fixed: start whinchat serve with --admin to change them.",
        ));
    }
    if !is_local(extensions) {
        let message = "/admin answers on loopback addresses and unix sockets alone: ask on the server's own machine.";
        return Err(Problem::new(Kind::NotLocal, message));
    }
    app.models().map(drop)
}

fn described(model: &LoadedModel) -> Value {
    let stats = model.engine().stats();
    json!({
        "id": model.info.name, "created": model.info.created, "context": model.context(),
        "max_sequences": model.streams(), "running": stats.running, "waiting": stats.waiting,
        "kv_blocks": { "total": stats.kv_blocks, "used": stats.kv_blocks_used, "kept": stats.kv_blocks_kept },
        "states": { "total": stats.states.total, "used": stats.states.used, "kept": stats.states.kept },
    })
}

/// A model could not be loaded; what was there is as it was.
fn failed(why: &str) -> Problem {
    Problem::of(Kind::Ask(answer::Kind::InvalidValue), "model", format!("The model was not loaded: {why}."))
}

impl App {
    /// Brings a model into memory.
    fn load(&self, order: &LoadOrder) -> Result<LoadedModel, Problem> {
        let loader = self.loader.get().ok_or_else(|| failed("the server has nothing to load with"))?;
        loader.load(order).map_err(|why| failed(why.trim_end_matches('.')))
    }
}

fn respond(result: Result<Value, Problem>) -> Response {
    result.map_or_else(|problem| openai::problem(&problem), |value| Json(value).into_response())
}
