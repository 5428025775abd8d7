//! What answers of all endpoints have in common. Field order is OpenAI's.

use answer::{Reason, Tally};
use axum::Json;
use axum::response::{IntoResponse, Response};
use engine::Drafts;
use serde::Serialize;

use super::logprobs::PromptLogprobs;
use crate::wire::{Frame, now, unique};

/// What every answer and every chunk of one begins with.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Head {
    id: String,
    object: &'static str,
    created: u64,
    pub(super) model: String,
    system_fingerprint: &'static str,
}

impl Head {
    pub(super) fn new(prefix: &str, object: &'static str, model: &str) -> Head {
        let system_fingerprint = concat!("whinchat-", env!("CARGO_PKG_VERSION"));
        Head { id: unique(&format!("{prefix}-")), object, created: now(), model: model.to_owned(), system_fingerprint }
    }

    /// The answer's name.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// A whole answer.
    pub(super) fn whole<C: Serialize>(
        &self,
        choices: Vec<C>,
        prompt_logprobs: Option<PromptLogprobs>,
        tally: &Tally,
    ) -> Response {
        Json(Reply { head: self, choices, usage: Some(Some(Usage::of(tally))), prompt_logprobs }).into_response()
    }

    /// A chunk of a stream; `usage` is absent, null or numbers.
    pub(super) fn chunk<C: Serialize>(&self, choices: Vec<C>, usage: Option<Option<Usage>>) -> Frame {
        Frame::json(&Reply { head: self, choices, usage, prompt_logprobs: None })
    }
}

/// An answer or a chunk of one; `C` are its choices.
#[derive(Debug, Serialize)]
struct Reply<'a, C> {
    #[serde(flatten)]
    head: &'a Head,
    choices: Vec<C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_logprobs: Option<PromptLogprobs>,
}

/// Tokens that an answer took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptDetails,
    /// Only where tokens were drafted.
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct PromptDetails {
    cached_tokens: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct CompletionDetails {
    accepted_prediction_tokens: usize,
    rejected_prediction_tokens: usize,
}

impl Usage {
    pub(super) fn of(tally: &Tally) -> Usage {
        let (prompt_tokens, completion_tokens) = (tally.prompt(), tally.generated());
        let prompt_tokens_details = PromptDetails { cached_tokens: tally.cached() };
        let total_tokens = prompt_tokens + completion_tokens;
        let Drafts { computed, accepted } = tally.drafts();
        let completion_tokens_details = (computed > 0).then(|| CompletionDetails {
            accepted_prediction_tokens: accepted,
            rejected_prediction_tokens: computed.saturating_sub(accepted),
        });
        Usage { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details, completion_tokens_details }
    }
}

/// The word for why a choice ended.
pub(super) fn finish_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Stop => "stop",
        Reason::Length => "length",
        Reason::ToolCalls => "tool_calls",
    }
}
