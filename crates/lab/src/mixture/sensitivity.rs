//! What each matrix costs at each type: first by what its products lose, then by how the model's output changes.

use std::sync::atomic::{AtomicBool, Ordering};

use graph::{Backend, Graph, WeightId};
use model::{Model, Planned};
use tensor::DType;

use crate::quantize::{Quantize, Rows, bits, has_table};
use crate::runner::{Runner, Weights, fused};
use crate::{Error, Progress, evaluate, threads};

/// Rows of a matrix that are quantized to estimate what all of them lose.
const SAMPLE: usize = 96;

/// A matrix and what it costs at each type.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// The tensor.
    pub name: String,
    /// What it may become.
    pub choices: Vec<Choice>,
    /// Whether the losses are scaled to what was measured at the model's output, not only estimated.
    pub measured: bool,
}

/// A type and what it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The type.
    pub dtype: DType,
    /// Bytes that the matrix takes.
    pub bytes: u64,
    /// What the matrix's products lose, as a part of what they are: squares, weighted by the squares of its inputs.
    pub error: f64,
    /// The divergence of the model's output that follows.
    pub loss: f64,
    /// Its part of a decoded token's time, where that of the reference is 1; 0 where it was not measured ([`super::set_times`]).
    pub time: f64,
}

/// Estimates the sensitivity of every matrix at each of `types`, from some of its rows. The loss of all matrices is on one scale only as far
/// as equal errors of products matter equally; [`measure`] corrects that.
///
/// # Errors
/// If a weight cannot be read or quantized, or somebody stops it.
pub fn estimate(
    quantize: &Quantize<'_>,
    types: &[DType],
    stop: &AtomicBool,
    progress: Progress,
) -> Result<Vec<Sensitivity>, Error> {
    let matrices = quantize.matrices();
    let (mut all, total) = (Vec::new(), matrices.len() as u64);
    // As many at once as there are cores: each is in memory as a whole.
    for group in matrices.chunks(threads::count()) {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        for sensitivity in threads::each(group.len(), |i| of_matrix(quantize, &group[i], types)) {
            all.push(sensitivity?);
        }
        progress("estimating", all.len() as u64, total);
    }
    Ok(all)
}

fn of_matrix(quantize: &Quantize<'_>, tensor: &Planned, types: &[DType]) -> Result<Sensitivity, Error> {
    let cols = tensor.dims.last().copied().unwrap_or(1).max(1);
    let values = quantize.values(&tensor.name)?;
    let rows = values.len() / cols;
    let step = rows.div_ceil(SAMPLE).max(1);
    let mut choices: Vec<Choice> = Vec::new();
    // What it is costs nothing.
    choices.push(Choice { dtype: tensor.stored, bytes: tensor.bytes() as u64, error: 0.0, loss: 0.0, time: 0.0 });
    for dtype in types {
        let planned = quantize.safe_type(tensor, *dtype);
        let known = choices.iter().any(|choice| choice.dtype == planned.dtype);
        if known || bits(planned.dtype) >= bits(tensor.stored) {
            continue;
        }
        let sampled = (0..rows).step_by(step).map(|row| (row, &values[row * cols..][..cols]));
        let error = relative(quantize, &planned, sampled)
            .map_err(|problem| Error::Request(format!("{} as {}: {problem}", tensor.name, planned.dtype)))?;
        choices.push(Choice { dtype: planned.dtype, bytes: planned.bytes() as u64, error, loss: error, time: 0.0 });
    }
    Ok(Sensitivity { name: tensor.name.clone(), choices, measured: false })
}

/// What products lose, as a part of what they are.
fn relative<'v>(
    quantize: &Quantize<'_>,
    planned: &Planned,
    rows: impl Iterator<Item = (usize, &'v [f32])>,
) -> Result<f64, String> {
    let each = if let [_, rows, _] = planned.dims[..] { rows } else { usize::MAX };
    let (mut lost, mut all) = (0.0, 0.0);
    for (row, values) in rows {
        let mut bytes = vec![0; planned.dtype.row_bytes(values.len()).ok_or("has rows that are not whole blocks")?];
        quantize.encoder().encode(Rows { tensor: planned, first: row, values }, &mut bytes)?;
        let mut decoded = vec![0.0; values.len()];
        tensor::decode(planned.dtype, &bytes, &mut decoded).map_err(|e| e.to_string())?;
        let importance = quantize.encoder().importance(planned, row / each, values.len());
        for (i, (x, y)) in values.iter().zip(&decoded).enumerate() {
            let weight = importance.as_ref().map_or(1.0, |importance| f64::from(importance[i]));
            lost += weight * f64::from(x - y).powi(2);
            all += weight * f64::from(x * x);
        }
    }
    Ok(if lost == 0.0 { 0.0 } else { lost / all })
}

