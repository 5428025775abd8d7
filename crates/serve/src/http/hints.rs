//! What is said of a path that does not exist: often one that nearly does.

use axum::http::{Method, Uri};
use axum::response::Response;

use crate::{Kind, Problem, wire};

/// How paths end, and what answers the same here.
const HINTS: [(&str, &str); 10] = [
    ("/chat/completions", "/v1/chat/completions"),
    ("/completions", "/v1/completions"),
    ("/completion", "/v1/completions"),
    ("/messages", "/v1/messages"),
    ("/models", "/v1/models"),
    ("/health", "/health"),
    ("/api/chat", "/api/chat"),
    ("/api/generate", "/api/generate"),
    ("/api/tags", "/api/tags"),
    ("/generate", "/v1/completions"),
];

/// No route has this path.
pub(super) async fn unknown_url(method: Method, uri: Uri) -> Response {
    let path = uri.path();
    let hint = HINTS.iter().find(|(end, _)| path.trim_end_matches('/').ends_with(end));
    let hint =
        hint.map_or_else(String::new, |(_, right)| format!(" There is {right}: is the client's base URL right?"));
    wire::problem(path, &Problem::new(Kind::UnknownUrl, format!("There is no {method} {path}.{hint}")))
}
