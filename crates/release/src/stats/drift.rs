//! Drift: alarms over an endless stream, with a stated rate of false ones.
//!
//! After Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection" (2022, arXiv 2203.03532):
//! the Shiryaev–Roberts kind, a sum of tests of which one begins at every observation.

use serde::{Deserialize, Serialize};

/// Watches how often an event happens, against a rate that it should not exceed.
///
/// If the rate is kept, false alarms are at least `patience` observations apart on average, whatever depends on what as long as
/// each event's chance, given what came before, is at most the rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    /// For each alternative: the weight, and factors of an observation without the event and with it.
    bets: Vec<[f64; 3]>,
    sums: Vec<f64>,
    patience: f64,
    observed: u64,
}

impl Detector {
    /// A detector of rates above `rate`, which is brought inside (0, 1).
    pub fn new(rate: f64, patience: f64) -> Detector {
        let rate = rate.clamp(1e-6, 0.999);
        // Ratios of odds, from what takes long to see to what is seen at once.
        let odds = [1.3, 1.8, 3.0, 10.0];
        let bet = |o: f64| {
            let raised = o * rate / (1.0 - rate + o * rate);
            [1.0 / odds.len() as f64, (1.0 - raised) / (1.0 - rate), raised / rate]
        };
        Detector { bets: odds.map(bet).to_vec(), sums: vec![0.0; odds.len()], patience, observed: 0 }
    }

    /// One more observation; whether it raises the alarm.
    pub fn record(&mut self, event: bool) -> bool {
        self.observed += 1;
        for (sum, bet) in self.sums.iter_mut().zip(&self.bets) {
            *sum = ((*sum + 1.0) * bet[1 + usize::from(event)]).min(1e200);
        }
        self.alarm()
    }

    /// Whether the evidence is at the patience.
    pub fn alarm(&self) -> bool {
        self.level() >= self.patience
    }

    /// The evidence for a change at some time; the alarm is at `patience`.
    pub fn level(&self) -> f64 {
        self.sums.iter().zip(&self.bets).map(|(sum, bet)| sum * bet[0]).sum()
    }

    /// How many observations there were.
    pub fn observed(&self) -> u64 {
        self.observed
    }
}
