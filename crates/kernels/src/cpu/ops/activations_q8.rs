//! Activations rounded to 8 bits, in blocks of 32 columns with a scale each: integer products multiply quantized weights with them. For
//! weights with one scale for a row, all blocks of a span of columns have the same one, so that sums need no scaling.

use std::ops::Range;

use graph::Elem;

use super::{Input, Worker};
use crate::cpu::memory::Shared;
use crate::cpu::pool::Pool;
use crate::cpu::simd::{Kernel, LANES, Simd, Vector};

/// Columns of a block, which share a scale.
const COLUMNS: usize = Elem::Q8_BLOCK;
const QUADS: usize = COLUMNS / 4;

/// 32 columns of a rounded row, on a cache line:
/// - signed bytes, four in the bits of each word;
/// - their scale;
/// - -128 times the sum of the bytes, as integers: of all, and of each half. It corrects for bytes of weights that are 128 too large;
/// - -scale times the sum of the bytes, as numbers: of all, and of each half. A block's minimum is multiplied with it;
/// - -8 times the sum of all bytes, as an integer, for bytes of weights that are 8 too large, the most frequent case.
pub(crate) type Block = [f32; WORDS];
pub(crate) const WORDS: usize = LANES;
const SCALE: usize = QUADS;
const STARTS: usize = QUADS + 1;
const SUMS: usize = QUADS + 4;
const START_OF_Q4: usize = QUADS + 7;

/// Words of a rounded row. It is an odd number of blocks, the last of them padding if need be: rows a power of two apart would use
/// few sets of a cache.
pub(crate) const fn words(cols: usize) -> usize {
    ((cols / COLUMNS) | 1) * WORDS
}

/// Rounded rows as blocks.
pub(crate) fn blocks(rows: &[f32]) -> &[Block] {
    rows.as_chunks().0
}

/// The first block of part `i`, where each rounded row of `width` columns consists of one or several parts of `cols`.
pub(crate) fn start(width: usize, cols: usize, i: usize) -> usize {
    let parts = width / cols;
    i / parts * (words(width) / WORDS) + i % parts * (cols / COLUMNS)
}

/// Copies some blocks of rows that start at `rows` to every `stride`th block of `out`.
pub(crate) fn gather(x: &[Block], rows: &[u32], blocks: Range<usize>, (out, stride): (&mut [f32], usize)) {
    for (&row, out) in rows.iter().zip(out.as_chunks_mut::<WORDS>().0.chunks_exact_mut(stride)) {
        out[..blocks.len()].copy_from_slice(&x[row as usize..][blocks.clone()]);
    }
}

/// `LINES` · 4 columns of a row: the factor of as many columns of weights. Its fields are loaded where they are used.
#[derive(Clone, Copy)]
pub(crate) struct Factor<'a, const LINES: usize> {
    pub(crate) quads: &'a [f32; LINES],
    block: &'a Block,
    /// Which of the block's sums are its own.
    which: usize,
}

/// The scale of a row of which all columns were rounded together, and which starts at `row`.
pub(crate) fn scale_of(x: &[Block], row: u32) -> f32 {
    x[row as usize][SCALE]
}

/// -128 times the sum of the bytes of some blocks.
#[inline(always)]
pub(crate) fn start_of(blocks: &[Block]) -> i32 {
    blocks.iter().map(|block| block[STARTS].to_bits().cast_signed()).sum()
}

impl Factor<'_, 0> {
    /// Panics unless rows of `columns` columns that start at `rows` lie in `x`.
    #[inline(always)]
    pub(crate) fn check(x: &[Block], rows: &[u32], columns: usize) {
        let most = x.len().checked_sub(columns / COLUMNS);
        assert!(most.is_some_and(|most| rows.iter().all(|&row| row as usize <= most)), "rows of x");
    }
}

impl<'a, const LINES: usize> Factor<'a, LINES> {
    /// Part `part` of each row. [`Factor::check`] must have seen the rows.
    #[inline(always)]
    pub(crate) fn all<const R: usize>(x: &'a [Block], rows: &[u32; R], part: usize) -> [Factor<'a, LINES>; R] {
        let mut factors = [Factor { quads: &[0.0; LINES], block: &[0.0; WORDS], which: 0 }; R];
        for (factor, &row) in factors.iter_mut().zip(rows) {
            *factor = Factor::new(x, row as usize, part);
        }
        factors
    }

