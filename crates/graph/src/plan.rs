//! The buffer plan: where in one arena each value lives while it is needed.

use std::cmp::Reverse;

use crate::{Graph, Layout, Limits, Node, Rows, ValueId};

/// One node with the places of its values in the arena, in 4-byte words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index into [`Graph::nodes`].
    pub node: usize,
    /// Where each input starts.
    pub inputs: Vec<usize>,
    /// Where each output starts. The first may be where the first input starts for the operators of
    /// [`crate::Op::in_place`]; else none overlaps an input.
    pub outputs: Vec<usize>,
}

/// Every step with its places; values that are not needed at the same time share memory.
///
/// A value has room for the limits' rows (`max_tokens` or `max_outputs`) times the words of a row ([`Layout::row_words`]);
/// a smaller batch uses the front of it. Starts are multiples of [`Layout::align`]. The output stays until the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Words the arena needs; `usize::MAX` if that is too large to count.
    pub words: usize,
    /// Where the graph's output starts.
    pub output: usize,
}

impl Plan {
    /// Plans `graph` for batches up to `limits`, with values laid out as `layout` says: the largest values first, each at the lowest place that is free while it
    /// lives ("greedy by size", Pisarchyk and Lee 2020), as a place found in the order of the steps leaves holes.
    pub fn new(graph: &Graph, layout: &Layout, limits: &Limits) -> Plan {
        let (mut buffers, buffer_of) = buffers(graph, |id| words(graph, layout, limits, id));
        let mut order: Vec<usize> = (0..buffers.len()).collect();
        order.sort_by_key(|&i| Reverse(buffers[i].words));
        for (n, &i) in order.iter().enumerate() {
            buffers[i].start = lowest(&buffers[i], order[..n].iter().map(|&other| &buffers[other]));
        }
        let start = |id: &ValueId| buffers[buffer_of[id.index()]].start;
        let starts = |ids: &[ValueId]| ids.iter().map(start).collect();
        let step = |(node, Node { inputs, outputs, .. }): (usize, &Node)| Step {
            node,
            inputs: starts(inputs),
            outputs: starts(outputs),
        };
        Plan {
            steps: graph.nodes().iter().enumerate().map(step).collect(),
            words: buffers.iter().map(Buffer::end).max().unwrap_or(0),
            output: start(&graph.output().value),
        }
    }
}

/// A part of the arena while one value lives, or several that are computed in place of each other.
struct Buffer {
    words: usize,
    /// The node that makes the first value.
    first: usize,
    /// The last node that reads the last value.
    last: usize,
    start: usize,
}

impl Buffer {
    fn end(&self) -> usize {
        self.start.saturating_add(self.words)
    }

    fn lives_with(&self, other: &Buffer) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// All buffers, not placed yet, and the buffer of each value.
fn buffers(graph: &Graph, words: impl Fn(ValueId) -> usize) -> (Vec<Buffer>, Vec<usize>) {
    let last = last_uses(graph);
    let (mut buffers, mut buffer_of): (Vec<Buffer>, _) = (vec![], vec![0; graph.values().len()]);
    for (i, node) in graph.nodes().iter().enumerate() {
        let mut given = overwritten(node).filter(|id| last[id.index()] == i).map(|id| buffer_of[id.index()]);
        for id in &node.outputs {
            let last = last[id.index()];
            buffer_of[id.index()] = given.take().unwrap_or(buffers.len());
            match buffers.get_mut(buffer_of[id.index()]) {
                Some(buffer) => buffer.last = last,
                None => buffers.push(Buffer { words: words(*id), first: i, last, start: 0 }),
            }
        }
    }
    (buffers, buffer_of)
}

/// The input in whose place the first output may be computed, if nothing else needs it.
fn overwritten(node: &Node) -> Option<&ValueId> {
    let (first, rest) = node.inputs.split_first()?;
    (node.op.in_place() && !rest.contains(first)).then_some(first)
}

/// The lowest start where `buffer` is clear of those of the `placed` that live with it.
fn lowest<'b>(buffer: &Buffer, placed: impl Iterator<Item = &'b Buffer>) -> usize {
    let mut taken: Vec<&Buffer> = placed.filter(|other| other.lives_with(buffer)).collect();
    taken.sort_by_key(|other| other.start);
    let mut start = 0;
    for other in taken {
        if other.start.saturating_sub(start) >= buffer.words {
            break;
        }
        start = start.max(other.end());
    }
    start
}

/// Words that a value takes, up to the next aligned start.
fn words(graph: &Graph, layout: &Layout, limits: &Limits, id: ValueId) -> usize {
    let info = graph.value(id);
    let rows = match info.rows {
        Rows::Tokens => limits.max_tokens,
        Rows::Outputs => limits.max_outputs,
    };
    let words = rows.saturating_mul(layout.row_words(info, limits)).max(1);
    words.checked_next_multiple_of(layout.align).unwrap_or(usize::MAX)
}

/// The node after which each value is not needed any more: its last reader, or its maker if there is none.
fn last_uses(graph: &Graph) -> Vec<usize> {
    let mut last = vec![0; graph.values().len()];
    for (i, node) in graph.nodes().iter().enumerate() {
        for id in node.inputs.iter().chain(&node.outputs) {
            last[id.index()] = i;
        }
    }
    last[graph.output().value.index()] = usize::MAX;
    last
}
