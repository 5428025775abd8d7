//! What a release is to do, and what is demanded of the candidate.

use crate::{Limits, Unit};
use serde::{Deserialize, Serialize};

/// A second, in the microseconds that times are in.
pub const SECOND: u64 = 1_000_000;

/// A share of traffic that the candidate gets for a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// From above 0 to 1.
    pub share: f64,
    /// How long it takes at least, in microseconds.
    pub min_time: u64,
    /// How many units each variant answers at least (the stable one: if it has a share).
    pub min_samples: u64,
}

/// How much worse the candidate may be and still be promoted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Margins {
    /// More failures, as a part of all requests.
    pub failures: f64,
    /// Longer times in the middle (p50), relative.
    pub median: f64,
    /// Longer times at the end (p99), relative.
    pub tail: f64,
    /// Less quality, of 1.
    pub quality: f64,
}

impl Default for Margins {
    fn default() -> Margins {
        Margins { failures: 0.02, median: 0.15, tail: 0.5, quality: 0.05 }
    }
}

/// A time before the first stage in which the candidate answers too, and nobody sees it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shadowing {
    /// The share of requests that are mirrored to it, from above 0 to 1.
    pub share: f64,
    /// What its answers may differ. Once they are shown to be within it the first stage begins; beyond it the candidate is rolled back.
    #[serde(default)]
    pub limits: Limits,
}

/// A release in stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Rising shares.
    pub stages: Vec<Stage>,
    /// What is assigned as one.
    pub by: Unit,
    /// The chance at most with which a candidate that is not worse is rolled back.
    pub budget: f64,
    /// The chance at most with which each demand is wrongly taken as met.
    pub alpha: f64,
    /// How much worse the candidate may be.
    pub margins: Margins,
    /// From so many readings of the stable variant its quantiles are taken.
    pub freeze_after: u64,
    /// Readings of copies that have served for less, in microseconds, do not count. Failures do.
    pub warm_up: u64,
    /// Whether times are compared with those of a twin, which gets as many units as the candidate, instead of those of the stable variant.
    pub twin: bool,
    /// After so long without a verdict the stable variant stays, in microseconds.
    pub give_up_after: u64,
    /// In a last stage without a stable variant: false alarms are so many requests apart.
    pub patience: f64,
    /// What comes before the first stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadowing>,
}

impl Default for Plan {
    /// 10, 25, 50 and 100 %, each for at least 5 minutes and 200 units; one day at most. Times of a copy count from its second minute on.
    fn default() -> Plan {
        let stage = |share| Stage { share, min_time: 300 * SECOND, min_samples: 200 };
        Plan {
            stages: [0.1, 0.25, 0.5, 1.0].map(stage).to_vec(),
            by: Unit::Request,
            budget: 0.05,
            alpha: 0.05,
            margins: Margins::default(),
            freeze_after: 200,
            warm_up: 60 * SECOND,
            twin: false,
            give_up_after: 86_400 * SECOND,
            patience: 1e6,
            shadow: None,
        }
    }
}

/// Why a plan cannot be followed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("plan of a release: {0}")]
pub struct BadPlan(String);

impl Plan {
    /// Whether the plan can be followed.
    ///
    /// # Errors
    /// If not: what is wrong, and what would be right.
    pub fn check(&self) -> Result<(), BadPlan> {
        let bad = |what: String| Err(BadPlan(what));
        let shares: Vec<f64> = self.stages.iter().map(|s| s.share).collect();
        let inside = shares.iter().all(|s| *s > 0.0 && *s <= 1.0);
        if shares.is_empty() || !inside || !shares.is_sorted_by(|a, b| a < b) {
            return bad(format!("the shares of its stages rise, from above 0 to at most 1, unlike {shares:?}"));
        }
        if shares[0] >= 1.0 {
            return bad(
                "the first stage leaves the stable variant a share, as there is nothing to compare with else".into()
            );
        }
        if self.twin && shares.iter().any(|share| *share > 0.5 && *share < 1.0) {
            return bad(format!(
                "a twin gets as many units as the candidate: with one, shares are at most 0.5, or 1, unlike {shares:?}"
            ));
        }
        for (name, chance) in [("budget", self.budget), ("alpha", self.alpha)] {
            if !(chance > 0.0 && chance < 0.5) {
                return bad(format!("{name} is a chance between 0 and 0.5, not {chance}"));
            }
        }
        let m = &self.margins;
        for (name, margin) in [("failures", m.failures), ("median", m.median), ("tail", m.tail), ("quality", m.quality)]
        {
            if !(margin > 0.0 && margin.is_finite()) {
                return bad(format!("margins.{name} is above 0, not {margin}: that nothing is worse cannot be shown"));
            }
        }
        if let Some(Shadowing { share, limits }) = self.shadow {
            let chance = limits.alpha > 0.0 && limits.alpha < 0.5;
            let sizes = limits.most > 0.0 && limits.most.is_finite() && limits.divergence.abs() < limits.most;
            if !(share > 0.0 && share <= 1.0 && chance && sizes) {
                return bad(
                    "shadow.share is above 0 and at most 1, shadow.alpha a chance, shadow.divergence below shadow.most"
                        .into(),
                );
            }
        }
        if self.patience.is_nan() || self.patience < 100.0 || self.freeze_after == 0 {
            return bad("patience is at least 100 and freeze_after at least 1".into());
        }
        Ok(())
    }
}
