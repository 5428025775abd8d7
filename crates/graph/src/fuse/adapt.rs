//! The graph for batches with adapters: the sums of products come out before anything is made of them.

use crate::{Elem, End, Graph, Node, Op, Product, ValueId, WeightId};

use super::rewrite::rebuild;

/// The graph with an [`Op::Adapt`] after every product of a matrix, before what a fused product does with its sums. It has the
/// weights and memories of `graph`. Rows without an adapter have the numbers that `graph` gives them.
pub fn adapted(graph: &Graph) -> Graph {
    let mut open = Open { next: graph.values.len() as u32 };
    rebuild(graph, graph.nodes.iter().flat_map(|node| open.node(node)))
}

/// Opens products.
struct Open {
    /// The next value that has no name.
    next: u32,
}

impl Open {
    fn node(&mut self, node: &Node) -> Vec<Node> {
        match &node.op {
            &Op::Linear { weight } => self.products(&single(weight), node),
            Op::Product(product) => self.products(product, node),
            _ => vec![node.clone()],
        }
    }

    fn products(&mut self, product: &Product, Node { inputs, outputs, .. }: &Node) -> Vec<Node> {
        let Some(&x) = inputs.last() else { return vec![] };
        let sums: Vec<ValueId> = product.weights.iter().map(|_| self.fresh()).collect();
        let stored = product.end == End::Store;
        let given: Vec<ValueId> = if stored { outputs.clone() } else { sums.iter().map(|_| self.fresh()).collect() };
        let op = match (&product.weights[..], &product.biases[..]) {
            (&[weight], [None]) => Op::Linear { weight },
            _ => Op::Product(Product { end: End::Store, quantize: false, ..product.clone() }),
        };
        let mut nodes = vec![Node { op, inputs: vec![x], outputs: sums.clone() }];
        for ((&weight, &sum), &given) in product.weights.iter().zip(&sums).zip(&given) {
            nodes.push(Node { op: Op::Adapt { weight }, inputs: vec![sum, x], outputs: vec![given] });
        }
        let ends = match product.end {
            End::Store => return nodes,
            End::Add => Node { op: Op::Add, inputs: vec![inputs[0], given[0]], outputs: outputs.clone() },
            End::Glu(act) => Node { op: Op::Glu { act }, inputs: given, outputs: outputs.clone() },
        };
        if product.quantize {
            let whole = self.fresh();
            nodes.push(Node { outputs: vec![whole], ..ends });
            nodes.push(Node {
                op: Op::Quantize { span: Elem::Q8_BLOCK },
                inputs: vec![whole],
                outputs: outputs.clone(),
            });
        } else {
            nodes.push(ends);
        }
        nodes
    }

    fn fresh(&mut self) -> ValueId {
        self.next += 1;
        ValueId(self.next - 1)
    }
}

fn single(weight: WeightId) -> Product {
    Product { weights: vec![weight], biases: vec![None], end: End::Store, quantize: false }
}
