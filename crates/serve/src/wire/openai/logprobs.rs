//! Log-probabilities as OpenAI writes them, for chats and for completions.

use std::collections::BTreeMap;

use answer::{PromptToken, TokenLogprob, TokenText};
use serde::{Serialize, Serializer};

use crate::wire::logprobs::{Token, VERY_UNLIKELY, name};

#[derive(Debug, Serialize)]
pub(super) struct ChatLogprobs {
    content: Vec<Token>,
    refusal: Option<()>,
}

/// Log-probabilities as completions have them: arrays side by side.
#[derive(Debug, Default, Serialize)]
pub(super) struct TextLogprobs {
    tokens: Vec<String>,
    /// Null for the first token of a prompt.
    token_logprobs: Vec<Option<f32>>,
    top_logprobs: Vec<Option<Top>>,
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

/// A prompt's tokens as vLLM writes them: null for the first, then each with its alternatives, by id.
pub(super) type PromptLogprobs = Vec<Option<BTreeMap<u32, PromptLogprob>>>;

/// How likely a token was in the place of one of the prompt's.
#[derive(Debug, Serialize)]
pub(super) struct PromptLogprob {
    logprob: f32,
    /// 1 for the likeliest; null of a token that is not among the alternatives that were asked for.
    rank: Option<usize>,
    decoded_token: String,
}

/// What is told of a prompt; `None` if nothing was asked.
pub(super) fn prompt_logprobs(tokens: &[PromptToken]) -> Option<PromptLogprobs> {
    let entry = |logprob: f32, rank, token: &TokenText| PromptLogprob {
        logprob: logprob.max(VERY_UNLIKELY),
        rank,
        decoded_token: name(token).into_owned(),
    };
    let all = |token: &PromptToken| {
        let (id, text) = &token.token;
        let mut all = BTreeMap::from([(*id, entry(token.logprob?, None, text))]);
        all.extend(token.top.iter().zip(1..).map(|((id, text, p), rank)| (*id, entry(*p, Some(rank), text))));
        Some(all)
    };
    (!tokens.is_empty()).then(|| tokens.iter().map(all).collect())
}

impl ChatLogprobs {
    pub(super) fn new(tokens: &[TokenLogprob]) -> ChatLogprobs {
        ChatLogprobs { content: Token::all(tokens), refusal: None }
    }
}

impl TextLogprobs {
    pub(super) fn new(tokens: &[TokenLogprob]) -> TextLogprobs {
        let mut all = TextLogprobs::default();
        for entry in tokens {
            let token = name(&entry.token).into_owned();
            let logprob = entry.logprob.map(|logprob| logprob.max(VERY_UNLIKELY));
            // The chosen token is always among them, as with OpenAI: there may be one more than asked for.
            let written = |(token, logprob): &(TokenText, f32)| (name(token).into_owned(), logprob.max(VERY_UNLIKELY));
            let mut top: Vec<_> = entry.top.iter().map(written).collect();
            if let Some(logprob) = logprob.filter(|_| !top.iter().any(|(other, _)| *other == token)) {
                top.push((token.clone(), logprob));
            }
            all.tokens.push(token);
            all.token_logprobs.push(logprob);
            all.top_logprobs.push(logprob.map(|_| Top(top)));
            all.text_offset.push(entry.offset);
        }
        all
    }
}
