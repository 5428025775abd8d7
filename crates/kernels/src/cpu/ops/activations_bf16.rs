//! Activations rounded to BF16, two columns in a word. Instruction sets with BF16 products multiply BF16 weights with them. Models
//! in BF16 were trained with activations of this precision.

use tensor::DType;

use super::Input;
use crate::cpu::pool::Pool;
use crate::cpu::simd::{Kernel, LANES, Simd, Vector};
use crate::cpu::tiles::Tiles;

/// Whether products with these weights are of pairs of BF16.
pub(crate) fn suit(vector: Vector, tiles: &Tiles) -> bool {
    vector.has_pairs() && tiles.dtype == DType::BF16 && tiles.shape.cols.is_multiple_of(2)
}

/// Numbers that are rounded in one task.
const GRAIN: usize = 1 << 14;

/// Rounds rows of x, whose width is even, to half as many words.
pub(crate) fn round((pool, vector): (&Pool, Vector), x: Input, out: &mut [f32]) {
    pool.chunks(out, GRAIN / 2, |i, out| {
        let x = &x.x[i * GRAIN..][..2 * out.len()];
        vector.run_pairs(Round { x, out });
    });
}

struct Round<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let whole = self.x.as_chunks::<LANES>().0.as_chunks::<2>().0;
        let (out, last) = self.out.as_chunks_mut::<LANES>();
        for ([x, y], out) in whole.iter().zip(out) {
            let pairs = s.pairs(s.load(x), s.load(y));
            s.store(out, pairs);
        }
        let (mut x, mut pairs) = ([[0.0; LANES]; 2], [0.0; LANES]);
        let left = &self.x[self.x.len() - 2 * last.len()..];
        x.as_flattened_mut()[..left.len()].copy_from_slice(left);
        let rounded = s.pairs(s.load(&x[0]), s.load(&x[1]));
        s.store(&mut pairs, rounded);
        last.copy_from_slice(&pairs[..last.len()]);
    }
}
