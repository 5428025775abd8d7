//! The buffer plan: where in one arena each value lives while it is needed.

use crate::{Graph, Limits};

/// One node with the places of its values in the arena, in 4-byte words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index into [`Graph::nodes`].
    pub node: usize,
    /// Where each input starts.
    pub inputs: Vec<usize>,
    /// Where the output starts.
    pub output: Option<usize>,
}

/// Every step with its places; values that are not needed at the same time share memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Words the arena needs.
    pub words: usize,
    /// Where the logits start.
    pub logits: usize,
}

impl Plan {
    /// Plans `graph` for batches up to `limits`.
    pub fn new(graph: &Graph, limits: &Limits) -> Plan {
        let _ = (graph, limits);
        todo!()
    }
}
