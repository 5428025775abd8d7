//! A model's tensors while they are pruned: which are, and what each loses.

use std::collections::BTreeMap;
use std::sync::Mutex;

use model::Planned;
use serde::{Deserialize, Serialize};

use super::recover::{add, recover};
use super::{Method, Pattern, prune};
use crate::quantize::{Encoder, Rows};

/// By what weights are chosen, see [`Method`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneMethod {
    /// By their size.
    Magnitude,
    /// By their size and that of their inputs.
    Wanda,
    /// By how well others make up for them.
    SparseGpt,
}

/// How a model is pruned.
#[derive(Clone, Debug, PartialEq)]
pub struct PruneOptions {
    /// By what weights are chosen.
    pub method: PruneMethod,
    /// Which may be zero together.
    pub pattern: Pattern,
    /// The shares of matrices that have one of their own, by name; see [`crate::shares()`].
    pub shares: BTreeMap<String, f64>,
    /// Steps of recovery.
    pub steps: usize,
}

/// What recovery made of a matrix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recovered {
    /// The tensor.
    pub name: String,
    /// The share of its weights that are zero.
    pub sparsity: f64,
    /// The part of its products that is lost, in squares: before recovery and after each step. It never rises.
    pub lost: Vec<f64>,
}

/// What was lost, by tensor.
#[derive(Debug, Default)]
pub(crate) struct Losses(Mutex<BTreeMap<String, Loss>>);

#[derive(Clone, Debug, Default)]
struct Loss {
    weights: usize,
    zeros: usize,
    /// The squares of all products.
    all: f64,
    /// What is lost of them before recovery and after each of its steps.
    steps: Vec<f64>,
}

/// Whether a tensor is a matrix within a layer, whose inputs calibration knows.
pub(super) fn may_be_pruned(tensor: &Planned, encoder: &Encoder<'_>) -> bool {
    let [_, cols] = tensor.dims[..] else { return false };
    tensor.is_matrix && tensor.name.starts_with("blk.") && encoder.importance(tensor, 0, cols).is_some()
}

impl PruneOptions {
    /// Whether a tensor is pruned: a matrix within a layer, of whose inputs is known what the method needs.
    pub(crate) fn applies(&self, tensor: &Planned, encoder: &Encoder<'_>) -> bool {
        let is_inner = tensor.dims.len() == 2 && tensor.is_matrix && tensor.name.starts_with("blk.");
        match self.method {
            PruneMethod::Magnitude if self.steps == 0 => is_inner,
            PruneMethod::Wanda if self.steps == 0 => may_be_pruned(tensor, encoder),
            _ => may_be_pruned(tensor, encoder) && encoder.feedback(tensor).is_some(),
        }
    }

    /// Rows with zeros, and the others moved to make up for them.
    ///
    /// # Errors
    /// If what is known of the inputs does not fit.
    pub(crate) fn prune(&self, rows: Rows<'_>, encoder: &Encoder<'_>, losses: &Losses) -> Result<Vec<f32>, String> {
        let cols = rows.tensor.dims.last().copied().unwrap_or(1).max(1);
        let squares = encoder.importance(rows.tensor, 0, cols).unwrap_or_default();
        let feedback = encoder.feedback(rows.tensor);
        let method = match (self.method, &feedback) {
            (PruneMethod::Magnitude, _) => Method::Magnitude,
            (PruneMethod::SparseGpt, Some(feedback)) => Method::SparseGpt(feedback),
            _ => Method::Wanda(&squares),
        };
        let own = self.shares.get(&rows.tensor.name);
        let pattern = own.map_or(self.pattern, |share| self.pattern.with_share(*share));
        let mut all = rows.values.to_vec();
        let zeros: Vec<Vec<bool>> = all
            .chunks_exact_mut(cols)
            .map(|row| prune(row, method, pattern))
            .collect::<Result<_, _>>()
            .map_err(|e| e.to_string())?;
        let zeros = zeros.concat();
        let mut lost =
            Loss { weights: all.len(), zeros: zeros.iter().filter(|zero| **zero).count(), ..Loss::default() };
        if let Some(feedback) = &feedback {
            let nothing = vec![0.0; cols];
            lost.all = rows.values.chunks_exact(cols).map(|row| feedback.loss(row, &nothing)).sum();
            lost.steps = recover(&mut all, rows.values, &zeros, feedback, self.steps);
        }
        losses.add(&rows.tensor.name, &lost);
        Ok(all)
    }
}

impl Losses {
    fn add(&self, tensor: &str, lost: &Loss) {
        if let Ok(mut all) = self.0.lock() {
            let own = all.entry(tensor.to_owned()).or_default();
            own.weights += lost.weights;
            own.zeros += lost.zeros;
            own.all += lost.all;
            add(&mut own.steps, &lost.steps);
        }
    }

    /// What was lost of each tensor.
    pub(crate) fn recovered(&self) -> Vec<Recovered> {
        let Ok(all) = self.0.lock() else { return vec![] };
        let of = |(name, loss): (&String, &Loss)| {
            let part = |x: &f64| if loss.all > 0.0 { x / loss.all } else { 0.0 };
            let sparsity = loss.zeros as f64 / loss.weights.max(1) as f64;
            Recovered { name: name.clone(), sparsity, lost: loss.steps.iter().map(part).collect() }
        };
        all.iter().map(of).collect()
    }
}

impl std::fmt::Display for Recovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:.1} % are zero", self.name, 100.0 * self.sparsity)?;
        let Some(last) = self.lost.last() else { return Ok(()) };
        // The first steps gain most.
        let shown = self.lost.iter().enumerate().filter(|(i, _)| i.is_power_of_two() || *i == 0);
        let steps: Vec<String> = shown.map(|(_, x)| format!("{:.2}", 100.0 * x)).collect();
        write!(f, "; of its products {} %, after recovery {:.2} % are lost", steps.join(", "), 100.0 * last)
    }
}
