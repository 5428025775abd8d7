//! What is known of requests: each field of each endpoint, and whether it is honoured, refused or ignored. Parsers read through it:
//! a field that is not in the table cannot be read, and one that is refused there needs no code.

mod admin;
mod anthropic;
mod inference;
mod ollama;
mod openai;
mod page;
mod plans;
mod shared;
mod telemetry;

use answer::Problem;
use serde_json::{Map, Value};

use super::fields::unsupported;

pub(crate) use self::admin::UNLOAD_ADAPTER;
pub(crate) use self::admin::{CHANGE, COMMAND, HISTORY as JOURNAL, INJECT, LOAD, LOAD_ADAPTER, RELEASE, RELEASES};
pub(crate) use self::anthropic::{COUNT_TOKENS, MESSAGES};
pub(crate) use self::inference::{
    APPLY_TEMPLATE, DETOKENIZE, FEEDBACK, FORGET, RERANK, RESTORE, SCHEDULER, SCORE, SESSIONS, TOKENIZE,
};
pub(crate) use self::ollama::{
    CHAT as OLLAMA_CHAT, EMBED, EMBEDDINGS as OLLAMA_EMBEDDINGS, GENERATE, MESSAGE, OPTIONS, SHOW,
};
pub(crate) use self::openai::{
    BATCHES, CHAT, COMPLETIONS, EMBEDDINGS, FILES, INPUT_ITEMS, INPUT_TOKENS, LIST_BATCHES, LIST_FILES, RESPONSE,
    RESPONSES,
};
pub use self::page::page;
pub(crate) use self::plans::{
    MEMORY, MEMORY_EVICT, MEMORY_FLUSH, MEMORY_PIN, MEMORY_PLAN, MEMORY_POLICY, MEMORY_USAGE, PLAN, PLAN_CHECK,
    PLAN_COMPARE, PLAN_KERNELS, PLAN_OF, PLAN_PROFILE, PLAN_TRIAL,
};
pub(crate) use self::telemetry::{HISTORY, PREDICT};

/// What is done with a field.
#[derive(Clone, Copy, Debug)]
pub enum Use {
    /// What its API says, or what the note says of it. What cannot be done of it is refused by name.
    Honoured,
    /// A value that asks for something is an error that names the field; one for which this is true does not.
    Refused(fn(&Value) -> bool),
    /// It changes no answer here, whatever it says.
    Ignored,
}

/// A field of a request.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name; of a field within another one, both with a dot between.
    pub name: &'static str,
    /// What is done with it.
    pub usage: Use,
    /// Its type, in the notation of `openapi`; null beside it is as good as nothing.
    pub shape: &'static str,
    /// What there is to say of it; often nothing.
    pub note: &'static str,
}

/// A request of an API.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The API that it belongs to.
    pub api: &'static str,
    /// Method and path, and where the fields are if not in the body.
    pub endpoint: &'static str,
    /// Its fields, in groups that requests share.
    pub groups: &'static [&'static [Field]],
}

/// Every request, by API.
pub fn requests() -> impl Iterator<Item = &'static Request> {
    [openai::ALL, anthropic::ALL, ollama::ALL, inference::ALL, telemetry::ALL, admin::ALL, plans::ALL]
        .into_iter()
        .flatten()
        .copied()
}

impl Request {
    /// Its fields, in the order of the table.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.groups.iter().copied().flatten()
    }

    /// Whether its parser may read a field, as one of these types.
    pub(super) fn reads(&self, name: &str, kind: &str) -> bool {
        self.fields().any(|field| field.name == name && matches!(field.usage, Use::Honoured) && field.may_be(kind))
    }

    /// Refuses the first field that asks for what the server does not do.
    pub(super) fn check(&self, map: &Map<String, Value>) -> Result<(), Problem> {
        let refused = self.fields().find(|field| match (field.usage, value(map, field.name)) {
            (Use::Refused(is_nothing), Some(value)) => !value.is_null() && !is_nothing(value),
            _ => false,
        });
        refused.map_or(Ok(()), |field| Err(unsupported(field.name, "")))
    }
}

impl Field {
    /// Whether a request must have it.
    pub(crate) fn is_required(&self) -> bool {
        self.note.starts_with("required")
    }

    /// Whether it may be of a type: the first word of it, or a sign that stands for it.
    fn may_be(&self, kind: &str) -> bool {
        let named = || self.shape.split(" | ").any(|one| one.starts_with(|letter: char| letter.is_ascii_uppercase()));
        match kind {
            "any" => true,
            "array" => self.shape.contains("[]"),
            "object" => self.shape.contains('{') || self.shape.contains(kind) || named(),
            "string" => self.shape.contains(kind) || self.shape.contains('\''),
            _ => self.shape.contains(kind),
        }
    }
}

/// The value of a field, or of one within another.
fn value<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    match name.split_once('.') {
        None => map.get(name),
        Some((outer, inner)) => map.get(outer)?.as_object()?.get(inner),
    }
}

const fn honoured(name: &'static str, shape: &'static str, note: &'static str) -> Field {
    Field { name, usage: Use::Honoured, shape, note }
}

const fn refused(name: &'static str, note: &'static str) -> Field {
    refused_unless(name, is_off, note)
}

const fn refused_unless(name: &'static str, is_nothing: fn(&Value) -> bool, note: &'static str) -> Field {
    Field { name, usage: Use::Refused(is_nothing), shape: "any", note }
}

const fn ignored(name: &'static str, note: &'static str) -> Field {
    Field { name, usage: Use::Ignored, shape: "any", note }
}

/// Values by which clients say that they do not want a thing.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}

fn is_true(value: &Value) -> bool {
    *value == true
}
