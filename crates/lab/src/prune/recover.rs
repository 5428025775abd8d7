//! Recovery: the weights that are left are moved so that products change least.

use crate::Feedback;
use crate::quantize::TOGETHER;

/// Rows that are worked on together, column after column; those that are missing are zero.
type Rows = Vec<[f32; TOGETHER]>;
/// A number for each of these rows.
type Each = [f64; TOGETHER];

/// Moves the weights of rows that are not `zeros` towards those for which the products with the calibration's inputs are nearest to those
/// of `originals`, in so many steps of conjugate gradients. Gives what all rows lose before the first step and after each: it never rises.
/// Fewer steps are taken where nothing is left to gain.
///
/// # Panics
/// If these are not as many whole rows of as many columns as the Gram matrix.
pub fn recover(rows: &mut [f32], originals: &[f32], zeros: &[bool], feedback: &Feedback, steps: usize) -> Vec<f64> {
    let size = TOGETHER * feedback.cols();
    let mut lost = Vec::new();
    for ((rows, originals), zeros) in rows.chunks_mut(size).zip(originals.chunks(size)).zip(zeros.chunks(size)) {
        add(&mut lost, &recover_together(rows, originals, zeros, feedback, steps));
    }
    lost
}

/// Adds what more rows lose with each step; those that took fewer keep their last.
pub(super) fn add(all: &mut Vec<f64>, more: &[f64]) {
    let last = |steps: &[f64]| steps.last().copied().unwrap_or(0.0);
    let (before, after) = (last(all), last(more));
    all.resize(all.len().max(more.len()), before);
    let more = more.iter().copied().chain(std::iter::repeat(after));
    all.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
}

fn recover_together(
    rows: &mut [f32],
    originals: &[f32],
    zeros: &[bool],
    feedback: &Feedback,
    steps: usize,
) -> Vec<f64> {
    let cols = feedback.cols();
    let masked = |mut together: Rows| {
        for (row, zeros) in zeros.chunks(cols).enumerate() {
            together.iter_mut().zip(zeros).filter(|(_, zero)| **zero).for_each(|(x, _)| x[row] = 0.0);
        }
        together
    };
    let (mut moved, originals) = (gathered(rows, cols), gathered(originals, cols));
    let off = difference(&originals, &moved);
    let products = feedback.times(&off);
    let before = dots(&off, &products);
    let (mut lost, mut losses) = (before, vec![before.iter().sum::<f64>()]);
    let mut residual = masked(products);
    let mut direction = residual.clone();
    let mut along = dots(&residual, &residual);
    for _ in 0..steps {
        let curve = masked(feedback.times(&direction));
        let step = ratios(&along, &dots(&direction, &curve));
        // Each step loses so much less: no product is needed to know it.
        (0..TOGETHER).for_each(|row| lost[row] -= step[row] * along[row]);
        if step.iter().all(|step| *step == 0.0) {
            break;
        }
        losses.push(lost.iter().sum());
        add_scaled(&mut moved, &step, &direction);
        add_scaled(&mut residual, &step.map(|x| -x), &curve);
        let next = dots(&residual, &residual);
        let mut turned = residual.clone();
        add_scaled(&mut turned, &ratios(&next, &along), &direction);
        (direction, along) = (turned, next);
    }
    let off = difference(&originals, &moved);
    settle(rows, &moved, [&before, &dots(&off, &feedback.times(&off))], losses)
}

/// Keeps the rows that lose less than before; gives the losses, of which the last is what was measured.
///
/// In exact numbers a step never loses; in rounded ones the last ones may.
fn settle(rows: &mut [f32], moved: &Rows, [before, after]: [&Each; 2], mut losses: Vec<f64>) -> Vec<f64> {
    let mut measured = 0.0;
    for (row, values) in rows.chunks_mut(moved.len().max(1)).enumerate() {
        let better = after[row] < before[row];
        measured += if better { after[row] } else { before[row] };
        if better {
            values.iter_mut().zip(moved).for_each(|(value, x)| *value = x[row]);
        }
    }
    if losses.len() > 1 {
        losses.pop();
        losses.iter_mut().skip(1).for_each(|loss| *loss = loss.max(measured));
        losses.push(measured);
    }
    losses
}

/// Rows of so many columns, column after column.
fn gathered(rows: &[f32], cols: usize) -> Rows {
    let mut together = vec![[0.0; TOGETHER]; cols];
    for (row, values) in rows.chunks_exact(cols).enumerate() {
        together.iter_mut().zip(values).for_each(|(x, value)| x[row] = *value);
    }
    together
}

fn difference(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| std::array::from_fn(|row| a[row] - b[row])).collect()
}

fn dots(a: &Rows, b: &Rows) -> Each {
    let mut sums = [0.0; TOGETHER];
    for (a, b) in a.iter().zip(b) {
        (0..TOGETHER).for_each(|row| sums[row] += f64::from(a[row]) * f64::from(b[row]));
    }
    sums
}

/// `a` / `b`; nothing where one of them is not above zero.
fn ratios(a: &Each, b: &Each) -> Each {
    std::array::from_fn(|row| if a[row] > 0.0 && b[row] > 0.0 { a[row] / b[row] } else { 0.0 })
}

fn add_scaled(to: &mut Rows, factors: &Each, rows: &Rows) {
    let factors = factors.map(|x| x as f32);
    for (to, x) in to.iter_mut().zip(rows) {
        (0..TOGETHER).for_each(|row| to[row] += factors[row] * x[row]);
    }
}
