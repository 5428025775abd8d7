//! The scan of Mamba-2, a block of a head's columns at a time: they do not depend on each other.

use graph::Batch;

use super::{Block, Heads, States, joined, load};
use crate::cpu::ops::Worker;
use crate::cpu::simd::{Kernel, Simd};

/// What all blocks of one operator need: its rows of x, b, c and time steps, and the weights of the heads.
#[derive(Clone, Copy)]
pub(in crate::cpu::ops) struct Scan<'a> {
    pub(in crate::cpu::ops) op: &'a graph::Scan,
    pub(in crate::cpu::ops) x: &'a [f32],
    pub(in crate::cpu::ops) b: &'a [f32],
    pub(in crate::cpu::ops) c: &'a [f32],
    pub(in crate::cpu::ops) step: &'a [f32],
    pub(in crate::cpu::ops) decay: &'a [f32],
    pub(in crate::cpu::ops) skip: &'a [f32],
}

impl Scan<'_> {
    pub(in crate::cpu::ops) fn run(&self, cpu: &mut Worker, states: &mut States, batch: &Batch, out: &mut [f32]) {
        let (vector, rows, heads) = (cpu.vector, batch.tokens.len().max(1), self.op.heads);
        let (columns, state_dim) = (self.x.len() / rows / heads, self.b.len() / rows / self.op.groups);
        Heads { heads, rows: state_dim, columns }.each_block(cpu, states, batch, out, |block| {
            vector.run(Columns { all: self, state_dim, block });
        });
    }
}

struct Columns<'a> {
    all: &'a Scan<'a>,
    state_dim: usize,
    block: Block<'a>,
}

impl Kernel for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (all, head, n) = (self.all, self.block.head, self.state_dim);
        let group = head / (all.op.heads / all.op.groups);
        for row in self.block.span.rows.clone() {
            let place = (row * all.op.groups + group) * n;
            let (b, c, step) = (&all.b[place..][..n], &all.c[place..][..n], all.step[row * all.op.heads + head]);
            let x = load(s, self.block.of(all.x, row));
            let (by, update) = (s.splat((all.decay[head] * step).exp()), s.mul(x, s.splat(step)));
            let mut sums = [s.splat(0.0); 4];
            for (i, (&b, &c)) in b.iter().zip(c).enumerate() {
                let state = s.mul_add(s.splat(b), update, s.mul(by, self.block.row(s, i)));
                self.block.set_row(s, i, state);
                sums[i % 4] = s.mul_add(s.splat(c), state, sums[i % 4]);
            }
            self.block.give(s, row, s.mul_add(s.splat(all.skip[head]), x, joined(s, sums)));
        }
    }
}
