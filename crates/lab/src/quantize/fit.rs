//! The scale, or scale and minimum, of a run of values that loses least of what counts.
//!
//! Tries scales around the one that makes the extreme value the last level. For the levels that each try gives, the best scale is a
//! weighted least-squares fit; its error follows from three sums.

use super::form::Levels;

/// Tries on either side, and how far apart they are, as a part of a level.
const TRIES: i32 = 9;
const STEP: f32 = 0.11;

/// A run: its values and what each counts.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) values: &'a [f32],
    pub(super) weights: &'a [f32],
}

impl Run<'_> {
    fn each(&self) -> impl Iterator<Item = (f32, f32)> + '_ {
        self.values.iter().copied().zip(self.weights.iter().copied())
    }

    /// What is lost with a scale and a minimum that is added.
    pub(super) fn error(&self, levels: Levels, scale: f32, min: f32) -> f32 {
        let inverse = inverse(scale);
        self.each()
            .map(|(x, w)| {
                let lost = x - (scale * levels.nearest((x - min) * inverse).0 + min);
                w * lost * lost
            })
            .sum()
    }

    /// The best scale without a minimum.
    pub(super) fn scale(&self, levels: Levels) -> f32 {
        let extreme = self.values.iter().copied().fold(0.0, |best: f32, x| if x.abs() > best.abs() { x } else { best });
        if extreme == 0.0 || !extreme.is_finite() {
            return 0.0;
        }
        let (low, high) = levels.ends();
        let (mut best, mut most) = (0.0, 0.0);
        // The extreme value may be at either end: one has a level more than the other, and a scale may be negative.
        for end in [low, high].into_iter().filter(|end| *end != 0.0) {
            for step in -TRIES..=TRIES {
                let inverse = (end + end.signum() * STEP * step as f32) / extreme;
                let (mut xl, mut ll) = (0.0, 0.0);
                for (x, w) in self.each() {
                    let level = levels.nearest(x * inverse).0;
                    (xl, ll) = (xl + w * x * level, ll + w * level * level);
                }
                // What is lost is the squares of the values less this.
                if ll > 0.0 && xl * xl > most * ll {
                    (most, best) = (xl * xl / ll, xl / ll);
                }
            }
        }
        best
    }

    /// The best scale and minimum (added); the minimum is not above zero if `signed` is not set.
    pub(super) fn affine(&self, levels: Levels, signed: bool) -> (f32, f32) {
        let least = self.values.iter().copied().fold(f32::INFINITY, f32::min);
        let least = if signed { least } else { least.min(0.0) };
        let most = self.values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let span = most - least;
        if !(span > 0.0 && span.is_finite()) {
            return (0.0, if least.is_finite() { least } else { 0.0 });
        }
        let top = levels.ends().1;
        let mut best = (span / top, least);
        let mut error = self.error(levels, best.0, best.1);
        for step in -TRIES..=TRIES {
            let inverse = (top + STEP * step as f32) / span;
            let mut found = (1.0 / inverse, least);
            // The levels follow from the fit, and the fit from the levels: twice is almost always enough.
            for _ in 0..2 {
                let Some(next) = self.regression(levels, found, signed) else { break };
                found = next;
                let lost = self.error(levels, found.0, found.1);
                if lost < error {
                    (best, error) = (found, lost);
                }
            }
        }
        best
    }

    /// The scale and minimum that lose least with the levels that a scale and a minimum give.
    fn regression(&self, levels: Levels, (scale, min): (f32, f32), signed: bool) -> Option<(f32, f32)> {
        let inverse = inverse(scale);
        let (mut w_, mut x_, mut l_, mut ll, mut xl) = (0.0f32, 0.0f32, 0.0f32, 0.0f32, 0.0f32);
        for (x, w) in self.each() {
            let level = levels.nearest((x - min) * inverse).0;
            (w_, x_, l_) = (w_ + w, x_ + w * x, l_ + w * level);
            (ll, xl) = (ll + w * level * level, xl + w * x * level);
        }
        let determinant = w_ * ll - l_ * l_;
        if determinant.is_nan() || determinant <= 0.0 {
            return None;
        }
        let (scale, min) = ((w_ * xl - x_ * l_) / determinant, (ll * x_ - l_ * xl) / determinant);
        if signed || min <= 0.0 {
            return (scale > 0.0).then_some((scale, min));
        }
        (ll > 0.0 && xl > 0.0).then(|| (xl / ll, 0.0))
    }
}

pub(super) fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}
