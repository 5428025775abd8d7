//! Log-probabilities as OpenAI writes them, for chats and for completions.

use std::borrow::Cow;

use answer::{TokenLogprob, TokenText};
use serde::{Serialize, Serializer};

/// Stands for log-probabilities that JSON cannot write (OpenAI's own convention).
const VERY_UNLIKELY: f32 = -9999.0;

#[derive(Debug, Serialize)]
pub(super) struct ChatLogprobs {
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
pub(super) struct TextLogprobs {
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
    pub(super) fn new(tokens: &[TokenLogprob]) -> ChatLogprobs {
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
    pub(super) fn new(tokens: &[TokenLogprob]) -> TextLogprobs {
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
