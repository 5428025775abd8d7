//! Operators that take each row for itself.

use graph::{Activation, GateScoring, Growth, Node, Op, Squash, WeightId};

use crate::call::{Bind, Extent};
use crate::kernel::{Family, Kernel, acts, experts, rows};

use super::products::count_of;
use super::{Lower, Value};

/// Lanes of a workgroup that share a span of a norm.
const LANES: u32 = 64;

/// Words of `Params` after those of places: n, first, span, x, y, z.
type Rest = [u32; 6];

impl Lower<'_> {
    pub(super) fn rowwise(&mut self, node: &Node) {
        let bits = f32::to_bits;
        match &node.op {
            Op::RmsNorm { weight, eps, .. } => {
                let span = self.elements(*weight);
                self.norm(node, span, [bits(*eps), 0], [0, 0], [Some(*weight), None]);
            }
            Op::UnitNorm { span, eps } => self.norm(node, *span as u32, [bits(*eps), 0], [0, 0], [None, None]),
            Op::LayerNorm { weight, bias, span, eps } => {
                self.norm(node, *span as u32, [bits(*eps), 0], [1, 0], [Some(*weight), *bias]);
            }
            Op::GaussianTopK { deviations } => {
                let width = self.input(node, 0).width;
                self.norm(node, width, [0, bits(*deviations)], [1, 1], [None, None]);
            }
            Op::Glu { act } if self.gate_and_up(node, *act) => {}
            Op::Squash(_) | Op::KeepGroups(_) | Op::TopK { .. } | Op::GateWeights { .. } => self.choice(node),
            op => {
                let (op, act, weight, rest) = self.element(op, node);
                self.elementwise(node, (op, act), weight, rest);
            }
        }
    }

    /// Which kernel computes an operator that takes each element for itself, with its activation, weight and parameters.
    fn element(&self, op: &Op, node: &Node) -> (u32, u32, Option<WeightId>, Rest) {
        let (bits, width) = (f32::to_bits, self.output(node, 0).width);
        let other = |i: usize| self.input(node, i).width;
        match op {
            Op::Add => (rows::ADD, 0, None, [0; 6]),
            Op::Mul => (rows::MUL, 0, None, [0, 0, width / other(1), 0, 0, 0]),
            Op::Scale { by } => (rows::SCALE, 0, None, [0, 0, 0, bits(*by), 0, 0]),
            Op::ScaleBy { weight } => (rows::SCALE_BY, 0, Some(*weight), [self.elements(*weight), 0, 0, 0, 0, 0]),
            Op::AddBias { bias } => (rows::ADD_BIAS, 0, Some(*bias), [0; 6]),
            Op::Grow(Growth { rate, every }) => (rows::GROW, 0, None, [*every as u32, 0, 0, bits(*rate), 0, 0]),
            Op::SoftCap { cap } => (rows::SOFT_CAP, 0, None, [0, 0, 0, bits(*cap), 0, 0]),
            Op::Glu { act } => (rows::GLU, activation(*act), None, rest(*act)),
            Op::Activate { act } => (rows::ACTIVATE, activation(*act), None, rest(*act)),
            Op::Slice { span, first, width } => {
                (rows::SLICE, 0, None, [*width as u32, *first as u32, *span as u32, 0, 0, 0])
            }
            Op::Concat { parts } => (rows::CONCAT, 0, None, [*parts as u32, 0, 0, 0, 0, 0]),
            Op::SelectOutputs => (rows::SELECT, 0, None, [0; 6]),
            Op::ExpertBias { bias } => (rows::EXPERT_BIAS, 0, Some(*bias), [0, 0, width / other(1), 0, 0, 0]),
            Op::ExpertScale { scale } => (rows::EXPERT_SCALE, 0, Some(*scale), [0, 0, width / other(1), 0, 0, 0]),
            Op::ExpertSum => (rows::EXPERT_SUM, 0, None, [other(1), 0, 1, 0, 0, 0]),
            other => unreachable!("{} has a kernel of its own", other.name()),
        }
    }

    fn elementwise(&mut self, node: &Node, (op, act): (u32, u32), weight: Option<WeightId>, rest: Rest) {
        let (a, out) = (self.input(node, 0), self.output(node, 0));
        let b = if node.inputs.len() > 1 { self.input(node, 1) } else { a };
        let mut params = vec![a.at, a.width, b.at, b.width, out.at, out.width];
        params.extend(rest);
        let binds = weight.map(|weight| Bind::Weight(weight.index(), 0)).into_iter().collect();
        self.push(Kernel::new(Family::Rows, &[("OP", op), ("ACT", act)]), params, binds, by_element(out));
    }

    fn norm(&mut self, node: &Node, span: u32, numbers: [u32; 2], kind: [u32; 2], weights: [Option<WeightId>; 2]) {
        let (x, out) = (self.input(node, 0), self.output(node, 0));
        let [elements, biases] = weights.map(|weight| weight.map_or(0, |weight| self.elements(weight)));
        let [has_weight, has_bias] = weights.map(|weight| u32::from(weight.is_some()));
        let constants =
            [("LANES", LANES), ("CENTER", kind[0]), ("BEYOND", kind[1]), ("WEIGHT", has_weight), ("BIAS", has_bias)];
        let params = vec![x.at, out.at, x.width, span, elements, biases, numbers[0], numbers[1]];
        let [weight, bias] = weights;
        let weight = weight.map(|weight| Bind::Weight(weight.index(), 0));
        let binds = weight.into_iter().chain(bias.map(|bias| Bind::Second(bias.index()))).collect();
        let grid = [Extent::Fixed(x.width / span), Extent::Rows(out.rows, 1), Extent::Fixed(1)];
        self.push(Kernel::new(Family::Norm, &constants), params, binds, grid);
    }

    /// The operators of a router.
    fn choice(&mut self, node: &Node) {
        let (scores, out) = (self.input(node, 0), self.output(node, 0));
        let ids = if node.inputs.len() > 1 { self.input(node, 1) } else { scores };
        let mut groups = [1, 1, 1];
        let op = match &node.op {
            Op::TopK { .. } => experts::TOP_K,
            Op::KeepGroups(of) => {
                groups = [of.count, of.used, of.best].map(|n| n as u32);
                experts::KEEP_GROUPS
            }
            Op::Squash(Squash::Sigmoid) => experts::SQUASH_SIGMOID,
            Op::Squash(Squash::Softmax) => experts::SQUASH_SOFTMAX,
            Op::GateWeights { scoring } => match scoring {
                GateScoring::SoftmaxChosen => experts::SOFTMAX_CHOSEN,
                GateScoring::SoftmaxAll => experts::SOFTMAX_ALL,
                GateScoring::Kept => experts::KEPT,
                GateScoring::Shared => experts::SHARED,
            },
            other => unreachable!("{} is no operator of a router", other.name()),
        };
        let params =
            [&[scores.at, ids.at, out.at, scores.width, out.width], &groups[..], &[f32::NEG_INFINITY.to_bits()]];
        let kernel = Kernel::new(Family::Experts, &[("OP", op), ("COUNT", count_of(out.rows))]);
        let grid = [Extent::RowsBy(out.rows, 64), Extent::Fixed(1), Extent::Fixed(1)];
        self.push(kernel, params.concat(), vec![], grid);
    }
}

