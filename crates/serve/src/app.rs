//! What is served: models by name, and the state of the process.

use std::sync::Arc;

use engine::EngineHandle;
use text::{ChatTemplate, Tokenizer};

/// A model's own suggestions where a request is silent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplingDefaults {
    /// Temperature.
    pub temperature: Option<f32>,
    /// Top-k.
    pub top_k: Option<usize>,
    /// Top-p.
    pub top_p: Option<f32>,
    /// Min-p.
    pub min_p: Option<f32>,
    /// Repetition penalty.
    pub repetition_penalty: Option<f32>,
}

/// A loaded model.
pub struct Served {
    /// The name clients use.
    pub name: String,
    /// Text to tokens and back.
    pub tokenizer: Arc<Tokenizer>,
    /// The model's chat template, or why there is none (said to who asks for a chat).
    pub template: Result<ChatTemplate, String>,
    /// The engine that runs it.
    pub engine: EngineHandle,
    /// Longest sequence, prompt and answer.
    pub context: usize,
    /// Tokens that end an answer.
    pub stop_tokens: Arc<[u32]>,
    /// Where a request is silent.
    pub defaults: SamplingDefaults,
    /// Seconds since 1970 when it was loaded.
    pub created: u64,
}

/// The server's shared state: starts in `loading`, becomes `ready` with its models, ends in `draining`.
pub struct App {}

impl App {
    /// Nothing loaded yet: /health says loading.
    pub fn new() -> Arc<App> {
        todo!()
    }

    /// Adds a model; the first one is `default`. The state becomes ready.
    pub fn add(&self, model: Served) {
        let _ = model;
        todo!()
    }

    /// Takes no more requests; engines are told to drain.
    pub fn drain(&self) {
        todo!()
    }
}
