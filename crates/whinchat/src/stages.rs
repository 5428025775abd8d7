//! Stages of a model's pipeline that are not this process's own.

use std::sync::Arc;

use answer::ModelInfo;
use engine::{EngineConfig, Executor, MakeMemory, Policy, Setup};
use text::{Encode, Tokenizer};

use crate::{Error, Prepared};

/// Makes what makes tokens of texts, for a model with this tokenizer.
pub type MakeEncoder = Box<dyn FnOnce(&Tokenizer) -> Result<Arc<dyn Encode>, String> + Send>;

/// What takes the place of stages of this process; what is `None` is done here.
#[derive(Default)]
pub struct Stages {
    /// Makes tokens of texts.
    pub encoder: Option<MakeEncoder>,
    /// Says who runs first.
    pub policy: Option<Box<dyn Policy>>,
    /// Manages the blocks of the KV cache.
    pub memory: Option<MakeMemory>,
    /// Computes batches: no weights are brought into memory then, and the model neither embeds nor judges.
    pub executor: Option<Box<dyn Executor>>,
}

impl Stages {
    /// The encoder for a model that is known so.
    ///
    /// # Errors
    /// If it is not one for this model.
    pub(crate) fn encoder(&mut self, info: &ModelInfo) -> Result<Option<Arc<dyn Encode>>, Error> {
        self.encoder.take().map(|make| make(&info.tokenizer).map_err(Error::Request)).transpose()
    }

    /// What an engine with these settings is made of.
    pub(crate) fn setup(self, config: EngineConfig) -> Setup {
        Setup { config, policy: self.policy, memory: self.memory, draft: None }
    }
}

impl Prepared {
    /// The setup of an engine whose batches are computed elsewhere, within what is possible there.
    ///
    /// # Errors
    /// If another model is computed there.
    pub(crate) fn fitting(&self, executor: &dyn Executor, setup: Setup) -> Result<Setup, Error> {
        if self.hands_over() {
            let why = "--draft-model reads the model's hidden states, which stay where it is computed; leave it out, or compute the model here";
            return Err(Error::Request(why.into()));
        }
        let limits = executor.limits();
        let (theirs, own) = (limits.vocab, self.vocab());
        if theirs == own {
            let context = setup.config.context.min(limits.kv_blocks.saturating_mul(limits.block_len));
            return Ok(Setup { config: EngineConfig { context, ..setup.config }, ..setup });
        }
        let why = format!(
            "the model has {own} tokens, and what is computed elsewhere has {theirs}: start it with the same --model"
        );
        Err(Error::Request(why))
    }
}
