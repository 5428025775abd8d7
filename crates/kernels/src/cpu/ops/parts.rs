//! Operators on parts of rows: spans that are normalized or scaled alone, columns that are cut out or put together.

use std::sync::Arc;

use graph::Op;

use super::{Input, Values, Worker, each_row, rows};
use crate::cpu::weight::Weight;

/// Computes them.
pub(super) fn compute(cpu: &mut Worker, weights: &[Arc<Weight>], op: &Op, values: Values) {
    let ([a, b, ..], width, vector, out) = (values.inputs, values.words, cpu.vector, values.out());
    match op {
        Op::ScaleBy { weight } => {
            let weight = weights[weight.index()].values();
            each_row(cpu.pool, out, width, |_, x| vector.run(rows::ScaleBy { x, weight }));
        }
        &Op::LayerNorm { weight, bias, span, eps } => {
            let (weight, bias) = (weights[weight.index()].values(), bias.map(|id| weights[id.index()].values()));
            each_row(cpu.pool, out, width, |_, x| vector.run(rows::LayerNorm { x, weight, bias, span, eps }));
        }
        Op::Activate { act } => each_row(cpu.pool, out, width, |_, x| vector.run(rows::Activate { act: *act, x })),
        &Op::Slice { span, first, width: each } => each_row(cpu.pool, out, width, |i, row| {
            let spans = a.x[i * a.width..][..a.width].chunks_exact(span);
            row.chunks_exact_mut(each).zip(spans).for_each(|(to, from)| to.copy_from_slice(&from[first..first + each]));
        }),
        Op::Concat { parts } => each_row(cpu.pool, out, width, |i, row| {
            let part = |x: Input<'_>, j: usize| {
                let each = x.width / parts;
                i * x.width + j * each..i * x.width + (j + 1) * each
            };
            for (j, to) in row.chunks_exact_mut(width / parts).enumerate() {
                let (to_a, to_b) = to.split_at_mut(a.width / parts);
                to_a.copy_from_slice(&a.x[part(a, j)]);
                to_b.copy_from_slice(&b.x[part(b, j)]);
            }
        }),
        Op::UnitNorm { span, eps } => {
            let (span, eps) = (*span, *eps);
            each_row(cpu.pool, out, width, |_, x| vector.run(rows::UnitNorm { x, span, eps }));
        }
        &Op::GaussianTopK { deviations } => {
            each_row(cpu.pool, out, width, |_, x| vector.run(rows::GaussianTopK { x, deviations }));
        }
        Op::Mul if b.width == width => {
            each_row(cpu.pool, out, width, |i, x| vector.run(rows::Mul { x, y: &b.x[i * width..][..width] }));
        }
        Op::Mul => each_row(cpu.pool, out, width, |i, x| {
            let spans = x.chunks_exact_mut(width / b.width).zip(&b.x[i * b.width..]);
            spans.for_each(|(x, &by)| vector.run(rows::Scale { x, by }));
        }),
        _ => unreachable!("works on whole rows"),
    }
}
