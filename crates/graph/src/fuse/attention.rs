//! Attention, and what comes before it.

use crate::{Attention, Graph, Node, Op, ValueId};

use super::rewrite::{Rewrite, View};

/// The new operator stands where the sum of the values stood; nothing else reads what lies between it and the queries.
pub(super) fn attention<'v>(view: &'v View<'v>, i: usize) -> Option<Rewrite<'v>> {
    let Op::Weigh { layer: of } = view.node(i).op else { return None };
    let softmax = source(view, i)?;
    let Op::Softmax { window, sinks } = view.node(softmax).op else { return None };
    let before = source(view, softmax)?;
    let (softcap, scores) = match view.node(before).op {
        Op::SoftCap { cap } => (Some(cap), source(view, before)?),
        _ => (None, before),
    };
    let Op::Scores { layer, heads, scale } = view.node(scores).op else { return None };
    let op = Op::Attention(Attention { layer, heads, scale, window, causal: true, softcap, sinks });
    let (q, outputs) = (&view.node(scores).inputs, &view.node(i).outputs);
    (layer == of).then(|| Rewrite::new(view).remove([softmax, before, scores]).replace(i, op, q, outputs))
}

/// The node that makes what node `i` reads, if nothing else reads it.
fn source(view: &View, i: usize) -> Option<usize> {
    let x = view.node(i).inputs[0];
    view.sole_reader(x).map(|_| view.maker(x))
}

/// The new operator stands where the last of the three stood, before anything that reads the queries.
pub(super) fn rope_kv<'v>(view: &'v View<'v>, i: usize) -> Option<Rewrite<'v>> {
    let Node { op: Op::KvWrite { layer }, inputs, .. } = view.node(i) else { return None };
    let (k, v, q) = (inputs[0], inputs[1], queries(view.graph, *layer)?);
    view.sole_reader(k)?;
    let (rope_q, rope_k) = (view.maker(q), view.maker(k));
    let Op::Rope(rope) = &view.node(rope_k).op else { return None };
    let at = i.max(rope_q);
    if view.node(rope_q).op != view.node(rope_k).op || view.readers(q).iter().any(|&reader| reader < at) {
        return None;
    }
    let op = Op::RopeKvWrite { rope: rope.clone(), layer: *layer };
    let given = [view.node(rope_q).inputs[0], view.node(rope_k).inputs[0], v];
    Some(Rewrite::new(view).remove([i, rope_q, rope_k]).replace(at, op, &given, &[q]))
}

/// What the first attention over the layer reads, whether it is in parts or not.
fn queries(graph: &Graph, layer: usize) -> Option<ValueId> {
    let of_layer = |node: &&Node| match &node.op {
        Op::Attention(attention) => attention.layer == layer,
        Op::Scores { layer: of, .. } => *of == layer,
        _ => false,
    };
    graph.nodes().iter().find(of_layer).map(|node| node.inputs[0])
}
