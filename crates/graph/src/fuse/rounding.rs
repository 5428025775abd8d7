//! Inputs of quantized products, rounded to 8 bits: once, and where they are made.

use crate::{Elem, End, Op, Product, WeightId};

use super::rewrite::{Rewrite, View};

pub(super) fn quantize<'v>(view: &'v View<'v>, i: usize) -> Option<Rewrite<'v>> {
    let x = operand(view, i).map(|n| view.node(i).inputs[n])?;
    let of_x = |&at: &usize| operand(view, at).filter(|&n| view.node(at).inputs[n] == x).map(|n| (at, n));
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
    Some(readers.iter().fold(Rewrite::new(view), read).derive(i, Op::Quantize, x, rounded))
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

/// `op` at `i` gives at once what a [`Op::Quantize`] alone makes of the node's result.
fn rounded<'v>(view: &'v View<'v>, i: usize, op: Op) -> Option<Rewrite<'v>> {
    let node = view.node(i);
    let at = view.sole_reader(node.outputs[0]).filter(|&at| view.node(at).op == Op::Quantize)?;
    Some(Rewrite::new(view).replace(i, op, &node.inputs, &view.node(at).outputs).remove([at]))
}

/// Which input of the node is multiplied with quantized weights, if it is not rounded yet and can be.
fn operand(view: &View, i: usize) -> Option<usize> {
    let node = view.node(i);
    let quantized = |id: &WeightId| view.graph.weight(*id).quantized();
    let n = match &node.op {
        Op::Linear { weight } | Op::ExpertLinear { weight } | Op::HeadLinear { weight } if quantized(weight) => 0,
        Op::Product(product) if quantized(&product.weights[0]) => usize::from(product.end == End::Add),
        _ => return None,
    };
    let x = view.graph.value(node.inputs[n]);
    (x.elem == Elem::F32 && x.width.is_multiple_of(Elem::Q8_BLOCK)).then_some(n)
}
