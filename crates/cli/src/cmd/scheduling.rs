//! Flags of `serve` about who runs when, and on what memory.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use clap::builder::PossibleValuesParser;
use whinchat::{CacheOptions, EngineConfig, Eviction, PolicyName, Spill, bounds};

use super::within;

/// How the engine decides.
#[derive(Args)]
pub(super) struct SchedulingArgs {
    /// Who runs first: who came first, who is more urgent (but nobody waits for ever), whose deadline is nearest, whose
    /// prompt is shortest, or whose tenant (the field user) was served least.
    #[arg(long, value_name = "NAME", default_value = PolicyName::default().name(),
          value_parser = PossibleValuesParser::new(PolicyName::ALL.map(PolicyName::name)))]
    policy: String,
    /// Milliseconds that a step may take in which somebody is answered: longer prompts wait in smaller pieces [default: a
    /// quarter of --max-batch-tokens beside others, whatever they take]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    max_step_ms: Option<u64>,
    /// Answers that wait at most for a place among --max-sequences; more are refused, with when to come back.
    #[arg(long, value_name = "N", default_value_t = EngineConfig::default().max_queue, value_parser = within(bounds::QUEUE))]
    max_queue: usize,
    /// Tokens of the prompts that wait at most.
    #[arg(long, value_name = "TOKENS", default_value_t = EngineConfig::default().max_queue_tokens,
          value_parser = within(bounds::QUEUE_TOKENS))]
    max_queue_tokens: usize,
    /// Compute every prompt anew: keep nothing of earlier prompts and answers in the KV cache.
    #[arg(long)]
    no_prefix_cache: bool,
    /// Positions of earlier prompts and answers that stay in memory though nobody uses them [default: a quarter of
    /// --kv-tokens, at least the context]
    #[arg(long, value_name = "TOKENS", conflicts_with = "no_prefix_cache", value_parser = within(bounds::KV_TOKENS))]
    prefix_cache_tokens: Option<usize>,
    /// Memory for what recurrent layers keep of earlier prompts and answers, such as 512MiB [default: as much as
    /// --max-sequences sequences take, within a sixteenth of the memory that is left]
    #[arg(long, value_name = "SIZE", conflicts_with = "no_prefix_cache")]
    prefix_cache_states: Option<ByteSize>,
    /// A file, which is overwritten, or a folder on a fast disk: what is kept of earlier prompts and has no room in memory goes
    /// there, and comes back where that is faster than computing it.
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "no_prefix_cache")]
    kv_spill: Option<PathBuf>,
    /// The size of that file at most, such as 20GiB.
    #[arg(long, value_name = "SIZE", default_value = "8GiB", requires = "kv_spill")]
    kv_spill_size: ByteSize,
    /// Which of what is kept of earlier prompts and answers is forgotten first when memory is needed.
    #[arg(long, value_name = "RULE", default_value = Eviction::default().name(), conflicts_with = "no_prefix_cache",
          value_parser = PossibleValuesParser::new(Eviction::ALL.map(Eviction::name)))]
    eviction: String,
}

impl SchedulingArgs {
    /// What is kept of sequences, in a cache of so many positions.
    pub(super) fn cache(&self, kv_tokens: Option<usize>) -> CacheOptions {
        let bytes = self.kv_spill_size.as_u64();
        CacheOptions {
            kv_tokens,
            state_bytes: self.prefix_cache_states.map(|size| size.as_u64()),
            spill: self.kv_spill.clone().map(|path| Spill { path, bytes }),
        }
    }

    /// The settings of the engine.
    pub(super) fn config(&self) -> EngineConfig {
        EngineConfig {
            max_step: self.max_step_ms.map(Duration::from_millis),
            policy: PolicyName::named(&self.policy).unwrap_or_default(),
            max_queue: self.max_queue,
            max_queue_tokens: self.max_queue_tokens,
            prefix_tokens: self.prefix_cache_tokens,
            prefix_cache: Eviction::named(&self.eviction).filter(|_| !self.no_prefix_cache),
            ..EngineConfig::default()
        }
    }
}
