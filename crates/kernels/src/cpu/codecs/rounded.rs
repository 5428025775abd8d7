//! Products of 8-bit rows with packed tiles. The products of a part are summed exactly. The parts, each times its scale, are added
//! up in the order of the columns, so the bits depend on neither the tile, nor the rest of the batch, nor how a prompt is cut.

use std::marker::PhantomData;

use tensor::DType;

use super::{Quant, for_quant, k_quants, q4, q5, q8};
use crate::cpu::ops::activations_q8::{Block as Rounded, Factor};
use crate::cpu::simd::{Ahead, Bytes, Kernel, Line, Simd, Vector};

/// Multiplies tiles with 8-bit rows: row r of `sums` + t = tile t · row r.
#[derive(Debug)]
pub(crate) struct RoundedProduct<'a> {
    pub(crate) dtype: DType,
    /// The tiles, one after the other.
    pub(crate) tiles: &'a [Bytes],
    /// Distance between tiles, in fields.
    pub(crate) stride: usize,
    pub(crate) cols: usize,
    pub(crate) x: &'a [Rounded],
    /// Where each row starts in `x`.
    pub(crate) rows: &'a [u32],
    pub(crate) sums: &'a mut [Line],
    pub(crate) sums_stride: usize,
    /// How far ahead memory is prefetched.
    pub(crate) ahead: Ahead,
}

impl RoundedProduct<'_> {
    /// Runs it as `held.rs` does if `held`, else as `dot.rs` does, which is better for few rows and weights that are cheap to unpack.
    pub(crate) fn run(self, vector: Vector, held: bool) {
        for_quant!(self.dtype, run[](vector, self, held));
    }
}

fn run<T, const LINES: usize, const QUANTS: usize, const SIDE: usize>(vector: Vector, job: RoundedProduct, held: bool)
where
    T: Quant<LINES, QUANTS, SIDE>,
{
    match held {
        true => vector.run(Typed::<T, true, LINES, QUANTS, SIDE> { job, of: PhantomData }),
        false => vector.run(Typed::<T, false, LINES, QUANTS, SIDE> { job, of: PhantomData }),
    }
}

/// [`RoundedProduct`] of one type, in one of the two ways.
pub(super) struct Typed<'a, T, const HELD: bool, const LINES: usize, const QUANTS: usize, const SIDE: usize> {
    pub(super) job: RoundedProduct<'a>,
    of: PhantomData<T>,
}

impl<T, const HELD: bool, const LINES: usize, const QUANTS: usize, const SIDE: usize> Kernel
    for Typed<'_, T, HELD, LINES, QUANTS, SIDE>
where
    T: Quant<LINES, QUANTS, SIDE>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        if HELD { self.hold(s) } else { self.dot(s) }
    }
}

/// A part of columns of a tile.
pub(super) trait Lines<S: Simd, const LINES: usize> {
    /// Whether the compiler must keep the order in which sums are written, line by line. Where lines are held in registers it would
    /// otherwise compute one sum after the other, wait for each product and move lines to memory.
    const IN_TURN: bool = false;

    /// Line `i`.
    fn line(&self, s: S, i: usize) -> S::I;
    fn scale(&self, s: S) -> S::F;
    fn min(&self, s: S) -> Option<S::F>;
}

/// Adds the products of R rows with a part of T tiles to the total of each pair. `zero` is subtracted from the tiles' bytes, which
/// may be `wide`. The pairs take turns, so that while one waits for its product the others proceed.
#[inline(always)]
pub(super) fn multiply<S: Simd, L: Lines<S, LINES>, const R: usize, const T: usize, const LINES: usize>(
    s: S,
    tiles: &[L; T],
    x: &[Factor<LINES>; R],
    (zero, wide): (u32, bool),
    totals: &mut [[S::F; T]; R],
) {
    let mut sums = [[s.splat_int(0); T]; R];
    if zero > 0 {
        for (sums, x) in sums.iter_mut().zip(x) {
            *sums = [x.start(s, zero); T];
        }
    }
    for i in 0..LINES {
        let mut lines = [s.splat_int(0); T];
        for (line, tile) in lines.iter_mut().zip(tiles) {
            *line = tile.line(s, i);
        }
        for (sums, x) in sums.iter_mut().zip(x) {
            let x = s.splat_int(x.quads[i].to_bits().cast_signed());
            for (sum, line) in sums.iter_mut().zip(lines) {
                *sum = s.dot(*sum, line, x, wide);
                if L::IN_TURN {
                    *sum = s.in_turn(*sum);
                }
            }
        }
    }
    for ((totals, sums), x) in totals.iter_mut().zip(sums).zip(x) {
        let scale = s.splat(x.scale());
        for ((total, sum), tile) in totals.iter_mut().zip(sums).zip(tiles) {
            *total = s.mul_add(s.float(sum), s.mul(tile.scale(s), scale), *total);
            if let Some(min) = tile.min(s) {
                *total = s.mul_add(min, s.splat(x.sum()), *total);
            }
        }
    }
}
