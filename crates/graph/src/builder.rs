//! Builds a graph node by node, checking shapes as it goes.

use crate::shapes::{Layer, Shapes, Typed};
use crate::{
    Attention, Elem, Graph, GraphError, KvShape, Memory, Node, Op, Output, Rows, ValueId, ValueInfo, WeightId,
    WeightInfo,
};

/// Collects weights, memories and nodes; every push checks its inputs, so a [`Graph`] that exists is well-formed.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    values: Vec<Typed>,
    weights: Vec<WeightInfo>,
    layers: Vec<Layer>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new() -> GraphBuilder {
        GraphBuilder::default()
    }

    /// The graph that computes a value of `graph`, up to the node that gives it; the value keeps its id, and so do all weights and
    /// memories, so that programs of both graphs can use one copy of the weights.
    ///
    /// # Errors
    /// If the graph has no such value, or was rewritten since it was built.
    pub fn until(graph: &Graph, value: ValueId) -> Result<GraphBuilder, GraphError> {
        let fault = |reason: &str| GraphError { op: "a part of a graph".into(), reason: reason.into() };
        let last = graph.nodes().iter().position(|node| node.outputs.contains(&value));
        let last = last.ok_or_else(|| fault("the value is another graph's"))?;
        let mut builder = GraphBuilder { weights: graph.weights().to_vec(), ..GraphBuilder::new() };
        graph.memory().iter().for_each(|memory| _ = builder.memory(*memory));
        for node in &graph.nodes()[..=last] {
            if builder.push_all(node.op.clone(), &node.inputs)? != node.outputs {
                return Err(fault("its values are not in the order in which they are computed"));
            }
        }
        Ok(builder)
    }

    /// Declares a weight. Its shape and type are checked when the graph is finished.
    pub fn weight(&mut self, info: WeightInfo) -> WeightId {
        self.weights.push(info);
        WeightId(self.weights.len() as u32 - 1)
    }

    /// Declares the memory of the next layer and returns its index, by which operators name it.
    pub fn memory(&mut self, memory: Memory) -> usize {
        self.layers.push(Layer { memory, written: false });
        self.layers.len() - 1
    }

    /// Declares a layer with keys and values.
    pub fn kv_layer(&mut self, shape: KvShape) -> usize {
        self.memory(Memory::Kv(shape))
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
    /// there is one, [`Op::Softmax`] and [`Op::Weigh`]. These look back only: attention that is not causal is one operator.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn attention(&mut self, attention: Attention, q: ValueId) -> Result<ValueId, GraphError> {
        if !attention.causal {
            return self.push(Op::Attention(attention), &[q]);
        }
        let Attention { layer, heads, scale, window, softcap, sinks, .. } = attention;
        let mut scores = self.push(Op::Scores { layer, heads, scale }, &[q])?;
        if let Some(cap) = softcap {
            scores = self.push(Op::SoftCap { cap }, &[scores])?;
        }
        let weights = self.push(Op::Softmax { window, sinks }, &[scores])?;
        self.push(Op::Weigh { layer }, &[weights])
    }

    /// Ends the graph: `value` is its result, called `name`, such as `logits`.
    ///
    /// # Errors
    /// If `value` is not F32 with a row for each output, a weight's rows are not whole blocks of its type, or a layer's memory
    /// is empty or too large to count.
    pub fn finish(self, name: &str, value: ValueId) -> Result<Graph, GraphError> {
        let fault = |op: &str, reason: &str| Err(GraphError { op: op.into(), reason: reason.into() });
        match self.values.get(value.index()) {
            Some(Typed { info, .. }) if info.rows == Rows::Outputs && info.elem == Elem::F32 => {}
            _ => return fault(name, "must be numbers with a row for each output; select the outputs first"),
        }
        for weight in &self.weights {
            if weight.bytes().is_none() {
                let reason = format!("{} {} is empty, too large or not whole blocks", weight.shape, weight.dtype);
                return fault(&format!("weight {}", weight.name), &reason);
            }
        }
        if let Some(i) = self.layers.iter().position(|layer| !layer.countable()) {
            return fault(&format!("memory of layer {i}"), "is empty or too large");
        }
        let values = self.values.iter().map(|v| v.info).collect();
        let memory = self.layers.iter().map(|layer| layer.memory).collect();
        let output = Output { name: name.into(), value };
        Ok(Graph { nodes: self.nodes, values, weights: self.weights, memory, output })
    }

    /// The types of what `op` gives for these inputs.
    fn check(&self, op: &Op, inputs: &[ValueId]) -> Result<Vec<Typed>, GraphError> {
        let typed: Option<Vec<Typed>> = inputs.iter().map(|id| self.values.get(id.index()).copied()).collect();
        let typed = typed.ok_or_else(|| self.error(op, "an input is not a value of this graph".into()))?;
        if matches!(op, Op::Input { .. }) && !self.nodes.is_empty() {
            return Err(self.error(op, "is not the first".into()));
        }
        let shapes = Shapes { weights: &self.weights, layers: &self.layers };
        shapes.outputs(op, &typed).map_err(|reason| self.error(op, reason))
    }

    /// Appends what has been checked.
    fn append(&mut self, op: Op, inputs: &[ValueId], typed: &[Typed]) -> Vec<ValueId> {
        let first = self.values.len() as u32;
        self.values.extend_from_slice(typed);
        let outputs: Vec<ValueId> = (first..self.values.len() as u32).map(ValueId).collect();
        if let Some(layer) = op.writes() {
            self.layers[layer].written = true;
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