/// Scales the losses to the divergence that is measured at the output when one matrix after the other is quantized: as errors are small, the
/// divergence grows with their squares.
///
/// # Errors
/// If the model cannot be run or a weight not quantized, or somebody stops it.
pub fn measure<B: Backend>(
    (backend, model): (&B, &Model),
    quantize: &Quantize<'_>,
    sensitivities: &mut [Sensitivity],
    tokens: &[u32],
    (stop, progress): (&AtomicBool, Progress),
) -> Result<(), Error> {
    let probe = Probe::new((backend, model), tokens, progress)?;
    let tensors = quantize.tensors();
    let total = sensitivities.len() as u64;
    for (done, sensitivity) in (1..).zip(sensitivities.iter_mut()) {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let tensor = tensors.iter().find(|tensor| tensor.name == sensitivity.name);
        let Some((tensor, tried)) = tensor.zip(probed(sensitivity)) else { continue };
        let change = |planned: &Planned, values: &mut [f32]| {
            let planned = Planned { dtype: tried.dtype, ..planned.clone() };
            quantized(quantize, &planned, values)
        };
        let Some(divergence) = probe.divergence(tensor, &tensors, &change)? else { continue };
        if divergence.is_finite() && tried.error > 0.0 {
            let factor = divergence / tried.error;
            sensitivity.choices.iter_mut().for_each(|choice| choice.loss = choice.error * factor);
            sensitivity.measured = true;
        }
        progress("measuring", done, total);
    }
    unmeasured(sensitivities);
    Ok(())
}

/// Puts what a matrix is as the planned type in the place of its values, some rows at a time on every core.
fn quantized(quantize: &Quantize<'_>, planned: &Planned, values: &mut [f32]) -> Result<(), String> {
    let cols = planned.dims.last().copied().unwrap_or(1).max(1);
    let rows = (values.len() / cols).div_ceil(4 * threads::count()).max(1);
    let parts: Vec<(usize, &[f32])> = (0..).step_by(rows).zip(values.chunks(rows * cols)).collect();
    let part = |i: usize| {
        let (first, values) = parts[i];
        let size = planned.dtype.row_bytes(cols).ok_or("has rows that are not whole blocks")?;
        let mut bytes = vec![0; values.len() / cols * size];
        quantize.encoder().encode(Rows { tensor: planned, first, values }, &mut bytes)?;
        let mut decoded = vec![0.0; values.len()];
        tensor::decode(planned.dtype, &bytes, &mut decoded).map_err(|e| e.to_string())?;
        Ok::<_, String>(decoded)
    };
    let made = threads::each(parts.len(), part).into_iter().collect::<Result<Vec<_>, _>>()?;
    values.chunks_mut(rows * cols).zip(made).for_each(|(values, made)| values.copy_from_slice(&made));
    Ok(())
}

/// Matrices that could not be measured get the factor of the most sensitive one.
fn unmeasured(sensitivities: &mut [Sensitivity]) {
    let factor = |s: &Sensitivity| s.choices.iter().find(|c| c.error > 0.0).map(|c| c.loss / c.error);
    let most = sensitivities.iter().filter(|s| s.measured).filter_map(factor).fold(0.0, f64::max);
    if most > 0.0 {
        for sensitivity in sensitivities.iter_mut().filter(|s| !s.measured) {
            sensitivity.choices.iter_mut().for_each(|choice| choice.loss = choice.error * most);
        }
    }
}

/// The type that a matrix is measured with: the smallest of four bits or more, which moves the output enough to be seen, and little enough
/// for its divergence to grow with the square of the error. It is one that is quick to search; of equals the last has no minimums.
fn probed(sensitivity: &Sensitivity) -> Option<Choice> {
    let changed = || sensitivity.choices.iter().filter(|choice| choice.error > 0.0);
    let quick = changed().filter(|choice| bits(choice.dtype) >= 4.0 && !has_table(choice.dtype));
    let small = quick.rev().min_by_key(|choice| choice.bytes);
    small.or_else(|| changed().max_by_key(|choice| choice.bytes)).copied()
}

/// A model's output on some tokens, to be compared with what it is when one matrix is another.
pub(crate) struct Probe<'p, B: Backend> {
    backend: &'p B,
    model: &'p Model,
    tokens: &'p [u32],
    graph: Graph,
    weights: Weights<B>,
    expected: Vec<f32>,
}

/// Changes the values of a matrix, whose dimensions are those of the tensor that is given.
pub(crate) type Change<'c> = &'c dyn Fn(&Planned, &mut [f32]) -> Result<(), String>;

