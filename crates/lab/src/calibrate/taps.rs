//! A model's graph with another output: the inputs of all its matrices, side by side.
//!
//! Operators are data, so that any backend can be observed: nothing in it knows of calibration.

use std::ops::Range;

use graph::{Graph, GraphBuilder, Node, Op, Rows, ValueId, WeightId};

use crate::Error;

/// A graph whose output is what its taps read.
pub(crate) struct Tapped {
    pub(crate) graph: Graph,
    pub(crate) taps: Vec<Tap>,
}

/// The input of some weights.
pub(crate) struct Tap {
    /// Where it is in a row of the output.
    pub(crate) columns: Range<usize>,
    /// The weights that are multiplied with it.
    pub(crate) weights: Vec<String>,
    reader: Reader,
}

/// Which matrix reads which part of the input.
#[derive(Clone, Debug, PartialEq)]
enum Reader {
    /// One matrix reads all.
    One,
    /// A matrix for each head, each its own columns.
    Heads(usize),
    /// Of so many experts the best `k` by the scores at a place; all read the same columns, or each its own.
    Experts { count: usize, k: usize, scores: Range<usize>, own: bool },
}

impl Tap {
    /// How many matrices read it.
    pub(super) fn matrices(&self) -> usize {
        match &self.reader {
            Reader::One => 1,
            Reader::Heads(count) | Reader::Experts { count, .. } => *count,
        }
    }

    /// Columns of one matrix.
    pub(super) fn cols(&self) -> usize {
        match &self.reader {
            Reader::Heads(parts) | Reader::Experts { k: parts, own: true, .. } => self.columns.len() / parts,
            _ => self.columns.len(),
        }
    }

    /// Calls `each` with every matrix that reads an input of a row, and the input.
    pub(super) fn inputs(&self, row: &[f32], mut each: impl FnMut(usize, &[f32])) {
        let input = &row[self.columns.clone()];
        match &self.reader {
            Reader::One => each(0, input),
            Reader::Heads(_) => input.chunks_exact(self.cols()).enumerate().for_each(|(head, x)| each(head, x)),
            Reader::Experts { k, scores, .. } => {
                let chosen = best(&row[scores.clone()], *k);
                let inputs = input.chunks_exact(self.cols()).cycle();
                chosen.into_iter().zip(inputs).for_each(|(expert, x)| each(expert, x));
            }
        }
    }
}

/// The `k` largest, largest first; of equals the first: as [`Op::TopK`] chooses.
fn best(scores: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(k);
    order
}

impl Tapped {
    /// The inputs of all matrices of `graph`, which is as it was built.
    ///
    /// # Errors
    /// If it has no matrices, or was rewritten.
    pub(crate) fn new(graph: &Graph) -> Result<Tapped, Error> {
        let mut values = Values::default();
        let mut taps: Vec<(ValueId, Tap)> = Vec::new();
        for node in graph.nodes() {
            let Some((weight, reader)) = matrix(graph, node, &mut values) else { continue };
            let (input, name) = (node.inputs[0], graph.weight(weight).name.clone());
            match taps.iter_mut().find(|(value, tap)| *value == input && tap.reader == reader) {
                Some((_, tap)) => tap.weights.push(name),
                None => {
                    let columns = values.place(graph, input);
                    taps.push((input, Tap { columns, weights: vec![name], reader }));
                }
            }
        }
        let taps = taps.into_iter().map(|(_, tap)| tap).collect();
        Ok(Tapped { graph: values.side_by_side(graph)?, taps })
    }
}

/// The matrix that a node multiplies rows with, and who reads them.
fn matrix(graph: &Graph, node: &Node, values: &mut Values) -> Option<(WeightId, Reader)> {
    let seen = |id: &ValueId| graph.value(*id).rows == Rows::Tokens;
    match &node.op {
        Op::Linear { weight } if seen(&node.inputs[0]) => Some((*weight, Reader::One)),
        Op::HeadLinear { weight } if seen(&node.inputs[0]) => {
            Some((*weight, Reader::Heads(graph.weight(*weight).shape.outer)))
        }
        Op::ExpertLinear { weight } if seen(&node.inputs[0]) => {
            let chooses = graph.nodes().iter().find(|other| other.outputs.contains(&node.inputs[1]))?;
            let Op::TopK { k } = chooses.op else { return None };
            let shape = graph.weight(*weight).shape;
            let own = k > 1 && graph.value(node.inputs[0]).width == k * shape.cols;
            let scores = values.place(graph, chooses.inputs[0]);
            Some((*weight, Reader::Experts { count: shape.outer, k, scores, own }))
        }
        _ => None,
    }
}

/// Values that are to be seen, and where they are in a row of the output.
#[derive(Default)]
struct Values(Vec<(ValueId, Range<usize>)>);

impl Values {
    fn place(&mut self, graph: &Graph, value: ValueId) -> Range<usize> {
        if let Some((_, columns)) = self.0.iter().find(|(id, _)| *id == value) {
            return columns.clone();
        }
        let first = self.0.last().map_or(0, |(_, columns)| columns.end);
        let columns = first..first + graph.value(value).width;
        self.0.push((value, columns.clone()));
        columns
    }

    /// The graph up to the last of them, and all of them in one row.
    fn side_by_side(self, graph: &Graph) -> Result<Graph, Error> {
        let made = |id: &ValueId| graph.nodes().iter().position(|node| node.outputs.contains(id));
        let last = self.0.iter().map(|(id, _)| *id).max_by_key(made);
        let last = last.ok_or_else(|| Error::Request("the model has no matrices to observe".into()))?;
        let mut builder = GraphBuilder::until(graph, last)?;
        let mut parts: Vec<ValueId> = self.0.into_iter().map(|(id, _)| id).collect();
        // In pairs, pairs of pairs and so on: a value is copied as often as the tree is high.
        while parts.len() > 1 {
            let joined = parts.chunks(2).map(|pair| match pair {
                [a, b] => builder.push(Op::Concat { parts: 1 }, &[*a, *b]),
                _ => Ok(pair[0]),
            });
            parts = joined.collect::<Result<_, _>>()?;
        }
        let all = builder.push(Op::SelectOutputs, &parts)?;
        Ok(builder.finish("inputs of matrices", all)?)
    }
}
