//! Problems in Ollama's shape: a sentence.

use answer::Kind as Asked;
use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::wire::{openai, response};
use crate::{Kind, Problem};

/// An error, as an answer and as a line of a stream.
#[derive(Debug, Serialize)]
pub(super) struct ErrorBody<'a> {
    error: &'a str,
}

/// The error as JSON.
pub(super) fn body(problem: &Problem) -> ErrorBody<'_> {
    ErrorBody { error: &problem.message }
}

/// The answer to a request that is not answered; a full queue is 503 with Ollama.
pub(crate) fn problem(problem: &Problem) -> Response {
    let (status, retry) = openai::status(problem);
    let full = matches!(problem.kind, Kind::Ask(Asked::Busy | Asked::TooLateNow));
    let status = if full { StatusCode::SERVICE_UNAVAILABLE } else { status };
    response((status, retry), Json(body(problem)))
}
