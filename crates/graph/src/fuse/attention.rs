//! What comes before attention.

use crate::{Graph, Node, Op, ValueId};

use super::rewrite::{Rewrite, View};

/// The new operator stands where the last of the three stood, before anything that reads the queries.
pub(super) fn rope_kv<'v>(view: &'v View<'v>, i: usize) -> Option<Rewrite<'v>> {
    let Node { op: Op::KvWrite { layer }, inputs, .. } = view.node(i) else { return None };
    let (k, v, q) = (inputs[0], inputs[1], queries(view.graph, *layer)?);
    view.sole_reader(k)?;
    let (turn_q, turn_k) = (view.maker(q), view.maker(k));
    let Op::Rope(rope) = &view.node(turn_k).op else { return None };
    let at = i.max(turn_q);
    if view.node(turn_q).op != view.node(turn_k).op || view.readers(q).iter().any(|&reader| reader < at) {
        return None;
    }
    let op = Op::RopeKvWrite { rope: rope.clone(), layer: *layer };
    let given = [view.node(turn_q).inputs[0], view.node(turn_k).inputs[0], v];
    Some(Rewrite::new(view).remove([i, turn_q, turn_k]).replace(at, op, &given, &[q]))
}

/// What the first attention over the layer reads.
fn queries(graph: &Graph, layer: usize) -> Option<ValueId> {
    let of_layer = |node: &&Node| matches!(&node.op, Op::Attention(attention) if attention.layer == layer);
    graph.nodes().iter().find(of_layer).map(|node| node.inputs[0])
}
