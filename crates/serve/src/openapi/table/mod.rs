//! Every operation, by API. What an operation may refuse for is said in kinds of problems: statuses and codes follow from the
//! dialect's own table.

mod admin;
mod anthropic;
mod inference;
mod ollama;
mod openai;
mod pages;
mod plans;
mod telemetry;

use super::operation::Operation;
use crate::known::Request;

/// The operations of an API.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Whether this build has them.
    pub(super) built: bool,
    pub(super) operations: &'static [Operation],
    /// What its answers are made of, by name, in the notation.
    pub(super) shapes: &'static [(&'static str, &'static str)],
    /// What its requests are made of, by name.
    pub(super) parts: &'static [(&'static str, &'static Request)],
}

/// All of them.
pub(super) fn groups() -> impl Iterator<Item = &'static Group> {
    [
        &openai::GROUP,
        &openai::BATCHES,
        &anthropic::GROUP,
        &ollama::GROUP,
        &inference::GROUP,
        &admin::GROUP,
        &plans::GROUP,
        &telemetry::GROUP,
        &pages::GROUP,
    ]
    .into_iter()
}
