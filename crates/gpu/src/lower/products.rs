//! Products with matrices, and rows of tables.

use graph::{Activation, End, Node, Op, Product, Rows, WeightId};

use crate::call::{Bind, Call, Extent};
use crate::formats::Format;
use crate::kernel::{Family, Kernel};
use crate::matrix::Multiplier;
use crate::weight::Part;

use super::rowwise::{activation, parameters};
use super::{Lower, Value};

/// Lanes of a workgroup that share the columns of a product.
const LANES: u32 = 32;
/// Rows of a weight that a workgroup takes.
const ROWS: u32 = 4;
/// Rows of the batch that a workgroup takes where there are many.
const TILE: u32 = 8;

/// Rows of a weight that matrix units take, and matrices of 8 rows of the batch: few or many.
const UNITS_ROWS: u32 = 32;
const TALL: [u32; 2] = [1, 4];

/// Which matrix a row is multiplied with: `SLOTS` of the text.
#[derive(Clone, Copy)]
enum Slots {
    /// There is one.
    One,
    /// That of each chosen expert, by the ids at this place.
    Experts(u32),
    /// That of each head.
    Heads,
}

/// A product of one weight.
struct One {
    weight: WeightId,
    bias: Option<WeightId>,
    residual: Option<Value>,
    /// The weight whose products the sums open as gates, by this activation.
    up: Option<(WeightId, Activation)>,
    x: Value,
    out: Value,
    slots: (Slots, u32),
}

