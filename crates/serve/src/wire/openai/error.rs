//! One table from kind of problem to status, OpenAI's type and code; and the answer made of it.

use answer::Kind as Asked;
use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::wire::response;
use crate::{Kind, Problem};

/// Seconds after which a client is told to try again, at most.
const LONGEST_RETRY: f64 = 600.0;

/// HTTP status, OpenAI's type, OpenAI's code, and after how many seconds to try again.
type Row = (StatusCode, &'static str, &'static str, Option<u16>);

#[rustfmt::skip]
fn row(kind: Kind) -> Row {
    const ASKED: &str = "invalid_request_error";
    const OURS: &str = "server_error";
    match kind {
        Kind::Ask(Asked::InvalidType)   => (StatusCode::BAD_REQUEST, ASKED, "invalid_type", None),
        Kind::Ask(Asked::InvalidValue)  => (StatusCode::BAD_REQUEST, ASKED, "invalid_value", None),
        Kind::Ask(Asked::Missing)       => (StatusCode::BAD_REQUEST, ASKED, "missing_required_parameter", None),
        Kind::Ask(Asked::Unsupported)   => (StatusCode::BAD_REQUEST, ASKED, "unsupported_parameter", None),
        Kind::Ask(Asked::ContextLength) => (StatusCode::BAD_REQUEST, ASKED, "context_length_exceeded", None),
        Kind::Ask(Asked::Busy)          => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "queue_full", Some(1)),
        Kind::Ask(Asked::TooLateNow)    => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "deadline_unmeetable", Some(1)),
        Kind::Ask(Asked::TooLate)       => (StatusCode::SERVICE_UNAVAILABLE, OURS, "deadline_unmeetable", None),
        Kind::Ask(Asked::Draining)      => (StatusCode::SERVICE_UNAVAILABLE, OURS, "draining", Some(5)),
        Kind::Ask(Asked::Failed)        => (StatusCode::SERVICE_UNAVAILABLE, OURS, "model_failed", None),
        Kind::Ask(Asked::Unavailable)   => (StatusCode::SERVICE_UNAVAILABLE, OURS, "service_unavailable", Some(1)),
        Kind::Ask(Asked::TimeLimit)     => (StatusCode::GATEWAY_TIMEOUT, OURS, "deadline_exceeded", None),
        Kind::Ask(Asked::Internal)      => (StatusCode::INTERNAL_SERVER_ERROR, OURS, "internal_error", None),
        Kind::InvalidJson               => (StatusCode::BAD_REQUEST, ASKED, "invalid_json", None),
        Kind::ModelNotFound             => (StatusCode::NOT_FOUND, ASKED, "model_not_found", None),
        Kind::RouteNotFound             => (StatusCode::NOT_FOUND, ASKED, "route_not_found", None),
        Kind::ReleaseNotFound           => (StatusCode::NOT_FOUND, ASKED, "release_not_found", None),
        Kind::ReleaseConflict           => (StatusCode::CONFLICT, ASKED, "release_conflict", None),
        Kind::ResponseNotFound          => (StatusCode::NOT_FOUND, ASKED, "response_not_found", None),
        Kind::RequestNotFound           => (StatusCode::NOT_FOUND, ASKED, "request_not_found", None),
        Kind::FileNotFound              => (StatusCode::NOT_FOUND, ASKED, "file_not_found", None),
        Kind::BatchNotFound             => (StatusCode::NOT_FOUND, ASKED, "batch_not_found", None),
        Kind::ForeignHost               => (StatusCode::FORBIDDEN, ASKED, "host_not_allowed", None),
        Kind::ForeignOrigin             => (StatusCode::FORBIDDEN, ASKED, "origin_not_allowed", None),
        Kind::NotLocal                  => (StatusCode::FORBIDDEN, ASKED, "not_local", None),
        Kind::NoKey                     => (StatusCode::UNAUTHORIZED, ASKED, "missing_api_key", None),
        Kind::UnknownKey                => (StatusCode::UNAUTHORIZED, ASKED, "invalid_api_key", None),
        Kind::Role                      => (StatusCode::FORBIDDEN, ASKED, "role_not_allowed", None),
        Kind::KeyLimit                  => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "rate_limit_exceeded", Some(1)),
        Kind::FaultsOff                 => (StatusCode::FORBIDDEN, ASKED, "faults_not_allowed", None),
        Kind::FaultNotFound             => (StatusCode::NOT_FOUND, ASKED, "fault_not_found", None),
        Kind::Injected(status)          => (injected(status), class(status), "injected_fault", None),
        Kind::UnknownUrl                => (StatusCode::NOT_FOUND, ASKED, "unknown_url", None),
        Kind::MethodNotAllowed          => (StatusCode::METHOD_NOT_ALLOWED, ASKED, "method_not_allowed", None),
        Kind::BodyTimeout               => (StatusCode::REQUEST_TIMEOUT, ASKED, "request_timeout", None),
        Kind::BodyEncoding              => (StatusCode::UNSUPPORTED_MEDIA_TYPE, ASKED, "unsupported_encoding", None),
        Kind::TooLarge                  => (StatusCode::PAYLOAD_TOO_LARGE, ASKED, "request_too_large", None),
        Kind::Busy                      => (StatusCode::SERVICE_UNAVAILABLE, OURS, "busy", Some(1)),
        Kind::Connections               => (StatusCode::SERVICE_UNAVAILABLE, OURS, "too_many_connections", Some(1)),
        Kind::Internal                  => (StatusCode::INTERNAL_SERVER_ERROR, OURS, "internal_error", None),
        Kind::Loading                   => (StatusCode::SERVICE_UNAVAILABLE, OURS, "model_loading", Some(2)),
        Kind::NotLoaded                 => (StatusCode::SERVICE_UNAVAILABLE, OURS, "model_not_loaded", None),
        Kind::Draining                  => (StatusCode::SERVICE_UNAVAILABLE, OURS, "draining", Some(5)),
    }
}

/// The status of a fault on purpose; one that there is not is an error of the server.
fn injected(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// OpenAI's type of a fault on purpose.
fn class(status: u16) -> &'static str {
    match status {
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        _ => "server_error",
    }
}

/// The status of a problem, and after how many seconds to try again: as the problem says, else as its kind does.
pub(crate) fn status(problem: &Problem) -> (StatusCode, Option<u16>) {
    let (status, _, _, retry) = row(problem.kind);
    let told = problem.retry_after.map(|time| time.as_secs_f64().ceil().clamp(1.0, LONGEST_RETRY) as u16);
    (status, told.or(retry))
}

/// OpenAI's code for a kind of problem, which the other dialects' answers do not have.
pub(crate) fn code(kind: Kind) -> &'static str {
    row(kind).2
}

/// An error as OpenAI writes it.
#[derive(Debug, Serialize)]
pub(super) struct ErrorBody<'a> {
    error: ErrorDetail<'a>,
}

#[derive(Debug, Serialize)]
struct ErrorDetail<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: &'static str,
}

/// The error as JSON, for streams that have already begun.
pub(super) fn body(problem: &Problem) -> ErrorBody<'_> {
    let (_, class, code, _) = row(problem.kind);
    let param = problem.param.as_deref();
    ErrorBody { error: ErrorDetail { message: &problem.message, r#type: class, param, code } }
}

/// The answer to a request that is not answered.
pub(crate) fn problem(problem: &Problem) -> Response {
    response(status(problem), Json(body(problem)))
}
