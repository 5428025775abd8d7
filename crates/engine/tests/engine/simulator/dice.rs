//! Random numbers.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::executor::VOCAB;

pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(super) fn upto(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    /// Less than so many milliseconds.
    pub(super) fn time(&mut self, millis: usize) -> Duration {
        Duration::from_millis(self.upto(millis) as u64)
    }

    pub(super) fn unit(&mut self) -> f64 {
        self.upto(1 << 20) as f64 / f64::from(1 << 20)
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub(super) fn token(&mut self) -> u32 {
        self.upto(VOCAB) as u32
    }

    pub(super) fn fork(&mut self) -> Dice {
        Dice::new(self.number())
    }
}
