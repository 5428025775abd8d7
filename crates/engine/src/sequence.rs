//! A continuation on its way: its tokens, how far the cache holds them, and who listens.

use std::sync::Arc;
use std::time::Duration;

use crate::{
    BlockId, Draw, Finish, FinishReason, RequestId, SampledToken, SamplingParams, SinkState, StopRules, TokenEvent,
    TokenSink,
};

/// A prompt and its answer so far. Until its prompt is computed it stands for all continuations of a request; then it is
/// forked. Without outputs it has ended.
pub(crate) struct Sequence {
    pub(crate) request: RequestId,
    pub(crate) spec: Arc<Spec>,
    pub(crate) tokens: Vec<u32>,
    /// Tokens from the front whose keys and values are in `blocks`.
    pub(crate) cached: usize,
    pub(crate) blocks: Vec<BlockId>,
    /// Rows in the current batch.
    pub(crate) rows: usize,
    pub(crate) outputs: Vec<Output>,
    pub(crate) stalled_since: Option<Duration>,
    /// It has run before: it left the queue once.
    pub(crate) started: bool,
}

/// What all continuations of a request have in common.
pub(crate) struct Spec {
    pub(crate) prompt: usize,
    pub(crate) params: SamplingParams,
    pub(crate) stop: StopRules,
    /// Longest prompt and answer.
    pub(crate) longest: usize,
}

/// A continuation's listener, its seed, and its place in the order of arrival.
pub(crate) struct Output {
    pub(crate) sink: Box<dyn TokenSink>,
    pub(crate) seed: u64,
    pub(crate) order: u64,
}

impl Sequence {
    /// A request that has just arrived.
    pub(crate) fn new(request: RequestId, tokens: &[u32], spec: Arc<Spec>, outputs: Vec<Output>) -> Sequence {
        Sequence {
            request,
            spec,
            tokens: tokens.to_vec(),
            cached: 0,
            blocks: Vec::new(),
            rows: 0,
            outputs,
            stalled_since: None,
            started: false,
        }
    }

    /// Place in the order of arrival.
    pub(crate) fn order(&self) -> u64 {
        self.outputs.first().map_or(u64::MAX, |output| output.order)
    }

    /// Tokens to be computed before the next one can be chosen.
    pub(crate) fn pending(&self) -> usize {
        self.tokens.len() - self.cached
    }

    /// Whether it is about to compute just its latest token.
    pub(crate) fn decodes(&self) -> bool {
        self.pending() == 1 && self.generated() > 0
    }

    /// Whether the current batch computes all that is pending.
    pub(crate) fn completes(&self) -> bool {
        self.rows > 0 && self.rows == self.pending()
    }

    pub(crate) fn generated(&self) -> usize {
        self.tokens.len() - self.spec.prompt
    }

    pub(crate) fn stalled(&self) -> bool {
        self.stalled_since.is_some()
    }

    pub(crate) fn ended(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Looks after its receivers; returns how many are gone.
    pub(crate) fn poll(&mut self, now: Duration) -> usize {
        let (before, mut full) = (self.outputs.len(), false);
        self.outputs.retain(|output| {
            let state = output.sink.state();
            full |= state == SinkState::Full;
            state != SinkState::Gone
        });
        self.stalled_since = full.then(|| self.stalled_since.unwrap_or(now));
        before - self.outputs.len()
    }

    /// Everything that decides its next token but the logits.
    pub(crate) fn draw(&self, output: &Output) -> Draw<'_> {
        let (prompt, answer) = self.tokens.split_at(self.spec.prompt);
        let banned: &[u32] = if answer.len() < self.spec.stop.min_tokens { &self.spec.stop.tokens } else { &[] };
        Draw { prompt, answer, banned, seed: output.seed }
    }

    /// Splits off the second of several outputs, sharing what was computed.
    pub(crate) fn fork(&mut self) -> Sequence {
        let outputs = vec![self.outputs.remove(1)];
        Sequence {
            request: self.request,
            spec: Arc::clone(&self.spec),
            tokens: self.tokens.clone(),
            cached: self.cached,
            blocks: self.blocks.clone(),
            rows: 0,
            outputs,
            stalled_since: None,
            started: true,
        }
    }

    /// Takes a chosen token and tells it to its one listener; ends if it is the last. Returns how many ended.
    pub(crate) fn accept(&mut self, token: SampledToken) -> usize {
        let id = token.id;
        self.tokens.push(id);
        if let Some(output) = self.outputs.first_mut() {
            output.sink.send(TokenEvent::Token(token));
        }
        if self.spec.stop.tokens.contains(&id) {
            self.finish(&FinishReason::Stop(id))
        } else if self.tokens.len() >= self.spec.longest {
            self.finish(&FinishReason::Length)
        } else {
            0
        }
    }

    /// Tells the end to all that listen; returns how many they were.
    pub(crate) fn finish(&mut self, reason: &FinishReason) -> usize {
        let told = self.outputs.len();
        let (prompt_tokens, generated_tokens) = (self.spec.prompt, self.generated());
        for mut output in self.outputs.drain(..) {
            output.sink.send(TokenEvent::Finished(Finish { reason: reason.clone(), prompt_tokens, generated_tokens }));
        }
        told
    }
}
