//! The gated delta rule, a block of a head's columns at a time: they do not depend on each other.

use graph::Batch;

use super::{Block, Heads, States, joined, load};
use crate::cpu::ops::Worker;
use crate::cpu::simd::{Kernel, Simd};

/// What all blocks of one operator need: its rows of queries, keys, values, decays and rates.
#[derive(Clone, Copy)]
pub(in crate::cpu::ops) struct GatedDelta<'a> {
    pub(in crate::cpu::ops) op: &'a graph::GatedDelta,
    pub(in crate::cpu::ops) q: &'a [f32],
    pub(in crate::cpu::ops) k: &'a [f32],
    pub(in crate::cpu::ops) v: &'a [f32],
    pub(in crate::cpu::ops) decay: &'a [f32],
    pub(in crate::cpu::ops) rate: &'a [f32],
}

impl GatedDelta<'_> {
    pub(in crate::cpu::ops) fn run(&self, cpu: &mut Worker, states: &mut States, batch: &Batch, out: &mut [f32]) {
        let (vector, rows, heads) = (cpu.vector, batch.tokens.len().max(1), self.op.heads);
        let (columns, key_dim) = (self.v.len() / rows / heads, self.k.len() / rows / self.op.key_heads);
        let decays = self.decay.len() / rows / heads;
        Heads { heads, rows: key_dim, columns }.each_block(cpu, states, batch, out, |block| {
            vector.run(Columns { all: self, key_dim, decays, block });
        });
    }
}

struct Columns<'a> {
    all: &'a GatedDelta<'a>,
    key_dim: usize,
    /// Decays of a head.
    decays: usize,
    block: Block<'a>,
}

impl Kernel for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        for row in self.block.span.rows.clone() {
            let (all, head, n) = (self.all, self.block.head, self.key_dim);
            let at = row * all.op.heads + head;
            let keys = (row * all.op.key_heads + all.op.key_head(head)) * n;
            let (q, k) = (&all.q[keys..][..n], &all.k[keys..][..n]);
            let found = self.decayed(s, &all.decay[at * self.decays..][..self.decays], k);
            let v = load(s, self.block.of(all.v, row));
            let delta = s.mul(s.splat(all.rate[at]), s.sub(v, found));
            let mut sums = [s.splat(0.0); 4];
            for (i, (&q, &k)) in q.iter().zip(k).enumerate() {
                let x = s.mul_add(s.splat(k), delta, self.block.row(s, i));
                self.block.set_row(s, i, x);
                sums[i % 4] = s.mul_add(s.splat(q), x, sums[i % 4]);
            }
            self.block.give(s, row, joined(s, sums));
        }
    }
}

impl Columns<'_> {
    /// Lets the state decay; what it has for the key.
    #[inline(always)]
    fn decayed<S: Simd>(&mut self, s: S, decay: &[f32], k: &[f32]) -> S::F {
        let (first, mut sums) = (decay[0].exp(), [s.splat(0.0); 4]);
        for (i, &k) in k.iter().enumerate() {
            let by = if decay.len() == 1 { first } else { decay[i].exp() };
            let x = s.mul(s.splat(by), self.block.row(s, i));
            self.block.set_row(s, i, x);
            sums[i % 4] = s.mul_add(s.splat(k), x, sums[i % 4]);
        }
        joined(s, sums)
    }
}
