//! The routes that belong to no dialect, and all of them together.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::{Map, Value, json};

use super::{access, hints, log, page};
use crate::app::State as AppState;
use crate::{App, Kind, Problem, watch, wire};

/// All routes.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/health", get(health))
        .merge(watch::routes())
        .merge(wire::routes())
        .merge(page::routes())
        .fallback(hints::unknown_url)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), watch::tell_load))
        .layer(middleware::from_fn(access::guard))
        .layer(middleware::from_fn_with_state(app.clone(), log::requests))
        .with_state(app)
}

/// The state in a word, and each model's.
async fn health(State(app): State<Arc<App>>) -> Response {
    const UP: StatusCode = StatusCode::OK;
    const DOWN: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    let (word, status, retry) = match app.state() {
        AppState::Loading => ("loading", DOWN, Some(2)),
        AppState::Ready => ("ready", UP, None),
        AppState::Degraded => ("degraded", UP, None),
        AppState::Failed => ("failed", DOWN, None),
        AppState::Draining => ("draining", DOWN, Some(5)),
    };
    let models: Map<String, Value> = app.health().into_iter().map(|(name, word)| (name, word.into())).collect();
    let mut body = json!({ "status": word, "models": models });
    if let Some(configuration) = app.configuration() {
        body["configuration"] = configuration;
    }
    let mut response = (status, Json(body)).into_response();
    if let Some(seconds) = retry {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    wire::problem(uri.path(), &Problem::new(Kind::MethodNotAllowed, format!("{} does not take {method}.", uri.path())))
}
