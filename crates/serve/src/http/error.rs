//! One table from kind of problem to status, OpenAI's type and code; and the answer made of it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::openai::response::ErrorBody;
use crate::{Kind, Problem};

/// HTTP status, OpenAI's type, OpenAI's code, and after how many seconds to try again.
type Row = (StatusCode, &'static str, &'static str, Option<u16>);

#[rustfmt::skip]
fn row(kind: Kind) -> Row {
    const ASKED: &str = "invalid_request_error";
    const OURS: &str = "server_error";
    match kind {
        Kind::InvalidJson      => (StatusCode::BAD_REQUEST, ASKED, "invalid_json", None),
        Kind::InvalidType      => (StatusCode::BAD_REQUEST, ASKED, "invalid_type", None),
        Kind::InvalidValue     => (StatusCode::BAD_REQUEST, ASKED, "invalid_value", None),
        Kind::Missing          => (StatusCode::BAD_REQUEST, ASKED, "missing_required_parameter", None),
        Kind::Unsupported      => (StatusCode::BAD_REQUEST, ASKED, "unsupported_parameter", None),
        Kind::ContextLength    => (StatusCode::BAD_REQUEST, ASKED, "context_length_exceeded", None),
        Kind::ModelNotFound    => (StatusCode::NOT_FOUND, ASKED, "model_not_found", None),
        Kind::UnknownUrl       => (StatusCode::NOT_FOUND, ASKED, "unknown_url", None),
        Kind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, ASKED, "method_not_allowed", None),
        Kind::BodyTimeout      => (StatusCode::REQUEST_TIMEOUT, ASKED, "request_timeout", None),
        Kind::BodyEncoding     => (StatusCode::UNSUPPORTED_MEDIA_TYPE, ASKED, "unsupported_encoding", None),
        Kind::TooLarge         => (StatusCode::PAYLOAD_TOO_LARGE, ASKED, "request_too_large", None),
        Kind::Busy             => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "queue_full", Some(1)),
        Kind::Internal         => (StatusCode::INTERNAL_SERVER_ERROR, OURS, "internal_error", None),
        Kind::Loading          => (StatusCode::SERVICE_UNAVAILABLE, OURS, "model_loading", Some(2)),
        Kind::Draining         => (StatusCode::SERVICE_UNAVAILABLE, OURS, "draining", Some(5)),
    }
}

/// The error as OpenAI's JSON, for streams that have already begun.
pub(super) fn body(problem: &Problem) -> ErrorBody<'_> {
    let (_, class, code, _) = row(problem.kind);
    ErrorBody::new(problem, class, code)
}

/// The status and the `Retry-After` of a kind of problem.
pub(super) fn head(kind: Kind) -> (StatusCode, Option<HeaderValue>) {
    let (status, _, _, retry) = row(kind);
    (status, retry.map(HeaderValue::from))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry) = head(self.kind);
        let json = serde_json::to_value(body(&self)).unwrap_or(Value::Null);
        let mut response = (status, Json(json)).into_response();
        if let Some(seconds) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
