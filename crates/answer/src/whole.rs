//! An answer put together from its events.

use crate::{Event, PromptToken, Reason, TokenLogprob, Usage};

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What it says.
    pub text: String,
    /// What the model thought before.
    pub reasoning: String,
    /// The calls of tools, in order.
    pub calls: Vec<ToolCall>,
    /// The tokens of the prompt, if their log-probabilities were asked for.
    pub prompt: Vec<PromptToken>,
    /// The tokens of the text, if log-probabilities were asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// How it ended; `None` while it goes on.
    pub reason: Option<Reason>,
    /// The stop string that ended it, if one did.
    pub stop: Option<String>,
    /// How many tokens it took, known at the end.
    pub usage: Usage,
}

/// A call of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// The arguments, as JSON.
    pub arguments: String,
}

impl Answer {
    /// Adds an event of this answer.
    pub fn add(&mut self, event: Event) {
        match event {
            Event::Prompt { tokens, .. } => self.prompt = tokens,
            Event::Text { text, logprobs, .. } => {
                self.text += &text;
                self.logprobs.extend(logprobs);
            }
            Event::Reasoning { text, .. } => self.reasoning += &text,
            Event::ToolCall { call, .. } => {
                if self.calls.len() <= call.index {
                    self.calls.resize_with(call.index + 1, ToolCall::default);
                }
                let known = &mut self.calls[call.index];
                known.name += call.name.as_deref().unwrap_or_default();
                known.arguments += &call.arguments;
            }
            Event::Finished { reason, stop, usage, .. } => {
                (self.reason, self.stop, self.usage) = (Some(reason), stop, usage);
            }
        }
    }

    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.reasoning.is_empty() && self.calls.is_empty()
    }
}
