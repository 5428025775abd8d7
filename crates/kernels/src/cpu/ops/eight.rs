//! Rows rounded to 8 bits, in blocks of 32 columns with a scale each: what integer products multiply weights with.

use crate::cpu::memory::{Shared, as_indices};
use crate::cpu::pool::Pool;
use crate::cpu::simd::{Kernel, LANES, Simd, Vector};

/// Columns that share a scale.
const BLOCK: usize = 32;

/// Words of a rounded row: four bytes in each, then a scale for each block, then the sum of the bytes of each half block.
pub(crate) fn words(cols: usize) -> usize {
    cols / BLOCK * (BLOCK / 4 + 3)
}

/// A rounded row.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    /// Four signed bytes in the bits of each.
    pub(crate) quads: &'a [f32],
    /// A scale for each 32 columns.
    pub(crate) scales: &'a [f32],
    /// The sums of the bytes of each 16 columns, as bits of signed integers.
    pub(crate) sums: &'a [u32],
}

/// One of some rounded rows of `cols` columns.
pub(crate) fn row(rows: &[f32], cols: usize, i: usize) -> Row<'_> {
    let (quads, rest) = rows[i * words(cols)..][..words(cols)].split_at(cols / 4);
    let (scales, sums) = rest.split_at(cols / BLOCK);
    Row { quads, scales, sums: as_indices(sums) }
}

/// Rounds rows of `cols` columns.
pub(crate) fn quantize(pool: &Pool, vector: Vector, x: &[f32], cols: usize, out: &mut [f32]) {
    const GRAIN: usize = 4;
    let (rows, words, out) = (x.len() / cols, words(cols), Shared::new(out));
    pool.run(rows.div_ceil(GRAIN), &|_, piece| {
        for i in piece * GRAIN..rows.min((piece + 1) * GRAIN) {
            // SAFETY: each row is in one piece.
            #[allow(unsafe_code)]
            let out = unsafe { out.part(i * words, words) };
            vector.run(Quantize { x: &x[i * cols..][..cols], out });
        }
    });
}

/// Rounds one row: the largest number of a block becomes 127 or -127. Halves go to even; numbers that are not finite make
/// a scale that is not.
pub(crate) struct Quantize<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (quads, rest) = self.out.split_at_mut(self.x.len() / 4);
        let (scales, sums) = rest.split_at_mut(self.x.len() / BLOCK);
        let blocks = self.x.as_chunks::<LANES>().0.as_chunks::<2>().0;
        let outs = quads.as_chunks_mut::<4>().0.as_chunks_mut::<2>().0.iter_mut().zip(sums.as_chunks_mut::<2>().0);
        for ((x, scale), (quads, sums)) in blocks.iter().zip(scales).zip(outs) {
            let x = [s.load(&x[0]), s.load(&x[1])];
            let [low, high] = [magnitude(s, x[0]), magnitude(s, x[1])];
            let largest = s.largest(s.max(low, high));
            *scale = largest / 127.0;
            let by = s.splat(if largest > 0.0 { 127.0 / largest } else { 0.0 });
            for ((x, quads), sum) in x.into_iter().zip(quads).zip(sums) {
                let rounded = s.round(s.mul(x, by));
                for (quad, &bytes) in quads.iter_mut().zip(s.narrow(rounded).as_chunks::<4>().0) {
                    *quad = f32::from_le_bytes(bytes);
                }
                *sum = f32::from_bits(s.sum(rounded) as u32);
            }
        }
    }
}

#[inline(always)]
fn magnitude<S: Simd>(s: S, x: S::F) -> S::F {
    s.max(s.sub(s.splat(0.0), x), x)
}
