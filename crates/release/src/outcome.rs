//! How a request went: what releases and experiments judge by.

use serde::{Deserialize, Serialize};

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The variant that is to be replaced.
    Stable,
    /// A copy of the stable variant that was started together with the candidate, so that both are equally cold.
    Twin,
    /// The variant under test.
    Candidate,
}

/// What can be read off an answer. Lower is better, once quality is turned round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Time to the first token.
    FirstToken,
    /// Time between tokens.
    BetweenTokens,
    /// Time of the whole request.
    Total,
    /// Time for each token, the inverse of throughput.
    PerToken,
    /// Quality of the output.
    Quality,
    /// What clients say of it, which comes after the outcome.
    Feedback,
}

impl Metric {
    /// All that an outcome may have.
    pub const ALL: [Metric; 5] =
        [Metric::FirstToken, Metric::BetweenTokens, Metric::Total, Metric::PerToken, Metric::Quality];

    /// How people call it.
    pub fn name(self) -> &'static str {
        match self {
            Metric::FirstToken => "time to first token",
            Metric::BetweenTokens => "time between tokens",
            Metric::Total => "time of requests",
            Metric::PerToken => "time per token",
            Metric::Quality => "quality",
            Metric::Feedback => "feedback",
        }
    }
}

/// One number of each kind for a whole request, in microseconds: tokens of one request depend on each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Readings {
    /// Time to the first token.
    pub first_token: Option<u64>,
    /// Mean time between tokens.
    pub between_tokens: Option<u64>,
    /// Time of the whole request.
    pub total: Option<u64>,
    /// Time of the request for each token of its answer.
    pub per_token: Option<u64>,
    /// From 0, useless, to 1, right.
    pub quality: Option<f64>,
}

impl Readings {
    /// A reading of which lower is better, if it was taken; what is no number was not.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        let time = match metric {
            Metric::FirstToken => self.first_token,
            Metric::BetweenTokens => self.between_tokens,
            Metric::Total => self.total,
            Metric::PerToken => self.per_token,
            Metric::Feedback => None,
            Metric::Quality => return self.quality.filter(|q| q.is_finite()).map(|q| 1.0 - q.clamp(0.0, 1.0)),
        };
        time.map(|t| t as f64)
    }
}

/// A request that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Who it was assigned to, whoever answered it in the end.
    pub arm: Arm,
    /// The hash of its unit ([`crate::Choice::unit`]).
    pub unit: u64,
    /// The stage in which it was assigned.
    pub stage: usize,
    /// Whether it failed there by no fault of its own.
    pub failed: bool,
    /// For how long the copy of the model that served it had been serving, in microseconds.
    pub age: u64,
    /// What was read off it.
    #[serde(default)]
    pub readings: Readings,
}
