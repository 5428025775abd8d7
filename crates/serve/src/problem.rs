//! Why a request is not answered. Which status and words an API has for it is that dialect's business.

use std::time::Duration;

/// What sort of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// With what is asked of the model, or with the model.
    Ask(answer::Kind),
    /// The body is not JSON.
    InvalidJson,
    /// No model has this name.
    ModelNotFound,
    /// No route has this name.
    RouteNotFound,
    /// No release has this name.
    ReleaseNotFound,
    /// The route or the release is not in the state that this needs.
    ReleaseConflict,
    /// No response of this name is kept.
    ResponseNotFound,
    /// No request of this name is remembered.
    RequestNotFound,
    /// No file of this name is kept.
    FileNotFound,
    /// No batch of this name is kept.
    BatchNotFound,
    /// The server does not go by the name that the request calls it.
    ForeignHost,
    /// The page that asks may not.
    ForeignOrigin,
    /// Only who is on the server's own machine may ask this.
    NotLocal,
    /// The server answers who has a key, and none was shown.
    NoKey,
    /// The key that was shown is none of the server's.
    UnknownKey,
    /// The key's role does not let it do this.
    Role,
    /// The key has taken what it may for now.
    KeyLimit,
    /// The server was not started to inject faults.
    FaultsOff,
    /// No fault of this name lasts.
    FaultNotFound,
    /// A fault on purpose, with this status.
    Injected(u16),
    /// No such path.
    UnknownUrl,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is compressed, or otherwise not as it is read.
    BodyEncoding,
    /// The body is too large.
    TooLarge,
    /// The server has as many connections as it takes.
    Connections,
    /// Other requests take the memory that there is for bodies.
    Busy,
    /// Our fault.
    Internal,
    /// No model is loaded yet.
    Loading,
    /// The model is known, and could not be loaded.
    NotLoaded,
    /// The server is going down.
    Draining,
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What sort of problem it is.
    pub kind: Kind,
    /// What is wrong, and what would fix it.
    pub message: String,
    /// The field at fault, as a path (`messages[0].content`).
    pub param: Option<String>,
    /// When to try again, where that can be said.
    pub retry_after: Option<Duration>,
    /// The model that has to be loaded first, by the name that was asked for.
    pub(crate) absent: Option<String>,
}

impl Problem {
    /// A problem of the request as a whole.
    pub fn new(kind: Kind, message: impl Into<String>) -> Problem {
        Problem { kind, message: message.into(), param: None, retry_after: None, absent: None }
    }

    /// A problem with one field.
    pub fn of(kind: Kind, param: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { kind, message: message.into(), param: Some(param.into()), retry_after: None, absent: None }
    }
}

impl From<answer::Problem> for Problem {
    fn from(problem: answer::Problem) -> Problem {
        let answer::Problem { kind, message, param, retry_after } = problem;
        Problem { kind: Kind::Ask(kind), message, param, retry_after, absent: None }
    }
}
