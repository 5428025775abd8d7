//! What is asked of the engine.

use std::sync::Arc;
use std::time::Duration;

use graph::Adapter;

use crate::{Dry, Interposed, TokenMask, TokenSet, TokenSink};

/// Names a request; given by the caller, unique while the request lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A prompt: at least one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt(Arc<[u32]>);

impl Prompt {
    /// `None` if `tokens` is empty.
    pub fn new(tokens: impl Into<Arc<[u32]>>) -> Option<Prompt> {
        let tokens = tokens.into();
        (!tokens.is_empty()).then_some(Prompt(tokens))
    }

    /// The token ids.
    pub fn tokens(&self) -> &[u32] {
        &self.0
    }
}

/// A request for one or several continuations of a prompt. The prompt is computed once; the continuations share its
/// blocks of the KV cache.
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// What to continue.
    pub prompt: Prompt,
    /// How to choose tokens.
    pub params: SamplingParams,
    /// When to stop.
    pub stop: StopRules,
    /// How urgent it is.
    pub priority: Priority,
    /// When it must be complete, by the engine's clock; then it ends as [`crate::FinishReason::Deadline`].
    pub deadline: Option<Duration>,
    /// On whose behalf it runs.
    pub tenant: Option<Arc<str>>,
    /// Only requests with the same salt find each other's prefixes in the cache: without it, who measures times could find
    /// out what others have asked.
    pub cache_salt: Option<Arc<str>>,
    /// Report the log-probability of each token of the prompt but the first, and of this many most likely ones in its place
    /// ([`crate::TokenEvent::Prompt`]). Such a prompt is computed whole: what the cache holds of it has no logits.
    pub prompt_logprobs: Option<usize>,
    /// What the answer is likely to be: drafts are taken from it too. May be empty.
    pub expected: Arc<[u32]>,
    /// How its rows are computed.
    pub rows: RequestRows,
    /// The n continuations, at least one. Continuation i samples with seed + i.
    pub continuations: Vec<Continuation>,
}

impl Request {
    /// A request with the default settings: sampled from the model's own distribution, of normal priority, without
    /// deadline, tenant, salt or adapter, the prompt not scored, no answer expected, nothing interposed. It generates nothing until [`StopRules::max_tokens`] is set.
    pub fn new(id: RequestId, prompt: Prompt, continuations: Vec<Continuation>) -> Request {
        Request {
            id,
            prompt,
            params: SamplingParams::default(),
            stop: StopRules::default(),
            priority: Priority::Normal,
            deadline: None,
            tenant: None,
            cache_salt: None,
            prompt_logprobs: None,
            expected: Arc::default(),
            rows: RequestRows::default(),
            continuations,
        }
    }
}

/// How the rows of a request are computed.
#[derive(Clone, Debug, Default)]
pub struct RequestRows {
    /// With this adapter. Only requests with equal ones find each other's prefixes.
    pub adapter: Option<Arc<Adapter>>,
    /// What is called before each batch with any of them.
    pub interposed: Option<Interposed>,
}

/// How urgent a request is; the most urgent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Someone waits for every token.
    High,
    /// The usual.
    #[default]
    Normal,
    /// Nobody waits: batch work.
    Low,
}

/// One of the continuations of a request: who receives its tokens, and which tokens it may have.
pub struct Continuation {
    /// The receiver.
    pub sink: Box<dyn TokenSink>,
    /// Which tokens may come next; `None` allows all.
    pub mask: Option<Box<dyn TokenMask>>,
}

impl Continuation {
    /// A continuation that may have any token.
    pub fn new(sink: Box<dyn TokenSink>) -> Continuation {
        Continuation { sink, mask: None }
    }
}

/// How tokens are chosen. The defaults sample from the model's own distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits; 0 is greedy.
    pub temperature: f32,
    /// Keep the k most likely; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set whose probability reaches p; 1 keeps all.
    pub top_p: f32,
    /// Keep what is at least this share of the most likely token's probability; 0 keeps all.
    pub min_p: f32,
    /// Locally typical sampling (Meister et al. 2022); 1 keeps all.
    pub typical_p: f32,
    /// Penalties on tokens that occurred.
    pub penalties: Penalties,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Which tokens, and which sequences of them, there may be.
    pub words: Words,
    /// Guards against repetition; `None` is off.
    pub dry: Option<Dry>,
    /// Leaves out what is too likely.
    pub xtc: Xtc,
    /// Seed; `None` lets the engine draw one.
    pub seed: Option<u64>,
    /// Report the log-probability of each token and of this many most likely ones (before any filter or temperature).
    pub logprobs: Option<usize>,
}

/// Which tokens there may be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    /// The only ones; `None` allows all.
    pub allowed: Option<Arc<TokenSet>>,
    /// Sequences that never come in the answer.
    pub bad: Arc<[Box<[u32]>]>,
}

/// "Exclude top choices": leaves out all tokens whose probability reaches a threshold but the least likely of them. As
/// llama.cpp defines it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Xtc {
    /// How often; 0 is off.
    pub probability: f32,
    /// A probability before any temperature, among the tokens that other filters have left; above 0.5 is off.
    pub threshold: f32,
}

/// Penalties on tokens that occurred.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalties {
    /// Divides positive and multiplies negative logits of tokens in prompt and answer (Keskar et al. 2019); 1 is off.
    pub repetition: f32,
    /// Subtracted for every occurrence in the answer.
    pub frequency: f32,
    /// Subtracted once if it occurs in the answer.
    pub presence: f32,
}

impl Default for SamplingParams {
    fn default() -> SamplingParams {
        let penalties = Penalties { repetition: 1.0, frequency: 0.0, presence: 0.0 };
        SamplingParams {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            penalties,
            logit_bias: Vec::new(),
            words: Words::default(),
            dry: None,
            xtc: Xtc::default(),
            seed: None,
            logprobs: None,
        }
    }
}

impl SamplingParams {
    /// How many of the greatest logits choose a token as all of them would, if no more than `most` do; 0 if all are needed: where any
    /// logit may be changed before it is compared, or any token may be chosen.
    pub fn top(&self, most: usize) -> usize {
        let Penalties { repetition, frequency, presence } = self.penalties;
        let is_changed = self.words != Words::default()
            || !self.logit_bias.is_empty()
            || (repetition, frequency, presence) != (1.0, 0.0, 0.0)
            || self.dry.is_some();
        let chosen_from = if self.is_greedy() { 1 } else { self.top_k };
        let top = chosen_from.max(self.logprobs.unwrap_or(0));
        if is_changed || chosen_from == 0 || top > most { 0 } else { top }
    }

    /// Whether to take the likeliest token; vLLM draws the line here too.
    pub(crate) fn is_greedy(&self) -> bool {
        self.temperature.max(0.0) < 1e-5
    }

    /// Whether tokens that a mask leaves no choice of may come without being chosen: nobody asks how likely they were, or
    /// rules them out.
    pub(crate) fn takes_forced_tokens(&self) -> bool {
        self.logprobs.is_none() && self.words == Words::default()
    }
}

/// When a continuation ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopRules {
    /// Most tokens to generate; cut to what the context leaves.
    pub max_tokens: usize,
    /// Stop tokens are not chosen before this many tokens.
    pub min_tokens: usize,
    /// Tokens that end the answer (end of sequence, end of turn); empty to ignore them.
    pub tokens: Arc<[u32]>,
}
