//! Statistics that may be looked at after every request: tests by betting, and confidence sequences.
//!
//! A test's *evidence* is an e-process: the capital of somebody who bets against the hypothesis without being able to win if it is
//! true. By Ville's inequality the capital ever reaches `1 / alpha` with a chance of at most `alpha`, however often one looks. The mean
//! of several such capitals is one too, which is how checks share one error budget.

mod binomial;
mod drift;
mod mean;
mod mismatch;
mod pairs;
mod quantile;
mod share;

pub use binomial::{Interval, proportion};
pub use drift::Detector;
pub use mean::{Bet, Bounded, Moments, Side};
pub use mismatch::mismatch;
pub use pairs::Pairs;
pub use quantile::{Sketch, rank_bound};
pub use share::{Harm, Odds};

/// Where a rising `f` crosses zero between `low` and `high`, by halving; `high` if it does not.
fn crossing(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    if f(high).is_nan() || f(high) < 0.0 {
        return high;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if f(middle) < 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}
