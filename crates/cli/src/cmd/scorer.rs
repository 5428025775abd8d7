//! Logits of given tokens, straight from the executor: what `logits` and `perplexity` share.

use anyhow::Context as _;
use engine::Executor;
use graph::Batch;
use whinchat::{CacheOptions, LoadOptions, Prepared};

use super::LoadArgs;
use crate::terminal::Bars;

/// Rows computed at once: bounds the memory of the logits.
const CHUNK: usize = 64;

/// A model that gives the logits of one sequence at a time.
pub(super) struct Scorer {
    /// The model's files and numbers.
    pub(super) prepared: Prepared,
    executor: Box<dyn Executor>,
    batch: Batch,
}

impl Scorer {
    /// Loads a model for sequences of up to `context` tokens.
    pub(super) fn load(args: &LoadArgs, context: usize) -> anyhow::Result<Scorer> {
        let longest = Some(args.context.unwrap_or(context).max(context));
        let own = args.options();
        let options = LoadOptions {
            context: longest,
            max_sequences: Some(CHUNK),
            max_batch_tokens: Some(CHUNK),
            cache: CacheOptions { kv_tokens: longest, ..own.cache },
            ..own
        };
        let prepared = args.prepare(&options)?;
        prepared.check_continues()?;
        let bars = Bars::new();
        let executor = prepared.executor(&|stage, done, total| bars.show(stage, done, total))?;
        Ok(Scorer { prepared, executor, batch: Batch::default() })
    }

    /// Calls `each` with the index of every token from `first` on and the row of logits that follow it.
    pub(super) fn score(
        &mut self,
        tokens: &[u32],
        first: usize,
        mut each: impl FnMut(usize, &[f32]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let limits = self.executor.limits();
        let blocks = 0..tokens.len().div_ceil(limits.block_len) as u32;
        let state = (limits.state_slots > 0).then_some(0);
        for (start, chunk) in (0..).step_by(CHUNK).zip(tokens.chunks(CHUNK)) {
            self.batch.clear();
            let rows = self.batch.push_with_state(chunk, start, blocks.clone(), state);
            self.batch.outputs.extend(rows.filter(|row| start + row >= first).map(|row| row as u32));
            let logits = self.executor.forward(&self.batch).context("computing logits")?;
            for (row, logits) in self.batch.outputs.iter().zip(logits.chunks(limits.vocab)) {
                each(start + *row as usize, logits)?;
            }
        }
        Ok(())
    }
}
