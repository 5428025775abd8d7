//! Recovery: the weights that are left are moved so that products change least.

use crate::Feedback;

/// Moves the weights of `row` that are not `zero` towards those for which the products with the calibration's inputs are nearest to those of
/// `original`, in so many steps of conjugate gradients. Gives what is lost before the first step and after each: it never rises. Fewer
/// steps are taken where nothing is left to gain.
///
/// # Panics
/// If the rows are not of as many columns as the Gram matrix.
pub fn recover(row: &mut [f32], original: &[f32], zero: &[bool], feedback: &Feedback, steps: usize) -> Vec<f64> {
    let masked = |mut x: Vec<f64>| {
        x.iter_mut().zip(zero).filter(|(_, zero)| **zero).for_each(|(x, _)| *x = 0.0);
        x
    };
    let difference: Vec<f64> = original.iter().zip(&*row).map(|(a, b)| f64::from(a - b)).collect();
    let mut losses = vec![feedback.loss(original, row)];
    let mut residual = masked(feedback.times(&difference));
    let mut direction = residual.clone();
    let mut best = row.to_vec();
    let mut moved: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
    for _ in 0..steps {
        let (along, curve) = (dot(&residual, &residual), masked(feedback.times(&direction)));
        let bend = dot(&direction, &curve);
        if !(bend > 0.0 && along > 0.0) {
            break;
        }
        let step = along / bend;
        moved.iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
        residual.iter_mut().zip(&curve).for_each(|(r, c)| *r -= step * c);
        let ratio = dot(&residual, &residual) / along;
        direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + ratio * *d);
        // In exact numbers a step never loses; in rounded ones the last may.
        let tried: Vec<f32> = moved.iter().map(|x| *x as f32).collect();
        let loss = feedback.loss(original, &tried);
        if loss.is_nan() || loss >= losses[losses.len() - 1] {
            break;
        }
        losses.push(loss);
        best = tried;
    }
    row.copy_from_slice(&best);
    losses
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
