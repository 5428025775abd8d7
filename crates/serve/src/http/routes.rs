//! The routes that belong to no dialect, and all of them together.

use std::sync::Arc;

use axum::{Router, middleware};

use super::{access, caller, health, hints, log, page};
use crate::{App, openapi, watch, wire};

/// All routes.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(health::routes())
        .merge(watch::routes())
        .merge(wire::routes())
        .merge(page::routes())
        .merge(openapi::routes())
        .fallback(hints::unknown_url)
        .layer(middleware::from_fn(openapi::guard))
        .layer(middleware::from_fn_with_state(app.clone(), watch::tell_load))
        .layer(middleware::from_fn(caller::guard))
        .layer(middleware::from_fn(access::guard))
        .layer(middleware::from_fn_with_state(app.clone(), log::requests))
        .with_state(app)
}
