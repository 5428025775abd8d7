//! A share of zeros for each matrix: those that the model's output depends on less have more.
//!
//! What a matrix loses at every share follows from its weights and the squares of its inputs. One run with this matrix alone pruned says how
//! far the output moves for it. Then zeros go where the next ones cost least, until all matrices together have as many as are wanted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use graph::Backend;
use model::{Model, Planned};
use serde::{Deserialize, Serialize};

use super::mask::{Method, Pattern, prune, scores};
use super::weights::may_be_pruned;
use crate::mixture::Probe;
use crate::quantize::Quantize;
use crate::{Error, Progress};

/// Losses are known at shares of 0, 1/20, 2/20 … 19/20.
const STEPS: usize = 20;
/// The step at which the output is measured.
const MEASURED: usize = STEPS / 2;
/// How far a matrix's share may be from that of all: losses are predicted for small errors, and a layer that lost most of its weights
/// spoils what follows.
const SPREAD: f64 = 0.2;
/// Rows of a matrix from which the loss of all of them is estimated.
const SAMPLE: usize = 32;

/// What a matrix loses at each share of zeros.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShareLosses {
    /// The tensor.
    pub name: String,
    /// Its weights.
    pub weights: u64,
    /// The divergence of the model's output in nats, as it is predicted for shares of 0, 1/20, 2/20 … 19/20; only estimated, as the part of its
    /// products that is lost, where it was not measured.
    pub losses: Vec<f64>,
}

fn share_of(step: usize) -> f64 {
    step as f64 / STEPS as f64
}

/// What every matrix of the layers loses at each share of zeros. The model runs `tokens` once for each matrix.
///
/// # Errors
/// If the pattern takes no share, the model cannot be run or a weight not be read, or somebody stops it.
pub fn share_losses<B: Backend>(
    of: (&B, &Model),
    quantize: &Quantize<'_>,
    pattern: Pattern,
    tokens: &[u32],
    (stop, progress): (&AtomicBool, Progress),
) -> Result<Vec<ShareLosses>, Error> {
    if let Pattern::Groups { zeros, of } = pattern {
        let problem =
            format!("{zeros} of {of} weights are zero in every matrix; shares by layer are for free and block");
        return Err(Error::Request(problem));
    }
    let probe = Probe::new(of, tokens, progress)?;
    let tensors = quantize.tensors();
    let matrices: Vec<&Planned> = tensors.iter().filter(|tensor| may_be_pruned(tensor, quantize.encoder())).collect();
    let (mut all, total) = (Vec::new(), matrices.len() as u64);
    for (done, tensor) in (1..).zip(matrices) {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let squares = squares_of(quantize, tensor);
        let mut own =
            ShareLosses { losses: estimated(quantize, tensor, pattern, &squares)?, ..ShareLosses::of(tensor) };
        let pruned = |_: &Planned, values: &mut [f32]| {
            let pattern = pattern.with_share(share_of(MEASURED));
            let mut rows = values.chunks_exact_mut(squares.len());
            rows.try_for_each(|row| prune(row, Method::Wanda(&squares), pattern).map(drop)).map_err(|e| e.to_string())
        };
        let moved = probe.divergence(tensor, &tensors, &pruned)?;
        let estimate = own.losses[MEASURED];
        if let Some(moved) = moved.filter(|moved| moved.is_finite() && estimate > 0.0) {
            own.losses.iter_mut().for_each(|loss| *loss *= moved / estimate);
        }
        all.push(own);
        progress("measuring", done, total);
    }
    Ok(all)
}

impl ShareLosses {
    fn of(tensor: &Planned) -> ShareLosses {
        let weights = tensor.dims.iter().product::<usize>() as u64;
        ShareLosses { name: tensor.name.clone(), weights, losses: vec![] }
    }
}

/// The mean squares of a matrix's inputs.
fn squares_of(quantize: &Quantize<'_>, tensor: &Planned) -> Vec<f32> {
    let cols = tensor.dims.last().copied().unwrap_or(1).max(1);
    quantize.encoder().importance(tensor, 0, cols).unwrap_or_else(|| vec![1.0; cols])
}

