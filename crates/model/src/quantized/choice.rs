//! Which of our types a matrix is read as.

use std::collections::HashMap;

use tensor::DType;

use super::scaled::{Scaled, encoded, floats};
use super::{Built, Fidelity, How};
use crate::checkpoint::{Files, TensorInfo};

/// Types of integers with one scale for each 32, and the integers that they have: the first that has all is taken.
const BLOCKS: [(DType, i32, i32); 3] = [(DType::Q4_0, -8, 7), (DType::Q5_0, -16, 15), (DType::Q8_0, -128, 127)];

/// What a scale may be off by in half precision: of itself, or of the largest one.
const ROUNDING: (f32, f32) = (1.0 / 2048.0, 1.0 / 4096.0);

/// The matrix in the smallest type that has its numbers, else in `plain`.
pub(super) fn built(scaled: Scaled, files: &Files, plain: DType, stored: String) -> Built {
    let (dtype, fidelity) = choose(&scaled, files).unwrap_or((plain, Fidelity::Widened));
    Built { dims: [scaled.rows, scaled.cols], how: How::Scaled(scaled), dtype, fidelity, stored }
}

/// The matrix with its integers and scales as they are: signed bytes, and one scale for each row.
pub(super) fn by_row(scaled: Scaled, stored: String) -> Built {
    let (dtype, fidelity) = (DType::Q8_ROW, Fidelity::Exact);
    Built { dims: [scaled.rows, scaled.cols], how: How::Scaled(scaled), dtype, fidelity, stored }
}

fn choose(scaled: &Scaled, files: &Files) -> Option<(DType, Fidelity)> {
    let size = scaled.groups.size()?;
    if !scaled.cols.is_multiple_of(32) || !(size.is_multiple_of(32) || size >= scaled.cols) {
        return None;
    }
    let (low, high) = scaled.range(files, scaled.cols.div_ceil(size))?;
    let (dtype, ..) = *BLOCKS.iter().find(|(_, least, most)| *least <= low && high <= *most)?;
    let scales = scaled.scales.values(files);
    let halves = floats(DType::F16, &encoded(DType::F16, &scales));
    let largest = scales.iter().fold(0f32, |most, scale| most.max(scale.abs()));
    let lost = |(scale, half): (&f32, &f32)| (scale - half).abs();
    let close = |pair| lost(pair) <= (ROUNDING.0 * pair.0.abs()).max(ROUNDING.1 * largest);
    let all = || scales.iter().zip(&halves);
    let exact = all().all(|pair| lost(pair) == 0.0);
    all().all(close).then_some((dtype, if exact { Fidelity::Exact } else { Fidelity::Scales }))
}

/// Gives the matrices of a layer's experts one type: they become one weight.
pub(super) fn unify<'a>(tensors: impl Iterator<Item = &'a mut TensorInfo>) {
    let mut experts: HashMap<String, Vec<&mut TensorInfo>> = HashMap::new();
    for tensor in tensors {
        if let Some(key) = of_experts(&tensor.name) {
            experts.entry(key).or_default().push(tensor);
        }
    }
    for tensors in experts.into_values() {
        let rank = |tensor: &&mut TensorInfo| {
            tensor.dtype.as_ref().map_or(0, |d| d.layout().block_bytes * 32 / d.layout().block_len)
        };
        let widest = tensors.iter().max_by_key(|tensor| rank(tensor)).map(|tensor| tensor.dtype.clone());
        let Some(widest) = widest else { continue };
        tensors.into_iter().for_each(|tensor| tensor.dtype = widest.clone());
    }
}

/// The name of an expert's tensor without its number.
fn of_experts(name: &str) -> Option<String> {
    let (before, after) = name.split_once(".experts.")?;
    let (_, part) = after.split_once('.')?;
    Some(format!("{before}.{part}"))
}
