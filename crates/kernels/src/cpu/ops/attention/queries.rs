//! Queries as they are multiplied with keys.

use crate::cpu::ops::activations_q8::{self, WORDS};
use crate::cpu::ops::cache::{Layer, RUN};
use crate::cpu::simd::{Kernel, LANES, Simd};

impl Layer {
    /// Words of a query: its dimensions, or rounded ones where keys are multiplied as integers.
    pub(in crate::cpu::ops) fn query_words(&self) -> usize {
        let head_dim = self.shape.head_dim;
        if self.rounds_queries() { activations_q8::words(head_dim.next_multiple_of(RUN)) } else { head_dim }
    }
}

/// out ← the queries of some heads · scale, rounded if need be.
pub(super) struct Queries<'a> {
    pub(super) layer: &'a Layer,
    pub(super) queries: &'a [f32],
    pub(super) scale: f32,
    /// [`Layer::query_words`] for each.
    pub(super) out: &'a mut [f32],
}

impl Kernel for Queries<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let heads = self.queries.chunks_exact(self.layer.shape.head_dim);
        for (head, out) in heads.zip(self.out.chunks_exact_mut(self.layer.query_words())) {
            if !self.layer.rounds_queries() {
                out.iter_mut().zip(head).for_each(|(to, from)| *to = from * self.scale);
                continue;
            }
            for (run, block) in head.chunks(RUN).zip(out.as_chunks_mut::<WORDS>().0) {
                let mut numbers = [0.0; RUN];
                numbers.iter_mut().zip(run).for_each(|(to, from)| *to = from * self.scale);
                let [low, high, ..] = *numbers.as_chunks::<LANES>().0 else { unreachable!("a run is two lines") };
                activations_q8::round(s, [s.load(&low), s.load(&high)], block);
            }
        }
    }
}
