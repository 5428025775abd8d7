//! Rotary frequencies and how a model stretches them to longer contexts.

use graph::{Rope, RopeStyle};

/// What a model's rope is made from.
#[derive(Clone, Debug)]
pub(crate) struct RopeNumbers {
    /// Base of the geometric row of frequencies.
    pub base: f64,
    /// How many elements of a head are rotated.
    pub dims: usize,
    /// Each frequency is divided by its factor; empty for none.
    pub factors: Vec<f64>,
    /// How frequencies change.
    pub scaling: Scaling,
    /// What sine and cosine are multiplied with.
    pub magnitude: f64,
}

/// How frequencies change.
#[derive(Clone, Debug)]
pub(crate) enum Scaling {
    /// They do not.
    None,
    /// All are divided (position interpolation, Chen et al. 2023).
    Linear(f64),
    /// Long waves are divided, those between are blended (Llama 3.1).
    Llama3 {
        /// Divisor.
        factor: f64,
        /// Waves longer than `original / low` are divided.
        low: f64,
        /// Waves shorter than `original / high` are kept.
        high: f64,
        /// Context of the first training.
        original: f64,
    },
    /// Divided or kept by how often a wave turns in the original context (Peng et al. 2023).
    Yarn(Yarn),
}

/// YaRN's numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yarn {
    /// Divisor.
    pub factor: f64,
    /// Context of the first training.
    pub original: f64,
    /// Waves that turn more often than this are kept.
    pub beta_fast: f64,
    /// Waves that turn less often than this are divided.
    pub beta_slow: f64,
    /// Whether the bounds are rounded to whole pairs.
    pub truncate: bool,
}

impl RopeNumbers {
    /// The rope for heads of `head_dim`.
    pub(crate) fn rope(&self, head_dim: usize, style: RopeStyle) -> Rope {
        let pairs = self.dims / 2;
        let turn = |i: usize| {
            let freq = self.base.powf(-2.0 * i as f64 / self.dims as f64);
            let freq = freq / self.factors.get(i).copied().unwrap_or(1.0);
            self.scaled(i, freq) as f32
        };
        Rope { head_dim, freqs: (0..pairs).map(turn).collect(), magnitude: self.magnitude as f32, style }
    }

    /// What scaling divides each frequency by.
    pub(crate) fn divisors(&self) -> Vec<f64> {
        let freq = |i: usize| self.base.powf(-2.0 * i as f64 / self.dims as f64);
        (0..self.dims / 2).map(|i| freq(i) / self.scaled(i, freq(i))).collect()
    }

    fn scaled(&self, pair: usize, freq: f64) -> f64 {
        match &self.scaling {
            Scaling::None => freq,
            Scaling::Linear(factor) => freq / factor,
            &Scaling::Llama3 { factor, low, high, original } => {
                let wave = std::f64::consts::TAU / freq;
                if wave < original / high {
                    freq
                } else if wave > original / low {
                    freq / factor
                } else {
                    let smooth = (original / wave - low) / (high - low);
                    (1.0 - smooth) * freq / factor + smooth * freq
                }
            }
            Scaling::Yarn(yarn) => {
                let divided = yarn.divided(pair, self.dims, self.base);
                freq / yarn.factor * divided + freq * (1.0 - divided)
            }
        }
    }
}

impl Yarn {
    /// How far pair `pair` of `dims` elements is divided, from 0 to 1.
    fn divided(&self, pair: usize, dims: usize, base: f64) -> f64 {
        let bound =
            |turns: f64| dims as f64 * (self.original / (turns * std::f64::consts::TAU)).ln() / (2.0 * base.ln());
        let (mut low, mut high) = (bound(self.beta_fast), bound(self.beta_slow));
        if self.truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(dims as f64 - 1.0));
        if low == high {
            high += 0.001;
        }
        ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0)
    }
}

/// YaRN's attention factor for a context `factor` times as long.
pub(crate) fn yarn_magnitude(factor: f64, scale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scaling: Scaling, expected: &[f32]) {
        let numbers = RopeNumbers { base: 10000.0, dims: 8, factors: vec![], scaling, magnitude: 1.0 };
        let rope = numbers.rope(10, RopeStyle::Halves);
        assert_eq!(rope.freqs.len(), expected.len());
        for (got, want) in rope.freqs.iter().zip(expected) {
            assert!((got - want).abs() <= want * 1e-5, "{:?} instead of {expected:?}", rope.freqs);
        }
    }

    // The expected numbers are those of transformers' `ROPE_INIT_FUNCTIONS` for the same parameters.
    #[test]
    fn frequencies_are_those_of_transformers() {
        check(Scaling::None, &[1.0, 0.1, 0.01, 0.001]);
        check(Scaling::Linear(4.0), &[0.25, 0.025, 0.0025, 0.00025]);
        let llama3 = Scaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 256.0 };
        check(llama3, &[1.0, 0.1, 0.00125, 0.000125]);
        let yarn = Yarn { factor: 4.0, original: 256.0, beta_fast: 32.0, beta_slow: 1.0, truncate: true };
        check(Scaling::Yarn(yarn), &[1.0, 0.0625, 0.0025, 0.00025]);
        check(Scaling::Yarn(Yarn { truncate: false, ..yarn }), &[1.0, 0.055_398_636, 0.0025, 0.00025]);
    }
}
