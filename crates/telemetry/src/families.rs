//! The table of metrics: name, meaning, buckets. Names and buckets are vLLM's.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// Of which model.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Of {
    pub(crate) model_name: String,
}

/// Of which model, and how requests ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Ended {
    pub(crate) model_name: String,
    pub(crate) finished_reason: String,
}

/// Of which model, and how large its KV cache is. The labels are vLLM's, whatever the device.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CacheConfig {
    pub(crate) model_name: String,
    pub(crate) block_size: u64,
    pub(crate) num_gpu_blocks: u64,
}

/// What program it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Build {
    pub(crate) version: String,
}

/// Of which model, and where drafts are from: `lookup`, or a draft `model`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Drafted {
    pub(crate) model_name: String,
    pub(crate) source: String,
}

/// Of which model, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Because {
    pub(crate) model_name: String,
    pub(crate) cause: String,
}

/// Of which model, and whether what was expected came `inside` or `outside` its bounds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Bounds {
    pub(crate) model_name: String,
    pub(crate) bounds: String,
}

/// Histograms of times or sizes.
pub(crate) type Times = Family<Of, Histogram, fn() -> Histogram>;

/// A gauge that is no whole number.
type Share = Gauge<f64, AtomicU64>;

/// Every metric, by model.
#[derive(Clone, Default)]
pub(crate) struct Families {
    pub(crate) now: Gauges,
    pub(crate) counts: Counts,
    pub(crate) spread: Histograms,
    pub(crate) build: Family<Build, Gauge>,
}

/// What models do now.
#[derive(Clone, Default)]
pub(crate) struct Gauges {
    pub(crate) running: Family<Of, Gauge>,
    pub(crate) waiting: Family<Of, Gauge>,
    pub(crate) kv_usage: Family<Of, Share>,
    pub(crate) states_used: Family<Of, Gauge>,
    pub(crate) states_kept: Family<Of, Gauge>,
    pub(crate) engines: Family<Of, Gauge>,
    pub(crate) engines_failed: Family<Of, Gauge>,
    pub(crate) cache: Family<CacheConfig, Gauge>,
    pub(crate) anomalies: Family<Because, Gauge>,
}

/// What they did.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    pub(crate) prompt_tokens: Family<Of, Counter>,
    pub(crate) generation_tokens: Family<Of, Counter>,
    pub(crate) prefix_queries: Family<Of, Counter>,
    pub(crate) prefix_hits: Family<Of, Counter>,
    pub(crate) draft_tokens: Family<Drafted, Counter>,
    pub(crate) accepted_tokens: Family<Drafted, Counter>,
    pub(crate) preemptions: Family<Of, Counter>,
    pub(crate) success: Family<Ended, Counter>,
    pub(crate) predictions: Family<Bounds, Counter>,
}

/// How long it took and how much it was.
#[derive(Clone)]
pub(crate) struct Histograms {
    pub(crate) first_token: Times,
    pub(crate) inter_token: Times,
    pub(crate) per_token: Times,
    pub(crate) end_to_end: Times,
    pub(crate) queue: Times,
    pub(crate) phases: Phases,
    pub(crate) step_seconds: Times,
    pub(crate) prompt: Times,
    pub(crate) generation: Times,
    pub(crate) iteration_tokens: Times,
    pub(crate) prediction_error: Times,
}

/// How long requests were in their phases.
#[derive(Clone)]
pub(crate) struct Phases {
    pub(crate) prefill: Times,
    pub(crate) decode: Times,
    pub(crate) inference: Times,
}

impl Default for Histograms {
    fn default() -> Histograms {
        let short = || Histogram::new(SHORT);
        let long = || Histogram::new(LONG);
        let sizes = || Histogram::new(SIZES);
        let shares = || Histogram::new(SHARES);
        let family = |make: fn() -> Histogram| Times::new_with_constructor(make);
        Histograms {
            first_token: family(long),
            inter_token: family(short),
            per_token: family(short),
            end_to_end: family(long),
            queue: family(long),
            phases: Phases { prefill: family(long), decode: family(long), inference: family(long) },
            step_seconds: family(short),
            prompt: family(sizes),
            generation: family(sizes),
            iteration_tokens: family(sizes),
            prediction_error: family(shares),
        }
    }
}

