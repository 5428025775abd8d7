//! Request bodies of every endpoint that generates, for who only wants to know what they ask for.

use super::anthropic::Messages;
use super::ollama::{Chat, Generate};
use super::openai::{ChatCompletion, Completion, Responses};
use super::{Dialect, Problem};

/// Whose body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/messages`.
    Messages,
    /// `POST /api/chat`.
    OllamaChat,
    /// `POST /api/generate`.
    OllamaGenerate,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: &[Endpoint] = &[
        Endpoint::Chat,
        Endpoint::Completions,
        Endpoint::Responses,
        Endpoint::Messages,
        Endpoint::OllamaChat,
        Endpoint::OllamaGenerate,
    ];
}

/// Reads the body of a request and gives what it asks for, if anything. Never panics, whatever the bytes.
///
/// # Errors
/// If it is not JSON, or a field has the wrong type or value, is missing, or asks for what this server does not do.
pub fn parse_request_body(endpoint: Endpoint, body: &[u8]) -> Result<Option<answer::Ask>, Problem> {
    match endpoint {
        Endpoint::Chat => ChatCompletion::parse(body).map(|call| call.ask),
        Endpoint::Completions => Completion::parse(body).map(|call| call.ask),
        Endpoint::Responses => Responses::parse(body).map(|call| call.ask),
        Endpoint::Messages => Messages::parse(body).map(|call| call.ask),
        Endpoint::OllamaChat => Chat::parse(body).map(|call| call.ask),
        Endpoint::OllamaGenerate => Generate::parse(body).map(|call| call.ask),
    }
}
