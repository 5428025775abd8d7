//! The scale, or scale and minimum, of a run of values that loses least of what counts.
//!
//! Tries scales around the one that makes the extreme value the last level. For the levels that each try gives, the best scale is a
//! weighted least-squares fit; its error follows from three sums.

use super::form::{Levels, Table, nearest_integer};

/// How many scales are tried, and how many levels off the last one the largest value would be with the first and the last of them.
const TRIES: u32 = 13;
const OFF: f32 = 3.0;

/// A run: its values and what each counts.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    values: &'a [[f32; LANES]],
    weights: &'a [[f32; LANES]],
}

/// Numbers that are computed together, so that the loops over a run are vectorized.
const LANES: usize = 8;

impl<'a> Run<'a> {
    /// Of so many values as are whole lanes; every run of a type is.
    pub(super) fn new(values: &'a [f32], weights: &'a [f32]) -> Run<'a> {
        debug_assert!(values.len().is_multiple_of(LANES) && values.len() == weights.len());
        Run { values: values.as_chunks().0, weights: weights.as_chunks().0 }
    }

    /// Sums over the run of what `of` says of each value and what it counts.
    #[inline(always)]
    fn sums<const N: usize>(&self, of: impl Fn(f32, f32) -> [f32; N]) -> [f32; N] {
        let mut lanes = [[0.0f32; LANES]; N];
        for (x, w) in self.values.iter().zip(self.weights) {
            for lane in 0..LANES {
                let found = of(x[lane], w[lane]);
                lanes.iter_mut().zip(found).for_each(|(sum, found)| sum[lane] += found);
            }
        }
        // In pairs, so that few additions wait for each other.
        lanes.map(|[a, b, c, d, e, f, g, h]| ((a + e) + (c + g)) + ((b + f) + (d + h)))
    }

    fn folded(&self, first: f32, of: impl Fn(f32, f32) -> f32) -> f32 {
        self.values.as_flattened().iter().copied().fold(first, of)
    }

    /// What is lost with a scale.
    pub(super) fn error(&self, levels: Levels, scale: f32) -> f32 {
        match levels {
            Levels::Integers(low, high) => self.error_by(integer(low as f32, high as f32), scale),
            Levels::Table(table) => self.error_by(entry(table), scale),
        }
    }

    #[inline(always)]
    fn error_by(&self, level: impl Fn(f32) -> f32, scale: f32) -> f32 {
        let inverse = inverse(scale);
        let [lost] = self.sums(|x, w| {
            let lost = x - scale * level(x * inverse);
            [w * lost * lost]
        });
        lost
    }

    /// The best scale without a minimum.
    pub(super) fn scale(&self, levels: Levels) -> f32 {
        let (low, high) = levels.ends();
        match levels {
            // At the lower end there are more levels, or as many: scales that make the extreme value the last level of the other end are
            // among those that leave the lowest levels out.
            Levels::Integers(..) => self.scale_by(integer(low, high), tries(-low).map(|last| -last)),
            Levels::Table(table) => {
                // In levels that are as far apart as those of integers.
                let around = |end: f32| tries(8.0).map(move |last| last / 8.0 * end);
                self.scale_by(entry(table), around(low).chain(around(high)))
            }
        }
    }

    /// The best of the scales that make the extreme value each of these levels.
    #[inline(always)]
    fn scale_by(&self, level: impl Fn(f32) -> f32, levels: impl Iterator<Item = f32>) -> f32 {
        let extreme = self.folded(0.0, |best, x| if x.abs() > best.abs() { x } else { best });
        if extreme == 0.0 || !extreme.is_finite() {
            return 0.0;
        }
        let (mut best, mut most) = (0.0, 0.0);
        for last in levels {
            let inverse = last / extreme;
            let [xl, ll] = self.sums(|x, w| {
                let level = level(x * inverse);
                [w * x * level, w * level * level]
            });
            // What is lost is the squares of the values less this.
            if ll > 0.0 && xl * xl > most * ll {
                (most, best) = (xl * xl / ll, xl / ll);
            }
        }
        best
    }

    /// The run as scales and minimums are searched for it; the minimum is not above zero if `signed` is not set.
    pub(super) fn affine(self, levels: (f32, f32), signed: bool) -> Affine<'a> {
        let least = self.folded(f32::INFINITY, f32::min);
        let least = if signed { least } else { least.min(0.0) };
        let most = self.folded(f32::NEG_INFINITY, f32::max);
        let [w, x, xx] = self.sums(|x, w| [w, w * (x - least), w * (x - least) * (x - least)]);
        Affine { run: self, levels, signed, least, span: most - least, sums: (w, x, xx) }
    }
}

