//! Builds a graph node by node, checking shapes as it goes.

use crate::shapes::{KvLayer, Shapes, Typed};
use crate::{Attention, Elem, Graph, GraphError, KvShape, Node, Op, Rows, ValueId, ValueInfo, WeightId, WeightInfo};

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
        match self.check(&op, inputs)?[..] {
            [] => Err(self.error(&op, "gives no value; append it with GraphBuilder::kv_write".into())),
            [typed] => Ok(self.append(op, inputs, &[typed])[0]),
            _ => Err(self.error(&op, "gives several values; append it with GraphBuilder::push_all".into())),
        }
    }

    /// Appends an operator that gives any number of values.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn push_all(&mut self, op: Op, inputs: &[ValueId]) -> Result<Vec<ValueId>, GraphError> {
        let typed = self.check(&op, inputs)?;
        Ok(self.append(op, inputs, &typed))
    }

    /// Appends a [`Op::KvWrite`].
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn kv_write(&mut self, layer: usize, k: ValueId, v: ValueId) -> Result<(), GraphError> {
        self.push_all(Op::KvWrite { layer }, &[k, v]).map(|_| ())
    }

    /// Appends attention from its parts, which together are what [`Op::Attention`] is: [`Op::Scores`], [`Op::SoftCap`] if
    /// there is one, [`Op::Softmax`] and [`Op::Weigh`].
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn attention(&mut self, attention: Attention, q: ValueId) -> Result<ValueId, GraphError> {
        let Attention { layer, heads, scale, window, softcap, sinks } = attention;
        let mut scores = self.push(Op::Scores { layer, heads, scale }, &[q])?;
        if let Some(cap) = softcap {
            scores = self.push(Op::SoftCap { cap }, &[scores])?;
        }
        let shares = self.push(Op::Softmax { window, sinks }, &[scores])?;
        self.push(Op::Weigh { layer }, &[shares])
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

    /// The types of what `op` gives for these inputs.
    fn check(&self, op: &Op, inputs: &[ValueId]) -> Result<Vec<Typed>, GraphError> {
        let typed: Option<Vec<Typed>> = inputs.iter().map(|id| self.values.get(id.index()).copied()).collect();
        let typed = typed.ok_or_else(|| self.error(op, "an input is not a value of this graph".into()))?;
        let shapes = Shapes { weights: &self.weights, kv: &self.kv };
        shapes.outputs(op, &typed).map_err(|reason| self.error(op, reason))
    }

    /// Appends what has been checked.
    fn append(&mut self, op: Op, inputs: &[ValueId], typed: &[Typed]) -> Vec<ValueId> {
        let first = self.values.len() as u32;
        self.values.extend_from_slice(typed);
        let outputs: Vec<ValueId> = (first..self.values.len() as u32).map(ValueId).collect();
        if let Some(layer) = op.writes() {
            self.kv[layer].written = true;
        }
        self.nodes.push(Node { op, inputs: inputs.to_vec(), outputs: outputs.clone() });
        outputs
    }

    /// An error that names the operator and its (first) weight.
    fn error(&self, op: &Op, reason: String) -> GraphError {
        let weight = op.weights().first().and_then(|id| self.weights.get(id.index()));
        let op = weight.map_or_else(|| op.name().to_string(), |w| format!("{} {}", op.name(), w.name));
        GraphError { op, reason }
    }
}
