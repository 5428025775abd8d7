//! What is known of an endpoint: its fields, its answers, and why it may refuse.

use answer::Kind as Asked;

use crate::Kind;
use crate::known::Request;

/// A method of a path, and all that clients need to know of it.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The method, in lower case as OpenAPI has it.
    pub method: &'static str,
    /// The path as it is routed.
    pub path: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The fields of its body.
    pub body: Option<&'static Request>,
    /// The fields of its address.
    pub query: Option<&'static Request>,
    /// A body that is answered, as JSON; empty if it has none.
    pub example: &'static str,
    /// What it answers where nothing goes wrong.
    pub(super) answers: &'static [Answer],
    /// Why it may refuse, beside what holds of every request and of every body.
    pub(super) problems: &'static [&'static [Kind]],
}

/// An answer: its status, its media type (empty if it has no body), and its shape in the notation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer(pub(super) u16, pub(super) &'static str, pub(super) &'static str);

pub(super) const fn json(shape: &'static str) -> Answer {
    Answer(200, "application/json", shape)
}

/// A stream of server-sent events, each with this shape.
pub(super) const fn events(shape: &'static str) -> Answer {
    Answer(200, "text/event-stream", shape)
}

/// A stream of lines, each with this shape.
pub(super) const fn lines(shape: &'static str) -> Answer {
    Answer(200, "application/x-ndjson", shape)
}

pub(super) const fn get(path: &'static str, summary: &'static str) -> Operation {
    operation("get", path, summary)
}

pub(super) const fn post(path: &'static str, summary: &'static str) -> Operation {
    operation("post", path, summary)
}

pub(super) const fn put(path: &'static str, summary: &'static str) -> Operation {
    operation("put", path, summary)
}

pub(super) const fn patch(path: &'static str, summary: &'static str) -> Operation {
    operation("patch", path, summary)
}

pub(super) const fn delete(path: &'static str, summary: &'static str) -> Operation {
    operation("delete", path, summary)
}

const fn operation(method: &'static str, path: &'static str, summary: &'static str) -> Operation {
    Operation { method, path, summary, body: None, query: None, example: "", answers: &[], problems: &[] }
}

impl Operation {
    /// It has a body with these fields, of which this is one that is answered.
    pub(super) const fn takes(self, body: &'static Request, example: &'static str) -> Operation {
        Operation { body: Some(body), example, ..self }
    }

    /// Its address has these fields.
    pub(super) const fn asks(self, query: &'static Request) -> Operation {
        Operation { query: Some(query), ..self }
    }

    /// It answers so.
    pub(super) const fn gives(self, answers: &'static [Answer]) -> Operation {
        Operation { answers, ..self }
    }

    /// It may refuse for these reasons.
    pub(super) const fn refuses(self, problems: &'static [&'static [Kind]]) -> Operation {
        Operation { problems, ..self }
    }
}

/// Why any request may be refused: by what it calls the server and the page that it comes from, and by how many there are.
pub(super) const ENTERING: &[Kind] =
    &[Kind::Ask(Asked::InvalidValue), Kind::ForeignHost, Kind::ForeignOrigin, Kind::Connections];

/// Why a request may be refused that needs a key, where the server has keys.
pub(super) const KEYS: &[Kind] = &[Kind::NoKey, Kind::UnknownKey, Kind::Role];

/// Why a request may be refused that computes, where keys have limits.
pub(super) const LIMITS: &[Kind] = &[Kind::KeyLimit];

/// Why a request with a body may be refused.
pub(super) const BODY: &[Kind] = &[
    Kind::InvalidJson,
    Kind::Ask(Asked::InvalidType),
    Kind::Ask(Asked::InvalidValue),
    Kind::Ask(Asked::Missing),
    Kind::Ask(Asked::Unsupported),
    Kind::BodyTimeout,
    Kind::BodyEncoding,
    Kind::TooLarge,
    Kind::Busy,
];

/// Why nobody is answered now.
pub(super) const CLOSED: &[Kind] = &[Kind::Loading, Kind::Draining];

/// Why a model does not answer.
pub(super) const MODEL: &[Kind] = &[
    Kind::Loading,
    Kind::Draining,
    Kind::ModelNotFound,
    Kind::NotLoaded,
    Kind::Internal,
    Kind::Ask(Asked::Failed),
    Kind::Ask(Asked::Unavailable),
    Kind::Ask(Asked::TimeLimit),
];

/// Why a model does not compute what it is asked.
pub(super) const COMPUTING: &[Kind] = &[
    Kind::Ask(Asked::ContextLength),
    Kind::Ask(Asked::Busy),
    Kind::Ask(Asked::TooLateNow),
    Kind::Ask(Asked::TooLate),
    Kind::Ask(Asked::TimeLimit),
    Kind::Ask(Asked::Draining),
    Kind::Ask(Asked::Failed),
    Kind::Ask(Asked::Unavailable),
    Kind::Ask(Asked::Internal),
];
