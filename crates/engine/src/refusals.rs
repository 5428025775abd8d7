//! Requests that are answered before anything is computed.

use std::sync::Arc;

use crate::{Engine, Executor, FinishReason, Request};

impl<E: Executor> Engine<E> {
    /// Why a request is answered at once: nothing is to be computed, or it can never be.
    pub(crate) fn immediate_end(&self, request: &Request) -> Option<FinishReason> {
        let failure = self.failure().cloned().or_else(|| self.refusal(request).map(Arc::from));
        let nothing = request.stop.max_tokens == 0 && request.prompt_logprobs.is_none();
        failure.map(FinishReason::Failed).or_else(|| nothing.then_some(FinishReason::Length))
    }

    /// Why a request can never run.
    fn refusal(&self, request: &Request) -> Option<String> {
        let (tokens, context) = (request.prompt.tokens(), self.scheduler.limits().context);
        let vocab = self.executor.limits().vocab;
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocab) {
            let last = vocab.saturating_sub(1);
            return Some(format!("the prompt has token {token}, but the vocabulary ends at {last}"));
        }
        if request.rows.adapter.is_some() && !self.executor.adapts() {
            return Some("what computes this model does not compute adapters; ask the model itself".to_owned());
        }
        let only_scored = request.stop.max_tokens == 0 && request.prompt_logprobs.is_some();
        (tokens.len() + usize::from(!only_scored) > context).then(|| {
            let blocks = self.scheduler.cache().blocks().total();
            format!(
                "the prompt has {} tokens, but prompt and answer together can have {context} (the context, or what \
                 {blocks} blocks of KV cache hold); shorten the prompt or enlarge the context or the cache",
                tokens.len()
            )
        })
    }
}
