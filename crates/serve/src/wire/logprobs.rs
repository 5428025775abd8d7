//! Log-probabilities of tokens as OpenAI's chats have them, and others after it.

use std::borrow::Cow;

use answer::{Kind, Problem, TokenLogprob, TokenText};
use serde::Serialize;

use super::fields::Fields;

/// Stands for log-probabilities that JSON cannot write (OpenAI's own convention).
pub(super) const VERY_UNLIKELY: f32 = -9999.0;

/// Log-probabilities of alternatives at most.
pub(super) const MAX_LOGPROBS: i64 = 20;

/// A token, and the likeliest in its place.
#[derive(Debug, Serialize)]
pub(super) struct Token {
    #[serde(flatten)]
    token: OneToken,
    top_logprobs: Vec<OneToken>,
}

#[derive(Debug, Serialize)]
struct OneToken {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl Token {
    /// The tokens of a text.
    pub(super) fn all(tokens: &[TokenLogprob]) -> Vec<Token> {
        let one = |token: &TokenText, logprob: f32| OneToken {
            token: name(token).into_owned(),
            logprob: logprob.max(VERY_UNLIKELY),
            bytes: token.0.clone(),
        };
        let entry = |entry: &TokenLogprob| {
            let top_logprobs = entry.top.iter().map(|(token, logprob)| one(token, *logprob)).collect();
            Some(Token { token: one(&entry.token, entry.logprob?), top_logprobs })
        };
        tokens.iter().filter_map(entry).collect()
    }
}

/// Whether a chat's request wants log-probabilities, and of how many alternatives.
pub(super) fn logprobs(fields: Fields<'_>) -> Result<Option<usize>, Problem> {
    let wanted = fields.bool("logprobs")?.unwrap_or(false);
    let top = fields.integer("top_logprobs", 0..=MAX_LOGPROBS)?;
    match (wanted, top) {
        (false, Some(1..)) => {
            let message = "top_logprobs needs logprobs to be true.";
            Err(Problem::of(Kind::InvalidValue, "top_logprobs", message))
        }
        (false, _) => Ok(None),
        (true, top) => Ok(Some(usize::try_from(top.unwrap_or(0)).unwrap_or(0))),
    }
}

/// A token as a string; bytes that are no text are written out, as OpenAI does, so that they stay distinct.
pub(super) fn name(token: &TokenText) -> Cow<'_, str> {
    match std::str::from_utf8(&token.0) {
        Ok(text) => text.into(),
        Err(_) => token.0.iter().fold("bytes:".to_owned(), |text, byte| text + &format!("\\x{byte:02x}")).into(),
    }
}
