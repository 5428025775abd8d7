//! Why a request is not answered, in words for who sent it. What an API makes of it is that API's business.

use std::time::Duration;

use text::EncodeError;

/// What sort of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A field has the wrong type.
    InvalidType,
    /// A field's value is out of range, or contradicts another one.
    InvalidValue,
    /// A field is missing.
    Missing,
    /// A field asks for something that the model or the program does not do.
    Unsupported,
    /// The prompt is longer than the model's context.
    ContextLength,
    /// The engine's queue is full.
    Busy,
    /// The answer would come after its deadline, as much as there is to do now.
    TooLateNow,
    /// The answer would come after its deadline, however little else there is to do.
    TooLate,
    /// The model takes no more requests.
    Draining,
    /// The model's engine has failed and answers nobody.
    Failed,
    /// A service that the model needs is elsewhere and cannot be asked now.
    Unavailable,
    /// The answer was not complete in the time that the request gave it.
    TimeLimit,
    /// Computing the answer failed.
    Internal,
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
}

impl Problem {
    /// A problem of the request as a whole.
    pub fn new(kind: Kind, message: impl Into<String>) -> Problem {
        Problem { kind, message: message.into(), param: None, retry_after: None }
    }

    /// A problem with one field.
    pub fn of(kind: Kind, param: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { kind, message: message.into(), param: Some(param.into()), retry_after: None }
    }
}

impl From<EncodeError> for Problem {
    fn from(error: EncodeError) -> Problem {
        Problem::new(Kind::Unavailable, format!("The prompt has no tokens yet: {error}."))
    }
}
