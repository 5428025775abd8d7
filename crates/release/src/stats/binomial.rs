//! Confidence sequences of a proportion, by a Beta mixture of binomial likelihoods.
//!
//! After Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform Chernoff bounds via nonnegative supermartingales" (2020) and "Time-uniform,
//! nonparametric, nonasymptotic confidence sequences" (2021), proposition 7 and its application to Bernoulli observations.

use super::crossing;
use serde::{Deserialize, Serialize};
use statrs::function::beta::ln_beta;

/// A range that contains what is estimated, at all times at once, with the confidence it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// What is known without data: anything.
    pub const ANY: Interval = Interval { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// Whether `x` is inside.
    pub fn contains(&self, x: f64) -> bool {
        self.low <= x && x <= self.high
    }

    /// The range of the difference of two numbers of which each is in its range.
    pub fn minus(&self, other: &Interval) -> Interval {
        Interval { low: self.low - other.high, high: self.high - other.low }
    }
}

/// The interval of a proportion after `hits` of `trials`, narrowest near `tuned` trials, wrong with a chance of at most `alpha`.
pub fn proportion(hits: u64, trials: u64, alpha: f64, tuned: f64) -> Interval {
    let (hits, misses) = (hits.min(trials) as f64, trials.saturating_sub(hits) as f64);
    let strength = strength(alpha, tuned);
    let threshold = (1.0 / alpha).ln();
    let refuted = |p: f64| log_mixture(hits, misses, p, strength) - threshold;
    let mean = if trials == 0 { 0.5 } else { hits / trials as f64 };
    let low = if hits > 0.0 { 1.0 - crossing(1.0 - mean, 1.0, |q| refuted(1.0 - q)) } else { 0.0 };
    let high = if misses > 0.0 { crossing(mean, 1.0, refuted) } else { 1.0 };
    Interval { low, high }
}

/// The logarithm of how much likelier hits and misses are under a Beta prior around `p` than under `p` itself.
fn log_mixture(hits: f64, misses: f64, p: f64, strength: f64) -> f64 {
    if p <= 0.0 || p >= 1.0 {
        return f64::INFINITY;
    }
    let (a, b) = (strength * p, strength * (1.0 - p));
    ln_beta(a + hits, b + misses) - ln_beta(a, b) - hits * p.ln() - misses * (1.0 - p).ln()
}

/// How many trials the prior is worth that makes the interval narrowest after `tuned` trials.
fn strength(alpha: f64, tuned: f64) -> f64 {
    let twice = 2.0 * (1.0 / alpha).ln();
    (tuned / (twice + (1.0 + twice).ln()) - 1.0).max(1e-3)
}
