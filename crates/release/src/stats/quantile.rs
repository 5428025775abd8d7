//! Quantiles: values in narrow buckets, and confidence sequences of their ranks.
//!
//! The bound of ranks is the double stitching of Howard and Ramdas, "Sequential estimation of quantiles with applications to A/B testing
//! and best-arm identification" (2022, arXiv 1906.09712), theorem 1.

use super::Interval;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How much wider each bucket is than the one before.
const GROWTH: f64 = 1.005;

/// Values above 0, counted in buckets half a percent wide; what is not above 0 is in the lowest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    buckets: BTreeMap<i32, u64>,
    count: u64,
}

impl Sketch {
    /// One more value; what is not finite is left out.
    pub fn record(&mut self, x: f64) {
        if x.is_finite() {
            *self.buckets.entry(bucket(x)).or_default() += 1;
            self.count += 1;
        }
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The quantile at `p`: the upper edge of the bucket that it is in; `None` without values.
    pub fn quantile(&self, p: f64) -> Option<f64> {
        let rank = (p * self.count as f64).floor() as u64 + 1;
        self.at(rank.min(self.count)).map(upper)
    }

    /// Where the quantile at `p` is, at all times at once, narrowest from `tuned` values on.
    ///
    /// An end for which there is too little data is infinite.
    pub fn interval(&self, p: f64, alpha: f64, tuned: f64) -> Interval {
        let n = self.count as f64;
        let below = (p * n - rank_bound(1.0 - p, n, alpha, tuned)).floor();
        let above = (p * n + rank_bound(p, n, alpha, tuned)).ceil() + 1.0;
        let low = if below >= 1.0 { self.at(below as u64).map(lower) } else { None };
        let high = if above <= n { self.at(above as u64).map(upper) } else { None };
        Interval { low: low.unwrap_or(f64::NEG_INFINITY), high: high.unwrap_or(f64::INFINITY) }
    }

    /// The bucket of the value of that rank, from 1.
    fn at(&self, rank: u64) -> Option<i32> {
        let mut before = 0;
        self.buckets.iter().find_map(|(bucket, count)| {
            before += count;
            (rank >= 1 && before >= rank).then_some(*bucket)
        })
    }
}

fn bucket(x: f64) -> i32 {
    // Below a billionth every value is the same.
    (x.max(1e-9).ln() / GROWTH.ln()).floor() as i32
}

fn lower(bucket: i32) -> f64 {
    GROWTH.powi(bucket)
}

fn upper(bucket: i32) -> f64 {
    GROWTH.powi(bucket + 1)
}

/// By how many of `n` values the rank of the quantile at `p` may be off, at all `n` from `tuned` on and all `p` at once.
pub fn rank_bound(p: f64, n: f64, alpha: f64, tuned: f64) -> f64 {
    const DELTA: f64 = 0.5;
    const S: f64 = 1.4;
    const ETA: f64 = 2.0;
    /// The Riemann zeta function at `S`.
    const ZETA: f64 = 3.105_547_27;
    let t = n.max(tuned);
    let logit = (p / (1.0 - p)).ln();
    let r = if p >= 0.5 { p } else { expit(logit + 2.0 * DELTA * (tuned * ETA / t).sqrt()).min(0.5) };
    let variance = r * (1.0 - r);
    let j = (t / tuned).sqrt() * logit.abs() / (2.0 * DELTA) + 1.0;
    let error = (2.0 * ZETA * (2.0 * ZETA + 1.0) / (alpha * ETA.ln().powf(S))).ln();
    let ell = S * (ETA * t / tuned).ln().ln() + S * j.ln() + error;
    let k1 = (ETA.powf(0.25) + ETA.powf(-0.25)) / std::f64::consts::SQRT_2;
    let k2 = f64::midpoint(ETA.sqrt(), 1.0);
    let term = k2 * (1.0 - 2.0 * p) / 3.0 * ell;
    DELTA * (ETA * t * variance / tuned).sqrt() + (k1 * k1 * variance * t * ell + term * term).sqrt() + term
}

fn expit(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
