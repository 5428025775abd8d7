//! Whether two graphs compute the same.

use std::sync::Arc;

use crate::testing::{difference, uniform};
use crate::{Backend, BackendError, Batch, Graph, Interpreter, KvType, Limits};

/// The number of rows and the position of each sequence in a batch, and the rows whose outputs are compared.
const STEPS: [([(usize, usize); 2], &[u32]); 3] =
    [([(5, 0), (3, 0)], &[1, 4, 7]), ([(1, 5), (1, 3)], &[0, 1]), ([(2, 6), (1, 4)], &[2])];

/// The largest difference between the outputs of the two graphs, relative to the largest output of `before`; not a number
/// if an output is none or `after` has fewer. The interpreter runs both with the same random weights: two sequences begin
/// in one batch and go on in the next ones. It is made for graphs of toy size.
///
/// `after` has the weights and memories of `before`, as [`crate::fuse`] leaves them.
///
/// # Errors
/// If memory is short or `after` has other weights.
pub fn validate(before: &Graph, after: &Graph, seed: u64) -> Result<f32, BackendError> {
    let mut state = seed;
    let weights = weights(before, &mut state);
    let [before, after] = [outputs(before, weights.clone(), state)?, outputs(after, weights, state)?];
    Ok(difference(&after, &before))
}

/// The outputs of every batch, one after the other.
fn outputs(graph: &Graph, weights: Vec<Arc<Vec<f32>>>, mut seed: u64) -> Result<Vec<f32>, BackendError> {
    let (kv_type, state_slots) = (KvType::F32, 2);
    let limits = Limits { max_tokens: 8, max_outputs: 3, kv_blocks: 4, block_len: 4, kv_type, state_slots };
    let mut program = Interpreter.compile(graph, weights, limits)?;
    let mut token = || ((uniform(&mut seed) + 1.0) / 2.0 * graph.tokens() as f32) as u32;
    let mut all = vec![];
    for (spans, outputs) in STEPS {
        let mut batch = Batch { outputs: outputs.into(), ..Batch::default() };
        for ((rows, position), (blocks, slot)) in spans.into_iter().zip([([3, 0], 1), ([2, 1], 0)]) {
            let tokens: Vec<u32> = (0..rows).map(|_| token()).collect();
            batch.push_with_state(&tokens, position, blocks, Some(slot));
        }
        Interpreter.run(&mut program, &batch)?;
        all.extend_from_slice(Interpreter.download(&program));
    }
    Ok(all)
}

/// Matrices that keep the size of what they are multiplied with, and vectors around 1, as norms have.
fn weights(graph: &Graph, seed: &mut u64) -> Vec<Arc<Vec<f32>>> {
    let mut random = |center: f32, size: f32, count| (0..count).map(|_| center + size * uniform(seed)).collect();
    let weight = |id| {
        let shape = graph.weight(id).shape;
        let (center, size) =
            if shape.outer * shape.rows == 1 { (1.0, 0.5) } else { (0.0, (3.0 / shape.cols as f32).sqrt()) };
        random(center, size, shape.elements().unwrap_or(0))
    };
    graph.weight_ids().map(weight).map(Arc::new).collect()
}
