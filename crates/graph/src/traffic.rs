//! What a graph moves: the bytes that its operators read and write.

use crate::{Graph, KvType, Layout, Limits, Node, Op, Plan, ValueId};

/// Bytes moved by a decode step of one row whose output is wanted, and which sees 512 positions: that many numbers for each
/// head are in what attention's parts hand to each other. The layers' memories are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Operators, each a pass over its values.
    pub nodes: usize,
    /// Bytes of values read.
    pub read: usize,
    /// Bytes of values written.
    pub written: usize,
    /// Bytes of weights read, as they are stored: of tables a row, of experts those that are chosen.
    pub weights: usize,
    /// Bytes that all values need at once, by [`Plan`].
    pub arena: usize,
}

impl Traffic {
    /// Counts what `graph` moves on a device with this layout.
    pub fn new(graph: &Graph, layout: &Layout) -> Traffic {
        let nodes = graph.nodes();
        let (kv_type, state_slots) = (KvType::F32, 1);
        let row = Limits { max_tokens: 1, max_outputs: 1, kv_blocks: 32, block_len: 16, kv_type, state_slots };
        let words = |&id: &ValueId| layout.row_words(graph.value(id), &row);
        let bytes = |ids: &[ValueId]| 4 * ids.iter().map(words).sum::<usize>();
        Traffic {
            nodes: nodes.len(),
            read: nodes.iter().map(|node| bytes(&node.inputs)).sum(),
            written: nodes.iter().map(|node| bytes(&node.outputs)).sum(),
            weights: nodes.iter().map(|node| weight_bytes(graph, node)).sum(),
            arena: 4 * Plan::new(graph, layout, &row).words,
        }
    }
}

fn weight_bytes(graph: &Graph, node: &Node) -> usize {
    let bytes = |id| graph.weight(id).bytes().unwrap_or(0);
    let slots = || graph.value(node.inputs[1]).width;
    match node.op {
        Op::Embed { table } | Op::EmbedPositions { table } | Op::EmbedTypes { table } => {
            bytes(table) / graph.weight(table).shape.rows
        }
        Op::ExpertLinear { weight } => bytes(weight) / graph.weight(weight).shape.outer * slots(),
        Op::ExpertBias { bias } => bytes(bias) / graph.weight(bias).shape.rows * slots(),
        ref op => op.weights().into_iter().map(bytes).sum(),
    }
}
