//! What the server has as the services that stand alone have it: `GET /examples`, a page that runs them, and `GET /debug`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::scheduler;
use crate::wire::{blocking, openai};
use crate::{App, services};

/// Requests with the answers that they must have, whatever model answers. Of an answer every field counts that is named here.
pub(super) async fn examples() -> Json<Value> {
    let example = |about: &str, path: &str, request: Value, status: u16, response: Value| json!({ "about": about, "method": "POST", "path": path, "request": request, "status": status, "response": response });
    let completion = json!({ "prompt": "Once", "max_tokens": 2, "ignore_eos": true, "temperature": 0 });
    let completed = json!({ "object": "text_completion", "choices": [{ "index": 0, "finish_reason": "length" }], "usage": { "completion_tokens": 2 } });
    let code = |code: &str| json!({ "error": { "code": code } });
    Json(json!({ "service": "server", "examples": [
        example("Two tokens", "/v1/completions", completion, 200, completed),
        example("No text has no tokens", "/tokenize", json!({ "content": "" }), 200, json!({ "count": 0, "tokens": [] })),
        example("No tokens have no text", "/detokenize", json!({ "tokens": [] }), 200, json!({ "prompt": "" })),
        example("A model that there is not", "/v1/completions", json!({ "model": "none such", "prompt": "x" }), 404, code("model_not_found")),
        example("A prompt that is a number", "/v1/completions", json!({ "prompt": { "x": 1 } }), 400, code("invalid_type")),
        example("No messages", "/v1/chat/completions", json!({}), 400, code("missing_required_parameter")),
    ] }))
}

/// The page whose form runs them.
pub(super) async fn page() -> Response {
    services::page(
        "server",
        "Answers requests with models, over the APIs of OpenAI, Anthropic and Ollama, and its own.",
    )
}

/// Who runs and who waits in each model's engine, and the services that are elsewhere.
pub(super) async fn debug(State(app): State<Arc<App>>) -> Response {
    let told = blocking(app, |app| {
        let names: Vec<String> = app.health().into_iter().map(|(name, _)| name).collect();
        let view = |name: String| {
            let view = scheduler::view(app, Some(&name)).unwrap_or_else(|problem| json!({ "reason": problem.message }));
            (name, view)
        };
        let models: Map<String, Value> = names.into_iter().map(view).collect();
        Ok(json!({ "models": models, "services": services::health(app).unwrap_or_else(|| json!({})) }))
    });
    told.await.map_or_else(|problem| openai::problem(&problem), |told| Json(told).into_response())
}
