//! A graph cut into stages, one after the other, each for a device of its own.

use std::collections::HashMap;
use std::ops::Range;

use crate::{Attention, Elem, GatedDelta, Graph, GraphBuilder, GraphError, Op, Product, Rows, Scan, ValueId, WeightId};

/// A part of a graph, from one node to another. All but the first begin with an [`Op::Input`], which takes what the stage before has
/// given for every row of the batch; only the last has the whole graph's output.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// What it computes, with the weights and memories that its nodes name and no others.
    pub graph: Graph,
    /// Which weights of the whole graph its own are, in their order.
    pub weights: Vec<WeightId>,
}

impl Graph {
    /// The node at which each layer begins: the first that reads a weight of that layer, by its name `blk.N.…`.
    pub fn layers(&self) -> Vec<usize> {
        let (mut starts, mut next) = (vec![], 0);
        for (at, node) in self.nodes.iter().enumerate() {
            let of = |id: WeightId| self.weight(id).name.strip_prefix("blk.")?.split('.').next()?.parse::<usize>().ok();
            if let Some(layer) = node.op.weights().into_iter().filter_map(of).max().filter(|&layer| layer >= next) {
                starts.push(at);
                next = layer + 1;
            }
        }
        starts
    }

    /// Whether [`split`] may cut right before this node: no memory is used on both sides, and all values that are are numbers with a row
    /// for each token.
    pub fn can_split(&self, at: usize) -> bool {
        let uses =
            |nodes: Range<usize>| self.nodes[nodes].iter().filter_map(|node| memory(&node.op)).collect::<Vec<_>>();
        let plain = |id: &ValueId| self.value(*id).elem == Elem::F32 && self.value(*id).rows == Rows::Tokens;
        let inside = at > 0 && at < self.nodes.len();
        inside && self.handed_over(at).iter().all(plain) && {
            let before = uses(0..at);
            uses(at..self.nodes.len()).iter().all(|memory| !before.contains(memory))
        }
    }

    /// The values that are made before a node and needed from there on, in their order.
    fn handed_over(&self, at: usize) -> Vec<ValueId> {
        let mut made = vec![false; self.values.len()];
        self.nodes[..at].iter().flat_map(|node| &node.outputs).for_each(|id| made[id.index()] = true);
        let read = self.nodes[at..].iter().flat_map(|node| &node.inputs).chain([&self.output.value]);
        let mut values: Vec<ValueId> = read.copied().filter(|id| made[id.index()]).collect();
        values.sort();
        values.dedup();
        values
    }
}

/// Cuts a graph right before each of these nodes, which are ascending. Run one after the other, each on the output of the one before
/// with a row for every row of the batch, the stages compute what the graph does, bit for bit.
///
/// # Errors
/// If it [cannot be cut](Graph::can_split) there.
pub fn split(graph: &Graph, at: &[usize]) -> Result<Vec<Stage>, GraphError> {
    let fault = |reason: String| GraphError { op: "a stage of a graph".into(), reason };
    if !at.is_sorted_by(|a, b| a < b) {
        return Err(fault("the cuts are not ascending".into()));
    }
    if let Some(node) = at.iter().find(|&&node| !graph.can_split(node)) {
        return Err(fault(format!("what is before node {node} and what follows use the same memory or indices")));
    }
    let starts = std::iter::once(0).chain(at.iter().copied());
    let ends = at.iter().copied().chain([graph.nodes.len()]);
    starts.zip(ends).map(|(start, end)| Builder::new(graph).stage(start..end)).collect()
}

/// A stage under construction.
struct Builder<'g> {
    whole: &'g Graph,
    builder: GraphBuilder,
    values: HashMap<ValueId, ValueId>,
    weights: Vec<WeightId>,
    memories: Vec<usize>,
}

