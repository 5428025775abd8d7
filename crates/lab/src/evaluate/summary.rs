//! Samples in a few numbers, each with the interval that it lies in with 95 % confidence.

use serde::{Deserialize, Deserializer, Serialize};

use super::Samples;

/// Standard deviations of 95 %.
const Z: f64 = 1.959_963_984_540_054;
/// Parts of a chunk for which divergence is told.
const PARTS: usize = 16;

/// A number and where it would be on endlessly many such texts, with 95 % confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// The interval's lower end.
    #[serde(deserialize_with = "number")]
    pub low: f64,
    /// The interval's upper end.
    #[serde(deserialize_with = "number")]
    pub high: f64,
}

/// How a variant differs from its reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Positions that were scored.
    pub tokens: usize,
    /// Kullback-Leibler divergence from the reference, in nats: its mean.
    pub kl: Estimate,
    /// Half of all positions have less.
    #[serde(deserialize_with = "number")]
    pub kl_median: f64,
    /// One position in a hundred has more.
    #[serde(deserialize_with = "number")]
    pub kl_p99: f64,
    /// The largest.
    #[serde(deserialize_with = "number")]
    pub kl_max: f64,
    /// Where both find the same token most likely: a share of all positions.
    pub top1: Estimate,
    /// Where the token that the variant finds most likely is the one that follows: a share of all positions.
    #[serde(default)]
    pub accuracy: Estimate,
    /// How much more that is than the reference's share.
    #[serde(default)]
    pub accuracy_delta: Estimate,
    /// The variant's perplexity.
    pub perplexity: Estimate,
    /// The reference's perplexity.
    pub reference_perplexity: Estimate,
    /// The variant's perplexity as a multiple of the reference's.
    pub ratio: Estimate,
    /// Mean divergence in parts of a chunk, from its first scored position on.
    #[serde(deserialize_with = "numbers")]
    pub kl_by_position: Vec<f64>,
}

/// A number; null is what JSON has for one that is none.
pub(crate) fn number<'d, D: Deserializer<'d>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

fn numbers<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<f64>, D::Error> {
    Ok(Vec::<Option<f64>>::deserialize(from)?.into_iter().map(|x| x.unwrap_or(f64::NAN)).collect())
}

impl Estimate {
    /// The mean of some numbers. Those of a chunk are not independent: with eight chunks or more the interval is that of the means of
    /// chunks.
    fn mean(numbers: &[f64], per_chunk: usize) -> Estimate {
        let chunks: Vec<f64> = numbers.chunks(per_chunk.max(1)).map(mean).collect();
        let spread = if chunks.len() >= 8 { error(&chunks) } else { error(numbers) };
        let value = mean(numbers);
        Estimate { value, low: value - Z * spread, high: value + Z * spread }
    }

    fn map(self, f: impl Fn(f64) -> f64) -> Estimate {
        Estimate { value: f(self.value), low: f(self.low), high: f(self.high) }
    }

    fn clamped(self, low: f64, high: f64) -> Estimate {
        Estimate { low: self.low.max(low), high: self.high.min(high), ..self }
    }
}

/// The mean; not a number where there are none.
fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// The standard error of the mean.
fn error(numbers: &[f64]) -> f64 {
    let (n, mean) = (numbers.len() as f64, mean(numbers));
    let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
    (squares / (n - 1.0).max(1.0) / n).sqrt()
}

