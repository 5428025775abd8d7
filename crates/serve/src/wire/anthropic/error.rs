//! Problems in Anthropic's words.

use answer::Kind as Asked;
use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::wire::{openai, response};
use crate::{Kind, Problem};

/// An error as Anthropic writes it, as an answer and as an event.
#[derive(Debug, Serialize)]
pub(super) struct ErrorBody<'a> {
    r#type: &'static str,
    error: ErrorDetail<'a>,
}

#[derive(Debug, Serialize)]
struct ErrorDetail<'a> {
    r#type: &'static str,
    message: &'a str,
}

/// The error as JSON. Messages name the field at fault themselves.
pub(super) fn body(problem: &Problem) -> ErrorBody<'_> {
    ErrorBody { r#type: "error", error: ErrorDetail { r#type: word(problem), message: &problem.message } }
}

/// The answer to a request that is not answered.
pub(crate) fn problem(problem: &Problem) -> Response {
    response(status(problem), Json(body(problem)))
}

/// As everywhere, but for a queue that is full: Anthropic's clients know 429 as the limit of an account.
fn status(problem: &Problem) -> (StatusCode, Option<u16>) {
    let (status, retry) = openai::status(problem);
    let full = matches!(problem.kind, Kind::Ask(Asked::Busy | Asked::TooLateNow));
    let overloaded = StatusCode::from_u16(529).ok().filter(|_| full);
    (overloaded.unwrap_or(status), retry)
}

fn word(problem: &Problem) -> &'static str {
    match (problem.kind, status(problem).0.as_u16()) {
        (Kind::Ask(Asked::Failed) | Kind::NotLoaded, _) => "api_error",
        (_, status) => word_of(status),
    }
}

/// The type of an error by its status.
pub(super) fn word_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}
