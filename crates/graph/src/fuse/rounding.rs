//! Inputs of quantized products, rounded to 8 bits: once, and where they are made.

use crate::{Elem, End, Op, Product};

use super::rewrite::{Rewrite, View};

pub(super) fn quantize<'v>(view: &'v View<'v>, i: usize) -> Option<Rewrite<'v>> {
    let (n, span) = operand(view, i)?;
    let x = view.node(i).inputs[n];
    let alike = |at: usize, n: usize, other: usize| other == span && view.node(at).inputs[n] == x;
    let of_x = |&at: &usize| operand(view, at).filter(|&(n, other)| alike(at, n, other)).map(|(n, _)| (at, n));
    let readers: Vec<(usize, usize)> = view.readers(x).iter().filter_map(of_x).collect();
    if readers[0].0 != i {
        return None;
    }
    let rounded = view.fresh(x);
    let read = |rewrite: Rewrite<'v>, &(at, n): &(usize, usize)| {
        let node = view.node(at);
        let mut inputs = node.inputs.clone();
        inputs[n] = rounded;
        rewrite.replace(at, node.op.clone(), &inputs, &node.outputs)
    };
    Some(readers.iter().fold(Rewrite::new(view), read).derive(i, Op::Quantize { span }, x, rounded))
}

pub(super) fn norm_quantize<'v>(view: &'v View<'v>, i: usize) -> Option<Rewrite<'v>> {
    let node = view.node(i);
    let Op::RmsNorm { weight, eps, quantize: false } = node.op else { return None };
    let whole = view.graph.weight(weight).shape.cols == view.graph.value(node.outputs[0]).width;
    if whole { rounded(view, i, Op::RmsNorm { weight, eps, quantize: true }) } else { None }
}

pub(super) fn mlp<'v>(view: &'v View<'v>, i: usize) -> Option<Rewrite<'v>> {
    match &view.node(i).op {
        Op::Product(product) if matches!(product.end, End::Glu(_)) => {
            rounded(view, i, Op::Product(Product { quantize: true, ..product.clone() }))
        }
        _ => None,
    }
}

/// `op` at `i` gives at once what a [`Op::Quantize`] alone makes of the node's result. Not of whole rows: an operator that computes parts of
/// a row would need the largest number of all of them first.
fn rounded<'v>(view: &'v View<'v>, i: usize, op: Op) -> Option<Rewrite<'v>> {
    let node = view.node(i);
    let at = view.sole_reader(node.outputs[0]).filter(|&at| view.node(at).op == BLOCKS)?;
    Some(Rewrite::new(view).replace(i, op, &node.inputs, &view.node(at).outputs).remove([at]))
}

const BLOCKS: Op = Op::Quantize { span: Elem::Q8_BLOCK };

/// Which input of the node is multiplied with quantized weights, and the columns of it that are rounded together, if it is not rounded
/// yet and can be.
fn operand(view: &View, i: usize) -> Option<(usize, usize)> {
    let node = view.node(i);
    let (n, weight) = match &node.op {
        Op::Linear { weight } | Op::ExpertLinear { weight } | Op::HeadLinear { weight } => (0, weight),
        Op::Product(product) => (usize::from(product.end == End::Add), &product.weights[0]),
        _ => return None,
    };
    let (span, x) = (view.graph.weight(*weight).span()?, view.graph.value(node.inputs[n]));
    (x.elem == Elem::F32 && x.width.is_multiple_of(span)).then_some((n, span))
}