    /// Part `part` of the row that starts at `row`. [`Factor::check`] must have seen it.
    #[inline(always)]
    pub(crate) fn new(x: &'a [Block], row: usize, part: usize) -> Factor<'a, LINES> {
        let (at, part) = (row + part * LINES / QUADS, part % (QUADS / LINES));
        debug_assert!(at < x.len(), "unchecked");
        // SAFETY: `check` has compared the row's last block with the length.
        #[allow(unsafe_code)]
        let block = unsafe { x.get_unchecked(at) };
        Factor { quads: &block.as_chunks().0[part], block, which: if LINES == QUADS { 0 } else { 1 + part } }
    }

    #[inline(always)]
    pub(crate) fn scale(&self) -> f32 {
        self.block[SCALE]
    }

    /// The initial value of a sum of products if `zero`, a power of two, is subtracted from each byte of weights.
    #[inline(always)]
    pub(crate) fn start<S: Simd>(&self, s: S, zero: u32) -> S::I {
        let start = |at: usize| self.block[at].to_bits().cast_signed();
        match zero {
            8 if self.which == 0 => s.splat_int(start(START_OF_Q4)),
            128 => s.splat_int(start(STARTS + self.which)),
            _ => s.sar(s.splat_int(start(STARTS + self.which)), 128u32.ilog2() - zero.ilog2()),
        }
    }

    /// The factor of a minimum.
    #[inline(always)]
    pub(crate) fn sum(&self) -> f32 {
        self.block[SUMS + self.which]
    }
}

/// Half of a block's columns as the numbers that they stand for.
#[inline(always)]
pub(crate) fn numbers<S: Simd>(s: S, block: &Block, half: usize) -> S::F {
    let mut bytes = [0; LANES];
    for (bytes, quad) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(&block[4 * half..]) {
        *bytes = quad.to_le_bytes();
    }
    s.mul(s.splat(block[SCALE]), s.float(s.signed(&bytes)))
}

/// Rows that are rounded in one task.
const GRAIN: usize = 4;

/// Rounds rows of `cols` columns, `span` of them together.
pub(crate) fn quantize((pool, vector): (&Pool, Vector), x: &[f32], (cols, span): (usize, usize), out: &mut [f32]) {
    let (rows, words, out) = (x.len() / cols, words(cols), Shared::new(out));
    pool.run(rows.div_ceil(GRAIN), &|_, task| {
        for i in task * GRAIN..rows.min((task + 1) * GRAIN) {
            for (part, x) in x[i * cols..][..cols].chunks_exact(span).enumerate() {
                write_span(vector, (out, i * words, part * span), x, span);
            }
        }
    });
}

/// Applies `work` to a copy of each row and rounds the result.
pub(super) fn quantize_with(cpu: &mut Worker, x: Input, out: &mut [f32], work: impl Fn(&mut [f32]) + Sync) {
    let (vector, cols, words, out) = (cpu.vector, x.width, words(x.width), Shared::new(out));
    cpu.pool.run_with(cpu.scratch, x.rows.div_ceil(GRAIN), &|scratch, task| {
        for i in task * GRAIN..x.rows.min((task + 1) * GRAIN) {
            let row = &mut scratch.row[..cols];
            row.copy_from_slice(&x.x[i * cols..][..cols]);
            work(row);
            write(vector, out, i * words, 0, row);
        }
    });
}

/// Rounds some columns of a row, from `first` on, into the row that starts at `start`. No two calls at the same time may
/// write the same columns.
pub(crate) fn write(vector: Vector, out: Shared<f32>, start: usize, first: usize, x: &[f32]) {
    write_span(vector, (out, start, first), x, COLUMNS);
}

/// As [`write`], with `span` columns rounded together.
fn write_span(vector: Vector, (out, start, first): (Shared<f32>, usize, usize), x: &[f32], span: usize) {
    // SAFETY: blocks of different columns are disjoint, and those of the same are written by one call, as promised there.
    #[allow(unsafe_code)]
    let out = unsafe { out.part(start + first / COLUMNS * WORDS, x.len() / COLUMNS * WORDS) };
    vector.run(Quantize { x, span, out: out.as_chunks_mut().0 });
}

/// Rounds spans of whole blocks: the largest number of each becomes 127 or -127, halves go to even. If a number is not finite, neither is
/// the scale.
struct Quantize<'a> {
    x: &'a [f32],
    span: usize,
    out: &'a mut [Block],
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let x = self.x.as_chunks::<LANES>().0.as_chunks::<2>().0;
        let blocks = self.span / COLUMNS;
        if blocks == 1 {
            for (x, out) in x.iter().zip(self.out) {
                round(s, [s.load(&x[0]), s.load(&x[1])], out);
            }
            return;
        }
        for (x, out) in x.chunks_exact(blocks).zip(self.out.chunks_exact_mut(blocks)) {
            let mut largest = 0.0;
            for x in x {
                let own = largest_of(s, [s.load(&x[0]), s.load(&x[1])]);
                // One that is no number stays.
                largest = if own > largest || own.is_nan() { own } else { largest };
            }
            for (x, out) in x.iter().zip(out) {
                round_by(s, [s.load(&x[0]), s.load(&x[1])], largest, out);
            }
        }
    }
}

/// Rounds a block's columns.
#[inline(always)]
pub(super) fn round<S: Simd>(s: S, x: [S::F; 2], out: &mut Block) {
    round_by(s, x, largest_of(s, x), out);
}

/// The largest magnitude of a block's columns.
#[inline(always)]
fn largest_of<S: Simd>(s: S, x: [S::F; 2]) -> f32 {
    s.largest(s.max(magnitude(s, x[0]), magnitude(s, x[1])))
}

/// Rounds a block's columns, where the largest number becomes 127.
#[inline(always)]
fn round_by<S: Simd>(s: S, x: [S::F; 2], largest: f32, out: &mut Block) {
    let scale = largest / 127.0;
    let by = s.splat(if largest > 0.0 { 127.0 / largest } else { 0.0 });
    out[SCALE] = scale;
    let mut sums = [0; 3];
    for (half, x) in x.into_iter().enumerate() {
        let bytes = s.narrow(s.round(s.mul(x, by)));
        for (quad, &bytes) in out[4 * half..].iter_mut().zip(bytes.as_chunks::<4>().0) {
            *quad = f32::from_le_bytes(bytes);
        }
        sums[1 + half] = s.sum(bytes);
    }
    sums[0] = sums[1] + sums[2];
    for (i, sum) in sums.into_iter().enumerate() {
        out[STARTS + i] = f32::from_bits((-128 * sum).cast_unsigned());
        out[SUMS + i] = -(scale * sum as f32);
    }
    out[START_OF_Q4] = f32::from_bits((-8 * sums[0]).cast_unsigned());
}

#[inline(always)]
fn magnitude<S: Simd>(s: S, x: S::F) -> S::F {
    s.max(s.sub(s.splat(0.0), x), x)
}
