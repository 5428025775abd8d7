//! Rows into blocks: the best of a weighted search, the type's own codec, and error feedback.

use tensor::{CodecError, DType};

use super::block::Grid;
use super::feedback::Feedback;
use super::form::Form;
use super::pack::pack;

/// Encodes rows of `importance.len()` columns to `dtype`. What is lost is never more than with the type's own codec, where a column's
/// squares count as its importance says.
///
/// Importance that is all zeros, or no number, is none: then the codec is used. So it is for types that are not made of blocks.
///
/// # Errors
/// If the lengths do not agree or the type cannot be written.
pub fn encode_weighted(dtype: DType, values: &[f32], importance: &[f32], out: &mut [u8]) -> Result<(), CodecError> {
    let usable = importance.iter().all(|w| w.is_finite() && *w >= 0.0) && importance.iter().any(|w| *w > 0.0);
    tensor::encode(dtype, values, out)?;
    let Some(form) = Form::of(dtype).filter(|_| usable) else { return Ok(()) };
    let weights = floored(importance);
    let (cols, size) = (importance.len(), dtype.layout().block_bytes);
    let mut trial = Trial::new(&form);
    for (row, out) in values.chunks_exact(cols).zip(out.chunks_exact_mut(cols / form.block * size)) {
        let blocks = row.chunks_exact(form.block).zip(weights.chunks_exact(form.block));
        for ((values, weights), out) in blocks.zip(out.chunks_exact_mut(size)) {
            let kept = form.kept(values, weights);
            let parts = form.grid(&kept, weights).quantized(&form, &kept);
            pack(dtype, &parts, &mut trial.bytes)?;
            trial.keep_if_better(values, weights, out)?;
        }
    }
    Ok(())
}

/// Encodes rows as [`encode_weighted`], and again with error feedback; of each row the one is kept whose products lose less.
///
/// # Errors
/// As [`encode_weighted`].
pub fn encode_with_feedback(
    dtype: DType,
    values: &[f32],
    importance: &[f32],
    feedback: &Feedback,
    out: &mut [u8],
) -> Result<(), CodecError> {
    encode_weighted(dtype, values, importance, out)?;
    let Some(form) = Form::of(dtype) else { return Ok(()) };
    let weights = floored(importance);
    let (cols, size) = (importance.len(), dtype.layout().block_bytes);
    let mut decoded = vec![0.0; cols];
    for (row, out) in values.chunks_exact(cols).zip(out.chunks_exact_mut(cols / form.block * size)) {
        let (made, bytes) = fed_back(&form, row, &weights, feedback)?;
        tensor::decode(dtype, out, &mut decoded)?;
        if feedback.loss(row, &made) < feedback.loss(row, &decoded) {
            out.copy_from_slice(&bytes);
        }
    }
    Ok(())
}

/// A row with error feedback: its values and its bytes.
fn fed_back(form: &Form, row: &[f32], weights: &[f32], feedback: &Feedback) -> Result<(Vec<f32>, Vec<u8>), CodecError> {
    let size = form.dtype.layout().block_bytes;
    let grids: std::cell::RefCell<Vec<(Grid, Vec<bool>)>> = std::cell::RefCell::default();
    let mut made = row.to_vec();
    let begin = |first: usize, values: &[f32]| {
        let weights = &weights[first..first + values.len()];
        let kept = form.kept(values, weights);
        let left_out = values.iter().zip(&*kept).map(|(x, kept)| x != kept).collect();
        grids.borrow_mut().push((form.grid(&kept, weights), left_out));
    };
    let nearest = |column: usize, x: f32| {
        let mut grids = grids.borrow_mut();
        let (grid, left_out) = &mut grids[column / form.block];
        let x = if left_out[column % form.block] { 0.0 } else { x };
        let (value, quant) = grid.nearest(form, column % form.block, x);
        grid.parts.quants[column % form.block] = quant;
        value
    };
    feedback.quantize(&mut made, form.block, begin, nearest);
    let mut bytes = vec![0; row.len() / form.block * size];
    for ((grid, _), out) in grids.into_inner().iter().zip(bytes.chunks_exact_mut(size)) {
        pack(form.dtype, &grid.parts, out)?;
    }
    tensor::decode(form.dtype, &bytes, &mut made)?;
    Ok((made, bytes))
}

/// Weights that are not quite zero anywhere, so that columns that calibration did not see keep what they can.
fn floored(importance: &[f32]) -> Vec<f32> {
    let mean = importance.iter().map(|w| f64::from(*w)).sum::<f64>() / importance.len().max(1) as f64;
    // Only relations count, and squares of large values must stay countable.
    let scale = 1.0 / mean.max(f64::MIN_POSITIVE);
    importance.iter().map(|w| (f64::from(*w) * scale).max(1e-6) as f32).collect()
}

/// A block that is tried.
struct Trial {
    dtype: DType,
    bytes: Vec<u8>,
    decoded: Vec<f32>,
}

impl Trial {
    fn new(form: &Form) -> Trial {
        Trial { dtype: form.dtype, bytes: vec![0; form.dtype.layout().block_bytes], decoded: vec![0.0; form.block] }
    }

    /// Puts the tried block in the place of `out` if it loses less.
    fn keep_if_better(&mut self, values: &[f32], weights: &[f32], out: &mut [u8]) -> Result<(), CodecError> {
        let mut loss = |bytes: &[u8]| {
            tensor::decode(self.dtype, bytes, &mut self.decoded)?;
            let lost = values.iter().zip(&self.decoded).zip(weights);
            Ok(lost.map(|((x, y), w)| f64::from(*w) * f64::from(x - y).powi(2)).sum::<f64>())
        };
        if loss(&self.bytes)? < loss(out)? {
            out.copy_from_slice(&self.bytes);
        }
        Ok(())
    }
}
