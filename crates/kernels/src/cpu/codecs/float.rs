//! Floats, alone or in pairs: decoding tiles, and their products with few rows.

use std::marker::PhantomData;
use std::ops::Range;

use tensor::DType;

use super::Quads;
use crate::cpu::simd::{Ahead, AheadOf, Bytes, Kernel, Line, Simd};

/// Decodes columns of one tile into `out`, a line for each.
pub(crate) struct Decode<'a> {
    pub(crate) dtype: DType,
    pub(crate) columns: &'a [Bytes],
    pub(crate) out: &'a mut [Line],
}

/// Multiplies tiles with some rows of x, decoding them in registers: row r of `sums` + t = tile t · row r. Groups of rows take turns
/// as in `dot.rs`.
pub(crate) struct DotFloats<'a> {
    pub(crate) dtype: DType,
    /// The tiles, one after the other.
    pub(crate) tiles: &'a [Bytes],
    /// Distance between tiles, in fields.
    pub(crate) stride: usize,
    /// Numbers, or pairs of BF16 if the weights are BF16 and the instruction set has products of pairs.
    pub(crate) x: &'a [f32],
    /// Where each row starts in `x`, and how many numbers or pairs it has.
    pub(crate) rows: &'a [u32],
    pub(crate) cols: usize,
    pub(crate) sums: &'a mut [Line],
    pub(crate) sums_stride: usize,
    pub(crate) ahead: Ahead,
}

/// How a column of 16 numbers is stored.
pub(crate) trait Column<const FIELDS: usize> {
    fn load<S: Simd>(s: S, fields: &[Bytes; FIELDS]) -> S::F;
}

/// How N columns of 16 numbers are stored side by side, on a cache line.
trait Columns<const N: usize> {
    fn load<S: Simd>(s: S, fields: &Quads) -> [S::F; N];

    /// total + w · x.
    #[inline(always)]
    fn add<S: Simd>(s: S, w: S::F, x: S::F, total: S::F) -> S::F {
        s.mul_add(w, x, total)
    }
}

pub(crate) struct F32;
pub(crate) struct F16;
struct BF16;

impl Column<4> for F32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, fields: &[Bytes; 4]) -> S::F {
        s.with_bits(s.bytes(fields))
    }
}

impl Column<2> for F16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, fields: &[Bytes; 2]) -> S::F {
        s.f16(fields)
    }
}

impl Columns<1> for F32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, fields: &Quads) -> [S::F; 1] {
        [<F32 as Column<4>>::load(s, fields)]
    }
}

impl Columns<2> for F16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, fields: &Quads) -> [S::F; 2] {
        let [a, b, c, d] = *fields;
        [s.f16(&[a, b]), s.f16(&[c, d])]
    }
}

/// A number is the upper half of an `f32`'s bits.
impl Columns<2> for BF16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, fields: &Quads) -> [S::F; 2] {
        let both = s.bytes(fields);
        [s.with_bits(s.shl(both, 16)), s.with_bits(s.and(both, s.splat_int(-1 << 16)))]
    }
}

/// Two columns of BF16, as they are multiplied with pairs.
struct Pairs;

impl Columns<1> for Pairs {
    #[inline(always)]
    fn load<S: Simd>(s: S, fields: &Quads) -> [S::F; 1] {
        [s.with_bits(s.bytes(fields))]
    }

    #[inline(always)]
    fn add<S: Simd>(s: S, w: S::F, x: S::F, total: S::F) -> S::F {
        s.dot_pairs(total, w, x)
    }
}

impl Kernel for Decode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.dtype {
            DType::F16 => decode::<S, F16, 2>(s, self),
            DType::BF16 => decode::<S, BF16, 2>(s, self),
            _ => decode::<S, F32, 1>(s, self),
        }
    }
}

#[inline(always)]
fn decode<S: Simd, C: Columns<N>, const N: usize>(s: S, job: Decode) {
    for (columns, out) in job.columns.as_chunks().0.iter().zip(job.out.chunks_mut(N)) {
        for (out, x) in out.iter_mut().zip(C::load(s, columns)) {
            s.store(&mut out.0, x);
        }
    }
}

impl Kernel for DotFloats<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        // Only BF16 is multiplied in pairs.
        if const { S::PAIRS } {
            return self.all::<S, Pairs, 1>(s);
        }
        match self.dtype {
            DType::F16 => self.all::<S, F16, 2>(s),
            DType::BF16 => self.all::<S, BF16, 2>(s),
            _ => self.all::<S, F32, 1>(s),
        }
    }
}