/// The part of a matrix's products that is lost at each share, from some of its rows.
fn estimated(quantize: &Quantize<'_>, tensor: &Planned, pattern: Pattern, squares: &[f32]) -> Result<Vec<f64>, Error> {
    let (values, cols) = (quantize.values(&tensor.name)?, squares.len());
    let (mut lost, mut all) = (vec![0.0; STEPS], 0.0);
    let apart = (values.len() / cols).div_ceil(SAMPLE).max(1);
    for row in values.chunks_exact(cols).step_by(apart) {
        let products: Vec<f64> = row.iter().zip(squares).map(|(x, square)| f64::from(x * x * square)).collect();
        all += products.iter().sum::<f64>();
        let scores = scores(row, squares);
        for (step, lost) in lost.iter_mut().enumerate().skip(1) {
            let zeros = pattern.with_share(share_of(step)).zeros(&scores);
            *lost += products.iter().zip(zeros).filter(|(_, zero)| *zero).map(|(product, _)| product).sum::<f64>();
        }
    }
    Ok(lost.into_iter().map(|lost| if lost == 0.0 { 0.0 } else { lost / all }).collect())
}

/// A step of a matrix to its next share.
struct Step {
    matrix: usize,
    /// What a weight of it costs.
    price: f64,
    /// Its weights.
    weights: f64,
}

/// The share of each matrix for which all together lose least, with `share` of all their weights zero. No matrix's is farther than 0.2 from
/// that.
pub fn shares(matrices: &[ShareLosses], share: f64) -> BTreeMap<String, f64> {
    let (low, high) = ((share - SPREAD).max(0.0), (share + SPREAD).min(share_of(STEPS - 1)).max(share));
    let mut steps: Vec<Step> = matrices.iter().enumerate().flat_map(|(i, own)| own.steps(i, (low, high))).collect();
    // Steps of one matrix stay in their order, as their prices do not fall.
    steps.sort_by(|a, b| a.price.total_cmp(&b.price));
    let of = |own: &ShareLosses| own.weights as f64;
    let mut left = (share - low) * matrices.iter().map(of).sum::<f64>();
    let mut zeros: Vec<f64> = matrices.iter().map(|own| low * of(own)).collect();
    for step in steps {
        let taken = step.weights.min(left);
        (zeros[step.matrix], left) = (zeros[step.matrix] + taken, left - taken);
    }
    let own =
        |(own, zeros): (&ShareLosses, f64)| (own.name.clone(), if own.weights > 0 { zeros / of(own) } else { share });
    matrices.iter().zip(zeros).map(own).collect()
}

impl ShareLosses {
    /// Its steps between two shares.
    fn steps(&self, matrix: usize, (low, high): (f64, f64)) -> Vec<Step> {
        let (mut steps, mut price, mut at) = (Vec::new(), 0.0, low);
        while at < high - 1e-9 {
            // To the next share at which the loss is known.
            let next = share_of((at * STEPS as f64 + 1e-6) as usize + 1).min(high);
            let weights = (next - at) * self.weights as f64;
            let cost = (self.loss(next) - self.loss(at)) / weights;
            price = if cost.is_nan() { f64::INFINITY } else { cost.max(price) };
            steps.push(Step { matrix, price, weights });
            at = next;
        }
        steps
    }

    /// What is lost at a share, between those at which it is known on a line.
    fn loss(&self, share: f64) -> f64 {
        let at = share * STEPS as f64;
        let known = |step: usize| self.losses.get(step).or(self.losses.last()).copied().unwrap_or(f64::NAN);
        known(at as usize) + (known(at as usize + 1) - known(at as usize)) * at.fract()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(name: &str, weights: u64, factor: f64) -> ShareLosses {
        let loss = |step| factor * share_of(step) * share_of(step) * weights as f64;
        ShareLosses { name: name.into(), weights, losses: (0..STEPS).map(loss).collect() }
    }

    /// The shares of matrices of 100 and 300 weights, whose losses grow with the square of the share and these factors.
    fn check(factors: [f64; 2], share: f64, expected: [f64; 2]) {
        let found = shares(&[matrix("a", 100, factors[0]), matrix("b", 300, factors[1])], share);
        let got = [found["a"], found["b"]];
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{factors:?} {share}: {got:?}");
        assert!((got[0] * 100.0 + got[1] * 300.0 - share * 400.0).abs() < 1e-6, "as many as are wanted: {got:?}");
    }

    #[test]
    fn zeros_go_where_they_cost_least() {
        check([1.0, 1.0], 0.5, [0.5, 0.5]);
        // Neither may be farther than 0.2 from the share of all.
        check([1.0, 100.0], 0.5, [0.7, 0.5 - 0.2 / 3.0]);
        check([100.0, 1.0], 0.5, [0.3, 0.5 + 0.2 / 3.0]);
        check([2.0, 1.0], 0.35, [0.2, 0.4]);
        check([1.0, 1.0], 0.1, [0.1, 0.1]);
        check([f64::NAN, 1.0], 0.5, [0.3, 0.5 + 0.2 / 3.0]);
    }
}
