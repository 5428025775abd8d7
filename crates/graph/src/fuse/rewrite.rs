//! What rules look at and what they give.

use std::collections::{BTreeMap, HashMap};

use crate::{Graph, GraphBuilder, Node, Op, ValueId};

/// A graph, with who makes and who reads each value.
#[derive(Debug)]
pub(super) struct View<'g> {
    pub(super) graph: &'g Graph,
    makers: Vec<usize>,
    readers: Vec<Vec<usize>>,
}

impl View<'_> {
    pub(super) fn new(graph: &Graph) -> View<'_> {
        let mut view = View { graph, makers: vec![0; graph.values.len()], readers: vec![vec![]; graph.values.len()] };
        for (i, node) in graph.nodes.iter().enumerate() {
            node.outputs.iter().for_each(|id| view.makers[id.index()] = i);
            node.inputs.iter().for_each(|id| view.readers[id.index()].push(i));
        }
        view
    }

    pub(super) fn node(&self, i: usize) -> &Node {
        &self.graph.nodes[i]
    }

    /// The node that gives the value.
    pub(super) fn maker(&self, id: ValueId) -> usize {
        self.makers[id.index()]
    }

    /// The nodes that read the value, in order; one that reads it twice is there twice.
    pub(super) fn readers(&self, id: ValueId) -> &[usize] {
        &self.readers[id.index()]
    }

    /// The node that reads the value, once, if nothing else needs it: what reads it may take over what makes it.
    pub(super) fn sole_reader(&self, id: ValueId) -> Option<usize> {
        match self.readers(id) {
            [reader] if id != self.graph.output.value => Some(*reader),
            _ => None,
        }
    }

    /// The name for another form of the value (selected, rounded), which the graph does not have yet.
    pub(super) fn fresh(&self, of: ValueId) -> ValueId {
        ValueId(self.graph.values.len() as u32 + of.0)
    }
}

/// Nodes by their index, and what replaces them: nothing, one node or several. Values keep their names, but another node may make
/// them.
#[derive(Debug)]
pub(super) struct Rewrite<'v> {
    view: &'v View<'v>,
    pub(super) nodes: BTreeMap<usize, Vec<Node>>,
}

impl<'v> Rewrite<'v> {
    pub(super) fn new(view: &'v View<'v>) -> Rewrite<'v> {
        Rewrite { view, nodes: BTreeMap::new() }
    }

    pub(super) fn remove(mut self, nodes: impl IntoIterator<Item = usize>) -> Rewrite<'v> {
        self.nodes.extend(nodes.into_iter().map(|i| (i, vec![])));
        self
    }

    pub(super) fn replace(mut self, i: usize, op: Op, inputs: &[ValueId], outputs: &[ValueId]) -> Rewrite<'v> {
        self.nodes.insert(i, vec![Node { op, inputs: inputs.to_vec(), outputs: outputs.to_vec() }]);
        self
    }

    /// Makes `output` from `input` right before node `i`, so that it takes memory no earlier than it must. The maker of
    /// `input` stays but is claimed: of the rewrites that want the same `output`, one is applied.
    pub(super) fn derive(mut self, i: usize, op: Op, input: ValueId, output: ValueId) -> Rewrite<'v> {
        for at in [self.view.maker(input), i] {
            self.nodes.entry(at).or_insert_with(|| vec![self.view.node(at).clone()]);
        }
        let nodes = self.nodes.entry(i).or_default();
        nodes.insert(nodes.len() - 1, Node { op, inputs: vec![input], outputs: vec![output] });
        self
    }
}

/// The nodes that give something, or write a memory.
pub(super) fn live(graph: &Graph) -> Vec<Node> {
    let mut needed = vec![false; graph.values.len()];
    needed[graph.output.value.index()] = true;
    let mut nodes = vec![];
    for node in graph.nodes.iter().rev() {
        if node.op.writes().is_some() || node.outputs.iter().any(|id| needed[id.index()]) {
            node.inputs.iter().for_each(|id| needed[id.index()] = true);
            nodes.push(node.clone());
        }
    }
    nodes.reverse();
    nodes
}

/// `graph` with other nodes, which may name their values as they like; all is checked again.
///
/// # Panics
/// If the nodes do not fit together or no longer make the output: a rule is wrong.
pub(super) fn rebuild(graph: &Graph, nodes: impl IntoIterator<Item = Node>) -> Graph {
    let mut builder = GraphBuilder::new();
    graph.weights.iter().for_each(|info| _ = builder.weight(info.clone()));
    graph.memory.iter().for_each(|memory| _ = builder.memory(*memory));
    let mut names: HashMap<ValueId, ValueId> = HashMap::new();
    for Node { op, inputs, outputs } in nodes {
        let inputs: Vec<ValueId> = inputs.iter().map(|id| names[id]).collect();
        let made = builder.push_all(op, &inputs).expect("rules keep a graph well-formed");
        names.extend(outputs.into_iter().zip(made));
    }
    builder.finish(&graph.output.name, names[&graph.output.value]).expect("rules keep a graph well-formed")
}
