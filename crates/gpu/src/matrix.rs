//! Matrix units: whether an adapter has them, and whether they multiply right.

use std::sync::Arc;

use graph::{Backend, BackendError, Batch, Graph, GraphBuilder, GraphError, KvType, Limits, Op, WeightInfo};
use tensor::{DType, Shape};

use crate::gpu::Gpu;

/// What multiplies matrices. All rows of all batches of a device are multiplied by the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Multiplier {
    /// Lanes, in full precision.
    #[default]
    Lanes,
    /// The matrix units of subgroups: of numbers in half precision, each row scaled by a power of two, summed in full.
    Units,
    /// Lanes, as matrix units would: to test on devices without such units what is around them.
    Emulated,
}

/// What is needed of a device to use its matrix units.
pub(crate) const FEATURES: wgpu::Features =
    wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(wgpu::Features::SHADER_F16);

/// Rows and columns of the matrix that is multiplied to see whether that is right: no multiples of what is taken at once.
const SIZES: (usize, usize) = (43, 76);
/// Rows that it is multiplied with.
const ROWS: [usize; 2] = [1, 37];

/// Whether an adapter says that it multiplies matrices of 8 by 8 in half precision and sums in full. Larger ones are not used: translated
/// for Metal they are no sound programs, and nothing says so.
pub(crate) fn are_reported(adapter: &wgpu::Adapter) -> bool {
    let (info, half, full) = (adapter.get_info(), wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32);
    // A kernel's workgroup is to be one subgroup. Metal does not say how large these are; with matrix units it is 32.
    let whole = info.backend == wgpu::Backend::Metal || (info.subgroup_min_size, info.subgroup_max_size) == (32, 32);
    let suits = |has: &wgpu::CooperativeMatrixProperties| {
        (has.m_size, has.n_size, has.k_size) == (8, 8, 8) && (has.ab_type, has.cr_type) == (half, full)
    };
    whole && adapter.features().contains(FEATURES) && adapter.cooperative_matrix_properties().iter().any(suits)
}

/// What a device with this multiplier may use that wgpu calls experimental.
#[allow(unsafe_code)]
pub(crate) fn experimental(multiplier: Multiplier) -> wgpu::ExperimentalFeatures {
    match multiplier {
        Multiplier::Lanes | Multiplier::Emulated => wgpu::ExperimentalFeatures::disabled(),
        // SAFETY: what may be wrong in wgpu is what it makes of matrices of 8 by 8. The kernels that have these are this crate's own, none is made
        // of what a stranger says, and a device is used only if they multiply right there.
        Multiplier::Units => unsafe { wgpu::ExperimentalFeatures::enabled() },
    }
}

/// Whether a device gives the right products. The numbers are few bits each, so that they are the same in half precision, and sums too.
pub(crate) fn are_right(gpu: &Gpu) -> bool {
    ROWS.iter().all(|&rows| products(gpu, rows).is_ok_and(|given| given == wanted(rows)))
}

/// An element of a row, and one of the matrix.
fn elements(row: usize, r: usize, column: usize) -> (f32, f32) {
    let x = ((row * 29 + column * 13) % 31) as f32 - 15.0;
    let w = ((r * 17 + column * 7) % 29) as f32 - 14.0;
    (x * 0.25, w * 0.5)
}

fn wanted(rows: usize) -> Vec<f32> {
    let (all, columns) = SIZES;
    let product = |row, r| (0..columns).map(|column| elements(row, r, column)).map(|(x, w)| x * w).sum();
    (0..rows).flat_map(|row| (0..all).map(move |r| product(row, r))).collect()
}

fn products(gpu: &Gpu, rows: usize) -> Result<Vec<f32>, BackendError> {
    let (all, columns) = SIZES;
    let graph = graph(rows).map_err(|why| BackendError::Batch(why.to_string()))?;
    let x = (0..rows).flat_map(|row| (0..columns).flat_map(move |c| elements(row, 0, c).0.to_le_bytes())).collect();
    let numbers: Vec<f32> = (0..all).flat_map(|r| (0..columns).map(move |c| elements(0, r, c).1)).collect();
    let mut weight = vec![0; 2 * numbers.len()];
    tensor::encode(DType::F16, &numbers, &mut weight).map_err(|why| BackendError::Batch(why.to_string()))?;
    let given: [Vec<u8>; 2] = [x, weight];
    let upload = |(info, bytes): (&WeightInfo, &Vec<u8>)| gpu.upload(info, bytes).map(Arc::new);
    let weights = graph.weights().iter().zip(&given).map(upload).collect::<Result<_, _>>()?;
    let kv_type = KvType::F16;
    let limits = Limits { max_tokens: rows, max_outputs: rows, kv_blocks: 1, block_len: rows, kv_type, state_slots: 0 };
    let mut program = gpu.compile(&graph, weights, limits)?;
    let mut batch = Batch { outputs: (0..rows as u32).collect(), ..Batch::default() };
    batch.push(&(0..rows as u32).collect::<Vec<_>>(), 0, [0]);
    gpu.run(&mut program, &batch)?;
    Ok(gpu.download(&program).to_vec())
}

fn graph(rows: usize) -> Result<Graph, GraphError> {
    let (mut graph, (all, columns)) = (GraphBuilder::new(), SIZES);
    let table = graph.weight(WeightInfo::matrix("x", Shape::matrix(rows, columns), DType::F32));
    let weight = graph.weight(WeightInfo::matrix("w", Shape::matrix(all, columns), DType::F16));
    let x = graph.push(Op::Embed { table }, &[])?;
    let x = graph.push(Op::Linear { weight }, &[x])?;
    let x = graph.push(Op::SelectOutputs, &[x])?;
    graph.finish("products", x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_products_are_told_from_wrong_ones() {
        let gpus = [Gpu::open(0), Gpu::open_emulating_units(0)];
        for gpu in gpus.map(|gpu| gpu.expect("a GPU, or Debian's mesa-vulkan-drivers and libvulkan1")) {
            assert!(are_right(&gpu), "{:?}", gpu.multiplier());
            let given = products(&gpu, ROWS[1]).expect("memory for a small matrix");
            assert_ne!(given, wanted(ROWS[0]));
            assert!(given.iter().all(|x| x.is_finite()) && given.iter().any(|x| *x != 0.0));
        }
    }
}
