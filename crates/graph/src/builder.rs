//! Builds a graph node by node, checking shapes as it goes.

use crate::{Graph, GraphError, KvShape, Op, ValueId, WeightId, WeightInfo};

/// Collects weights, KV layers and nodes; every push checks its inputs, so a [`Graph`] that exists is well-formed.
#[derive(Debug, Default)]
pub struct GraphBuilder {}

impl GraphBuilder {
    /// An empty graph.
    pub fn new() -> GraphBuilder {
        GraphBuilder::default()
    }

    /// Declares a weight.
    pub fn weight(&mut self, info: WeightInfo) -> WeightId {
        let _ = info;
        todo!()
    }

    /// Declares the KV cache of the next layer and returns its index.
    pub fn kv_layer(&mut self, shape: KvShape) -> usize {
        let _ = shape;
        todo!()
    }

    /// Appends an operator that gives a value.
    ///
    /// # Errors
    /// If the number, width, rows or element type of the inputs, or the shape of a weight, do not fit the operator.
    pub fn push(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId, GraphError> {
        let _ = (op, inputs);
        todo!()
    }

    /// Appends a [`Op::KvWrite`].
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn kv_write(&mut self, layer: usize, k: ValueId, v: ValueId) -> Result<(), GraphError> {
        let _ = (layer, k, v);
        todo!()
    }

    /// Ends the graph: `logits` is its result.
    ///
    /// # Errors
    /// If `logits` is not F32 with a row for each output.
    pub fn finish(self, logits: ValueId) -> Result<Graph, GraphError> {
        let _ = logits;
        todo!()
    }
}
