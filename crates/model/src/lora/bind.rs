//! An adapter for a model that stays as it is: changes of the weights of its graph, as backends read them.

use graph::{Change, Graph, Node, Op, WeightId};
use sha2::{Digest, Sha256};

use super::{Adapter, LowRank, Piece};
use crate::{Model, ModelError};

impl Adapter {
    /// The adapter for rows of batches of a model's graph, or of one that is fused from it.
    ///
    /// # Errors
    /// If it is for another model, or changes what is no matrix of a product, such as experts.
    pub fn bind(&self, model: &Model) -> Result<graph::Adapter, ModelError> {
        let (weights, graph) = (self.weights(model)?, model.graph());
        let scaled =
            graph.weight_ids().filter(|id| weights.contains_key(&id.index())).find(|id| has_factor(graph, *id));
        if let Some(id) = scaled {
            let problem = format!(
                "{} is stored with a factor beside it, which would count for the adapter too",
                graph.weight(id).name
            );
            return Err(self.refused(&problem));
        }
        let change = |id: WeightId| {
            let pieces = weights.get(&id.index())?;
            Some((id, change(pieces, graph.weight(id).shape.rows)))
        };
        graph::Adapter::new(graph, self.digest(), graph.weight_ids().filter_map(change))
            .map_err(|why| self.refused(&why))
    }

    fn refused(&self, why: &str) -> ModelError {
        self.invalid("tensors", format!("{why}; merge the adapter into the model (whinchat convert --lora)"))
    }

    /// What names its contents: a hash of what it changes, and how.
    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (name, LowRank { rank, a, b }) in &self.changes {
            let bytes = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
            hash.update([name.as_bytes(), &[0], &rank.to_le_bytes(), &a.len().to_le_bytes()].concat());
            hash.update(bytes(a));
            hash.update(bytes(b));
        }
        hash.finalize().into()
    }
}

/// Whether what the weight gives is multiplied with a factor that belongs to the weight, as NVFP4 has it.
fn has_factor(graph: &Graph, id: WeightId) -> bool {
    let sums = graph.nodes().iter().filter(|node| node.op == Op::Linear { weight: id }).map(|node| node.outputs[0]);
    let factor =
        |node: &Node| matches!(node.op, Op::ScaleBy { weight } if graph.weight(weight).name.ends_with(".scale"));
    sums.into_iter().any(|sum| graph.nodes().iter().any(|node| node.inputs.first() == Some(&sum) && factor(node)))
}

/// The change of a weight of `rows` rows. A weight's pieces are all of one matrix of the adapter.
fn change(pieces: &[Piece], rows: usize) -> Change {
    let rank = pieces[0].change.rank;
    let mut b = vec![0.0; rank * rows];
    for Piece { rows: of, change, first } in pieces {
        for (row, from) in of.clone().zip(change.b[first * rank..].chunks_exact(rank)) {
            (0..rank).for_each(|j| b[j * rows + row] = from[j]);
        }
    }
    Change { rank, a: pieces[0].change.a.clone(), b }
}