/// Seconds between tokens.
const SHORT: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5];

/// Seconds of whole requests and their parts.
const LONG: [f64; 16] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0];

/// Tokens.
const SIZES: [f64; 15] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4];

/// Of the true value.
const SHARES: [f64; 10] = [0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0];

impl Families {
    /// Gives each its name. Counters get `_total` when they are written.
    #[rustfmt::skip]
    pub(crate) fn register(&self, registry: &mut Registry) {
        add(registry, "num_requests_running", "Sequences that run", &self.now.running);
        add(registry, "num_requests_waiting", "Requests that wait", &self.now.waiting);
        add(registry, "kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1", &self.now.kv_usage);
        add(registry, "recurrent_states_used", "States of recurrent layers of sequences that run (not vLLM's)", &self.now.states_used);
        add(registry, "recurrent_states_kept", "States of recurrent layers kept for later requests (not vLLM's)", &self.now.states_kept);
        add(registry, "cache_config_info", "Positions in a block of the KV cache, and blocks in all, as labels", &self.now.cache);
        add(registry, "prompt_tokens", "Tokens of prompts", &self.counts.prompt_tokens);
        add(registry, "generation_tokens", "Tokens generated", &self.counts.generation_tokens);
        add(registry, "prefix_cache_queries", "Tokens of prompts that were looked for in the KV cache", &self.counts.prefix_queries);
        add(registry, "prefix_cache_hits", "Of these, tokens that were found", &self.counts.prefix_hits);
        add(registry, "spec_decode_num_draft_tokens", "Tokens that were drafted and computed before they were chosen, by source (`lookup`, a draft `model`, or a `head` that reads its hidden states)", &self.counts.draft_tokens);
        add(registry, "spec_decode_num_accepted_tokens", "Of these, tokens that were then chosen, by source", &self.counts.accepted_tokens);
        add(registry, "num_preemptions", "Times that a sequence lost its blocks to others", &self.counts.preemptions);
        add(registry, "request_success", "Requests that ended, by reason", &self.counts.success);
        add(registry, "time_to_first_token_seconds", "From a request's coming to its first token", &self.spread.first_token);
        add(registry, "inter_token_latency_seconds", "Between two tokens", &self.spread.inter_token);
        add(registry, "request_time_per_output_token_seconds", "Between two tokens, averaged over a request", &self.spread.per_token);
        add(registry, "e2e_request_latency_seconds", "From a request's coming to its last token", &self.spread.end_to_end);
        add(registry, "request_queue_time_seconds", "From a request's coming to its start", &self.spread.queue);
        add(registry, "request_prefill_time_seconds", "From a request's start to its first token", &self.spread.phases.prefill);
        add(registry, "request_decode_time_seconds", "From a request's first token to its last", &self.spread.phases.decode);
        add(registry, "request_inference_time_seconds", "From a request's start to its last token", &self.spread.phases.inference);
        add(registry, "step_seconds", "Of a step of the engine (not vLLM's)", &self.spread.step_seconds);
        add(registry, "request_prompt_tokens", "Tokens of a request's prompt", &self.spread.prompt);
        add(registry, "request_generation_tokens", "Tokens of a request's answers", &self.spread.generation);
        add(registry, "iteration_tokens_total", "Rows of a step", &self.spread.iteration_tokens);
        add(registry, "first_token_prediction_error", "By which share of it first tokens were foretold wrongly (not vLLM's)", &self.spread.prediction_error);
        add(registry, "first_token_predictions", "First tokens inside and outside the bounds that nine in ten keep (not vLLM's)", &self.counts.predictions);
        registry.register("whinchat_build_info", "The version, as a label", self.build.clone());
        registry.register("whinchat_engines", "Engines that compute the model: more than one where it has replicas", self.now.engines.clone());
        registry.register("whinchat_engines_failed", "Engines of the model that have failed, such as replicas whose device is lost", self.now.engines_failed.clone());
        registry.register("whinchat_anomalies", "What is unusual now, by its cause", self.now.anomalies.clone());
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: &M) {
    registry.register(format!("vllm:{name}"), help, metric.clone());
}
