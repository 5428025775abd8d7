//! Pairs of answers of which one is better: evidence that one side wins more often than the other.

use serde::{Deserialize, Serialize};
use statrs::function::beta::{beta_reg, ln_beta};

/// Wins of the candidate and of the stable variant in pairs; ties count for neither.
///
/// If neither is better each win is a coin's throw. The bet is a uniform mixture over the coins that favour one side (a sign test as an
/// e-process), so a side that wins too little has evidence near 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairs {
    /// Pairs in which the candidate was better.
    pub candidate: u64,
    /// Pairs in which the stable variant was better.
    pub stable: u64,
}

impl Pairs {
    /// One more pair, by scores of which the higher is better.
    pub fn record(&mut self, candidate: f64, stable: f64) {
        self.candidate += u64::from(candidate > stable);
        self.stable += u64::from(stable > candidate);
    }

    /// Evidence that the candidate wins less often than the stable variant.
    pub fn harm(&self) -> f64 {
        favours(self.stable, self.candidate)
    }

    /// Evidence that the candidate wins more often than the stable variant.
    pub fn gain(&self) -> f64 {
        favours(self.candidate, self.stable)
    }
}

/// The likelihood of `wins` and `losses` under coins above one half, over that under a fair one.
fn favours(wins: u64, losses: u64) -> f64 {
    let (a, b) = (wins as f64 + 1.0, losses as f64 + 1.0);
    let above = beta_reg(b, a, 0.5).max(1e-300).ln() + ln_beta(a, b);
    (above + std::f64::consts::LN_2 * (wins + losses + 1) as f64).min(460.0).exp()
}
