//! The searches behind the encoders of small integers: which scale, or scale and minimum, loses least of a few values.
//!
//! They are the searches of ggml's reference quantizers, try for try and in their order of additions, so that a file made here
//! is as good as one made there.

/// Largest magnitude of values that are taken for zeros.
pub(super) const ZERO: f32 = 1e-15;

/// The nearest of the integers between two small ones, of two the even one. Adding 1.5 · 2²³ leaves no bits for a fraction: without the
/// instruction for it, which not every x86-64 has, rounding is a call of a function, and the loops around it are not vectorized.
#[inline(always)]
pub(super) fn nearest(x: f32, low: f32, high: f32) -> f32 {
    const LARGE: f32 = 12_582_912.0;
    // Not `clamp`, which keeps what is no number.
    let x = if x > low { x } else { low };
    let x = if x < high { x } else { high };
    x + LARGE - LARGE
}

/// The quants of values. A loop of its own, as the sums are added up in order and so are not vectorized.
#[inline(always)]
fn each<const N: usize>(values: &[f32; N], quant: impl Fn(f32) -> f32) -> [f32; N] {
    let mut quants = [0.0; N];
    quants.iter_mut().zip(values).for_each(|(q, x)| *q = quant(*x));
    quants
}

/// The first of the values that lie farthest from zero.
pub(super) fn extreme(values: &[f32]) -> f32 {
    values.iter().copied().fold(0.0, |best: f32, x| if x.abs() > best.abs() { x } else { best })
}

/// Sums of weight · value · quant and weight · quant², of which scale and gain come.
#[derive(Clone, Copy, Default)]
struct Fit {
    xq: f32,
    qq: f32,
}

impl Fit {
    #[inline(always)]
    fn with(self, x: f32, q: f32, product: impl Fn(f32, f32) -> f32) -> Fit {
        Fit { xq: self.xq + product(x, q), qq: self.qq + x * x * q * q }
    }

    fn scale(self) -> f32 {
        if self.qq > 0.0 { self.xq / self.qq } else { 0.0 }
    }
}

/// Weight · value · quant; the value before the quant, which decides how it is rounded.
pub(super) fn value_first(x: f32, q: f32) -> f32 {
    x * x * x * q
}

/// Weight · quant · value.
pub(super) fn quant_first(x: f32, q: f32) -> f32 {
    x * x * q * x
}

/// The best of the scales that `inverses` are the inverses of, for quants that `quant` makes of a scaled value; large values
/// count most. `product` is weight · value · quant.
#[inline(always)]
pub(super) fn scale<const N: usize>(
    values: &[f32; N],
    inverses: impl Iterator<Item = f32>,
    quant: impl Fn(f32) -> f32,
    product: impl Fn(f32, f32) -> f32 + Copy,
) -> f32 {
    let (mut scale, mut best) = (0.0, None);
    for inverse in inverses {
        let quants = each(values, |x| quant(inverse * x));
        let fit = values.iter().zip(&quants).fold(Fit::default(), |fit, (&x, &q)| fit.with(x, q, product));
        match best {
            Some(best) if fit.qq <= 0.0 || fit.xq * fit.xq <= best * fit.qq => continue,
            _ => scale = fit.scale(),
        }
        best = Some(scale * fit.xq);
    }
    scale
}

/// The scale for quants from `-half` to `half - 1`, by changing one quant after the other as long as that helps.
pub(super) fn scale_by_turns(values: &[f32; 16], half: f32) -> f32 {
    let max = extreme(values);
    if max.abs() < ZERO {
        return 0.0;
    }
    let inverse = -half / max;
    let mut quants = each(values, |x| nearest(inverse * x, -half, half - 1.0));
    let mut fit = values.iter().zip(&quants).fold(Fit::default(), |fit, (&x, &q)| fit.with(x, q, value_first));
    for _ in 0..5 {
        let mut changed = false;
        for (&x, quant) in values.iter().zip(&mut quants) {
            let old = *quant;
            let without = Fit { xq: fit.xq - value_first(x, old), qq: fit.qq - x * x * old * old };
            if without.xq <= 0.0 {
                continue;
            }
            let other = nearest(x * without.qq / without.xq, -half, half - 1.0);
            let with = without.with(x, other, value_first);
            if other != old && with.qq > 0.0 && with.xq * with.xq * fit.qq > fit.xq * fit.xq * with.qq {
                (*quant, fit, changed) = (other, with, true);
            }
        }
        if !changed {
            break;
        }
    }
    fit.scale()
}

/// How a scale and a minimum are searched: for quants from 0 to `levels`, with `steps` + 1 scales from `levels + first` over
/// the span on, by the sum of differences or of their squares.
pub(super) struct Affine {
    pub(super) levels: f32,
    pub(super) first: f32,
    pub(super) steps: i32,
    pub(super) absolute: bool,
}

impl Affine {
    /// The scale, and how far below zero the smallest value lies.
    pub(super) fn fit<const N: usize>(&self, values: &[f32; N], weights: &[f32; N]) -> (f32, f32) {
        let min = values.iter().copied().fold(values[0], f32::min).min(0.0);
        let max = values.iter().copied().fold(values[0], f32::max);
        if max == min {
            return (0.0, -min);
        }
        let levels = self.levels;
        let quants = |inverse: f32, min: f32| each(values, |x| nearest(inverse * (x - min), 0.0, levels));
        let inverse = levels / (max - min);
        let mut best = (1.0 / inverse, min);
        let mut least = self.error((values, weights), &quants(inverse, min), best);
        for step in 0..=self.steps {
            // From the best minimum so far, not from the smallest value: so ggml has it.
            let quants = quants((self.first + 0.1 * step as f32 + levels) / (max - best.1), best.1);
            let Some(found) = regression(values, weights, &quants) else { continue };
            let error = self.error((values, weights), &quants, found);
            if error < least {
                (best, least) = (found, error);
            }
        }
        (best.0, -best.1)
    }

    fn error<const N: usize>(
        &self,
        (values, weights): (&[f32; N], &[f32; N]),
        quants: &[f32; N],
        (scale, min): (f32, f32),
    ) -> f32 {
        (0..N).fold(0.0, |sum, i| {
            let difference = scale * quants[i] + min - values[i];
            sum + weights[i] * if self.absolute { difference.abs() } else { difference * difference }
        })
    }
}

/// The scale and the minimum (not above zero) with the least weighted square of what is lost; `None` if all quants are one.
fn regression<const N: usize>(values: &[f32; N], weights: &[f32; N], quants: &[f32; N]) -> Option<(f32, f32)> {
    let (mut w, mut x, mut q, mut qq, mut xq) = (weights[0], weights[0] * values[0], 0.0, 0.0, 0.0);
    for i in 1..N {
        w += weights[i];
        x += weights[i] * values[i];
    }
    for i in 0..N {
        q += weights[i] * quants[i];
        qq += weights[i] * quants[i] * quants[i];
        xq += weights[i] * quants[i] * values[i];
    }
    let determinant = w * qq - q * q;
    if determinant <= 0.0 {
        return None;
    }
    let (scale, min) = ((w * xq - x * q) / determinant, (qq * x - q * xq) / determinant);
    Some(if min > 0.0 { (xq / qq, 0.0) } else { (scale, min) })
}