impl Summary {
    /// Sums up what was measured.
    pub fn of(samples: &Samples) -> Summary {
        let per_chunk = samples.per_chunk;
        let shares = |of: &[bool]| of.iter().map(|is| f64::from(u8::from(*is))).collect::<Vec<f64>>();
        let (agrees, hits) = (shares(&samples.agrees), shares(&samples.hits));
        let won: Vec<f64> = hits.iter().zip(shares(&samples.reference_hits)).map(|(a, b)| a - b).collect();
        let differences: Vec<f64> = samples.surprise.iter().zip(&samples.reference).map(|(a, b)| a - b).collect();
        let mut sorted = samples.kl.clone();
        sorted.sort_by(f64::total_cmp);
        let quantile = |share: f64| sorted.get((share * (sorted.len() as f64 - 1.0)).round() as usize).copied();
        Summary {
            tokens: samples.kl.len(),
            kl: Estimate::mean(&samples.kl, per_chunk).clamped(0.0, f64::INFINITY),
            kl_median: quantile(0.5).unwrap_or(f64::NAN),
            kl_p99: quantile(0.99).unwrap_or(f64::NAN),
            kl_max: quantile(1.0).unwrap_or(f64::NAN),
            top1: Estimate::mean(&agrees, per_chunk).clamped(0.0, 1.0),
            accuracy: Estimate::mean(&hits, per_chunk).clamped(0.0, 1.0),
            accuracy_delta: Estimate::mean(&won, per_chunk),
            perplexity: Estimate::mean(&samples.surprise, per_chunk).map(f64::exp),
            reference_perplexity: Estimate::mean(&samples.reference, per_chunk).map(f64::exp),
            ratio: Estimate::mean(&differences, per_chunk).map(f64::exp),
            kl_by_position: by_position(&samples.kl, per_chunk),
        }
    }
}

/// Means over all chunks of parts of them.
fn by_position(kl: &[f64], per_chunk: usize) -> Vec<f64> {
    let parts = PARTS.min(per_chunk);
    let mut sums = vec![(0.0, 0usize); parts];
    for chunk in kl.chunks(per_chunk.max(1)) {
        for (position, kl) in chunk.iter().enumerate() {
            let (sum, count) = &mut sums[position * parts / per_chunk];
            (*sum, *count) = (*sum + kl, *count + 1);
        }
    }
    sums.into_iter().map(|(sum, count)| sum / count as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_summed_up() {
        let kl: Vec<f64> = (1..=100).map(f64::from).collect();
        let samples = Samples {
            per_chunk: 10,
            surprise: vec![2.0; 100],
            reference: vec![1.0; 100],
            agrees: (0..100).map(|i| i % 4 != 0).collect(),
            hits: (0..100).map(|i| i % 2 != 0).collect(),
            reference_hits: (0..100).map(|i| i % 5 != 0).collect(),
            kl,
        };
        let summary = Summary::of(&samples);
        assert_eq!((summary.tokens, summary.kl.value, summary.kl_median, summary.kl_p99), (100, 50.5, 51.0, 99.0));
        assert_eq!((summary.kl_max, summary.top1.value, summary.accuracy.value), (100.0, 0.75, 0.5));
        assert!((summary.accuracy_delta.value + 0.3).abs() < 1e-12, "{:?}", summary.accuracy_delta);
        // Ten means from 5.5 to 95.5 in steps of ten.
        let spread = Z * (8250.0f64 / 9.0 / 10.0).sqrt();
        assert!((summary.kl.high - 50.5 - spread).abs() < 1e-9, "{:?}", summary.kl);
        assert!(
            (summary.ratio.value - 1f64.exp()).abs() < 1e-12 && (summary.perplexity.value - 2f64.exp()).abs() < 1e-12
        );
        assert_eq!(summary.kl_by_position.len(), 10);
        assert_eq!(summary.kl_by_position[0], 46.0);
    }

    #[test]
    fn one_number_that_is_none_spoils_the_mean() {
        let samples = Samples {
            per_chunk: 2,
            kl: vec![1.0, f64::NAN],
            surprise: vec![1.0; 2],
            reference: vec![1.0; 2],
            agrees: vec![true; 2],
            ..Samples::default()
        };
        let summary = Summary::of(&samples);
        assert!(summary.kl.value.is_nan() && summary.kl_max.is_nan());
        let again: Summary = serde_json::from_str(&serde_json::to_string(&summary).expect("JSON")).expect("read again");
        assert!(again.kl.value.is_nan() && again.kl_by_position[1].is_nan() && again.top1 == summary.top1);
    }
}
