//! A weight in the forms that the graph's operators read.

use graph::{BackendError, Graph, Op, Product, WeightId, WeightInfo};

use super::memory::{Buffer, Shelf};
use super::pool::Pool;
use super::tiles::Tiles;

/// A weight on the CPU: packed tiles for products and embeddings, plain numbers for what is added or multiplied
/// element by element. Only the forms that the graph uses are made.
#[derive(Debug)]
pub struct Weight {
    tiles: Option<Tiles>,
    values: Option<Buffer<f32>>,
}

impl Weight {
    pub(crate) fn new(
        (pool, shelf): (&Pool, &Shelf),
        graph: &Graph,
        id: WeightId,
        bytes: &[u8],
    ) -> Result<Weight, BackendError> {
        let info = graph.weight(id);
        let wanted = info.bytes().unwrap_or(usize::MAX);
        if bytes.len() != wanted {
            return Err(BackendError::WeightLength { name: info.name.clone(), given: bytes.len(), wanted });
        }
        let (in_tiles, as_values) = uses(graph, id);
        Ok(Weight {
            tiles: in_tiles.then(|| Tiles::pack((pool, shelf), info.dtype, info.shape, bytes)).transpose()?,
            values: as_values.then(|| decode(shelf, info, bytes)).transpose()?,
        })
    }

    /// Memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.tiles.as_ref().map_or(0, Tiles::bytes) + self.values.as_ref().map_or(0, Buffer::bytes)
    }

    pub(crate) fn tiles(&self) -> &Tiles {
        self.tiles.as_ref().expect("packed when it was uploaded, as the graph multiplies with it")
    }

    pub(crate) fn values(&self) -> &[f32] {
        self.values.as_ref().expect("decoded when it was uploaded, as the graph reads its elements")
    }
}

/// Whether the graph multiplies with a weight, and whether it reads its elements.
fn uses(graph: &Graph, id: WeightId) -> (bool, bool) {
    let (mut in_tiles, mut as_values) = (false, false);
    for op in graph.nodes().iter().map(|node| &node.op) {
        match op {
            Op::Product(Product { weights, biases, .. }) => {
                in_tiles |= weights.contains(&id);
                as_values |= biases.contains(&Some(id));
            }
            Op::Embed { .. } | Op::Linear { .. } | Op::ExpertLinear { .. } => in_tiles |= op.weights().contains(&id),
            _ => as_values |= op.weights().contains(&id),
        }
    }
    (in_tiles, as_values)
}

fn decode(shelf: &Shelf, info: &WeightInfo, bytes: &[u8]) -> Result<Buffer<f32>, BackendError> {
    let mut values = shelf.zeroed(info.shape.elements().unwrap_or(usize::MAX), "a weight")?;
    tensor::decode(info.dtype, bytes, &mut values).expect("the lengths were compared");
    Ok(values)
}
