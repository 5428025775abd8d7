//! The routes that belong to no dialect, and all of them together.

use std::sync::Arc;

use axum::http::{Method, Uri};
use axum::response::Response;
use axum::{Router, middleware};

use super::{access, caller, health, hints, log, page};
use crate::{App, Kind, Problem, watch, wire};

/// All routes.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(health::routes())
        .merge(watch::routes())
        .merge(wire::routes())
        .merge(page::routes())
        .fallback(hints::unknown_url)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), watch::tell_load))
        .layer(middleware::from_fn(caller::guard))
        .layer(middleware::from_fn(access::guard))
        .layer(middleware::from_fn_with_state(app.clone(), log::requests))
        .with_state(app)
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    wire::problem(uri.path(), &Problem::new(Kind::MethodNotAllowed, format!("{} does not take {method}.", uri.path())))
}
