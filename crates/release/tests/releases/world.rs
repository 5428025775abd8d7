//! Made-up traffic: two variants that fail and take their time by chance, on a virtual clock.

use release::{Arm, Outcome, Readings, SECOND};

/// Seeded randomness (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// From 0 to below 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// With mean 0 and variance 1.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// How a variant behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant {
    /// How many of its requests fail.
    pub(crate) failures: f64,
    /// The median of the time of a request, in microseconds; times are lognormal.
    pub(crate) median: f64,
    /// How many answers are good, if that is judged.
    pub(crate) quality: Option<f64>,
    /// How much longer everything takes in the first minute.
    pub(crate) cold: f64,
    /// Whether the time to the first token is measured.
    pub(crate) first_token: bool,
}

/// A variant as it should be: one in a hundred fails, half take longer than a second.
pub(crate) const USUAL: Variant = Variant { failures: 0.01, median: 1e6, quality: None, cold: 1.0, first_token: true };

/// The spread of the logarithm of times.
const SPREAD: f64 = 0.6;

impl Variant {
    /// One request that ended at `at`, on a copy as old as the release.
    pub(crate) fn outcome(&self, dice: &mut Dice, arm: Arm, at: u64) -> Outcome {
        let cold = if at < 60 * SECOND { self.cold } else { 1.0 };
        let total = self.median * cold * (SPREAD * dice.normal()).exp();
        let readings = Readings {
            total: Some(total as u64),
            first_token: self.first_token.then_some((total * 0.2) as u64),
            quality: self.quality.map(|good| f64::from(dice.uniform() < good)),
            ..Readings::default()
        };
        // No two requests of made-up traffic are of one unit, unless a test says so.
        let unit = dice.0;
        Outcome { arm, unit, stage: 0, failed: dice.uniform() < self.failures, age: at, readings }
    }
}
