//! The buffer plan: where in one arena each value lives while it is needed.

use std::cmp::Reverse;

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
/// A value has room for the limits' rows (`max_tokens` or `max_outputs`) times the room of a row ([`crate::ValueInfo::room`]);
/// a smaller batch uses the front of it. Starts are multiples of 16 words. The logits stay until the end.
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
    /// Plans `graph` for batches up to `limits`: the largest values first, each at the lowest place that is free while it
    /// lives ("greedy by size", Pisarchyk and Lee 2020), as a place found in the order of the steps leaves holes.
    pub fn new(graph: &Graph, limits: &Limits) -> Plan {
        let (mut rooms, room_of) = rooms(graph, limits);
        let mut order: Vec<usize> = (0..rooms.len()).collect();
        order.sort_by_key(|&i| Reverse(rooms[i].words));
        for (n, &i) in order.iter().enumerate() {
            rooms[i].start = lowest(&rooms[i], order[..n].iter().map(|&other| &rooms[other]));
        }
        let start = |id: &ValueId| rooms[room_of[id.index()]].start;
        let starts = |ids: &[ValueId]| ids.iter().map(start).collect();
        let step = |(node, Node { inputs, outputs, .. }): (usize, &Node)| Step {
            node,
            inputs: starts(inputs),
            outputs: starts(outputs),
        };
        Plan {
            steps: graph.nodes().iter().enumerate().map(step).collect(),
            words: rooms.iter().map(Room::end).max().unwrap_or(0),
            logits: start(&graph.logits()),
        }
    }
}

/// A part of the arena while one value lives, or several that are computed in place of each other.
struct Room {
    words: usize,
    /// The node that makes the first value.
    first: usize,
    /// The last node that reads the last value.
    last: usize,
    start: usize,
}

impl Room {
    fn end(&self) -> usize {
        self.start.saturating_add(self.words)
    }

    fn lives_with(&self, other: &Room) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// All rooms, not placed yet, and the room of each value.
fn rooms(graph: &Graph, limits: &Limits) -> (Vec<Room>, Vec<usize>) {
    let last = last_uses(graph);
    let (mut rooms, mut room_of): (Vec<Room>, _) = (vec![], vec![0; graph.values().len()]);
    for (i, node) in graph.nodes().iter().enumerate() {
        let mut given = overwritten(node).filter(|id| last[id.index()] == i).map(|id| room_of[id.index()]);
        for id in &node.outputs {
            let last = last[id.index()];
            room_of[id.index()] = given.take().unwrap_or(rooms.len());
            match rooms.get_mut(room_of[id.index()]) {
                Some(room) => room.last = last,
                None => rooms.push(Room { words: words(graph, limits, *id), first: i, last, start: 0 }),
            }
        }
    }
    (rooms, room_of)
}

/// The input in whose place the first output may be computed, if nothing else needs it.
fn overwritten(node: &Node) -> Option<&ValueId> {
    let (first, rest) = node.inputs.split_first()?;
    (node.op.in_place() && !rest.contains(first)).then_some(first)
}

/// The lowest start where `room` is clear of those of the `placed` that live with it.
fn lowest<'r>(room: &Room, placed: impl Iterator<Item = &'r Room>) -> usize {
    let mut taken: Vec<&Room> = placed.filter(|other| other.lives_with(room)).collect();
    taken.sort_by_key(|other| other.start);
    let mut start = 0;
    for other in taken {
        if other.start.saturating_sub(start) >= room.words {
            break;
        }
        start = start.max(other.end());
    }
    start
}

/// Words that a value takes, up to the next aligned start.
fn words(graph: &Graph, limits: &Limits, id: ValueId) -> usize {
    let info = graph.value(id);
    let rows = match info.rows {
        Rows::Tokens => limits.max_tokens,
        Rows::Outputs => limits.max_outputs,
    };
    let words = rows.saturating_mul(info.room(limits)).max(1);
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
