//! Elements that stand alone: tiles to lines of numbers, and their product with one row.

use tensor::DType;

use crate::cpu::simd::{Bytes, Kernel, Line, Simd};

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
    pub(crate) x: &'a [&'a [f32]],
    pub(crate) sums: &'a mut [Line],
    pub(crate) sums_stride: usize,
}

/// How a column of 16 numbers is stored.
pub(crate) trait Column<const FIELDS: usize> {
    fn load<S: Simd>(s: S, fields: &[Bytes; FIELDS]) -> S::F;
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

impl Column<2> for BF16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, fields: &[Bytes; 2]) -> S::F {
        s.with_bits(s.shl(s.halves(fields), 16))
    }
}

impl Kernel for Decode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.dtype {
            DType::F16 => decode::<S, F16, 2>(s, self),
            DType::BF16 => decode::<S, BF16, 2>(s, self),
            _ => decode::<S, F32, 4>(s, self),
        }
    }
}

#[inline(always)]
fn decode<S: Simd, C: Column<FIELDS>, const FIELDS: usize>(s: S, job: Decode) {
    for (column, out) in job.columns.as_chunks::<FIELDS>().0.iter().zip(job.out) {
        s.store(&mut out.0, C::load(s, column));
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
            DType::BF16 => dot::<S, BF16, 2, R>(s, self),
            _ => dot::<S, F32, 4, R>(s, self),
        }
    }
}

/// Goes through all tiles together, some columns of each in turn: the sums of several tiles are then under way at once,
/// where one alone would wait for each addition.
#[inline(always)]
fn dot<S: Simd, C: Column<FIELDS>, const FIELDS: usize, const R: usize>(s: S, job: DotFloats) {
    const TURN: usize = 32;
    let rows = job.x.first_chunk::<R>().expect("so many");
    let mut x = [[0.0; R]; TURN];
    for start in (0..rows[0].len()).step_by(TURN) {
        for (r, row) in rows.iter().enumerate() {
            x.iter_mut().zip(&row[start..]).for_each(|(x, &y)| x[r] = y);
        }
        for (t, tile) in job.tiles.chunks(job.stride).enumerate() {
            let mut totals = [s.splat(0.0); R];
            if start > 0 {
                for (r, total) in totals.iter_mut().enumerate() {
                    *total = s.load(&job.sums[r * job.sums_stride + t].0);
                }
            }
            let columns = tile.as_chunks::<FIELDS>().0[start..].iter().take(rows[0].len() - start);
            for (column, x) in columns.zip(&x) {
                // The same columns' place in the next turn.
                s.prefetch_far(column, size_of_val(column) * TURN);
                let w = C::load(s, column);
                for (total, &x) in totals.iter_mut().zip(x) {
                    *total = s.mul_add(w, s.splat(x), *total);
                }
            }
            for (r, total) in totals.into_iter().enumerate() {
                s.store(&mut job.sums[r * job.sums_stride + t].0, total);
            }
        }
    }
}
