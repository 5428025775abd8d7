//! LoRA adapters (Hu et al. 2021) while a batch is computed: rows of their own low-rank changes to matrices.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::{Graph, Op, WeightId};

/// What is added to a matrix `[rows, cols]`: b · a, as backends read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Rows of a, columns of b; at least 1.
    pub rank: usize,
    /// `[rank, cols]`.
    pub a: Vec<f32>,
    /// bᵀ `[rank, rows]`, the adapter's own scale included.
    pub b: Vec<f32>,
}

/// An adapter of a graph's matrices. It belongs to no backend and no program: rows of a batch name it, and who holds it last
/// frees it.
#[derive(Clone, PartialEq)]
pub struct Adapter {
    id: [u8; 32],
    /// By [`WeightId::index`].
    changes: Vec<Option<Change>>,
}

impl Adapter {
    /// An adapter that changes some of a graph's weights. `id` names its contents: equal ones compute the same.
    ///
    /// # Errors
    /// If a weight is read by anything but products, or a change is of another shape. The error begins with the weight's name.
    pub fn new(
        graph: &Graph,
        id: [u8; 32],
        given: impl IntoIterator<Item = (WeightId, Change)>,
    ) -> Result<Adapter, String> {
        let mut changes: Vec<Option<Change>> = graph.weights().iter().map(|_| None).collect();
        for (weight, change) in given {
            let name = &graph.weight(weight).name;
            if let Some(op) = graph.nodes().iter().map(|node| &node.op).find(|op| reads_otherwise(op, weight)) {
                return Err(format!("{name} is read by {}, where adapters are not computed", op.name()));
            }
            check(graph, weight, &change)?;
            changes[weight.index()] = Some(change);
        }
        Ok(Adapter { id, changes })
    }

    /// What names its contents.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }

    /// What it changes of a weight.
    pub fn change(&self, weight: WeightId) -> Option<&Change> {
        self.changes.get(weight.index())?.as_ref()
    }

    /// Bytes of its numbers.
    pub fn bytes(&self) -> usize {
        self.changes.iter().flatten().map(|change| 4 * (change.a.len() + change.b.len())).sum()
    }

    /// Whether it was made for a graph with these weights.
    pub(crate) fn fits(&self, graph: &Graph) -> bool {
        let fits = |(id, change): (WeightId, &Option<Change>)| {
            change.as_ref().is_none_or(|change| check(graph, id, change).is_ok())
        };
        self.changes.len() == graph.weights().len() && graph.weight_ids().zip(&self.changes).all(fits)
    }
}

/// Its numbers are too many to be written.
impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights = self.changes.iter().flatten().count();
        f.debug_struct("Adapter").field("id", &&self.id[..4]).field("weights", &weights).finish_non_exhaustive()
    }
}

/// Rows of a batch that are computed with an adapter.
#[derive(Clone, Debug)]
pub struct Adapted {
    /// The rows.
    pub rows: Range<usize>,
    /// What is added to their products.
    pub adapter: Arc<Adapter>,
}

/// By the adapter's contents, as its id names them.
impl PartialEq for Adapted {
    fn eq(&self, other: &Adapted) -> bool {
        self.rows == other.rows && self.adapter.id == other.adapter.id
    }
}

impl Eq for Adapted {}

fn reads_otherwise(op: &Op, weight: WeightId) -> bool {
    // A matrix that tokens are looked up in may be multiplied with too: that product alone changes, as in PEFT.
    let product = matches!(op, Op::Linear { .. } | Op::Product(_) | Op::Embed { .. });
    !product && op.weights().contains(&weight)
}

fn check(graph: &Graph, weight: WeightId, Change { rank, a, b }: &Change) -> Result<(), String> {
    let info = graph.weight(weight);
    let (rows, cols) = (info.shape.rows, info.shape.cols);
    let fits = *rank > 0 && info.shape.outer == 1 && a.len() == rank * cols && b.len() == rank * rows;
    if fits {
        Ok(())
    } else {
        Err(format!("{} is {}, the adapter changes a matrix of another shape", info.name, info.shape))
    }
}
