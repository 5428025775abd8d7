//! Rows rounded to 8 bits, in blocks of 32 columns with a scale each: what integer products multiply weights with.

use super::{Input, Worker};
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

/// Part `i` of rounded rows of `width` columns, each of which is one or several parts of `cols` columns.
pub(crate) fn row(rows: &[f32], width: usize, cols: usize, i: usize) -> Row<'_> {
    let (row, first) = (i / (width / cols), i % (width / cols) * cols);
    let (quads, rest) = rows[row * words(width)..][..words(width)].split_at(width / 4);
    let (scales, sums) = rest.split_at(width / BLOCK);
    Row {
        quads: &quads[first / 4..][..cols / 4],
        scales: &scales[first / BLOCK..][..cols / BLOCK],
        sums: &as_indices(sums)[2 * first / BLOCK..][..2 * cols / BLOCK],
    }
}

/// Rows that are rounded in one piece of work.
const GRAIN: usize = 4;

/// Rounds rows of `cols` columns.
pub(crate) fn quantize(pool: &Pool, vector: Vector, x: &[f32], cols: usize, out: &mut [f32]) {
    let (rows, words, out) = (x.len() / cols, words(cols), Shared::new(out));
    pool.run(rows.div_ceil(GRAIN), &|_, piece| {
        for i in piece * GRAIN..rows.min((piece + 1) * GRAIN) {
            write(vector, out, (i * words, cols), 0, &x[i * cols..][..cols]);
        }
    });
}

/// Rounds what `work` makes of each row.
pub(super) fn quantize_with(cpu: &mut Worker, x: Input, out: &mut [f32], work: impl Fn(&mut [f32]) + Sync) {
    let (vector, cols, words, out) = (cpu.vector, x.width, words(x.width), Shared::new(out));
    cpu.pool.run_with(cpu.rooms, x.rows.div_ceil(GRAIN), &|room, piece| {
        for i in piece * GRAIN..x.rows.min((piece + 1) * GRAIN) {
            let row = &mut room.row[..cols];
            row.copy_from_slice(&x.x[i * cols..][..cols]);
            work(row);
            write(vector, out, (i * words, cols), 0, row);
        }
    });
}

/// Rounds some columns of a row, from `first` on, into the row of `cols` columns that starts at `start`. No two calls at
/// the same time may write the same columns.
pub(crate) fn write(vector: Vector, out: Shared<f32>, (start, cols): (usize, usize), first: usize, x: &[f32]) {
    let (scales, sums) = (start + cols / 4, start + cols / 4 + cols / BLOCK);
    // SAFETY: the three parts of a row are disjoint, and so are those of different columns, by the caller's promise.
    #[allow(unsafe_code)]
    let (quads, scales, sums) = unsafe {
        let quads = out.part(start + first / 4, x.len() / 4);
        (
            quads,
            out.part(scales + first / BLOCK, x.len() / BLOCK),
            out.part(sums + 2 * first / BLOCK, 2 * x.len() / BLOCK),
        )
    };
    vector.run(Quantize { x, quads, scales, sums });
}

/// Rounds whole blocks: the largest number of each becomes 127 or -127. Halves go to even; numbers that are not finite make
/// a scale that is not.
struct Quantize<'a> {
    x: &'a [f32],
    quads: &'a mut [f32],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Quantize { x, quads, scales, sums } = self;
        let outs = quads.as_chunks_mut::<8>().0.iter_mut().zip(scales).zip(sums.as_chunks_mut::<2>().0);
        for (x, ((quads, scale), sums)) in x.as_chunks::<LANES>().0.as_chunks::<2>().0.iter().zip(outs) {
            let x = [s.load(&x[0]), s.load(&x[1])];
            let largest = s.largest(s.max(magnitude(s, x[0]), magnitude(s, x[1])));
            *scale = largest / 127.0;
            let by = s.splat(if largest > 0.0 { 127.0 / largest } else { 0.0 });
            for ((x, quads), sum) in x.into_iter().zip(quads.as_chunks_mut::<4>().0).zip(sums) {
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
