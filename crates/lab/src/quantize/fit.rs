//! The scale, or scale and minimum, of a run of values that loses least of what counts.
//!
//! Tries scales around the one that makes the extreme value the last level. For the levels that each try gives, the best scale is a
//! weighted least-squares fit; its error follows from three sums.

use super::form::{Levels, nearest_integer};

/// Tries on either side, and how far apart they are, as a part of a level.
const TRIES: i32 = 9;
const STEP: f32 = 0.11;

/// A run: its values and what each counts.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) values: &'a [f32],
    pub(super) weights: &'a [f32],
}

/// Numbers that are added up apart, so that the loops over a run are vectorized.
const LANES: usize = 8;

impl Run<'_> {
    /// Sums over the run of what `of` says of each value and what it counts.
    #[inline(always)]
    fn sums<const N: usize>(&self, of: impl Fn(f32, f32) -> [f32; N]) -> [f32; N] {
        let (values, weights) = (self.values.as_chunks::<LANES>(), self.weights.as_chunks::<LANES>());
        let mut lanes = [[0.0f32; LANES]; N];
        for (x, w) in values.0.iter().zip(weights.0) {
            for lane in 0..LANES {
                let found = of(x[lane], w[lane]);
                lanes.iter_mut().zip(found).for_each(|(sum, found)| sum[lane] += found);
            }
        }
        let mut sums = lanes.map(|lanes| lanes.iter().sum::<f32>());
        for (x, w) in values.1.iter().zip(weights.1) {
            sums.iter_mut().zip(of(*x, *w)).for_each(|(sum, found)| *sum += found);
        }
        sums
    }

    /// What is lost with a scale and a minimum that is added.
    pub(super) fn error(&self, levels: Levels, scale: f32, min: f32) -> f32 {
        match levels {
            Levels::Integers(low, high) => self.error_by(integer(low, high), scale, min),
            Levels::Table(table) => self.error_by(entry(table), scale, min),
        }
    }

    #[inline(always)]
    fn error_by(&self, level: impl Fn(f32) -> f32, scale: f32, min: f32) -> f32 {
        let inverse = inverse(scale);
        let [lost] = self.sums(|x, w| {
            let lost = x - (scale * level((x - min) * inverse) + min);
            [w * lost * lost]
        });
        lost
    }

    /// The best scale without a minimum.
    pub(super) fn scale(&self, levels: Levels) -> f32 {
        match levels {
            Levels::Integers(low, high) => self.scale_by(integer(low, high), levels.ends()),
            Levels::Table(table) => self.scale_by(entry(table), levels.ends()),
        }
    }

    #[inline(always)]
    fn scale_by(&self, level: impl Fn(f32) -> f32, (low, high): (f32, f32)) -> f32 {
        let extreme = self.values.iter().copied().fold(0.0, |best: f32, x| if x.abs() > best.abs() { x } else { best });
        if extreme == 0.0 || !extreme.is_finite() {
            return 0.0;
        }
        let (mut best, mut most) = (0.0, 0.0);
        // The extreme value may be at either end: one has a level more than the other, and a scale may be negative.
        for end in [low, high].into_iter().filter(|end| *end != 0.0) {
            for step in -TRIES..=TRIES {
                let inverse = (end + end.signum() * STEP * step as f32) / extreme;
                let [xl, ll] = self.sums(|x, w| {
                    let level = level(x * inverse);
                    [w * x * level, w * level * level]
                });
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
        let top = levels.ends().1;
        match levels {
            Levels::Integers(low, high) => self.affine_by(integer(low, high), top, signed),
            Levels::Table(table) => self.affine_by(entry(table), top, signed),
        }
    }

    #[inline(always)]
    fn affine_by(&self, level: impl Fn(f32) -> f32 + Copy, top: f32, signed: bool) -> (f32, f32) {
        let least = self.values.iter().copied().fold(f32::INFINITY, f32::min);
        let least = if signed { least } else { least.min(0.0) };
        let most = self.values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let span = most - least;
        if !(span > 0.0 && span.is_finite()) {
            return (0.0, if least.is_finite() { least } else { 0.0 });
        }
        let mut best = (span / top, least);
        let mut error = self.error_by(level, best.0, best.1);
        for step in -TRIES..=TRIES {
            let inverse = (top + STEP * step as f32) / span;
            let mut found = (1.0 / inverse, least);
            // The levels follow from the fit, and the fit from the levels: twice is almost always enough.
            for _ in 0..2 {
                let Some(next) = self.regression(level, found, signed) else { break };
                found = next;
                let lost = self.error_by(level, found.0, found.1);
                if lost < error {
                    (best, error) = (found, lost);
                }
            }
        }
        best
    }

    /// The scale and minimum that lose least with the levels that a scale and a minimum give.
    #[inline(always)]
    fn regression(&self, level: impl Fn(f32) -> f32, (scale, min): (f32, f32), signed: bool) -> Option<(f32, f32)> {
        let inverse = inverse(scale);
        let [w_, x_, l_, ll, xl] = self.sums(|x, w| {
            let level = level((x - min) * inverse);
            [w, w * x, w * level, w * level * level, w * x * level]
        });
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

/// The integer nearest to a number, of those between these.
fn integer(low: i32, high: i32) -> impl Fn(f32) -> f32 + Copy {
    move |x| nearest_integer(x.clamp(low as f32, high as f32))
}

/// The entry of a table that is nearest to a number.
fn entry(table: &[f32; 16]) -> impl Fn(f32) -> f32 + Copy + '_ {
    |x| Levels::of_table(table, x).0
}

pub(super) fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}
