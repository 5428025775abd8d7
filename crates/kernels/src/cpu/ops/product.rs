//! Fused products: one or several matrices with the same x, and what follows while the sums are in the cache.

use std::ops::Range;
use std::sync::Arc;

use graph::{Activation, End, WeightId};

use super::linear::{Cut, Product, ProductScratch, Slots, rounded};
use super::rows::{Add, Glu};
use super::{Values, Worker, activations_q8};
use crate::cpu::simd::Vector;
use crate::cpu::weight::Weight;

/// A [`graph::Product`], or a [`graph::Op::Linear`] as one.
#[derive(Clone, Copy)]
pub(super) struct Fused<'a> {
    pub(super) weights: &'a [Arc<Weight>],
    pub(super) matrices: &'a [WeightId],
    pub(super) biases: &'a [Option<WeightId>],
    pub(super) end: &'a End,
    pub(super) quantize: bool,
    pub(super) values: &'a Values<'a>,
}

impl Fused<'_> {
    /// Computes all outputs.
    pub(super) fn run(&self, cpu: &mut Worker) {
        let Worker { pool, vector, kernel, scratch, activations, .. } = cpu;
        let kernel = *kernel;
        let x = self.values.inputs[usize::from(*self.end == End::Add)];
        let (rows, width) = (x.rows, x.width);
        let x = rounded((pool, *vector), self.weight(0).tiles(), x, activations);
        let count = |i: usize| self.weight(i).tiles().count();
        let cut = Cut::new((0..self.groups()).map(count).sum(), rows, pool.threads(), kernel);
        let across: usize = (0..self.groups()).map(|i| cut.across(count(i))).sum();
        pool.run_with(scratch, across * cut.down(), &|scratch, task| {
            // Neighbouring tasks have the same rows, which then stay in the cache.
            let (mut i, mut at) = (0, task % across);
            while at >= cut.across(count(i)) {
                at -= cut.across(count(i));
                i += 1;
            }
            let (tiles, slots, inner) = (self.weight(i).tiles(), Slots::All(rows), kernel.inner);
            let product = Product { tiles, matrix: 0, x, width, slots, share: 1, inner };
            let tiles = cut.tiles(at, count(i));
            self.task(*vector, &mut scratch.product, (i, product), (tiles, cut.rows(task / across)));
        });
    }

    /// Matrices that are cut into tasks one after the other. An up projection shares the tasks of its gate.
    fn groups(&self) -> usize {
        if let End::Glu(_) = self.end { 1 } else { self.matrices.len() }
    }

    fn weight(&self, i: usize) -> &Weight {
        &self.weights[self.matrices[i].index()]
    }

    fn bias(&self, i: usize, columns: &Range<usize>) -> Option<&[f32]> {
        self.biases[i].map(|id| &self.weights[id.index()].values()[columns.clone()])
    }

    fn task(
        &self,
        vector: Vector,
        scratch: &mut ProductScratch,
        (i, product): (usize, Product),
        (tiles, rows): (Range<usize>, Range<usize>),
    ) {
        let columns = product.columns(&tiles);
        let out = Out { start: self.values.starts[i], width: product.tiles.shape.rows, columns: columns.clone() };
        product.sums(vector, scratch, &tiles, &rows);
        if let End::Glu(act) = *self.end {
            scratch.keep();
            Product { tiles: self.weight(1).tiles(), ..product }.sums(vector, scratch, &tiles, &rows);
            let biases = [0, 1].map(|i| self.bias(i, &columns));
            for (row, (gate, up)) in rows.zip(scratch.both(columns.len())) {
                glu(vector, act, biases, (gate, up));
                self.write(vector, &out, row, gate);
            }
            return;
        }
        let bias = self.bias(i, &columns);
        for (row, sums) in rows.zip(scratch.rows(columns.len())) {
            if let Some(y) = bias {
                vector.run(Add { x: sums, y });
            }
            self.write(vector, &out, row, sums);
        }
    }

    /// Writes some columns of a row.
    fn write(&self, vector: Vector, out: &Out, row: usize, sums: &mut [f32]) {
        let arena = self.values.arena;
        if self.quantize {
            if *self.end == End::Add {
                let residual = &self.values.inputs[0].x[row * out.width + out.columns.start..][..sums.len()];
                vector.run(Add { x: sums, y: residual });
            }
            let start = out.start + row * activations_q8::words(out.width);
            return activations_q8::write(vector, arena, start, out.columns.start, sums);
        }
        // SAFETY: a task has its rows and columns of the result for itself.
        #[allow(unsafe_code)]
        let to = unsafe { arena.part(out.start + row * out.width + out.columns.start, sums.len()) };
        match self.end {
            End::Add => vector.run(Add { x: to, y: sums }),
            End::Store | End::Glu(_) => to.copy_from_slice(sums),
        }
    }
}

/// Columns of an output in the arena.
struct Out {
    start: usize,
    width: usize,
    columns: Range<usize>,
}

/// gate ← activation(gate + bias) · (up + bias).
fn glu(
    vector: Vector,
    act: Activation,
    [gate_bias, up_bias]: [Option<&[f32]>; 2],
    (gate, up): (&mut [f32], &mut [f32]),
) {
    for (x, bias) in [(&mut *gate, gate_bias), (&mut *up, up_bias)] {
        if let Some(y) = bias {
            vector.run(Add { x, y });
        }
    }
    vector.run(Glu { act, gate, up });
}
