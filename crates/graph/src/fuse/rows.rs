//! Fewer rows: what is selected is selected as early as it can be.

use crate::{Op, ValueId};

use super::rewrite::{Rewrite, View};

/// An operator whose results are only wanted for the sampled rows is given only these. As every reader of its results
/// must be a selection, nothing is computed twice.
pub(super) fn select_early<'v>(view: &'v View<'v>, i: usize) -> Option<Rewrite<'v>> {
    let node = view.node(i);
    if !row_wise(&node.op) {
        return None;
    }
    let selections = node.outputs.iter().map(|&id| selection(view, id)).collect::<Option<Vec<usize>>>()?;
    let outputs: Vec<ValueId> = selections.iter().map(|&at| view.node(at).outputs[0]).collect();
    let already = |id| view.readers(id).iter().copied().find(|&at| view.node(at).op == Op::SelectOutputs);
    let selected = |id| already(id).map_or(view.fresh(id), |at| view.node(at).outputs[0]);
    let inputs: Vec<ValueId> = node.inputs.iter().copied().map(selected).collect();
    let mut rewrite = Rewrite::new(view).remove(selections).replace(i, node.op.clone(), &inputs, &outputs);
    for (n, &input) in node.inputs.iter().enumerate() {
        if !node.inputs[..n].contains(&input) && already(input).is_none_or(|at| at > i) {
            rewrite = rewrite.remove(already(input)).derive(i, Op::SelectOutputs, input, inputs[n]);
        }
    }
    Some(rewrite)
}

/// The selection that alone reads the value.
fn selection(view: &View, id: ValueId) -> Option<usize> {
    view.sole_reader(id).filter(|&at| view.node(at).op == Op::SelectOutputs)
}

/// Whether each row of the result depends on the same row of the inputs alone, and nothing else happens.
fn row_wise(op: &Op) -> bool {
    use Op::{Attention, Embed, EmbedPositions, EmbedTypes, Grow, Input, Rope, Scores, SelectOutputs, Softmax, Weigh};
    let looks_at_positions =
        matches!(op, Attention(_) | Scores { .. } | Softmax { .. } | Weigh { .. } | Rope(_) | Grow(_));
    !looks_at_positions
        && op.writes().is_none()
        && !matches!(op, Embed { .. } | EmbedPositions { .. } | EmbedTypes { .. } | Input { .. } | SelectOutputs)
}
