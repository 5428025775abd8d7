//! Who runs when, and on what memory.

use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Eviction, HostEviction, KvType, Policy, Promotion, Services};
use crate::Size;

/// How the engine decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Engine {
    /// Threads that compute [default: every core]
    #[garde(range(min = 1, max = 1 << 10))]
    #[schemars(extend("x-short" = "t"))]
    pub threads: Option<usize>,
    /// Bind each thread that computes to a core of its own: steadier on cores that nothing else uses, slower on others.
    pub pin: bool,
    /// Sequences that run at once.
    #[garde(range(min = 1, max = 1 << 12))]
    pub max_sequences: usize,
    /// Rows computed in a step at most: longer prompts are computed in pieces while others go on.
    #[garde(range(min = 1, max = 1 << 16))]
    #[schemars(extend("x-value" = "TOKENS"))]
    pub max_batch_tokens: usize,
    /// Answers that wait at most for a place among --max-sequences; more are refused, with when to come back.
    #[garde(range(min = 1, max = 1 << 20))]
    pub max_queue: usize,
    /// Tokens of the prompts that wait at most.
    #[garde(range(min = 1, max = 1usize << 32))]
    #[schemars(extend("x-value" = "TOKENS"))]
    pub max_queue_tokens: usize,
    /// Who runs first: who came first, who is more urgent (but nobody waits for ever), whose deadline is nearest, whose prompt is
    /// shortest, or whose tenant (the field user) was served least.
    #[schemars(extend("x-value" = "NAME"))]
    pub policy: Policy,
    /// Milliseconds that a step may take in which somebody is answered, by this model or another: longer prompts wait in smaller
    /// pieces [default: a quarter of --max-batch-tokens beside others, whatever they take]
    #[garde(range(min = 1, max = 3_600_000))]
    #[schemars(extend("x-value" = "MS"))]
    pub max_step_ms: Option<u64>,
    /// Tokens of an answer that are drafted at most, from what came before in it and in its prompt or by --draft-model, and computed
    /// together where that is expected to be faster; answers are the same. 0 drafts none.
    #[garde(range(max = 64))]
    #[schemars(extend("x-value" = "TOKENS"))]
    pub draft_tokens: usize,
    /// Compute operators by this kernel, such as product=held, or everything by an instruction set, such as isa=avx2, once or several
    /// times: docs/plans.md [default: what `whinchat tune` found, else each operator's own choice]
    #[schemars(extend("x-flag" = "kernel", "x-value" = "OP=KERNEL"))]
    pub kernels: Vec<String>,
    /// Compute by the plan in this file, as `whinchat plan --json` writes it [default: the plan that the rules of fusion make]
    #[schemars(extend("x-value" = "FILE"))]
    pub plan: Option<PathBuf>,
    /// Stages that are elsewhere.
    #[garde(dive)]
    pub services: Services,
}

impl Default for Engine {
    fn default() -> Engine {
        Engine {
            threads: None,
            pin: false,
            max_sequences: 32,
            max_batch_tokens: 512,
            max_queue: 1024,
            max_queue_tokens: 1 << 22,
            policy: Policy::default(),
            max_step_ms: None,
            draft_tokens: 8,
            kernels: vec![],
            plan: None,
            services: Services::default(),
        }
    }
}

/// The KV cache and the cache of packed weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Cache {
    /// How the KV cache is stored: q8_0 takes half the memory of f16, q4_0 a bit more than a quarter, f32 twice.
    #[schemars(extend("x-value" = "TYPE"))]
    pub kv_type: KvType,
    /// Positions the KV cache holds over all sequences, at least the context [default: by the model, the context and the memory]
    #[garde(range(min = 1, max = 1 << 26))]
    #[schemars(extend("x-value" = "TOKENS"))]
    pub kv_tokens: Option<usize>,
    /// Keep what was computed of prompts and answers in the KV cache, for later ones that begin alike; without it every prompt is
    /// computed anew.
    #[schemars(extend("x-flag" = "prefix-cache"))]
    pub prefixes: bool,
    /// Positions of earlier prompts and answers that stay in memory though nobody uses them [default: a quarter of --kv-tokens, at
    /// least the context]
    #[garde(range(min = 1, max = 1 << 26))]
    #[schemars(extend("x-flag" = "prefix-cache-tokens", "x-value" = "TOKENS"))]
    pub prefix_tokens: Option<usize>,
    /// Memory for what recurrent layers keep of earlier prompts and answers, such as 512MiB [default: as much as --max-sequences
    /// sequences take, within a sixteenth of the memory that is left]
    #[schemars(extend("x-flag" = "prefix-cache-states"))]
    pub prefix_states: Option<Size>,
    /// A file, which is overwritten, or a folder on a fast disk: what is kept of earlier prompts and has no room in memory goes
    /// there, and comes back where that is faster than computing it [default: nowhere]
    #[schemars(extend("x-flag" = "kv-spill", "x-value" = "FILE|DIR"))]
    pub spill: Option<PathBuf>,
    /// The size of that file at most.
    #[schemars(extend("x-flag" = "kv-spill-size"))]
    pub spill_size: Size,
    /// Memory between the KV cache and that file, such as 2GiB: what is kept of earlier prompts goes there first [default: none]
    #[schemars(extend("x-flag" = "kv-host"))]
    pub host: Option<Size>,
    /// Which of what is there gives way to others, and goes to the file.
    #[schemars(extend("x-flag" = "kv-host-eviction", "x-value" = "RULE"))]
    pub host_eviction: HostEviction,
    /// When what is found in the file comes back into that memory: always, when it is found for the second time, or never.
    #[schemars(extend("x-flag" = "kv-promotion", "x-value" = "WHEN"))]
    pub promotion: Promotion,
    /// Which of what is kept of earlier prompts and answers is forgotten first when memory is needed.
    #[schemars(extend("x-value" = "RULE"))]
    pub eviction: Eviction,
    /// Where packed weights are kept for the next start, which maps them instead of packing anew and shares them with every
    /// process that does: auto (large ones, beside the model or in the user's cache folder), on, off, or a folder.
    #[schemars(extend("x-flag" = "weights-cache", "x-value" = "auto|on|off|DIR"))]
    pub weights: PathBuf,
}

impl Default for Cache {
    fn default() -> Cache {
        Cache {
            kv_type: KvType::default(),
            kv_tokens: None,
            prefixes: true,
            prefix_tokens: None,
            prefix_states: None,
            spill: None,
            spill_size: Size::mebibytes(8 << 10),
            host: None,
            host_eviction: HostEviction::default(),
            promotion: Promotion::default(),
            eviction: Eviction::default(),
            weights: "auto".into(),
        }
    }
}
