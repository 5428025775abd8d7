//! Passes over a whole vocabulary, written so that the compiler can vectorize them: at 150,000 tokens and 32 streams they
//! are what sampling costs. The order of additions is fixed, so sums are the same everywhere.

use super::SampleError;

/// The likeliest token, the first of equals.
pub(super) fn best(row: &[f32]) -> Result<u32, SampleError> {
    let bad = row.iter().fold(false, |bad, x| bad | x.is_nan() | (*x == f32::INFINITY));
    let max = max(row);
    if bad {
        return Err(SampleError::NotFinite);
    }
    let first = row.iter().position(|&x| x == max && x > f32::NEG_INFINITY);
    first.map(|id| id as u32).ok_or(SampleError::NothingAllowed)
}

/// The largest of finite values; minus infinity for none.
pub(super) fn max(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, larger)
}

/// Fills `weights` with exp((x − `max`) / `temperature`) for each x of `row`.
pub(super) fn fill(weights: &mut Vec<f32>, row: &[f32], max: f32, temperature: f32) {
    weights.clear();
    weights.extend(row.iter().map(|&x| exp((x - max) / temperature)));
}

/// The sum, by pieces.
pub(super) fn sum(weights: &[f32]) -> f64 {
    weights.chunks(PIECE).map(|piece| f64::from(piece_sum(piece))).sum()
}

/// The index at which the running sum passes `target`; never one of weight 0.
pub(super) fn pick(weights: &[f32], mut target: f64) -> usize {
    let (mut last, mut rest) = (0, target);
    for (at, piece) in weights.chunks(PIECE).enumerate() {
        let sum = f64::from(piece_sum(piece));
        if sum > 0.0 {
            (last, rest) = (at, target);
        }
        if sum > target {
            break;
        }
        target -= sum;
    }
    // Rounding may put the target just past the last piece; then its last possible index is meant.
    let piece = &weights[last * PIECE..weights.len().min((last + 1) * PIECE)];
    last * PIECE + pick_one(piece.iter().copied(), rest)
}

/// As [`pick`], for a few.
pub(super) fn pick_one(weights: impl Iterator<Item = f32>, mut target: f64) -> usize {
    let mut last = 0;
    for (at, weight) in weights.enumerate().filter(|(_, weight)| *weight > 0.0) {
        last = at;
        target -= f64::from(weight);
        if target < 0.0 {
            break;
        }
    }
    last
}

const PIECE: usize = 1024;
const LANES: usize = 8;

fn piece_sum(piece: &[f32]) -> f32 {
    let (chunks, rest) = piece.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

/// e to the power of `x` ≤ 0, within 3e-7 of it; 0 below −87. Not the standard library's, which is not vectorized and
/// not the same on every platform.
pub(super) fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2²³ rounds to an integer that can be read from the lowest bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > -87.0 { x } else { -87.0 };
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let power = f32::from_bits((rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23);
    let n = rounded - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let tail = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)));
    let value = power * (1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * tail))));
    if x > -87.0 { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_near_the_true_one() {
        assert_eq!((exp(0.0), exp(-87.5), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        for i in 0..86_000 {
            let x = -i as f32 / 1000.0;
            let (ours, true_one) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours / true_one - 1.0).abs() < 3e-7, "exp({x}) = {ours}, not {true_one}");
        }
    }

    #[test]
    fn a_pick_is_where_the_running_sum_passes() {
        let weights: Vec<f32> = (0..5000).map(|i| if i % 3 == 0 { 0.0 } else { 1.0 }).collect();
        let total = sum(&weights);
        assert_eq!(total, 3333.0);
        for (target, index) in [(0.0, 1), (0.99, 1), (1.0, 2), (2.0, 4), (3332.5, 4999), (3333.0, 4999), (4000.0, 4999)]
        {
            assert_eq!(pick(&weights, target), index, "{target}");
        }
    }
}
