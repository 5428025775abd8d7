//! `/admin/routes`: public names, who answers them, and what is known of each.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use super::{Name, check, path, respond};
use crate::{App, Kind, Problem, routes};

/// The routes.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/admin/routes", get(list)).route("/admin/routes/{*name}", get(one))
}

async fn list(State(app): State<Arc<App>>, request: Request) -> Response {
    let told = || {
        check(&app, request.extensions())?;
        Ok(json!({ "object": "list", "data": routes::shown(&app) }))
    };
    respond(told())
}

async fn one(State(app): State<Arc<App>>, name: Name, request: Request) -> Response {
    let told = || {
        check(&app, request.extensions())?;
        let name = path(name)?;
        let none = || {
            Problem::of(Kind::RouteNotFound, "name", format!("There is no route {name}; GET /admin/routes lists them."))
        };
        routes::shown_one(&app, &name).ok_or_else(none)
    };
    respond(told())
}
