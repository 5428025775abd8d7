//! What is known at one moment, as plain data for whoever shows it. Times of day are milliseconds since 1970.

use serde::Serialize;

use crate::{Anomaly, Flow, Labels, Recommendation};

/// Everything but the history, which is large and asked for apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// When it was taken.
    pub time_ms: u64,
    /// Since the process began to count.
    pub uptime_s: f64,
    /// Each engine: what it does now, and its steps.
    pub engines: Vec<EngineView>,
    /// The requests of each engine: of all tenants together (`tenant` is null), and of those that used it most.
    pub series: Vec<SeriesView>,
    /// The slowest requests of the last hour, slowest first.
    pub slowest: Vec<Flow>,
    /// What is unusual now, and what was in the last hour; newest first.
    pub anomalies: Vec<Anomaly>,
    /// What would make it faster.
    pub recommendations: Vec<Recommendation>,
    /// How alike two engines' step times went over the last hour.
    pub correlations: Vec<Correlation>,
}

impl Snapshot {
    /// Without what belongs to single tenants, and their names.
    pub fn without_tenants(mut self) -> Snapshot {
        self.series.retain(|series| series.tenant.is_none());
        self.slowest.iter_mut().for_each(|flow| flow.tenant = None);
        self
    }
}

/// An engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EngineView {
    /// Whose.
    #[serde(flatten)]
    pub labels: Labels,
    /// What it does now.
    pub now: Gauges,
    /// Its steps in the last 10 s, minute, 10 minutes and hour.
    pub windows: Vec<StepWindow>,
    /// How well it foretold first tokens and ends.
    pub predictions: Predictions,
}

/// What an engine does at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Gauges {
    /// Sequences that run.
    pub running: usize,
    /// Sequences that wait.
    pub waiting: usize,
    /// Sequences that wait until their client reads.
    pub stalled: usize,
    /// Rows of prompts in the last step.
    pub prefill_rows: usize,
    /// Rows that decoded in the last step.
    pub decode_rows: usize,
    /// The KV cache.
    pub kv: KvGauges,
}

/// Blocks of a KV cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KvGauges {
    /// Positions in each.
    pub block_len: usize,
    /// All.
    pub blocks: usize,
    /// Those that sequences use.
    pub used: usize,
    /// Those that nobody uses and that are kept for prompts that begin alike. They count as free.
    pub kept: usize,
    /// Those that went to the second tier so far.
    pub spilled: u64,
    /// Those that came back from it so far.
    pub restored: u64,
}

/// The requests of an engine, of all tenants or of one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SeriesView {
    /// Whose engine.
    #[serde(flatten)]
    pub labels: Labels,
    /// On whose behalf; null for everybody's.
    pub tenant: Option<String>,
    /// The last 10 s, minute, 10 minutes and hour.
    pub windows: Vec<RequestWindow>,
}

/// Requests that ended within a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RequestWindow {
    /// `10s`, `1m`, `10m` or `1h`.
    pub window: &'static str,
    /// How much of it has passed since counting began.
    pub seconds: f64,
    /// Requests that ended, and how.
    pub requests: Outcomes,
    /// Their tokens.
    pub tokens: Tokens,
    /// In the queue.
    pub queue: Option<Quantiles>,
    /// From coming to the first token.
    pub first_token: Option<Quantiles>,
    /// Between two tokens: of everybody's requests from step to step, of a tenant's averaged over each request.
    pub between: Option<Quantiles>,
    /// From coming to the last token.
    pub total: Option<Quantiles>,
    /// Tokens of an answer.
    pub answer_tokens: Option<Quantiles>,
    /// Tokens of a prompt and an answer to it.
    pub length: Option<Quantiles>,
    /// How much of an answer was there before in it, as a share of its runs of four tokens: prose has little, a loop nearly one.
    pub repetition: Option<Quantiles>,
    /// The mean of the marks that answers were given, 0 to 1; null if none were.
    pub quality: Option<f64>,
}

/// Requests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// All that ended.
    pub ended: u64,
    /// Complete: by a stop token, or as long as they may be.
    pub succeeded: u64,
    /// Of these, those that were cut at the most tokens.
    pub cut: u64,
    /// The client left, or the server was stopped.
    pub aborted: u64,
    /// Too late for their deadline.
    pub late: u64,
    /// Failed.
    pub failed: u64,
    /// Times that a sequence lost its blocks to others.
    pub preemptions: u64,
}

/// Tokens of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// Of their prompts.
    pub prompt: u64,
    /// Of these, found in the KV cache.
    pub cached: u64,
    /// Generated.
    pub generated: u64,
}

/// Steps within a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StepWindow {
    /// `10s`, `1m`, `10m` or `1h`.
    pub window: &'static str,
    /// How much of it has passed since counting began.
    pub seconds: f64,
    /// Steps that computed something.
    pub steps: u64,
    /// The share of the time that they took.
    pub busy: f64,
    /// Rows and tokens in them.
    pub work: StepTotals,
    /// Rows of a step.
    pub rows: Option<Quantiles>,
    /// Milliseconds of steps that only decoded.
    pub decode: Option<Quantiles>,
    /// Milliseconds of steps that only computed prompts.
    pub prefill: Option<Quantiles>,
    /// Milliseconds of steps that did both.
    pub mixed: Option<Quantiles>,
}

/// What steps did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StepTotals {
    /// Rows of prompts.
    pub prefill_rows: u64,
    /// Rows that decoded.
    pub decode_rows: u64,
    /// Tokens of prompts that were found in the KV cache.
    pub found: u64,
    /// Tokens chosen.
    pub tokens: u64,
    /// Sequences that lost their blocks.
    pub preempted: u64,
}

/// How values were spread: milliseconds where they are times. Quantiles are within 1 % of a value that occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half of them are at most this.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// Ninety-nine in a hundred.
    pub p99: f64,
    /// All of them.
    pub max: f64,
}

/// How well an engine foretells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Predictions {
    /// First tokens.
    pub first_token: Accuracy,
    /// Last tokens, of answers of the length that they had.
    pub total: Accuracy,
    /// The last requests: what was expected beside what happened, oldest first.
    pub recent: Vec<Foreseen>,
}

/// How often and how far what was expected of the last thousand requests was off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Accuracy {
    /// Requests.
    pub requests: u64,
    /// The share within their 90 % interval.
    pub inside: f64,
    /// The mean of |expected − actual| ÷ actual.
    pub error: f64,
    /// The mean width of the interval ÷ what was expected.
    pub width: f64,
}

/// A request: what was expected and what happened. Milliseconds from its coming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Foreseen {
    /// When it ended.
    pub time_ms: u64,
    /// Its first token.
    pub first_token: Beside,
    /// Its last token.
    pub total: Beside,
}

/// A time, and the interval in which it was expected nine in ten times. Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Beside {
    /// Not before.
    pub least: f64,
    /// Most likely.
    pub likely: f64,
    /// Not after.
    pub most: f64,
    /// What happened.
    pub actual: f64,
}

/// How alike two engines' step times went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Correlation {
    /// One.
    pub one: Labels,
    /// The other.
    pub other: Labels,
    /// Pearson's coefficient of their median step times in steps of 10 s, −1 to 1.
    pub coefficient: f64,
    /// How many of these both had.
    pub points: u64,
}
