//! Means: confidence sequences, and tests by betting on bounded values.
//!
//! [`Moments`]: the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2021, arXiv 2103.06476).
//! [`Bounded`] and [`Bet`]: the predictable empirical Bernstein sequence and the betting test of Waudby-Smith and Ramdas (2020, arXiv
//! 2010.09686).

use super::Interval;
use serde::{Deserialize, Serialize};

/// The count, mean and variance of values that came one by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// One more value; what is not finite is left out.
    pub fn record(&mut self, x: f64) {
        if x.is_finite() {
            self.count += 1;
            let off = x - self.mean;
            self.mean += off / self.count as f64;
            self.squares += off * (x - self.mean);
        }
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; 0 without values.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Their variance; 0 without values.
    pub fn variance(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.squares / self.count as f64 }
    }

    /// The asymptotic confidence sequence of the mean, narrowest near `tuned` values.
    ///
    /// It needs no bounds of the values, and holds as well as the central limit theorem does: not for few values. Fewer than 10 give
    /// [`Interval::ANY`].
    pub fn interval(&self, alpha: f64, tuned: f64) -> Interval {
        if self.count < 10 {
            return Interval::ANY;
        }
        let t = self.count as f64;
        let rho2 = (-2.0 * alpha.ln() + (-2.0 * alpha.ln() + 1.0).ln()) / tuned.max(1.0);
        let grown = t * rho2 + 1.0;
        let width = (self.variance() * 2.0 * grown / (t * t * rho2) * (grown.sqrt() / alpha).ln()).sqrt();
        Interval { low: self.mean - width, high: self.mean + width }
    }
}

/// The mean of values between 0 and 1: an empirical Bernstein confidence sequence, valid from the first value on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bounded {
    alpha: f64,
    count: u64,
    sum: f64,
    /// The sum of squared distances from the running mean, as known so far.
    squares: f64,
    weights: f64,
    weighted: f64,
    penalty: f64,
}

impl Bounded {
    /// No values yet; the interval will be wrong with a chance of at most `alpha`.
    pub fn new(alpha: f64) -> Bounded {
        Bounded { alpha, count: 0, sum: 0.0, squares: 0.0, weights: 0.0, weighted: 0.0, penalty: 0.0 }
    }

    /// One more value, brought between 0 and 1; NaN is left out.
    pub fn record(&mut self, x: f64) {
        if x.is_nan() {
            return;
        }
        let x = x.clamp(0.0, 1.0);
        let before = (0.5 + self.sum) / (self.count as f64 + 1.0);
        let variance = (0.25 + self.squares) / (self.count as f64 + 1.0);
        self.count += 1;
        self.sum += x;
        let t = self.count as f64;
        let lambda = (2.0 * (2.0 / self.alpha).ln() / (variance * t * (1.0 + t).ln())).sqrt().min(0.5);
        let after = (0.5 + self.sum) / (t + 1.0);
        self.squares += (x - after).powi(2);
        self.weights += lambda;
        self.weighted += lambda * x;
        self.penalty += (x - before).powi(2) * (-(1.0 - lambda).ln() - lambda);
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean of the values; one half without any.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.5 } else { self.sum / self.count as f64 }
    }

    /// Where the mean is.
    pub fn interval(&self) -> Interval {
        if self.count == 0 {
            return Interval { low: 0.0, high: 1.0 };
        }
        let center = self.weighted / self.weights;
        let width = ((2.0 / self.alpha).ln() + self.penalty) / self.weights;
        Interval { low: (center - width).max(0.0), high: (center + width).min(1.0) }
    }
}

/// On which side of a bound the mean is suspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Evidence grows if the mean is above.
    Above,
    /// Evidence grows if the mean is below.
    Below,
}

/// Evidence that the mean of values between 0 and 1 is on one side of a bound.
///
/// Each bet is a share of the capital that grows it fastest by what has been seen so far (aGRAPA), and at most half of what could ruin it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bet {
    bound: f64,
    side: Side,
    capital: f64,
    seen: Moments,
}

impl Bet {
    /// A bet that the mean is on that `side` of the bound, which is brought inside (0, 1).
    pub fn new(bound: f64, side: Side) -> Bet {
        Bet { bound: bound.clamp(1e-6, 1.0 - 1e-6), side, capital: 1.0, seen: Moments::default() }
    }

    /// One more value, brought between 0 and 1; NaN is left out.
    pub fn record(&mut self, x: f64) {
        if x.is_nan() {
            return;
        }
        let x = x.clamp(0.0, 1.0);
        // Looking from the other side, above is below.
        let (x, bound) = if self.side == Side::Above { (x, self.bound) } else { (1.0 - x, 1.0 - self.bound) };
        let known = self.seen.count() as f64;
        let mean = (bound + self.seen.mean() * known) / (known + 1.0);
        let variance = (0.25 + self.seen.variance() * known) / (known + 1.0);
        let gap = mean - bound;
        let stake = (gap / (variance + gap * gap)).clamp(0.0, 0.5 / bound);
        self.capital = (self.capital * (1.0 + stake * (x - bound))).clamp(1e-200, 1e200);
        self.seen.record(x);
    }

    /// The evidence: 1 is none.
    pub fn evidence(&self) -> f64 {
        self.capital
    }
}
