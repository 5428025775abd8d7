//! `GET /v1/telemetry` and `/v1/telemetry/history`: the same numbers as JSON, for pages and programs.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::Extensions;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use telemetry::{Labels, Snapshot};

use super::together::together;
use crate::App;
use crate::http::{Caller, is_local};

/// All that is known now.
pub(super) async fn snapshot(State(app): State<Arc<App>>, request: Request) -> Response {
    Json(app.snapshot(names_tenants(request.extensions()))).into_response()
}

/// Whether who asks is told the names of tenants: on the server's own machine, and with a key, which is one that may read this.
pub(super) fn names_tenants(extensions: &Extensions) -> bool {
    is_local(extensions) || Caller::of(extensions).name().is_some()
}

/// From when on, and whose.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    since: u64,
    /// Every engine if it is not said which model.
    model: Option<String>,
    variant: Option<String>,
    device: Option<String>,
    /// As if they were one.
    together: bool,
}

impl Asked {
    fn names(&self, labels: &Labels) -> bool {
        let one = |asked: &Option<String>, own: &str| asked.as_deref().is_none_or(|asked| asked == own);
        one(&self.model, &labels.model) && one(&self.variant, &labels.variant) && one(&self.device, &labels.device)
    }
}

/// Points of the last day after `since`, in seconds since 1970.
pub(super) async fn history(State(app): State<Arc<App>>, Query(asked): Query<Asked>) -> Response {
    let mut engines = app.watch.telemetry.history(asked.since);
    engines.retain(|history| asked.names(&history.labels));
    if asked.together {
        engines = together(engines).into_iter().collect();
    }
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
