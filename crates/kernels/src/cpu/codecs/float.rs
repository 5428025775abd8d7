//! Elements that stand alone, or in pairs: tiles to lines of numbers, and their product with few rows.

use tensor::DType;

use super::Quads;
use crate::cpu::simd::{Ahead, Bytes, Kernel, Line, Simd};

/// Decodes columns of one tile into `out`: a line for each.
pub(crate) struct Decode<'a> {
    pub(crate) dtype: DType,
    pub(crate) columns: &'a [Bytes],
    pub(crate) out: &'a mut [Line],
}

/// Multiplies tiles with 1 to 4 rows of x, reading each tile once: row r of `sums` + t = tile t · row r.
pub(crate) struct DotFloats<'a> {
    pub(crate) dtype: DType,
    /// The tiles, one after the other.
    pub(crate) tiles: &'a [Bytes],
    /// Fields from tile to tile.
    pub(crate) stride: usize,
    /// Numbers; pairs of BF16 where the instruction set has them and the weights are.
    pub(crate) x: &'a [&'a [f32]],
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
        let numbers = fields.as_flattened().as_chunks::<4>().0;
        let numbers: [f32; 16] = std::array::from_fn(|i| f32::from_le_bytes(numbers[i]));
        s.load(&numbers)
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

/// A number is the upper half of a single's bits.
impl Columns<2> for BF16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, fields: &Quads) -> [S::F; 2] {
        let both = s.bytes(fields);
        [s.with_bits(s.shl(both, 16)), s.with_bits(s.and(both, s.splat_int(-1 << 16)))]
    }
}

/// Two columns of BF16 as they lie, to be multiplied with pairs.
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
    fn run<S: Simd>(self, s: S) {
        match self.x.len() {
            1 => self.rows::<S, 1>(s),
            2 => self.rows::<S, 2>(s),
            3 => self.rows::<S, 3>(s),
            _ => self.rows::<S, 4>(s),
        }
    }
}

impl DotFloats<'_> {
    #[inline(always)]
    fn rows<S: Simd, const R: usize>(self, s: S) {
        match self.dtype {
            DType::F16 => dot::<S, F16, 2, R>(s, self),
            DType::BF16 if S::PAIRS => dot::<S, Pairs, 1, R>(s, self),
            DType::BF16 => dot::<S, BF16, 2, R>(s, self),
            _ => dot::<S, F32, 1, R>(s, self),
        }
    }
}

/// Goes through two tiles at a time if registers hold the sums: one that is alone waits for each addition.
#[inline(always)]
fn dot<S: Simd, C: Columns<N>, const N: usize, const R: usize>(s: S, job: DotFloats) {
    let rows = job.x.first_chunk::<R>().expect("so many");
    let at_once = if 2 * R <= S::ROWS * S::TILES { 2 } else { 1 };
    for (i, now) in job.tiles.chunks(at_once * job.stride).enumerate() {
        let sums = (&mut job.sums[at_once * i..], job.sums_stride, job.ahead);
        let (a, b) = now.split_at(job.stride);
        if b.is_empty() {
            tiles::<S, C, N, R, 1>(s, [a], rows, sums);
        } else {
            tiles::<S, C, N, R, 2>(s, [a, b], rows, sums);
        }
    }
}

#[inline(always)]
fn tiles<S: Simd, C: Columns<N>, const N: usize, const R: usize, const T: usize>(
    s: S,
    tiles: [&[Bytes]; T],
    rows: &[&[f32]; R],
    (sums, sums_stride, ahead): (&mut [Line], usize, Ahead),
) {
    let mut totals = [[s.splat(0.0); T]; R];
    let mut columns = [tiles[0].as_chunks().0; T];
    for (columns, tile) in columns.iter_mut().zip(tiles) {
        *columns = tile.as_chunks().0;
    }
    let mut whole = [rows[0].as_chunks::<N>().0; R];
    // Of a row that ends within a block.
    let mut rest = [[[0.0; N]; 1]; R];
    for ((whole, rest), row) in whole.iter_mut().zip(&mut rest).zip(rows) {
        let (chunks, left) = row.as_chunks();
        *whole = chunks;
        rest[0][..left.len()].copy_from_slice(left);
    }
    let (all, blocks) = (rows[0].len().div_ceil(N), whole[0].len());
    for block in 0..blocks {
        add::<S, C, N, R, T>(s, (&columns, block), (&whole, block), ahead, &mut totals);
    }
    if all > blocks {
        add::<S, C, N, R, T>(s, (&columns, blocks), (&rest.each_ref().map(|rest| &rest[..]), 0), ahead, &mut totals);
    }
    for (r, totals) in totals.into_iter().enumerate() {
        for (t, total) in totals.into_iter().enumerate() {
            s.store(&mut sums[r * sums_stride + t].0, total);
        }
    }
}

/// Adds the products of one block of columns.
#[inline(always)]
fn add<S: Simd, C: Columns<N>, const N: usize, const R: usize, const T: usize>(
    s: S,
    (columns, block): (&[&[Quads]; T], usize),
    (rows, at): (&[&[[f32; N]]; R], usize),
    ahead: Ahead,
    totals: &mut [[S::F; T]; R],
) {
    let mut w = [[s.splat(0.0); N]; T];
    for (w, columns) in w.iter_mut().zip(columns) {
        s.prefetch(&columns[block], ahead.near);
        s.prefetch_far(&columns[block], ahead.far);
        *w = C::load(s, &columns[block]);
    }
    for (totals, row) in totals.iter_mut().zip(rows) {
        for (i, x) in row[at].iter().enumerate() {
            let x = s.splat(*x);
            for (total, w) in totals.iter_mut().zip(&w) {
                *total = C::add(s, w[i], x, *total);
            }
        }
    }
}
