//! The buffer plan: where in one arena each value lives while it is needed.

use std::collections::BTreeMap;

use crate::{Graph, Limits, Node, Rows, ValueId};

/// Values start at multiples of this many words: 64 bytes, a cache line.
const ALIGN: usize = 16;

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
/// A value has room for the limits' rows (`max_tokens` or `max_outputs`) times the words of a row; a smaller batch uses the front
/// of it. Starts are multiples of 16 words. The logits stay until the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Words the arena needs; `usize::MAX` if that is too large to count.
    pub words: usize,
    /// Where the logits start.
    pub logits: usize,
}

impl Plan {
    /// Plans `graph` for batches up to `limits`.
    pub fn new(graph: &Graph, limits: &Limits) -> Plan {
        let last = last_uses(graph);
        let mut places = Places { graph, limits, starts: vec![0; graph.values().len()], arena: Arena::default() };
        let steps = graph.nodes().iter().enumerate().map(|(i, node)| places.step(i, node, &last)).collect();
        Plan { steps, words: places.arena.words, logits: places.starts[graph.logits().index()] }
    }
}

/// Words that a value takes, up to the next aligned start.
fn words(graph: &Graph, limits: &Limits, id: ValueId) -> usize {
    let info = graph.value(id);
    let rows = match info.rows {
        Rows::Tokens => limits.max_tokens,
        Rows::Outputs => limits.max_outputs,
    };
    let words = rows.saturating_mul(info.words()).max(1);
    words.checked_next_multiple_of(ALIGN).unwrap_or(usize::MAX)
}

/// The node after which each value is not needed any more: its last reader, or its maker if there is none.
fn last_uses(graph: &Graph) -> Vec<usize> {
    let mut last = vec![0; graph.values().len()];
    for (i, node) in graph.nodes().iter().enumerate() {
        for id in node.inputs.iter().chain(&node.outputs) {
            last[id.index()] = i;
        }
    }
    last[graph.logits().index()] = usize::MAX;
    last
}

/// Where the values made so far are.
struct Places<'a> {
    graph: &'a Graph,
    limits: &'a Limits,
    starts: Vec<usize>,
    arena: Arena,
}

impl Places<'_> {
    fn step(&mut self, i: usize, node: &Node, last: &[usize]) -> Step {
        let inputs = node.inputs.iter().map(|id| self.starts[id.index()]).collect();
        let mut dying: Vec<ValueId> = node.inputs.iter().copied().filter(|id| last[id.index()] == i).collect();
        dying.sort_unstable();
        dying.dedup();
        let mut place = self.in_place(node, &mut dying);
        for &output in &node.outputs {
            let start = place.take().unwrap_or_else(|| self.arena.take(self.words(output)));
            self.starts[output.index()] = start;
        }
        dying.extend(node.outputs.iter().filter(|id| last[id.index()] == i));
        for id in dying {
            self.arena.give(self.starts[id.index()], self.words(id));
        }
        let outputs = node.outputs.iter().map(|id| self.starts[id.index()]).collect();
        Step { node: i, inputs, outputs }
    }

    /// The first input's place, if the operator may overwrite it and nothing else needs it: it is then no longer dying.
    fn in_place(&self, node: &Node, dying: &mut Vec<ValueId>) -> Option<usize> {
        let (first, rest) = node.inputs.split_first()?;
        let at = dying.iter().position(|id| id == first)?;
        if !node.op.in_place() || rest.contains(first) {
            return None;
        }
        Some(self.starts[dying.remove(at).index()])
    }

    fn words(&self, id: ValueId) -> usize {
        words(self.graph, self.limits, id)
    }
}

/// The free parts of the arena, start to length: never empty, never touching.
#[derive(Default)]
struct Arena {
    free: BTreeMap<usize, usize>,
    words: usize,
}

impl Arena {
    /// The smallest free part that is large enough; else the end of the arena, which grows.
    fn take(&mut self, len: usize) -> usize {
        let best = self.free.iter().filter(|&(_, &room)| room >= len).min_by_key(|&(_, &room)| room);
        let (start, room) = match best {
            Some((&start, &room)) => (start, room),
            None => self.grow(len),
        };
        self.free.remove(&start);
        if room > len {
            self.free.insert(start.saturating_add(len), room - len);
        }
        start
    }

    /// A part of at least `len` words at the end, of which what was free there already is a part.
    fn grow(&mut self, len: usize) -> (usize, usize) {
        let tail = self.free.last_key_value().filter(|&(&start, &room)| start.saturating_add(room) == self.words);
        let start = tail.map_or(self.words, |(&start, _)| start);
        self.words = start.saturating_add(len);
        (start, len)
    }

    fn give(&mut self, mut start: usize, mut len: usize) {
        if let Some((&before, &room)) = self.free.range(..start).next_back()
            && before.saturating_add(room) == start
        {
            self.free.remove(&before);
            (start, len) = (before, room.saturating_add(len));
        }
        if let Some(room) = self.free.remove(&start.saturating_add(len)) {
            len = len.saturating_add(room);
        }
        self.free.insert(start, len);
    }
}