impl<'p, B: Backend> Probe<'p, B> {
    pub(crate) fn new(
        (backend, model): (&'p B, &'p Model),
        tokens: &'p [u32],
        progress: Progress,
    ) -> Result<Probe<'p, B>, Error> {
        let weights = Weights::upload(backend, model, progress)?;
        let graph = fused(backend, model.graph(), &[])?;
        let mut probe = Probe { backend, model, tokens, graph, weights, expected: vec![] };
        probe.expected = probe.logits(&probe.weights)?;
        Ok(probe)
    }

    fn logits(&self, weights: &Weights<B>) -> Result<Vec<f32>, Error> {
        let mut runner = Runner::new(self.backend, &self.graph, weights, self.tokens.len(), 64)?;
        let mut all = Vec::new();
        runner.run(self.tokens, 0, |_, rows| {
            all.extend_from_slice(rows);
            Ok(())
        })?;
        Ok(all)
    }

    /// The mean divergence of the output when a tensor is changed; `None` if the graph has no such matrix.
    pub(crate) fn divergence(
        &self,
        tensor: &Planned,
        tensors: &[Planned],
        change: Change<'_>,
    ) -> Result<Option<f64>, Error> {
        let Some(changed) = self.changed(tensor, tensors, change)? else { return Ok(None) };
        let got = self.logits(&changed)?;
        let width = self.model.graph().output_width();
        let expected = &self.expected;
        let of = |row: usize| {
            let row = row * width..(row + 1) * width;
            evaluate::divergence_of(&expected[row.clone()], &got[row])
        };
        Ok(Some(threads::each(self.tokens.len(), of).iter().sum::<f64>() / self.tokens.len() as f64))
    }

    fn changed(&self, tensor: &Planned, tensors: &[Planned], change: Change<'_>) -> Result<Option<Weights<B>>, Error> {
        let graph = self.model.graph();
        let is_own = |id: &WeightId| is_part(&graph.weight(*id).name, &tensor.name, tensors);
        let mut changed = None;
        for id in graph.weight_ids().filter(is_own) {
            let info = graph.weight(id);
            let (shape, stored) = (info.shape, info.dtype);
            let mut values = vec![0.0; shape.elements().unwrap_or(0)];
            let problem = |problem: String| Error::Request(format!("{}: {problem}", info.name));
            tensor::decode(stored, &self.model.read(id)?, &mut values).map_err(|e| problem(e.to_string()))?;
            let dims = match tensor.dims.len() {
                3 => vec![shape.outer, shape.rows, shape.cols],
                _ => vec![shape.rows, shape.cols],
            };
            change(&Planned { dims, ..tensor.clone() }, &mut values).map_err(problem)?;
            let mut again = vec![0; info.bytes().unwrap_or(0)];
            tensor::encode(stored, &values, &mut again).map_err(|e| problem(e.to_string()))?;
            let weight = self.backend.upload(info, &again)?;
            changed = Some(changed.as_ref().unwrap_or(&self.weights).with(id, weight));
        }
        Ok(changed)
    }
}

/// Whether a weight of the graph is a tensor of the file, or a part of one that the file has as a whole.
pub(super) fn is_part(weight: &str, tensor: &str, tensors: &[Planned]) -> bool {
    const WHOLES: [(&str, &[&str]); 2] = [("attn_qkv", &["attn_q", "attn_k", "attn_v"]), ("ffn_up", &["ffn_gate"])];
    if tensors.iter().any(|other| other.name == weight) {
        return weight == tensor;
    }
    let is = |whole: &str, part: &str| weight == tensor.replacen(&format!(".{whole}."), &format!(".{part}."), 1);
    WHOLES.iter().any(|(whole, parts)| parts.iter().any(|part| is(whole, part)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::CANDIDATES;

    #[test]
    fn matrices_are_measured_with_a_type_that_is_quick_to_search() {
        let check = |types: &[DType], wanted: Option<DType>| {
            let choice = |&dtype: &DType| {
                let bytes = dtype.row_bytes(256).expect("whole blocks") as u64;
                Choice { dtype, bytes, error: 1e-3, loss: 1e-3, time: 0.0 }
            };
            let choices = types.iter().map(choice).collect();
            let found = probed(&Sensitivity { name: "a".into(), choices, measured: false });
            assert_eq!(found.map(|choice| choice.dtype), wanted, "{types:?}");
        };
        check(CANDIDATES, Some(DType::Q4_0));
        check(&[DType::Q8_0, DType::Q4_K, DType::IQ4_XS, DType::Q3_K], Some(DType::Q4_K));
        // Where there is none of four bits, the largest.
        check(&[DType::Q3_K, DType::Q2_K], Some(DType::Q3_K));
        check(&[], None);
    }
}
