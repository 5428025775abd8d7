//! What a server tells, as far as it is shown. Parts that are missing are empty: a server may be older or newer.

use std::collections::HashMap;

use anyhow::Context;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Everything that was told, the last of each part.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    pub(super) server: Server,
    pub(super) engines: Vec<Engine>,
    pub(super) series: Vec<Series>,
    pub(super) predictions: Vec<Predictions>,
    pub(super) slowest: Vec<Flow>,
    pub(super) anomalies: Vec<Anomaly>,
    pub(super) cores: Vec<Core>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Server {
    pub(super) version: String,
    pub(super) time_ms: u64,
    #[serde(deserialize_with = "number")]
    pub(super) uptime_s: f64,
    pub(super) own_cores: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(default)]
pub(super) struct Labels {
    pub(super) model: String,
    pub(super) variant: String,
    pub(super) device: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Engine {
    #[serde(flatten)]
    pub(super) labels: Labels,
    pub(super) now: Gauges,
    pub(super) windows: Vec<StepWindow>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Gauges {
    pub(super) running: u64,
    pub(super) waiting: u64,
    pub(super) kv: Kv,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Kv {
    pub(super) blocks: u64,
    pub(super) used: u64,
    pub(super) kept: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StepWindow {
    pub(super) window: String,
    #[serde(deserialize_with = "number")]
    pub(super) seconds: f64,
    #[serde(deserialize_with = "number")]
    pub(super) busy: f64,
    pub(super) work: Work,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Work {
    pub(super) prefill_rows: u64,
    pub(super) decode_rows: u64,
    pub(super) tokens: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Series {
    #[serde(flatten)]
    pub(super) labels: Labels,
    pub(super) tenant: Option<String>,
    pub(super) windows: Vec<RequestWindow>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RequestWindow {
    pub(super) window: String,
    #[serde(deserialize_with = "number")]
    pub(super) seconds: f64,
    pub(super) requests: Outcomes,
    pub(super) tokens: Tokens,
    pub(super) first_token: Option<Quantiles>,
    pub(super) between: Option<Quantiles>,
    pub(super) total: Option<Quantiles>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcomes {
    pub(super) ended: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tokens {
    pub(super) prompt: u64,
    pub(super) cached: u64,
    pub(super) generated: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Quantiles {
    #[serde(deserialize_with = "number")]
    pub(super) p50: f64,
    #[serde(deserialize_with = "number")]
    pub(super) p90: f64,
    #[serde(deserialize_with = "number")]
    pub(super) p99: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Predictions {
    #[serde(flatten)]
    pub(super) labels: Labels,
    pub(super) first_token: Accuracy,
    pub(super) total: Accuracy,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Accuracy {
    pub(super) requests: u64,
    #[serde(deserialize_with = "number")]
    pub(super) inside: f64,
    #[serde(deserialize_with = "number")]
    pub(super) error: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Flow {
    #[serde(flatten)]
    pub(super) labels: Labels,
    pub(super) tenant: Option<String>,
    pub(super) total_us: u64,
    pub(super) prompt: u64,
    pub(super) generated: u64,
    pub(super) spans: Vec<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Span {
    pub(super) stage: String,
    pub(super) start_us: u64,
    pub(super) end_us: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Anomaly {
    #[serde(flatten)]
    pub(super) labels: Labels,
    pub(super) cause: String,
    pub(super) message: String,
    pub(super) since_ms: u64,
    pub(super) until_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Core {
    #[serde(deserialize_with = "number")]
    pub(super) busy: f64,
}

impl Told {
    /// # Errors
    /// If a part has another form.
    pub(super) fn read(told: &Value) -> anyhow::Result<Told> {
        serde_json::from_value(told.clone()).context("the server tells something else than this version understands")
    }

    /// Everybody's requests of an engine, over a window.
    pub(super) fn requests(&self, of: &Labels, window: &str) -> Option<&RequestWindow> {
        let series = self.series.iter().find(|series| series.tenant.is_none() && series.labels == *of)?;
        series.windows.iter().find(|one| one.window == window)
    }

    /// The tenants of a window by their tokens, those with the most first: name, requests, tokens.
    pub(super) fn tenants(&self, window: &str) -> Vec<(&str, u64, u64)> {
        let mut found: HashMap<&str, (u64, u64)> = HashMap::new();
        for series in &self.series {
            let (Some(tenant), windows) = (series.tenant.as_deref(), &series.windows) else { continue };
            let of = windows.iter().find(|one| one.window == window).filter(|one| one.requests.ended > 0);
            if let Some(RequestWindow { requests, tokens, .. }) = of {
                let sum = found.entry(tenant).or_default();
                *sum = (sum.0 + requests.ended, sum.1 + tokens.prompt + tokens.generated);
            }
        }
        let mut tenants: Vec<_> =
            found.into_iter().map(|(name, (requests, tokens))| (name, requests, tokens)).collect();
        tenants.sort_by(|a, b| b.2.cmp(&a.2).then(a.0.cmp(b.0)));
        tenants
    }
}

/// What is no number is null in JSON.
fn number<'de, D: Deserializer<'de>>(value: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(value).map(|number| number.unwrap_or(f64::NAN))
}

/// Puts the parts of a message in the place of those before.
pub(super) fn merge(told: &mut Value, message: Value) {
    match (told, message) {
        (Value::Object(told), Value::Object(parts)) => told.extend(parts),
        (told, message) => *told = message,
    }
}
