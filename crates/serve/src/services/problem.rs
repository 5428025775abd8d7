//! Why a request is not answered, in words for who sent it. What HTTP makes of it is `http/error.rs`'s business.

/// What sort of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The body is not JSON.
    InvalidJson,
    /// A field has the wrong type.
    InvalidType,
    /// A field's value is out of range, or contradicts another one.
    InvalidValue,
    /// A field is missing.
    Missing,
    /// A field asks for something that this server does not do.
    Unsupported,
    /// The prompt is longer than the model's context.
    ContextLength,
    /// No model has this name.
    ModelNotFound,
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
    /// The engine's queue is full.
    Busy,
    /// Our fault.
    Internal,
    /// No model is loaded yet.
    Loading,
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
}

impl Problem {
    /// A problem of the request as a whole.
    pub fn new(kind: Kind, message: impl Into<String>) -> Problem {
        Problem { kind, message: message.into(), param: None }
    }

    /// A problem with one field.
    pub fn of(kind: Kind, param: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { kind, message: message.into(), param: Some(param.into()) }
    }
}
