//! Errors become exceptions of `whinchat.errors`, by kind.

use std::time::Duration;

use answer::{Kind, Problem};
use pyo3::prelude::*;

/// An exception of `whinchat.errors` with this message.
pub(crate) fn raised(class: &str, message: &str) -> PyErr {
    about(class, message, (None, None))
}

/// What was asked is wrong.
pub(crate) fn invalid(param: &str, message: &str) -> PyErr {
    about("InvalidRequestError", message, (Some(param), None))
}

/// Why a request is not answered.
pub(crate) fn of_problem(problem: &Problem) -> PyErr {
    let class = match problem.kind {
        Kind::InvalidType | Kind::InvalidValue | Kind::Missing => "InvalidRequestError",
        Kind::Unsupported => "UnsupportedError",
        Kind::ContextLength => "ContextLengthError",
        Kind::Busy => "BusyError",
        Kind::TooLateNow | Kind::TooLate | Kind::TimeLimit => "TimeLimitError",
        Kind::Draining => "ClosedError",
        Kind::Failed | Kind::Unavailable | Kind::Internal => "EngineError",
    };
    about(class, &problem.message, (problem.param.as_deref(), problem.retry_after))
}

/// Why a model cannot be loaded.
pub(crate) fn of_load(error: &whinchat::Error) -> PyErr {
    use whinchat::Error;
    let class = match error {
        Error::Model(_) | Error::Tokenizer { .. } | Error::Template(_) => "ModelError",
        Error::Backend(_) => "DeviceError",
        Error::Hub(_) => "HubError",
        Error::Request(_) => "InvalidRequestError",
        Error::Engine(_) => "EngineError",
        Error::Io { .. } => "FileError",
    };
    raised(class, &error.to_string())
}

fn about(class: &str, message: &str, (param, retry_after): (Option<&str>, Option<Duration>)) -> PyErr {
    Python::attach(|py| {
        let class = py.import("whinchat.errors").and_then(|module| module.getattr(class));
        let made = class.and_then(|class| class.call1((message, param, retry_after.map(|time| time.as_secs_f64()))));
        made.map_or_else(|error| error, PyErr::from_value)
    })
}