/// A thread for each element, 64 in a group.
fn by_element(out: Value) -> [Extent; 3] {
    [Extent::Fixed(out.width.div_ceil(64)), Extent::Rows(out.rows, 1), Extent::Fixed(1)]
}

pub(super) fn activation(act: Activation) -> u32 {
    match act {
        Activation::Silu => acts::SILU,
        Activation::Sigmoid => acts::SIGMOID,
        Activation::GeluTanh => acts::GELU_TANH,
        Activation::GeluErf => acts::GELU_ERF,
        Activation::Relu => acts::RELU,
        Activation::SquaredRelu => acts::SQUARED_RELU,
        Activation::Softplus => acts::SOFTPLUS,
        Activation::Xielu { .. } => acts::XIELU,
        Activation::ClampedSilu { .. } => acts::CLAMPED_SILU,
    }
}

fn rest(act: Activation) -> Rest {
    let [x, y, z] = parameters(act);
    [0, 0, 0, x, y, z]
}

/// The bits of an activation's numbers.
pub(super) fn parameters(act: Activation) -> [u32; 3] {
    let numbers = match act {
        Activation::Xielu { square, exponential, linear } => [square, exponential, linear],
        Activation::ClampedSilu { alpha, limit } => [alpha, limit, 0.0],
        _ => [0.0; 3],
    };
    numbers.map(f32::to_bits)
}
