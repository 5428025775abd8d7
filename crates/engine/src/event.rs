//! What the engine answers, and who receives it.

use std::sync::Arc;

use crate::{Drafts, TooLate};

/// A token that was chosen, or one of a prompt that was scored.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledToken {
    /// Its id.
    pub id: u32,
    /// Its log-probability, if asked for.
    pub logprob: Option<f32>,
    /// The most likely tokens with their log-probabilities, best first, if asked for.
    pub top: Vec<(u32, f32)>,
}

/// What a continuation's receiver gets: what the prompt's tokens are worth if it asked for that, tokens, then one `Finished`.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenEvent {
    /// The tokens of the prompt from the second on, with their log-probabilities.
    Prompt(Arc<[SampledToken]>),
    /// The next token. A stop token is reported too (it has no text), just before `Finished`.
    Token(SampledToken),
    /// The end.
    Finished(Finish),
}

/// How a continuation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Why.
    pub reason: FinishReason,
    /// Tokens in the prompt.
    pub prompt_tokens: usize,
    /// Of these, how many were found in the cache and not computed.
    pub cached_tokens: usize,
    /// Tokens generated, the stop token included.
    pub generated_tokens: usize,
}

/// Why a continuation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// This stop token was chosen.
    Stop(u32),
    /// Its token mask is complete, or its receiver has all it wants.
    Complete,
    /// `max_tokens` or the context was reached.
    Length,
    /// Its receiver is gone. Only records say so: nobody is left to be told.
    Cancelled,
    /// It was not complete by its deadline.
    Deadline,
    /// It was not taken, because it could not be complete by its deadline.
    TooLate(Box<TooLate>),
    /// Aborted by command, or the engine was stopped.
    Aborted,
    /// It could not be computed, or no token could be chosen; the text says why.
    Failed(Arc<str>),
    /// Something that the engine needs is elsewhere and could not be asked; the text says what, and why.
    Unavailable(Arc<str>),
}

/// What a receiver wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkState {
    /// There is room for an event.
    Ready,
    /// Its queue is full: the sequence waits, keeping its blocks (backpressure).
    Full,
    /// It has all it wants, a stop string for example: the sequence ends as [`FinishReason::Complete`].
    Done,
    /// The receiver is gone: the sequence is cancelled.
    Gone,
}

/// The receiving end of a continuation, as the engine sees it. Never blocks. A sink that panics is taken as gone.
pub trait TokenSink: Send {
    /// Asked before each step.
    fn state(&self) -> SinkState;

    /// Its request is in the queue.
    fn admitted(&mut self) {}

    /// Its prompt is computed, and so many of its tokens were found in the cache; comes before the first token.
    fn started(&mut self, _cached_tokens: usize) {}

    /// Drafted tokens were computed for its continuation, or accepted; comes before the tokens of that step.
    fn drafted(&mut self, _drafts: Drafts) {}

    /// Delivers an event. `Prompt` and `Finished` must always be accepted, full or not (keep a place for each).
    fn send(&mut self, event: TokenEvent);
}