impl DotFloats<'_> {
    #[inline(always)]
    fn all<S: Simd, C: Columns<N>, const N: usize>(&mut self, s: S) {
        assert!(self.rows.iter().all(|&row| row as usize + self.cols <= self.x.len()), "rows of x");
        let (count, tiles) = (self.rows.len(), self.tiles.len() / self.stride);
        let turns = count.div_ceil(S::ROWS);
        let at_once = if turns == 1 { tiles } else { S::TILES };
        for first in (0..tiles).step_by(at_once) {
            let tiles = first..tiles.min(first + at_once);
            let mut row = 0;
            for turn in 0..turns {
                // Groups of even size: 13 rows as 7 and 6, not as 12 and 1.
                let rows = row..row + (count - row).div_ceil(turns - turn);
                row = rows.end;
                macro_rules! rows {
                    ($($n:literal)*) => {
                        match rows.len() {
                            $($n if const { $n <= S::ROWS } => {
                                s.apart(Rows::<C, N, $n> { product: self, row: rows.start, tiles: &tiles, turn: (turn, turns), of: PhantomData });
                            })*
                            _ => unreachable!("as many rows as registers take"),
                        }
                    };
                }
                rows!(1 2 3 4 5 6 7 8 9 10 11 12);
            }
        }
    }

    /// Takes two tiles at a time if registers hold the sums: a single one would wait for each addition.
    #[inline(always)]
    fn rows<S: Simd, C: Columns<N>, const N: usize, const R: usize>(
        &mut self,
        s: S,
        row: usize,
        tiles: &Range<usize>,
        turn: (usize, usize),
    ) {
        let at_once = if const { 2 * R <= S::ROWS * S::TILES } { 2 } else { 1 };
        for first in tiles.clone().step_by(at_once) {
            if const { 2 * R <= S::ROWS * S::TILES } && first + 1 < tiles.end {
                self.tiles::<S, C, N, R, 2>(s, row, first, turn);
            } else {
                self.tiles::<S, C, N, R, 1>(s, row, first, turn);
            }
        }
    }

    #[inline(always)]
    fn tiles<S: Simd, C: Columns<N>, const N: usize, const R: usize, const T: usize>(
        &mut self,
        s: S,
        row: usize,
        first: usize,
        (turn, turns): (usize, usize),
    ) {
        let rows: &[u32; R] = self.rows[row..].first_chunk().expect("so many");
        let (blocks, left) = (self.cols / N, self.cols % N);
        let mut columns = [self.tiles.as_chunks().0; T];
        for (t, columns) in columns.iter_mut().enumerate() {
            *columns = &self.tiles[(first + t) * self.stride..].as_chunks().0[..blocks + left];
        }
        let stride = self.stride * size_of::<Bytes>();
        let ahead = AheadOf::new(self.ahead, (blocks, size_of::<Quads>()), (T - 1) * stride);
        let mut totals = [[s.splat(0.0); T]; R];
        let mut wait = turn;
        for block in 0..blocks {
            if wait == 0 {
                let Ahead { near, far } = ahead.at(block);
                for columns in columns {
                    if turns == 1 {
                        s.prefetch(&columns[block], near);
                    }
                    // Each turn prefetches its share of the next tiles.
                    s.prefetch_far(&columns[block], if turns == 1 { far } else { T * stride });
                }
                wait = turns;
            }
            wait -= 1;
            add::<S, C, N, R, T>(s, &columns, block, (self.x, rows, N), &mut totals);
        }
        if left > 0 {
            add::<S, C, N, R, T>(s, &columns, blocks, (self.x, rows, left), &mut totals);
        }
        for (r, totals) in totals.into_iter().enumerate() {
            for (t, total) in totals.into_iter().enumerate() {
                s.store(&mut self.sums[(row + r) * self.sums_stride + first + t].0, total);
            }
        }
    }
}

/// R rows from `row` on times some tiles.
struct Rows<'r, 'a, C, const N: usize, const R: usize> {
    product: &'r mut DotFloats<'a>,
    row: usize,
    tiles: &'r Range<usize>,
    turn: (usize, usize),
    of: PhantomData<C>,
}

impl<C: Columns<N>, const N: usize, const R: usize> Kernel for Rows<'_, '_, C, N, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.product.rows::<S, C, N, R>(s, self.row, self.tiles, self.turn);
    }
}

/// Adds the products of a block of columns, `n` of which rows of x have. [`DotFloats::all`] has compared the rows with x.
#[inline(always)]
fn add<S: Simd, C: Columns<N>, const N: usize, const R: usize, const T: usize>(
    s: S,
    columns: &[&[Quads]; T],
    block: usize,
    (x, rows, n): (&[f32], &[u32; R], usize),
    totals: &mut [[S::F; T]; R],
) {
    let mut w = [[s.splat(0.0); N]; T];
    for (w, columns) in w.iter_mut().zip(columns) {
        *w = C::load(s, &columns[block]);
    }
    for (totals, &row) in totals.iter_mut().zip(rows) {
        for i in 0..n {
            // SAFETY: a row's last column lies in x, and this is one of its columns.
            #[allow(unsafe_code)]
            let x = s.splat(unsafe { *x.get_unchecked(row as usize + block * N + i) });
            for (total, w) in totals.iter_mut().zip(&w) {
                *total = C::add(s, w[i], x, *total);
            }
        }
    }
}
