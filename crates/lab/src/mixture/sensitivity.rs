//! What each matrix costs at each type: first by what its products lose, then by how the model's output changes.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use graph::Backend;
use model::{Model, Planned};
use tensor::DType;

use super::Probe;
use crate::quantize::{Quantize, Rows, bits};
use crate::{Error, Progress, threads};

/// The type that matrices are measured with if they are larger: it moves the output enough to be seen, and little enough for the divergence to
/// grow with the square of the error.
const TRIED: DType = DType::Q4_0;

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

/// What products lose, as a part of what they are, with the best blocks of the type.
fn relative<'v>(
    quantize: &Quantize<'_>,
    planned: &Planned,
    rows: impl Iterator<Item = (usize, &'v [f32])>,
) -> Result<f64, String> {
    let mut lost = Lost::default();
    for (row, values) in rows {
        let mut bytes = vec![0; planned.dtype.row_bytes(values.len()).ok_or("has rows that are not whole blocks")?];
        quantize.encoder().encode(Rows { tensor: planned, first: row, values }, &mut bytes)?;
        let mut decoded = vec![0.0; values.len()];
        tensor::decode(planned.dtype, &bytes, &mut decoded).map_err(|e| e.to_string())?;
        lost.add(importance(quantize, planned, (row, values.len())).as_deref(), values, &decoded);
    }
    Ok(lost.share())
}

/// What the columns of a row count.
fn importance(quantize: &Quantize<'_>, planned: &Planned, (row, cols): (usize, usize)) -> Option<Vec<f32>> {
    let each = if let [_, rows, _] = planned.dims[..] { rows } else { usize::MAX };
    quantize.encoder().importance(planned, row / each, cols)
}

/// Squares of what products lose, and of what they are.
#[derive(Clone, Copy, Default)]
struct Lost {
    lost: f64,
    all: f64,
}

impl Lost {
    fn add(&mut self, importance: Option<&[f32]>, values: &[f32], decoded: &[f32]) {
        for (i, (x, y)) in values.iter().zip(decoded).enumerate() {
            let weight = importance.map_or(1.0, |importance| f64::from(importance[i]));
            self.lost += weight * f64::from(x - y).powi(2);
            self.all += weight * f64::from(x * x);
        }
    }

    fn with(self, other: Lost) -> Lost {
        Lost { lost: self.lost + other.lost, all: self.all + other.all }
    }

    fn share(self) -> f64 {
        if self.lost == 0.0 { 0.0 } else { self.lost / self.all }
    }
}

/// Scales the losses to the divergence that is measured at the output when one matrix after the other is Q4_0, or the largest of its
/// types where it is no larger than that: as errors are small, the divergence grows with their squares.
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
        let Some((tensor, dtype)) = tensor.and_then(|tensor| Some((tensor, tried(tensor.stored, sensitivity)?))) else {
            continue;
        };
        let lost = Cell::new(Lost::default());
        let change = |planned: &Planned, values: &mut [f32]| {
            let planned = Planned { dtype: quantize.safe_type(tensor, dtype).dtype, ..planned.clone() };
            lost.set(lost.get().with(rounded(quantize, &planned, values)?));
            Ok(())
        };
        let Some(divergence) = probe.divergence(tensor, &tensors, &change)? else { continue };
        let error = lost.get().share();
        if divergence.is_finite() && error > 0.0 {
            let factor = divergence / error;
            sensitivity.choices.iter_mut().for_each(|choice| choice.loss = choice.error * factor);
            sensitivity.measured = true;
        }
        progress("measuring", done, total);
    }
    unmeasured(sensitivities);
    Ok(())
}

/// The type that a matrix is measured with; `None` if it stays what it is. One that is no smaller would change nothing.
fn tried(stored: DType, sensitivity: &Sensitivity) -> Option<DType> {
    let largest = sensitivity.choices.iter().filter(|choice| choice.error > 0.0).max_by_key(|choice| choice.bytes)?;
    Some(if bits(stored) > bits(TRIED) { TRIED } else { largest.dtype })
}

/// Puts what a matrix is with the type's own codec in the place of its values, some rows at a time on every core.
fn rounded(quantize: &Quantize<'_>, planned: &Planned, values: &mut [f32]) -> Result<Lost, String> {
    let cols = planned.dims.last().copied().unwrap_or(1).max(1);
    let rows = (values.len() / cols).div_ceil(4 * threads::count()).max(1);
    let parts: Vec<(usize, &[f32])> = (0..).step_by(rows).zip(values.chunks(rows * cols)).collect();
    let part = |i: usize| {
        let (first, values) = parts[i];
        let size = planned.dtype.row_bytes(cols).ok_or("has rows that are not whole blocks")?;
        let (mut bytes, mut decoded) = (vec![0; values.len() / cols * size], vec![0.0; values.len()]);
        tensor::encode(planned.dtype, values, &mut bytes).map_err(|e| e.to_string())?;
        tensor::decode(planned.dtype, &bytes, &mut decoded).map_err(|e| e.to_string())?;
        let mut lost = Lost::default();
        for (row, (values, decoded)) in (first..).zip(values.chunks(cols).zip(decoded.chunks(cols))) {
            lost.add(importance(quantize, planned, (row, cols)).as_deref(), values, decoded);
        }
        Ok::<_, String>((decoded, lost))
    };
    let made = threads::each(parts.len(), part).into_iter().collect::<Result<Vec<_>, _>>()?;
    let all = made.iter().fold(Lost::default(), |all, (_, lost)| all.with(*lost));
    values.chunks_mut(rows * cols).zip(made).for_each(|(values, (made, _))| values.copy_from_slice(&made));
    Ok(all)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_measured_with_a_type_that_changes_them() {
        let check = |stored: DType, types: &[DType], wanted: Option<DType>| {
            let choice = |dtype: DType, error| {
                let bytes = dtype.row_bytes(256).expect("whole blocks") as u64;
                Choice { dtype, bytes, error, loss: error, time: 0.0 }
            };
            let mut choices = vec![choice(stored, 0.0)];
            choices.extend(types.iter().map(|dtype| choice(*dtype, 1e-3)));
            let found = tried(stored, &Sensitivity { name: "a".into(), choices, measured: false });
            assert_eq!(found, wanted, "{stored} {types:?}");
        };
        check(DType::F16, &[DType::Q8_0, DType::Q4_K, DType::Q3_K], Some(DType::Q4_0));
        check(DType::Q4_0, &[DType::Q3_K, DType::Q2_K], Some(DType::Q3_K));
        check(DType::Q4_K, &[DType::Q2_K], Some(DType::Q2_K));
        check(DType::F16, &[], None);
    }
}
