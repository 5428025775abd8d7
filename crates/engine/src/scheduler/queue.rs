//! How requests come in, are ended from outside, and are counted and checked.

use std::collections::HashMap;
use std::sync::Arc;

use rand_chacha::rand_core::Rng;

use super::Scheduler;
use crate::sequence::{Output, Sequence, Spec};
use crate::{EngineStats, FinishReason, Request, RequestId};

impl Scheduler {
    /// Queues a request, or answers it at once if nothing is to be computed or it can never be.
    pub(crate) fn submit(&mut self, request: Request) {
        let refused = self.refusal(&request).map(FinishReason::Failed);
        let answered = (request.stop.max_tokens == 0).then_some(FinishReason::Length);
        let mut outputs = self.outputs(request.params.seed, request.sinks);
        let prompt = request.prompt.tokens();
        let spec = Arc::new(Spec {
            prompt: prompt.len(),
            params: request.params,
            longest: prompt.len().saturating_add(request.stop.max_tokens).min(self.limits.context),
            stop: request.stop,
        });
        // More continuations than can run at once compute the prompt once for each group that can.
        while !outputs.is_empty() {
            let group = outputs.drain(..self.limits.sequences.min(outputs.len())).collect();
            let mut sequence = Sequence::new(request.id, prompt, Arc::clone(&spec), group);
            match refused.as_ref().or(answered.as_ref()) {
                Some(reason) => self.report.finished += sequence.finish(reason),
                None => self.waiting.push(sequence),
            }
        }
    }

    /// Ends the requests that `chosen` names.
    pub(crate) fn abort(&mut self, chosen: impl Fn(RequestId) -> bool) {
        for sequence in self.running.iter_mut().chain(&mut self.waiting).filter(|s| chosen(s.request)) {
            self.report.finished += sequence.finish(&FinishReason::Aborted);
        }
        self.sweep();
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    pub(crate) fn queued(&self) -> usize {
        self.waiting.iter().filter(|sequence| !sequence.started).count()
    }

    pub(crate) fn stats(&self) -> EngineStats {
        let all = self.waiting.iter().chain(&self.running);
        EngineStats {
            waiting: all.filter(|sequence| sequence.generated() == 0).count(),
            running: self.running.len(),
            kv_blocks_used: self.cache.blocks().used(),
            kv_blocks: self.cache.blocks().total(),
            ..self.totals
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let mut owners = HashMap::new();
        for sequence in &self.running {
            let (blocks, positions) = (sequence.blocks.len(), sequence.tokens.len());
            ensure(blocks >= self.cache.blocks_for(sequence.cached), || {
                format!("{blocks} blocks, {}", sequence.cached)
            })?;
            ensure(blocks <= self.cache.blocks_for(positions), || format!("{blocks} blocks for {positions} tokens"))?;
            ensure(sequence.cached < positions && sequence.rows == 0, || format!("{} cached", sequence.cached))?;
            for block in &sequence.blocks {
                owners.entry(block.index()).or_insert((block.owners(), 0)).1 += 1;
            }
        }
        for (block, (references, tables)) in &owners {
            ensure(references == tables, || format!("block {block}: {references} references, {tables} tables"))?;
        }
        let used = self.cache.blocks().used();
        ensure(used == owners.len(), || format!("{used} blocks used, {} in tables", owners.len()))?;
        let held = self.waiting.iter().map(|sequence| sequence.blocks.len() + sequence.cached).sum::<usize>();
        ensure(held == 0, || format!("the queue holds {held} blocks or positions"))?;
        for list in [&self.waiting, &self.running] {
            ensure(list.is_sorted_by_key(Sequence::order), || "a list is out of order".to_owned())?;
            ensure(!list.iter().any(Sequence::ended), || "an ended sequence is still there".to_owned())?;
        }
        let running = self.running.iter().map(|sequence| sequence.outputs.len()).sum::<usize>();
        ensure(running <= self.limits.sequences, || format!("{running} sequences run"))
    }

    fn outputs(&mut self, seed: Option<u64>, sinks: Vec<Box<dyn crate::TokenSink>>) -> Vec<Output> {
        let seed = seed.unwrap_or_else(|| self.seeds.next_u64());
        let first = self.arrivals;
        self.arrivals += sinks.len() as u64;
        let output = |(sink, i)| Output { sink, seed: seed.wrapping_add(i), order: first + i };
        sinks.into_iter().zip(0..).map(output).collect()
    }

    /// Why a request can never run.
    fn refusal(&self, request: &Request) -> Option<String> {
        let (tokens, context, vocab) = (request.prompt.tokens(), self.limits.context, self.limits.vocab);
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocab) {
            return Some(format!(
                "the prompt has token {token}, but the vocabulary ends at {}",
                vocab.saturating_sub(1)
            ));
        }
        (tokens.len() >= context).then(|| {
            let blocks = self.cache.blocks().total();
            format!(
                "the prompt has {} tokens, but prompt and answer together can have {context} (the context, or what \
                 {blocks} blocks of KV cache hold); shorten the prompt or enlarge the context or the cache",
                tokens.len()
            )
        })
    }
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
