//! `GET /v1/telemetry` and `/v1/telemetry/history`: the same numbers as JSON, for pages and programs.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use telemetry::Snapshot;

use crate::App;
use crate::http::is_local;

/// All that is known now. Tenants are named to who asks on the server's own machine alone.
pub(super) async fn snapshot(State(app): State<Arc<App>>, request: Request) -> Response {
    Json(app.snapshot(is_local(request.extensions()))).into_response()
}

/// From when on.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Since {
    #[serde(default)]
    since: u64,
}

/// Points of the last day after `since`, in seconds since 1970.
pub(super) async fn history(State(app): State<Arc<App>>, Query(Since { since }): Query<Since>) -> Response {
    let engines = app.watch.telemetry.history(since);
    Json(json!({ "step_s": telemetry::POINT_SECONDS, "engines": engines })).into_response()
}

impl App {
    /// What is known of all engines at this moment, with or without the names of tenants.
    pub(crate) fn snapshot(&self, tenants: bool) -> Snapshot {
        self.watch.look(self);
        let snapshot = self.watch.telemetry.snapshot(self.watch.now());
        if tenants { snapshot } else { snapshot.without_tenants() }
    }
}
