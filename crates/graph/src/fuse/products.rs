//! Products that do more at once: several matrices, biases, what follows them.

use crate::{End, Node, Op, Product, ValueId};

use super::rewrite::{Rewrite, View};

pub(super) fn bias<'v>(view: &'v View<'v>, i: usize) -> Option<Rewrite<'v>> {
    let (product, sum) = single(view, i)?;
    let at = view.sole_reader(sum)?;
    let Op::AddBias { bias } = view.node(at).op else { return None };
    if product.biases[0].is_some() {
        return None;
    }
    let op = Op::Product(Product { biases: vec![Some(bias)], ..product });
    Some(Rewrite::new(view).replace(i, op, &view.node(i).inputs, &view.node(at).outputs).remove([at]))
}

/// The product takes the place of the first of them, so that all results are there before they are read.
pub(super) fn siblings<'v>(view: &'v View<'v>, i: usize) -> Option<Rewrite<'v>> {
    let kind = |i| stored(view, i).map(|product| (view.graph.weight(product.weights[0]).span(), gated(view, i)));
    let (mine, x) = (kind(i)?, view.node(i).inputs[0]);
    let alike: Vec<usize> = view.readers(x).iter().copied().filter(|&at| kind(at) == Some(mine)).collect();
    if alike.len() < 2 || alike[0] != i {
        return None;
    }
    let products: Vec<Product> = alike.iter().filter_map(|&at| stored(view, at)).collect();
    let op = Op::Product(Product {
        weights: products.iter().flat_map(|p| p.weights.clone()).collect(),
        biases: products.iter().flat_map(|p| p.biases.clone()).collect(),
        end: End::Store,
        quantize: false,
    });
    let outputs: Vec<ValueId> = alike.iter().flat_map(|&at| view.node(at).outputs.clone()).collect();
    let rewrite = alike.iter().fold(Rewrite::new(view), |rewrite, &at| rewrite.remove([at]));
    Some(rewrite.replace(i, op, &[x], &outputs))
}

pub(super) fn glu<'v>(view: &'v View<'v>, i: usize) -> Option<Rewrite<'v>> {
    let (mut product, node) = (stored(view, i)?, view.node(i));
    let at = gated(view, i)?;
    let (Op::Glu { act }, [first, _]) = (&view.node(at).op, &node.outputs[..]) else { return None };
    if view.node(at).inputs[0] != *first {
        product.weights.reverse();
        product.biases.reverse();
    }
    let op = Op::Product(Product { end: End::Glu(*act), ..product });
    Some(Rewrite::new(view).replace(i, op, &node.inputs, &view.node(at).outputs).remove([at]))
}

/// The product takes the place of the addition, where the residual is there.
pub(super) fn residual<'v>(view: &'v View<'v>, i: usize) -> Option<Rewrite<'v>> {
    let (product, sum) = single(view, i)?;
    let at = view.sole_reader(sum)?;
    let Node { op: Op::Add, inputs, outputs } = view.node(at) else { return None };
    let residual = if inputs[0] == sum { inputs[1] } else { inputs[0] };
    let op = Op::Product(Product { end: End::Add, ..product });
    Some(Rewrite::new(view).remove([i]).replace(at, op, &[residual, view.node(i).inputs[0]], outputs))
}

/// The product at `i`, a [`Op::Linear`] or not, if its sums are stored as they are.
fn stored(view: &View, i: usize) -> Option<Product> {
    match &view.node(i).op {
        Op::Product(product) if product.end == End::Store && !product.quantize => Some(product.clone()),
        &Op::Linear { weight } => {
            Some(Product { weights: vec![weight], biases: vec![None], end: End::Store, quantize: false })
        }
        _ => None,
    }
}

/// As [`stored`] if it is of one matrix, and its result.
fn single(view: &View, i: usize) -> Option<(Product, ValueId)> {
    let product = stored(view, i)?;
    let [sum] = view.node(i).outputs[..] else { return None };
    Some((product, sum))
}

/// The gated activation that alone reads what the node gives. Its two products stay apart from others of the same input.
fn gated(view: &View, i: usize) -> Option<usize> {
    let mut readers = view.node(i).outputs.iter().map(|&id| view.sole_reader(id));
    let first = readers.next()??;
    let glu = matches!(view.node(first).op, Op::Glu { .. }) && readers.all(|reader| reader == Some(first));
    glu.then_some(first)
}
