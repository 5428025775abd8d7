//! `/health`: whether the process lives, whether it takes requests, and what of it works.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use crate::app::State as AppState;
use crate::{App, Kind, services, wire};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/health", get(health)).route("/health/live", get(live)).route("/health/ready", get(ready))
}

/// Says that this process answers. Who restarts what does not must not ask for more: a model that loads for long is no dead process.
async fn live() -> Response {
    Json(json!({ "status": "live" })).into_response()
}

/// Says whether requests are answered: who distributes them asks for this.
async fn ready(State(app): State<Arc<App>>) -> Response {
    told(app.state(), json!({}))
}

/// The state in a word, each model's, and that of every other part with the reason where it does not work.
async fn health(State(app): State<Arc<App>>) -> Response {
    let models: Map<String, Value> = app.health().into_iter().map(|(name, word)| (name, word.into())).collect();
    let mut parts = json!({ "models": models, "components": components(&app) });
    if let Some(configuration) = app.configuration() {
        parts["configuration"] = configuration;
    }
    if let Some(services) = services::health(&app) {
        parts["services"] = services;
    }
    let faults = wire::lasting_faults(&app);
    if !faults.is_empty() {
        let brief = |fault: &Value| json!({ "id": fault["id"], "kind": fault["kind"], "ends_in": fault["ends_in"] });
        parts["faults"] = faults.iter().map(brief).collect();
    }
    told(app.state(), parts)
}

fn components(app: &App) -> Value {
    let kept = |there: bool, switch: &str| match there {
        true => json!({ "status": "ready" }),
        false => json!({ "status": "off", "reason": format!("the server was started without {switch}") }),
    };
    #[cfg(feature = "batches")]
    let batches = kept(app.batches.get().is_some(), "--data-dir");
    #[cfg(not(feature = "batches"))]
    let batches = json!({ "status": "off", "reason": "this build has no batches" });
    json!({
        "queue": queue(app),
        "loader": kept(app.loads(), "--admin"),
        "sessions": kept(app.sessions.get().is_some(), "--sessions"),
        "batches": batches,
    })
}

/// Whether a request would find a place to wait.
fn queue(app: &App) -> Value {
    match app.check_room() {
        Ok(()) => json!({ "status": "ready" }),
        Err(problem) => {
            let full = problem.kind == Kind::Ask(answer::Kind::Busy);
            json!({ "status": if full { "full" } else { "closed" }, "reason": problem.message })
        }
    }
}

fn told(state: AppState, more: Value) -> Response {
    const UP: StatusCode = StatusCode::OK;
    const DOWN: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    let (word, status, retry) = match state {
        AppState::Loading => ("loading", DOWN, Some(2)),
        AppState::Ready => ("ready", UP, None),
        AppState::Degraded => ("degraded", UP, None),
        AppState::Failed => ("failed", DOWN, None),
        AppState::Draining => ("draining", DOWN, Some(5)),
    };
    let mut body = json!({ "status": word });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let mut response = (status, Json(body)).into_response();
    if let Some(seconds) = retry {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
