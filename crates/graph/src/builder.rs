//! Builds a graph node by node, checking shapes as it goes.

use crate::rules::{self, KvLayer, Typed};
use crate::{Elem, Graph, GraphError, KvShape, Node, Op, Rows, ValueId, ValueInfo, WeightId, WeightInfo};

/// Collects weights, KV layers and nodes; every push checks its inputs, so a [`Graph`] that exists is well-formed.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    values: Vec<Typed>,
    weights: Vec<WeightInfo>,
    kv: Vec<KvLayer>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new() -> GraphBuilder {
        GraphBuilder::default()
    }

    /// Declares a weight. Its shape and type are checked when the graph is finished.
    pub fn weight(&mut self, info: WeightInfo) -> WeightId {
        self.weights.push(info);
        WeightId(self.weights.len() as u32 - 1)
    }

    /// Declares the KV cache of the next layer and returns its index.
    pub fn kv_layer(&mut self, shape: KvShape) -> usize {
        self.kv.push(KvLayer { shape, written: false });
        self.kv.len() - 1
    }

    /// The type of a value.
    ///
    /// # Panics
    /// If the value is another graph's.
    pub fn value(&self, id: ValueId) -> ValueInfo {
        self.values[id.index()].info
    }

    /// Appends an operator that gives a value.
    ///
    /// # Errors
    /// If the number, width, rows or element type of the inputs, or the shape of a weight, do not fit the operator.
    pub fn push(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId, GraphError> {
        let Some(typed) = self.check(&op, inputs)? else {
            return Err(self.error(&op, "gives no value; append it with GraphBuilder::kv_write".into()));
        };
        let output = ValueId(self.values.len() as u32);
        self.values.push(typed);
        self.nodes.push(Node { op, inputs: inputs.to_vec(), output: Some(output) });
        Ok(output)
    }

    /// Appends a [`Op::KvWrite`].
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn kv_write(&mut self, layer: usize, k: ValueId, v: ValueId) -> Result<(), GraphError> {
        let op = Op::KvWrite { layer };
        self.check(&op, &[k, v])?;
        self.kv[layer].written = true;
        self.nodes.push(Node { op, inputs: vec![k, v], output: None });
        Ok(())
    }

    /// Ends the graph: `logits` is its result.
    ///
    /// # Errors
    /// If `logits` is not F32 with a row for each output, or a weight's rows are not whole blocks of its type, or a KV layer is
    /// empty.
    pub fn finish(self, logits: ValueId) -> Result<Graph, GraphError> {
        let fault = |op: &str, reason: &str| Err(GraphError { op: op.into(), reason: reason.into() });
        match self.values.get(logits.index()) {
            Some(Typed { info, .. }) if info.rows == Rows::Outputs && info.elem == Elem::F32 => {}
            _ => return fault("logits", "must be numbers with a row for each output; select the outputs first"),
        }
        for weight in &self.weights {
            if weight.bytes().is_none() {
                let reason = format!("{} {} is empty, too large or not whole blocks", weight.shape, weight.dtype);
                return fault(&format!("weight {}", weight.name), &reason);
            }
        }
        for (i, KvLayer { shape, .. }) in self.kv.iter().enumerate() {
            if shape.heads.checked_mul(shape.head_dim).is_none_or(|width| width == 0) {
                return fault(&format!("KV layer {i}"), "is empty or too large");
            }
        }
        let values = self.values.iter().map(|v| v.info).collect();
        let kv = self.kv.iter().map(|layer| layer.shape).collect();
        Ok(Graph { nodes: self.nodes, values, weights: self.weights, kv, logits })
    }

    /// The type of what `op` gives for these inputs; `None` if it gives nothing.
    fn check(&self, op: &Op, inputs: &[ValueId]) -> Result<Option<Typed>, GraphError> {
        let typed: Option<Vec<Typed>> = inputs.iter().map(|id| self.values.get(id.index()).copied()).collect();
        let typed = typed.ok_or_else(|| self.error(op, "an input is not a value of this graph".into()))?;
        let rules = rules::Rules { weights: &self.weights, kv: &self.kv };
        rules.output(op, &typed).map_err(|reason| self.error(op, reason))
    }

    /// An error that names the operator and its weight.
    fn error(&self, op: &Op, reason: String) -> GraphError {
        let weight = op.weight().and_then(|id| self.weights.get(id.index()));
        let op = weight.map_or_else(|| op.name().to_string(), |w| format!("{} {}", op.name(), w.name));
        GraphError { op, reason }
    }
}