impl<'g> Builder<'g> {
    fn new(whole: &'g Graph) -> Builder<'g> {
        let (builder, values) = (GraphBuilder::new(), HashMap::new());
        Builder { whole, builder, values, weights: vec![], memories: vec![] }
    }

    fn stage(mut self, nodes: Range<usize>) -> Result<Stage, GraphError> {
        let whole = self.whole;
        self.declare(nodes.clone());
        self.take(&whole.handed_over(nodes.start))?;
        for node in &whole.nodes[nodes.clone()] {
            let op = self.renamed(&node.op)?;
            let inputs: Vec<ValueId> = node.inputs.iter().map(|id| self.values[id]).collect();
            let made = self.builder.push_all(op, &inputs)?;
            self.values.extend(node.outputs.iter().copied().zip(made));
        }
        let is_last = nodes.end == whole.nodes.len();
        let (name, value) = match is_last {
            true => (whole.output.name.as_str(), self.values[&whole.output.value]),
            false => ("handed over", self.hand_over(&whole.handed_over(nodes.end))?),
        };
        Ok(Stage { graph: self.builder.finish(name, value)?, weights: self.weights })
    }

    /// Declares the weights and memories that the nodes use, in the order of the whole graph's.
    fn declare(&mut self, nodes: Range<usize>) {
        let ops = || self.whole.nodes[nodes.clone()].iter().map(|node| &node.op);
        let mut weights: Vec<WeightId> = ops().flat_map(Op::weights).collect();
        let mut memories: Vec<usize> = ops().filter_map(memory).collect();
        weights.sort();
        weights.dedup();
        memories.sort_unstable();
        memories.dedup();
        weights.iter().for_each(|&id| _ = self.builder.weight(self.whole.weight(id).clone()));
        memories.iter().for_each(|&at| _ = self.builder.memory(self.whole.memory[at]));
        (self.weights, self.memories) = (weights, memories);
    }

    /// Takes what the stage before has handed over: the values beside each other.
    fn take(&mut self, values: &[ValueId]) -> Result<(), GraphError> {
        let widths = values.iter().map(|&id| self.whole.value(id).width);
        let span = widths.clone().sum();
        if span == 0 {
            return Ok(());
        }
        let input = self.builder.push(Op::Input { width: span }, &[])?;
        let mut first = 0;
        for (&id, width) in values.iter().zip(widths) {
            let part =
                if width == span { input } else { self.builder.push(Op::Slice { span, first, width }, &[input])? };
            self.values.insert(id, part);
            first += width;
        }
        Ok(())
    }

    fn hand_over(&mut self, values: &[ValueId]) -> Result<ValueId, GraphError> {
        let mut values = values.iter().map(|id| self.values[id]);
        let nothing = || GraphError { op: "a stage of a graph".into(), reason: "it hands nothing over".into() };
        let first = values.next().ok_or_else(nothing)?;
        let builder = &mut self.builder;
        let all = values.try_fold(first, |all, value| builder.push(Op::Concat { parts: 1 }, &[all, value]))?;
        builder.push(Op::SelectOutputs, &[all])
    }

    /// The operator with the stage's own names of weights and memories.
    fn renamed(&self, op: &Op) -> Result<Op, GraphError> {
        let place = |id: WeightId| WeightId(self.weights.partition_point(|&other| other < id) as u32);
        let mut renamed = op.clone();
        weights_mut(&mut renamed).into_iter().for_each(|id| *id = place(*id));
        let (given, wanted) = (renamed.weights(), op.weights().into_iter().map(place).collect::<Vec<_>>());
        if given != wanted {
            let reason = "its weights cannot be named anew".into();
            return Err(GraphError { op: op.name().into(), reason });
        }
        if let Some(layer) = memory_mut(&mut renamed) {
            *layer = self.memories.partition_point(|other| other < layer);
        }
        Ok(renamed)
    }
}

/// The memory that an operator reads or writes.
fn memory(op: &Op) -> Option<usize> {
    memory_mut(&mut op.clone()).copied()
}

fn memory_mut(op: &mut Op) -> Option<&mut usize> {
    match op {
        Op::KvWrite { layer } | Op::RopeKvWrite { layer, .. } | Op::CausalConv { layer, .. } => Some(layer),
        Op::Attention(Attention { layer, .. }) | Op::Scores { layer, .. } | Op::Weigh { layer } => Some(layer),
        Op::GatedDelta(GatedDelta { layer, .. }) | Op::Scan(Scan { layer, .. }) => Some(layer),
        _ => None,
    }
}

fn weights_mut(op: &mut Op) -> Vec<&mut WeightId> {
    match op {
        Op::Embed { table: id } | Op::EmbedPositions { table: id } | Op::EmbedTypes { table: id } => vec![id],
        Op::Linear { weight: id } | Op::ExpertLinear { weight: id } | Op::HeadLinear { weight: id } => vec![id],
        Op::AddBias { bias: id } | Op::ExpertBias { bias: id } | Op::ExpertScale { scale: id } => vec![id],
        Op::RmsNorm { weight: id, .. } | Op::CausalConv { weight: id, .. } | Op::ScaleBy { weight: id } => vec![id],
        Op::LayerNorm { weight, bias, .. } => std::iter::once(weight).chain(bias).collect(),
        Op::Scan(Scan { decay, skip, .. }) => vec![decay, skip],
        Op::Product(Product { weights, biases, .. }) => {
            let pairs = weights.iter_mut().zip(biases);
            pairs.flat_map(|(weight, bias)| std::iter::once(weight).chain(bias)).collect()
        }
        Op::Attention(Attention { sinks, .. }) | Op::Softmax { sinks, .. } => sinks.iter_mut().collect(),
        _ => vec![],
    }
}