/// A run whose values are a scale times a level and a minimum. Its values are counted from the smallest on, so that little is lost in sums
/// where all of them are far from zero.
#[derive(Clone, Copy)]
pub(super) struct Affine<'a> {
    run: Run<'a>,
    levels: (f32, f32),
    signed: bool,
    least: f32,
    span: f32,
    /// Of the weights, and of these times the values and their squares.
    sums: (f32, f32, f32),
}

impl Affine<'_> {
    /// The best scale and minimum (added).
    pub(super) fn fit(&self) -> (f32, f32) {
        let Affine { levels: (low, high), least, span, .. } = *self;
        if !(span > 0.0 && span.is_finite()) {
            return (0.0, if least.is_finite() { least } else { 0.0 });
        }
        let top = high - low;
        let (mut best, mut error) = ((span / top, least), f32::INFINITY);
        for last in tries(top) {
            let mut found = (span / last, least);
            // The levels follow from the fit, and the fit from the levels: twice is almost always enough.
            for _ in 0..2 {
                let sums = self.level_sums(found);
                let Some(next) = self.regression(sums) else { break };
                found = next;
                let lost = self.lost(sums, found);
                if lost < error {
                    (best, error) = (found, lost);
                }
            }
        }
        best
    }

    /// How many of `unit` (up to `high`) the best minimum beside a scale is below zero, if it is `near` that; then what is lost.
    pub(super) fn minimum(&self, scale: f32, near: f32, (unit, high): (f32, i32)) -> (i32, f32) {
        let (w, x, _) = self.sums;
        let sums = self.level_sums((scale, near));
        let wanted = (x - scale * sums.0) / w + self.least;
        let steps = nearest_integer((-wanted * inverse(unit)).clamp(0.0, high as f32));
        (steps as i32, self.lost(sums, (scale, -unit * steps)))
    }

    /// Sums of what values count, times the levels that a scale and a minimum give, times these and their squares, and times the values.
    #[inline(always)]
    fn level_sums(&self, (scale, min): (f32, f32)) -> (f32, f32, f32) {
        let (level, inverse) = (integer(self.levels.0, self.levels.1), inverse(scale));
        let [l, ll, xl] = self.run.sums(|x, w| {
            let level = level((x - min) * inverse);
            [w * level, w * level * level, w * level * (x - self.least)]
        });
        (l, ll, xl)
    }

    /// What is lost with a scale and a minimum at the levels whose sums are given.
    fn lost(&self, (l, ll, xl): (f32, f32, f32), (scale, min): (f32, f32)) -> f32 {
        let ((w, x, xx), min) = (self.sums, min - self.least);
        xx - 2.0 * (scale * xl + min * x) + scale * (scale * ll + 2.0 * min * l) + min * min * w
    }

    /// The scale and minimum that lose least with the levels whose sums are given.
    fn regression(&self, (l, ll, xl): (f32, f32, f32)) -> Option<(f32, f32)> {
        let (w, x, _) = self.sums;
        let determinant = w * ll - l * l;
        if determinant.is_nan() || determinant <= 0.0 {
            return None;
        }
        let (scale, min) = ((w * xl - x * l) / determinant, (ll * x - l * xl) / determinant + self.least);
        if self.signed || min <= 0.0 {
            return (scale > 0.0).then_some((scale, min));
        }
        let scale = (xl + self.least * l) / ll;
        (scale > 0.0).then_some((scale, 0.0))
    }
}

/// What the largest value becomes in tries around a last level, of a scale without or with a sign.
fn tries(last: f32) -> impl Iterator<Item = f32> {
    let off = OFF.min(last / 2.0);
    (0..TRIES).map(move |i| last + off * (2.0 * i as f32 / (TRIES - 1) as f32 - 1.0))
}

/// The integer nearest to a number, of those between these.
fn integer(low: f32, high: f32) -> impl Fn(f32) -> f32 + Copy {
    move |x| nearest_integer(x.clamp(low, high))
}

/// The entry of a table that is nearest to a number.
fn entry(table: &Table) -> impl Fn(f32) -> f32 + Copy + '_ {
    |x| table.steps.iter().fold(table.least, |level, (between, step)| level + if x > *between { *step } else { 0.0 })
}

pub(super) fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}
