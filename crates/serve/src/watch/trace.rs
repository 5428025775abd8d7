//! `GET /v1/requests/{id}/trace`: a request's stages in the trace event format, which Perfetto and Chrome's `about:tracing` show.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use telemetry::{Flow, Span};

use crate::{App, Kind, Problem, wire};

/// The trace of a request by the name that its answer had in `x-request-id`.
pub(super) async fn trace(State(app): State<Arc<App>>, id: Result<Path<String>, PathRejection>) -> Response {
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    match app.watch.telemetry.flow(&id) {
        Some(flow) => Json(events(&flow)).into_response(),
        None => {
            let message = format!(
                "No request `{id}` has ended of late. The name is that of its answer's x-request-id; the last 1,024 requests \
                 for which something was generated are kept."
            );
            wire::problem("/v1/requests", &Problem::of(Kind::RequestNotFound, "id", message))
        }
    }
}

/// A complete event for the request and one for each of its stages, in microseconds since 1970.
fn events(flow: &Flow) -> Value {
    let began = flow.came_ms * 1000;
    let whole = json!({
        "name": flow.id, "cat": "request", "ph": "X", "ts": began, "dur": flow.total_us, "pid": 1, "tid": 1,
        "args": {
            "model": flow.labels.model, "variant": flow.labels.variant, "device": flow.labels.device,
            "reason": flow.reason, "prompt_tokens": flow.prompt, "cached_tokens": flow.cached,
            "generated_tokens": flow.generated,
        },
    });
    let stage = |span: &Span| {
        json!({
            "name": span.stage.as_str(), "cat": "stage", "ph": "X", "ts": began + span.start_us,
            "dur": span.end_us.saturating_sub(span.start_us), "pid": 1, "tid": 2, "args": { "tokens": span.tokens },
        })
    };
    let name = |tid: u8, name: &str| json!({ "name": "thread_name", "ph": "M", "pid": 1, "tid": tid, "args": { "name": name } });
    let process =
        json!({ "name": "process_name", "ph": "M", "pid": 1, "tid": 0, "args": { "name": flow.labels.model } });
    let named = [process, name(1, "request"), name(2, "stages"), whole];
    let events: Vec<Value> = named.into_iter().chain(flow.spans.iter().map(stage)).collect();
    json!({ "displayTimeUnit": "ms", "traceEvents": events })
}
