//! `GET /v1/models` and `GET /v1/models/NAME` as Anthropic has them: what OpenAI's answer says, in Anthropic's words. Its clients are
//! known by the header that names the version of the API.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error;

/// Bytes of an answer at most: names of models are short.
const MAX_BYTES: usize = 16 << 20;

/// Answers in Anthropic's shape whoever says that it speaks Anthropic's API.
pub(crate) async fn in_own_words(request: Request, next: Next) -> Response {
    let own = request.headers().contains_key("anthropic-version");
    let response = next.run(request).await;
    if !own {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let said = to_bytes(body, MAX_BYTES).await.ok().and_then(|body| serde_json::from_slice(&body).ok());
    let told = said.as_ref().map_or_else(|| json!({}), |said| told(head.status.as_u16(), said));
    head.headers.remove(axum::http::header::CONTENT_LENGTH);
    (head.status, head.headers, Json(told)).into_response()
}

fn told(status: u16, said: &Value) -> Value {
    match (&said["error"]["message"], said["data"].as_array()) {
        (Value::String(message), _) => {
            json!({ "type": "error", "error": { "type": error::word_of(status), "message": message } })
        }
        (_, Some(models)) => {
            let (first, last) = (models.first(), models.last());
            let data: Vec<Value> = models.iter().map(model).collect();
            let id = |model: Option<&Value>| model.map(|model| model["id"].clone());
            json!({ "data": data, "first_id": id(first), "last_id": id(last), "has_more": false })
        }
        _ => model(said),
    }
}

fn model(model: &Value) -> Value {
    let created = model["created"].as_i64().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let created = created.unwrap_or(OffsetDateTime::UNIX_EPOCH).format(&Rfc3339).unwrap_or_default();
    json!({
        "type": "model", "id": model["id"], "display_name": model["id"], "created_at": created, "lifecycle": "active",
        "max_input_tokens": model["context"], "max_tokens": model["context"],
    })
}
