//! `GET /v1/telemetry` and `/v1/telemetry/history`: the same numbers as JSON, for pages and programs.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{Extensions, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use telemetry::{Labels, Snapshot};

use super::metrics::algorithms_told;
use super::together::together;
use crate::http::{Caller, is_local};
use crate::wire::query::Query;
use crate::{App, Problem, releases, wire};

/// All that is known now.
pub(super) async fn snapshot(State(app): State<Arc<App>>, request: Request) -> Response {
    let (snapshot, releases) = (app.snapshot(names_tenants(request.extensions())), releases::told(&app));
    Json(Told { snapshot, releases, algorithms: algorithms_told(&app) }).into_response()
}

/// All that is known.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    snapshot: Snapshot,
    releases: Vec<Value>,
    /// What policies, executors and tiers count of their own, by model.
    algorithms: Vec<Value>,
}

/// Whether who asks is told the names of tenants: on the server's own machine, and with a key, which is one that may read this.
pub(super) fn names_tenants(extensions: &Extensions) -> bool {
    is_local(extensions) || Caller::of(extensions).name().is_some()
}

/// From when on, and whose.
struct Asked {
    since: u64,
    /// Every engine if it is not said which model.
    model: Option<String>,
    variant: Option<String>,
    device: Option<String>,
    /// As if they were one.
    together: bool,
}

impl Asked {
    fn of(query: &Query) -> Result<Asked, Problem> {
        let text = |name: &str| query.given(name).map(str::to_owned);
        Ok(Asked {
            since: query.maybe_count("since")?.unwrap_or_default() as u64,
            model: text("model"),
            variant: text("variant"),
            device: text("device"),
            together: query.bool("together")?,
        })
    }

    fn names(&self, labels: &Labels) -> bool {
        let one = |asked: &Option<String>, own: &str| asked.as_deref().is_none_or(|asked| asked == own);
        one(&self.model, &labels.model) && one(&self.variant, &labels.variant) && one(&self.device, &labels.device)
    }
}

/// Points of the last day after `since`, in seconds since 1970.
pub(super) async fn history(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let asked = match Asked::of(&Query::of(&uri)) {
        Ok(asked) => asked,
        Err(problem) => return wire::problem(uri.path(), &problem),
    };
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
