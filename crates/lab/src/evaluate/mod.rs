//! How far a model's outputs are from those of a reference.

mod reference;
mod samples;
mod summary;

use std::sync::atomic::{AtomicBool, Ordering};

use graph::Backend;
use model::Model;

pub use reference::{Reference, ReferenceOptions};
use samples::Position;
pub use samples::Samples;
pub(crate) use summary::number;
pub use summary::{Estimate, Summary};

use crate::runner::{Runner, Weights, fused};
use crate::{Error, Progress, threads};

/// Rows computed at once: bounds the memory of the logits.
const ROWS: usize = 64;

/// Runs `model` over the reference's chunks and compares its outputs with what was kept of the reference's.
///
/// # Errors
/// If the vocabularies differ, the reference cannot be read, the model cannot be run, or somebody stops it.
pub fn evaluate<B: Backend>(
    backend: &B,
    model: &Model,
    reference: &mut Reference,
    stop: &AtomicBool,
    progress: Progress,
) -> Result<Samples, Error> {
    let vocab = model.graph().output_width();
    if vocab != reference.vocab() {
        let problem = format!("the model has {vocab} tokens, the reference {}", reference.vocab());
        return Err(Error::Request(problem + "; compare variants of one model"));
    }
    let weights = Weights::upload(backend, model, progress)?;
    let graph = fused(backend, model.graph(), &[])?;
    let mut runner = Runner::new(backend, &graph, &weights, reference.chunk_len(), ROWS)?;
    let mut samples = Samples::new(reference.positions());
    let total = reference.chunks().len();
    for index in 0..total {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let tokens = reference.chunks()[index].clone();
        let kept = reference.read(index)?;
        runner.run(&tokens, reference.first(), |position, rows| {
            let scored = |i: usize| {
                let (row, position) = (&rows[i * vocab..(i + 1) * vocab], position + i);
                Position::new(&kept.position(position), tokens[position + 1], row)
            };
            // Nothing follows the last token.
            let count = (rows.len() / vocab).min(tokens.len() - 1 - position);
            threads::each(count, scored).iter().for_each(|position| samples.add(position));
            Ok(())
        })?;
        progress("comparing", index as u64 + 1, total as u64);
    }
    Ok(samples)
}

/// The logarithm of the sum of exponentials of a row of logits, by which they become log-probabilities.
pub fn log_sum(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(max) + logits.iter().map(|x| f64::from(x - max).exp()).sum::<f64>().ln()
}

/// The place of the largest of some numbers; of equals the first.
fn largest(numbers: impl Iterator<Item = f32>) -> usize {
    let by_size = |best: (usize, f32), (i, x): (usize, f32)| if x > best.1 { (i, x) } else { best };
    numbers.enumerate().fold((0, f32::NEG_INFINITY), by_size).0
}

/// The Kullback-Leibler divergence of one row of logits from another, in nats.
pub(crate) fn divergence_of(reference: &[f32], logits: &[f32]) -> f64 {
    let (p_sum, q_sum) = (log_sum(reference), log_sum(logits));
    let term = |(p, q): (&f32, &f32)| {
        let (p, q) = (f64::from(*p) - p_sum, f64::from(*q) - q_sum);
        if p == f64::NEG_INFINITY { 0.0 } else { p.exp() * (p - q) }
    };
    reference.iter().zip(logits).map(term).sum()
}
