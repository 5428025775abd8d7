//! What a graph moves: the bytes that its operators read and write.

use crate::{Graph, Limits, Node, Op, Plan, ValueId};

/// Bytes moved by a decode step of one row whose logits are wanted, and which sees 512 positions: that many numbers for each
/// head are in what attention's parts hand to each other. The KV cache, whose form the graph does not know, is not counted.
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
    /// Counts what `graph` moves.
    pub fn new(graph: &Graph) -> Traffic {
        let nodes = graph.nodes();
        let row = Limits { max_tokens: 1, max_outputs: 1, kv_blocks: 32, block_len: 16 };
        let bytes = |ids: &[ValueId]| ids.iter().map(|&id| 4 * graph.value(id).room(&row)).sum::<usize>();
        Traffic {
            nodes: nodes.len(),
            read: nodes.iter().map(|node| bytes(&node.inputs)).sum(),
            written: nodes.iter().map(|node| bytes(&node.outputs)).sum(),
            weights: nodes.iter().map(|node| weight_bytes(graph, node)).sum(),
            arena: 4 * Plan::new(graph, &row).words,
        }
    }
}

fn weight_bytes(graph: &Graph, node: &Node) -> usize {
    let bytes = |id| graph.weight(id).bytes().unwrap_or(0);
    let slots = || graph.value(node.inputs[1]).width;
    match node.op {
        Op::Embed { table } => bytes(table) / graph.weight(table).shape.rows,
        Op::ExpertLinear { weight } => bytes(weight) / graph.weight(weight).shape.outer * slots(),
        Op::ExpertBias { bias } => bytes(bias) / graph.weight(bias).shape.rows * slots(),
        ref op => op.weights().into_iter().map(bytes).sum(),
    }
}
