//! Answers as OpenAI writes them. Field order is theirs.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::services::{Piece, Problem, Reason, Tally, TokenLogprob, TokenText};

/// Stands for log-probabilities that JSON cannot write (OpenAI's own convention).
const VERY_UNLIKELY: f32 = -9999.0;

/// What every answer and every chunk of one begins with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) system_fingerprint: &'static str,
}

/// An answer or a chunk of one; `C` are its choices.
#[derive(Debug, Serialize)]
pub(crate) struct Answer<'a, C> {
    #[serde(flatten)]
    pub(crate) head: &'a Head,
    pub(crate) choices: Vec<C>,
    /// Absent, null, or numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Option<Usage>>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

impl From<&Tally> for Usage {
    fn from(tally: &Tally) -> Usage {
        let (prompt_tokens, completion_tokens) = tally.tokens();
        Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

/// A choice of a chat, whole.
#[derive(Debug, Serialize)]
pub(crate) struct ChatChoice {
    pub(crate) index: usize,
    pub(crate) message: Message,
    pub(crate) logprobs: Option<ChatLogprobs>,
    pub(crate) finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Message {
    pub(crate) role: &'static str,
    pub(crate) content: String,
    pub(crate) refusal: Option<()>,
}

/// A choice of a chat, a part of it.
#[derive(Debug, Serialize)]
pub(crate) struct ChatDelta {
    pub(crate) index: usize,
    pub(crate) delta: Delta,
    pub(crate) logprobs: Option<ChatLogprobs>,
    pub(crate) finish_reason: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
}

/// A choice of a completion, whole or a part of it.
#[derive(Debug, Serialize)]
pub(crate) struct TextChoice {
    pub(crate) index: usize,
    pub(crate) text: String,
    pub(crate) logprobs: Option<TextLogprobs>,
    pub(crate) finish_reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ChatLogprobs {
    content: Vec<ChatToken>,
    refusal: Option<()>,
}

#[derive(Debug, Serialize)]
struct ChatToken {
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

/// Log-probabilities as completions have them: arrays side by side.
#[derive(Debug, Default, Serialize)]
pub(crate) struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    top_logprobs: Vec<Top>,
    text_offset: Vec<usize>,
}

/// Written as an object: token to log-probability, best first.
#[derive(Debug)]
struct Top(Vec<(String, f32)>);

impl Serialize for Top {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(token, logprob)| (token, logprob)))
    }
}

impl ChatLogprobs {
    pub(crate) fn new(tokens: &[TokenLogprob]) -> ChatLogprobs {
        let one = |token: &TokenText, logprob: f32| OneToken {
            token: name(token).into_owned(),
            logprob: logprob.max(VERY_UNLIKELY),
            bytes: token.0.clone(),
        };
        let entry = |entry: &TokenLogprob| ChatToken {
            token: one(&entry.token, entry.logprob),
            top_logprobs: entry.top.iter().map(|(token, logprob)| one(token, *logprob)).collect(),
        };
        ChatLogprobs { content: tokens.iter().map(entry).collect(), refusal: None }
    }
}

impl TextLogprobs {
    pub(crate) fn new(tokens: &[TokenLogprob]) -> TextLogprobs {
        let mut all = TextLogprobs::default();
        for entry in tokens {
            let token = name(&entry.token).into_owned();
            let logprob = entry.logprob.max(VERY_UNLIKELY);
            // The chosen token is always among them, as with OpenAI: there may be one more than asked for.
            let written = |(token, logprob): &(TokenText, f32)| (name(token).into_owned(), logprob.max(VERY_UNLIKELY));
            let mut top: Vec<_> = entry.top.iter().map(written).collect();
            if !top.iter().any(|(other, _)| *other == token) {
                top.push((token.clone(), logprob));
            }
            all.tokens.push(token);
            all.token_logprobs.push(logprob);
            all.top_logprobs.push(Top(top));
            all.text_offset.push(entry.offset);
        }
        all
    }
}

/// A token as a string; bytes that are no text are written out, as OpenAI does, so that they stay distinct.
fn name(token: &TokenText) -> Cow<'_, str> {
    match std::str::from_utf8(&token.0) {
        Ok(text) => text.into(),
        Err(_) => token.0.iter().fold("bytes:".to_owned(), |text, byte| text + &format!("\\x{byte:02x}")).into(),
    }
}

/// The word for why a choice ended.
pub(crate) fn finish_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Stop => "stop",
        Reason::Length => "length",
    }
}

/// What a choice is made of, put together.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) piece: Piece,
    pub(crate) reason: Option<Reason>,
}

impl Whole {
    pub(crate) fn chat(self, index: usize, logprobs: bool) -> ChatChoice {
        let logprobs = logprobs.then(|| ChatLogprobs::new(&self.piece.logprobs));
        let message = Message { role: "assistant", content: self.piece.text, refusal: None };
        ChatChoice { index, message, logprobs, finish_reason: self.reason.map_or("stop", finish_reason) }
    }

    pub(crate) fn text(self, index: usize, logprobs: bool) -> TextChoice {
        let logprobs = logprobs.then(|| TextLogprobs::new(&self.piece.logprobs));
        TextChoice { index, text: self.piece.text, logprobs, finish_reason: self.reason.map(finish_reason) }
    }
}

/// A model.
#[derive(Debug, Serialize)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) owned_by: &'static str,
}

/// Models.
#[derive(Debug, Serialize)]
pub(crate) struct Models {
    pub(crate) object: &'static str,
    pub(crate) data: Vec<Model>,
}

/// An error.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody<'a> {
    pub(crate) error: ErrorDetail<'a>,
}

/// What is in an error.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorDetail<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: &'static str,
}

impl<'a> ErrorBody<'a> {
    /// `class` and `code` are what OpenAI calls this kind of problem.
    pub(crate) fn new(problem: &'a Problem, class: &'static str, code: &'static str) -> ErrorBody<'a> {
        let param = problem.param.as_deref();
        ErrorBody { error: ErrorDetail { message: &problem.message, r#type: class, param, code } }
    }
}