impl Lower<'_> {
    pub(super) fn products(&mut self, node: &Node) {
        let one = |lower: &Self, weight, x, slots| One {
            weight,
            bias: None,
            residual: None,
            up: None,
            x: lower.input(node, x),
            out: lower.output(node, 0),
            slots,
        };
        match &node.op {
            Op::Embed { table } => self.embed(*table, self.output(node, 0)),
            Op::Linear { weight } => self.product(&one(self, *weight, 0, (Slots::One, 1))),
            Op::HeadLinear { weight } => {
                let heads = self.graph.weight(*weight).shape.outer as u32;
                self.product(&one(self, *weight, 0, (Slots::Heads, heads)));
            }
            Op::ExpertLinear { weight } => {
                let ids = self.input(node, 1);
                self.product(&one(self, *weight, 0, (Slots::Experts(ids.at), ids.width)));
            }
            Op::Product(Product { weights, biases, end, .. }) => {
                for (i, (&weight, &bias)) in weights.iter().zip(biases).enumerate() {
                    let residual = (*end == End::Add).then(|| self.input(node, 0));
                    let (x, out) = (self.input(node, usize::from(residual.is_some())), self.output(node, i));
                    self.product(&One { weight, bias, residual, up: None, x, out, slots: (Slots::One, 1) });
                }
            }
            _ => unreachable!("not a product"),
        }
    }

    /// Computes a gated activation together with the two products right before it, if these are of one input, stored alike and needed
    /// by nothing else; says whether it did.
    pub(super) fn gate_and_up(&mut self, node: &Node, act: Activation) -> bool {
        if self.multiplier != Multiplier::Lanes {
            return false;
        }
        let at = self.step.node;
        let Some([first, second]) = at.checked_sub(2).map(|before| [before, before + 1]) else { return false };
        let of = |i: usize| match &self.graph.nodes()[i] {
            Node { op: Op::Linear { weight }, inputs, outputs } => Some((*weight, inputs[0], outputs[0])),
            _ => None,
        };
        let (Some(one), Some(other)) = (of(first), of(second)) else { return false };
        let (gate, up) = if one.2 == node.inputs[0] { (one, other) } else { (other, one) };
        let [a, b] = [gate, up].map(|(weight, ..)| self.weight(weight));
        let alike = gate.1 == up.1 && a.stored() == b.stored() && a.parts().len() == 1 && b.parts().len() == 1;
        let readers =
            |id| self.graph.nodes().iter().flat_map(|node| &node.inputs).filter(|&&input| input == id).count();
        let output = self.graph.output().value;
        let alone = [gate.2, up.2].iter().all(|&id| readers(id) == 1 && id != output);
        if !alike || !alone || node.inputs[..] != [gate.2, up.2] {
            return false;
        }
        // Nothing has been placed where their input is: it is needed until the second of them, and the result lies where one of them did.
        let x = Value { at: self.places[second].inputs[0] as u32, ..self.value(gate.1) };
        let out = self.output(node, 0);
        self.calls.truncate(self.calls.len() - 2);
        let up = Some((up.0, act));
        self.product(&One { weight: gate.0, bias: None, residual: None, up, x, out, slots: (Slots::One, 1) });
        true
    }

    fn product(&mut self, op: &One) {
        for part in 0..self.weight(op.weight).parts().len() {
            let call = self.part(op, part);
            self.calls.push(call);
        }
    }

    fn part(&self, op: &One, index: usize) -> Call {
        let (shape, weight) = (self.graph.weight(op.weight).shape, self.weight(op.weight));
        let (part, format) = (&weight.parts()[index], weight.format());
        let (cols, rows, (slots, count)) = (shape.cols as u32, shape.rows as u32, op.slots);
        let own = match slots {
            Slots::One => false,
            Slots::Heads => true,
            Slots::Experts(_) => op.x.width != cols,
        };
        let (kind, ids) = match slots {
            Slots::One => (0, 0),
            Slots::Experts(ids) => (1, ids),
            Slots::Heads => (2, 0),
        };
        let mut params =
            vec![op.x.at, op.x.width, op.out.at, op.out.width, op.residual.map_or(0, |x| x.at), cols, rows];
        params.extend(plane(part, &format, shape.cols));
        params.extend([0, ids, count, u32::from(own)]);
        params.extend(op.up.map_or([0; 3], |(_, act)| parameters(act)));
        let constants = [
            ("LANES", LANES),
            ("END", u32::from(op.residual.is_some())),
            ("BIAS", u32::from(op.bias.is_some())),
            ("GUARD", u32::from(!cols.is_multiple_of(8))),
            ("COUNT", count_of(op.out.rows)),
        ];
        let of_lanes = |m| {
            let gate = [("GATED", u32::from(op.up.is_some())), ("ACT", op.up.map_or(0, |(_, act)| activation(act)))];
            let own = [("R", ROWS), ("M", m), ("SLOTS", kind)];
            let constants = [&constants[..], &own, &gate].concat();
            (m, Kernel::new(Family::Product, &constants).reads(weight.stored()))
        };
        let of_units = |tall| {
            let own = [("TALL", tall), ("EMULATED", u32::from(self.multiplier == Multiplier::Emulated))];
            let constants = [&constants[..], &own].concat();
            (8 * tall, Kernel::new(Family::Matrix, &constants).reads(weight.stored()))
        };
        let by_units = kind == 0 && self.multiplier != Multiplier::Lanes;
        let kernels = match kind {
            0 if by_units => TALL.map(of_units).to_vec(),
            0 => vec![of_lanes(1), of_lanes(TILE)],
            _ => vec![of_lanes(1)],
        };
        let mut binds = vec![Bind::Weight(op.weight.index(), index)];
        binds.extend(op.bias.map(|bias| Bind::Second(bias.index())));
        binds.extend(op.up.map(|(up, _)| Bind::Up(up.index())));
        let groups = match slots {
            Slots::One => (part.count as u32).div_ceil(if by_units { UNITS_ROWS } else { ROWS }),
            _ => rows.div_ceil(ROWS),
        };
        let grid = [Extent::Fixed(groups), Extent::Rows(op.out.rows, count), Extent::Fixed(1)];
        Call { kernels, params, binds, grid }
    }

    fn embed(&mut self, table: WeightId, out: Value) {
        let weight = self.weight(table);
        let (stored, format, cols) = (weight.stored(), weight.format(), self.graph.weight(table).shape.cols);
        let calls: Vec<_> = (0..weight.parts().len())
            .map(|part| {
                let mut params = vec![out.at, cols as u32];
                params.extend(plane(&weight.parts()[part], &format, cols));
                (part, params)
            })
            .collect();
        for (part, params) in calls {
            let groups = params[4].div_ceil(64);
            let grid = [Extent::Fixed(groups), Extent::Rows(out.rows, 1), Extent::Fixed(1)];
            self.push(
                Kernel::new(Family::Embed, &[]).reads(stored),
                params,
                vec![Bind::Weight(table.index(), part)],
                grid,
            );
        }
    }
}

/// The words of `Params` that say where rows of a part lie: first, count, units, stride, tail_at, tail_stride.
fn plane(part: &Part, format: &Format, cols: usize) -> [u32; 6] {
    let (stride, tail) = (format.stride(cols), format.tail_stride(cols));
    let units = format.blocks(cols) * format.len / 8;
    [part.first, part.count, units, stride, part.count * stride, tail].map(|n| n as u32)
}

/// The word of the batch that counts such rows.
pub(super) fn count_of(rows: Rows) -> u32 {
    match rows {
        Rows::Tokens => 0,
        Rows::Outputs => 1,
    }
}
