//! Operators that remember: keys and values, recurrent states.

use graph::{Attention, GatedDelta, HeadOrder, KvShape, Memory, Node, Op, Rope, Scan, WeightId};

use crate::call::{Bind, Extent};
use crate::kernel::{Family, Kernel, attention, positions, recurrent};
use crate::memories::{head_words, position_words};
use crate::scratch;

use super::{Lower, pairs};

/// Lanes of a workgroup that share the positions that a row sees.
const LANES: u32 = 64;

impl Lower<'_> {
    pub(super) fn layers(&mut self, node: &Node) {
        match &node.op {
            Op::Rope(rope) => self.rotate(node, rope),
            Op::KvWrite { layer } => self.kv_write(node, *layer, None),
            Op::RopeKvWrite { rope, layer } => {
                self.kv_write(node, *layer, Some(rope));
                self.rotate(node, rope);
            }
            Op::Attention(op) => self.attention(node, op),
            Op::Scores { layer, scale, .. } => {
                self.by_position(node, (positions::SCORES, *layer), scale.to_bits(), (None, None));
            }
            Op::Softmax { window, sinks } => {
                self.by_position(node, (positions::SOFTMAX, usize::MAX), 0, (*window, *sinks));
            }
            Op::Weigh { layer } => self.by_position(node, (positions::WEIGH, *layer), 0, (None, None)),
            _ => self.recurrent(node),
        }
    }

    fn rotate(&mut self, node: &Node, rope: &Rope) {
        let (x, out) = (self.input(node, 0), self.output(node, 0));
        let turned = rope.freqs.len() as u32;
        let head_dim = rope.head_dim as u32;
        let params = vec![x.at, out.at, x.width, head_dim, turned, self.rope(rope)];
        let threads = x.width / head_dim * (head_dim - turned);
        let grid = [Extent::Fixed(threads.div_ceil(64)), Extent::Rows(out.rows, 1), Extent::Fixed(1)];
        self.push(Kernel::new(Family::Rope, &[("PAIRS", pairs(rope))]), params, vec![], grid);
    }

    fn kv_write(&mut self, node: &Node, layer: usize, rope: Option<&Rope>) {
        let shape = self.kv(layer);
        let first = usize::from(rope.is_some());
        let (k, v) = (self.input(node, first), self.input(node, first + 1));
        let (turned, table) = rope.map_or((0, 0), |rope| (rope.freqs.len() as u32, self.rope(rope)));
        let (words, threads) = (position_words(shape, self.limits.kv_type), threads(shape, self.limits.kv_type));
        let params = [k.at, v.at, k.width, shape.heads as u32, shape.head_dim as u32, turned, table];
        let rest = [self.limits.block_len as u32, words as u32, threads];
        let constants = [("TURN", u32::from(rope.is_some())), ("PAIRS", rope.map_or(0, pairs))];
        let kernel = Kernel::new(Family::KvWrite, &constants).over(self.limits.kv_type);
        let groups = (threads * shape.heads as u32).div_ceil(64);
        let grid = [Extent::Fixed(groups), Extent::Rows(k.rows, 1), Extent::Fixed(2)];
        self.push(kernel, [&params[..], &rest].concat(), vec![Bind::Keys(layer), Bind::Values(layer)], grid);
    }

    fn attention(&mut self, node: &Node, op: &Attention) {
        let Attention { layer, heads, scale, window, softcap, sinks, .. } = *op;
        let (q, out, shape) = (self.input(node, 0), self.output(node, 0), self.kv(layer));
        let words = position_words(shape, self.limits.kv_type);
        let sizes = [heads, shape.heads, shape.head_dim, self.limits.block_len, words];
        let mut params = vec![q.at, out.at];
        params.extend(sizes.map(|n| n as u32));
        params.extend([seen(window), scale.to_bits(), softcap.unwrap_or(0.0).to_bits(), self.scratch]);
        let constants = |step| {
            [
                ("STEP", step),
                ("LANES", LANES),
                ("UNIT", scratch::UNIT as u32),
                ("HEAD_PAIRS", shape.head_dim.div_ceil(2) as u32),
                ("CAP", u32::from(softcap.is_some())),
                ("SINKS", u32::from(sinks.is_some())),
            ]
        };
        let mut binds = vec![Bind::Keys(layer), Bind::Values(layer)];
        binds.extend(sinks.map(|sinks| Bind::Weight(sinks.index(), 0)));
        // Either the first of them computes a batch or the others do.
        let steps =
            [(attention::WHOLE, Extent::Unsplit), (attention::PART, Extent::Parts), (attention::MERGE, Extent::Split)];
        for (step, groups) in steps {
            let kernel = Kernel::new(Family::Attention, &constants(step)).over(self.limits.kv_type);
            self.push(kernel, params.clone(), binds.clone(), [Extent::Fixed(heads as u32), groups, Extent::Fixed(1)]);
        }
    }

    /// A part of attention that gives or takes numbers by position.
    fn by_position(
        &mut self,
        node: &Node,
        (op, layer): (u32, usize),
        number: u32,
        (window, sinks): (Option<usize>, Option<WeightId>),
    ) {
        let (x, out) = (self.input(node, 0), self.output(node, 0));
        let shape = self.graph.memory().get(layer).map_or(KvShape { heads: 1, head_dim: 1 }, |_| self.kv(layer));
        let heads = if op == positions::SCORES { out.width } else { x.width };
        let words = position_words(shape, self.limits.kv_type);
        let stride = self.limits.kv_blocks * self.limits.block_len;
        let sizes = [shape.heads, shape.head_dim, self.limits.block_len, words, stride].map(|n| n as u32);
        let mut params = vec![x.at, out.at, heads];
        params.extend(sizes);
        params.extend([seen(window), number]);
        let constants = [("OP", op), ("SINKS", u32::from(sinks.is_some()))];
        let kernel = Kernel::new(Family::Positions, &constants).over(self.limits.kv_type);
        let mut binds = vec![];
        if layer != usize::MAX {
            binds.extend([Bind::Keys(layer), Bind::Values(layer)]);
        }
        binds.extend(sinks.map(|sinks| Bind::Weight(sinks.index(), 0)));
        let x = match op {
            positions::SOFTMAX => Extent::Fixed(1),
            positions::WEIGH => Extent::Fixed((shape.head_dim as u32).div_ceil(64)),
            _ => Extent::Positions(64),
        };
        self.push(kernel, params, binds, [x, Extent::Rows(out.rows, 1), Extent::Fixed(heads)]);
    }

    pub(super) fn cap(&mut self, node: &Node, cap: f32) {
        self.by_position(node, (positions::CAP, usize::MAX), cap.to_bits(), (None, None));
    }

    fn recurrent(&mut self, node: &Node) {
        let at = |i: usize| if i < node.inputs.len() { self.input(node, i).at } else { 0 };
        let width = |i: usize| self.input(node, i).width;
        let out = self.output(node, 0);
        let places = [at(0), at(1), at(2), at(3), at(4), out.at];
        let (op, layer, sizes, weights) = match &node.op {
            Op::CausalConv { layer, weight } => {
                let taps = self.elements(*weight) / out.width;
                (recurrent::CONV, *layer, [out.width, 1, 0, 0, taps], vec![*weight])
            }
            Op::GatedDelta(GatedDelta { layer, heads, key_heads, order }) => {
                let op = if *order == HeadOrder::Tiled { recurrent::DELTA_TILED } else { recurrent::DELTA_GROUPED };
                let (heads, key_heads) = (*heads as u32, *key_heads as u32);
                let sizes = [heads, key_heads, width(1) / key_heads, width(2) / heads, width(3) / heads];
                (op, *layer, sizes, vec![])
            }
            Op::Scan(Scan { layer, heads, groups, decay, skip }) => {
                let (heads, groups) = (*heads as u32, *groups as u32);
                let sizes = [heads, groups, width(1) / groups, width(0) / heads, 0];
                (recurrent::SCAN, *layer, sizes, vec![*decay, *skip])
            }
            other => unreachable!("{} is no operator of a layer", other.name()),
        };
        let len = crate::memories::words(&self.graph.memory()[layer], self.limits) as u32;
        let mut binds = vec![Bind::State(layer)];
        binds.extend(weights.first().map(|weight| Bind::Weight(weight.index(), 0)));
        binds.extend(weights.get(1).map(|weight| Bind::Second(weight.index())));
        let (x, y) = if op == recurrent::CONV { by_column(sizes[0], 1) } else { by_column(sizes[3], sizes[0]) };
        let params = [&places[..], &sizes, &[len]].concat();
        self.push(Kernel::new(Family::Recurrent, &[("OP", op)]), params, binds, [x, y, Extent::Spans]);
    }

    fn kv(&self, layer: usize) -> KvShape {
        match self.graph.memory()[layer] {
            Memory::Kv(shape) => shape,
            Memory::Recurrent { .. } => {
                unreachable!("the graph is built so that what reads keys names a layer with keys")
            }
        }
    }
}

/// Threads for the columns of a head, 64 in a group, and the heads.
fn by_column(columns: u32, heads: u32) -> (Extent, Extent) {
    (Extent::Fixed(columns.div_ceil(64)), Extent::Fixed(heads))
}

/// Positions that a row sees.
fn seen(window: Option<usize>) -> u32 {
    window.map_or(u32::MAX, |window| window.min(u32::MAX as usize) as u32)
}

/// Threads that write a head of keys or values.
fn threads(shape: KvShape, kv_type: graph::KvType) -> u32 {
    let scaled = matches!(kv_type, graph::KvType::Q8_0 | graph::KvType::Q4_0);
    (if scaled { shape.head_dim.div_ceil(32) } else { head_words(shape, kv_type) }) as u32
}
