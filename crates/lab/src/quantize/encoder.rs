//! Encodes rows of a model's tensors by what calibration found out about them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use model::Planned;
use tensor::DType;

use super::{Feedback, encode_weighted, encode_with_feedback};
use crate::Calibration;

/// Bits a value takes at most in types that are made with error feedback: above that there is nothing to gain.
const FEEDBACK_BITS: f64 = 4.6;

/// Encodes rows, each by the importance of its matrix's columns.
pub struct Encoder<'c> {
    calibration: &'c Calibration,
    /// By the address of the Gram matrix, which tensors with the same input share.
    factors: Mutex<HashMap<usize, Option<Arc<Feedback>>>>,
}

/// Rows of a tensor.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// The tensor, with the type that they become.
    pub tensor: &'a Planned,
    /// The place of the first of them among all of the tensor's.
    pub first: usize,
    /// The values, row after row.
    pub values: &'a [f32],
}

impl<'c> Encoder<'c> {
    pub(super) fn new(calibration: &'c Calibration) -> Encoder<'c> {
        Encoder { calibration, factors: Mutex::default() }
    }

    /// Encodes rows to the tensor's planned type.
    ///
    /// # Errors
    /// If the lengths do not agree or the type cannot be written.
    pub fn encode(&self, rows: Rows<'_>, out: &mut [u8]) -> Result<(), String> {
        self.each_matrix(rows, None, out)
    }

    /// As [`Encoder::encode`]; types of few bits with error feedback where there is a Gram matrix.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn encode_with_feedback(&self, rows: Rows<'_>, out: &mut [u8]) -> Result<(), String> {
        let few = bits(rows.tensor.dtype) <= FEEDBACK_BITS;
        let feedback = if few { self.feedback(rows.tensor) } else { None };
        self.each_matrix(rows, feedback.as_deref(), out)
    }

    /// Rows of one matrix (expert) at a time.
    fn each_matrix(&self, rows: Rows<'_>, feedback: Option<&Feedback>, mut out: &mut [u8]) -> Result<(), String> {
        let Rows { tensor, mut first, mut values } = rows;
        let cols = tensor.dims.last().copied().filter(|cols| *cols > 0).ok_or("has no columns")?;
        let size = tensor.dtype.row_bytes(cols).ok_or("has rows that are not whole blocks")?;
        let rows_each = if let [_, rows, _] = tensor.dims[..] { rows } else { usize::MAX };
        while !values.is_empty() {
            let count = (values.len() / cols).min(rows_each - first % rows_each);
            let (now, rest) = values.split_at(count.max(1) * cols);
            let (here, after) = out.split_at_mut_checked(count * size).ok_or("has more rows than there is room for")?;
            let importance = self.importance(tensor, first / rows_each, cols);
            match (&importance, feedback) {
                (Some(importance), Some(feedback)) => {
                    encode_with_feedback(tensor.dtype, now, importance, feedback, here)
                }
                (Some(importance), None) => encode_weighted(tensor.dtype, now, importance, here),
                (None, _) => tensor::encode(tensor.dtype, now, here),
            }
            .map_err(|e| e.to_string())?;
            (values, out, first) = (rest, after, first + count);
        }
        Ok(())
    }

    /// How much the columns of a matrix count: the mean squares of its inputs. `None` if nothing is known of them.
    pub fn importance(&self, tensor: &Planned, matrix: usize, cols: usize) -> Option<Vec<f32>> {
        if tensor.is_reordered {
            return None;
        }
        self.calibration.statistics.of(&tensor.name)?.mean_squares(matrix, cols)
    }

    /// Matrices (experts) of a tensor that calibration never visited.
    pub(super) fn unvisited(&self, tensor: &Planned) -> usize {
        self.calibration.statistics.of(&tensor.name).map_or(0, |entry| entry.unvisited().len())
    }

    /// Whether anything was calibrated.
    pub(super) fn is_informed(&self) -> bool {
        !self.calibration.statistics.entries.is_empty()
    }

    /// The factors of the Gram matrix of a tensor's inputs, made once for all tensors with the same input.
    pub(crate) fn feedback(&self, tensor: &Planned) -> Option<Arc<Feedback>> {
        let cols = tensor.dims.last()?;
        let gram = self.calibration.gram(&tensor.name).filter(|gram| gram.cols() == *cols)?;
        if tensor.is_reordered {
            return None;
        }
        let mut factors = self.factors.lock().ok()?;
        factors.entry(Arc::as_ptr(gram).addr()).or_insert_with(|| Feedback::new(gram).map(Arc::new)).clone()
    }
}

/// Bits that a value takes.
pub(crate) fn bits(dtype: DType) -> f64 {
    let layout = dtype.layout();
    layout.block_bytes as f64 * 8.0 / layout.block_len as f64
}
