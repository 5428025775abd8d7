//! `GET /v1/scheduler`: who runs and who waits.

use std::sync::Arc;
use std::time::Duration;

use answer::Priority;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use engine::SequenceView;
use serde_json::{Value, json};

use crate::wire::query::Query;
use crate::wire::{blocking, openai};
use crate::{App, Kind, Problem, scheduling};

/// A step that takes longer than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The state of one model's scheduler.
pub(super) async fn scheduler(State(app): State<Arc<App>>, uri: Uri) -> Response {
    match blocking(app, move |app| view(app, Query::of(&uri).get("model"))).await {
        Ok(view) => Json(view).into_response(),
        Err(problem) => openai::problem(&problem),
    }
}

pub(super) fn view(app: &App, name: Option<&str>) -> Result<Value, Problem> {
    let model = app.model(name)?;
    let engine = model.engine();
    let late = |_| Problem::new(Kind::Internal, "The engine is at work on one step for long, or has ended. Try again.");
    let view = engine.view().recv_timeout(PATIENCE).map_err(late)?;
    let mut said = json!({
        "object": "scheduler",
        "model": model.info.name,
        "max_sequences": view.max_sequences,
        "kv_blocks": { "total": view.blocks, "free": view.free_blocks, "positions": view.block_len },
        "states": { "total": view.states.total, "used": view.states.used, "kept": view.states.kept },
        "predictions": {
            "requests": view.accuracy.requests,
            "first_token_error": view.accuracy.error,
            "inside_90": view.accuracy.inside,
        },
        "running": view.running.iter().map(sequence).collect::<Vec<_>>(),
        "waiting": view.waiting.iter().map(sequence).collect::<Vec<_>>(),
    });
    if let (Value::Object(said), Value::Object(state)) = (&mut said, scheduling::state(app, &model, &view)) {
        said.extend(state);
    }
    Ok(said)
}

fn sequence(view: &SequenceView) -> Value {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let priority = match view.priority {
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    };
    json!({
        "request": view.request.0,
        "priority": priority,
        "age_ms": millis(view.age),
        "continuations": view.continuations,
        "prompt_tokens": view.prompt,
        "generated_tokens": view.generated,
        "cached_tokens": view.cached,
        "kv_blocks": view.blocks,
        "complete_within_ms": view.complete_within.map(millis),
    })
}
