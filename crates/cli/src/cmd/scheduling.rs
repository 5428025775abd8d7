//! Flags of `serve` about who runs when, and on what memory.

use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use whinchat::{EngineConfig, Eviction, PolicyName, bounds};

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
    /// Compute every prompt anew: keep nothing of earlier prompts and answers in the KV cache.
    #[arg(long)]
    no_prefix_cache: bool,
    /// Positions of earlier prompts and answers that stay in memory though nobody uses them [default: a quarter of
    /// --kv-tokens, at least the context]
    #[arg(long, value_name = "TOKENS", conflicts_with = "no_prefix_cache", value_parser = within(bounds::KV_TOKENS))]
    prefix_cache_tokens: Option<usize>,
    /// Which of what is kept of earlier prompts and answers is forgotten first when memory is needed.
    #[arg(long, value_name = "RULE", default_value = Eviction::default().name(), conflicts_with = "no_prefix_cache",
          value_parser = PossibleValuesParser::new(Eviction::ALL.map(Eviction::name)))]
    eviction: String,
}

impl SchedulingArgs {
    /// The settings of the engine.
    pub(super) fn config(&self) -> EngineConfig {
        EngineConfig {
            max_step: self.max_step_ms.map(Duration::from_millis),
            policy: PolicyName::named(&self.policy).unwrap_or_default(),
            prefix_tokens: self.prefix_cache_tokens,
            prefix_cache: Eviction::named(&self.eviction).filter(|_| !self.no_prefix_cache),
            ..EngineConfig::default()
        }
    }
}
