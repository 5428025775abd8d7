//! What was measured at each position.

use super::reference::KeptPosition;
use super::{largest, log_sum};

/// Numbers of every position that was scored, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Positions of a chunk.
    pub per_chunk: usize,
    /// Kullback-Leibler divergence of the model's distribution from the reference's, in nats.
    pub kl: Vec<f64>,
    /// How surprised the model is by the token that follows, in nats.
    pub surprise: Vec<f64>,
    /// How surprised the reference is.
    pub reference: Vec<f64>,
    /// Whether both find the same token most likely.
    pub agrees: Vec<bool>,
    /// Whether the token that the model finds most likely is the one that follows.
    pub hits: Vec<bool>,
    /// The same of the reference.
    pub reference_hits: Vec<bool>,
}

impl Samples {
    pub(super) fn new(per_chunk: usize) -> Samples {
        Samples { per_chunk, ..Samples::default() }
    }

    /// Adds a position.
    pub(super) fn add(&mut self, position: &Position) {
        let Position { kl, surprise, reference, next, likely, expected } = *position;
        self.kl.push(kl);
        self.surprise.push(surprise);
        self.reference.push(reference);
        self.agrees.push(likely == expected);
        self.hits.push(likely == next);
        self.reference_hits.push(expected == next);
    }
}

/// What was measured at a position.
pub(super) struct Position {
    kl: f64,
    surprise: f64,
    reference: f64,
    /// The token that follows, and those that the model and the reference find most likely.
    next: usize,
    likely: usize,
    expected: usize,
}

impl Position {
    /// By what was kept of the reference, the token that follows, and the model's logits.
    pub(super) fn new(kept: &KeptPosition, next: u32, logits: &[f32]) -> Position {
        let sum = log_sum(logits);
        let log = |id: u32| f64::from(logits[id as usize]) - sum;
        Position {
            kl: divergence(&kept.top, log),
            surprise: -log(next),
            reference: -f64::from(kept.next),
            next: next as usize,
            likely: largest(logits.iter().copied()),
            expected: kept.top[largest(kept.top.iter().map(|pair| pair.1))].0 as usize,
        }
    }
}

/// The divergence over the tokens that were kept, and over all others taken together: never more than over all tokens one by one.
fn divergence(kept: &[(u32, f32)], log: impl Fn(u32) -> f64) -> f64 {
    let (mut sum, mut p_kept, mut q_kept) = (0.0, 0.0, 0.0);
    for (id, p_log) in kept {
        let (p_log, q_log) = (f64::from(*p_log), log(*id));
        let p = p_log.exp();
        // What the reference rules out costs nothing, whatever the model says.
        sum += if p > 0.0 { p * (p_log - q_log) } else { 0.0 };
        (p_kept, q_kept) = (p_kept + p, q_kept + q_log.exp());
    }
    // Below this the rest is what rounding left of nothing.
    const REST: f64 = 1e-5;
    let (p, q) = (1.0 - p_kept, (1.0 - q_kept).max(REST * 1e-3));
    let sum = if p > REST { sum + p * (p / q).ln() } else { sum };
    // NaN stays NaN.
    if sum < 0.0 { 0.0 } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(p: &[f64], q: &[f64], kept: usize, (least, most): (f64, f64)) {
        let kept: Vec<(u32, f32)> = (0..kept as u32).map(|id| (id, p[id as usize].ln() as f32)).collect();
        let kl = divergence(&kept, |id| q[id as usize].ln());
        assert!(kl >= least && kl <= most, "{kl} is not between {least} and {most}");
    }

    #[test]
    fn the_divergence_is_that_of_all_tokens_or_less() {
        let (p, q): ([f64; 4], [f64; 4]) = ([0.5, 0.3, 0.15, 0.05], [0.4, 0.4, 0.1, 0.1]);
        let exact: f64 = p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum();
        check(&p, &q, 4, (exact - 1e-6, exact + 1e-6));
        check(&p, &q, 2, (exact * 0.4, exact));
        check(&p, &p, 4, (0.0, 1e-6));
        check(&p, &p, 1, (0.0, 1e-6));
    }

    #[test]
    fn what_is_no_number_stays_so() {
        assert!(divergence(&[(0, f32::NAN)], |_| 0.0).is_nan() || divergence(&[(0, 0.0)], |_| f64::NAN).is_nan());
        let mut samples = Samples::new(1);
        let kept = KeptPosition { next: -1.0, top: vec![(0, -0.1), (1, -2.3)] };
        samples.add(&Position::new(&kept, 0, &[f32::NAN, 1.0]));
        assert!(samples.kl[0].is_nan() && samples.surprise[0].is_nan());
    }
}
