//! Unpacks columns of a tile into memory: for a matrix unit, and to read single rows.

use tensor::DType;

use super::{Block, COLUMNS, Form, QUAD, Quads, Quant, for_quant, k_quants, q4, q5, q8};
use crate::cpu::simd::{Bytes, Kernel, LANES, Line, Simd};

/// Lines that [`COLUMNS`] take.
const QUADS: usize = COLUMNS / QUAD;
/// The most parts in so many columns.
const PARTS: usize = COLUMNS / 16;

/// Unpacked columns of one tile: lines of bytes, and each part's scale and minimum.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Weights {
    pub(crate) bytes: [Quads; QUADS],
    pub(crate) scales: [Line; PARTS],
    pub(crate) mins: [Line; PARTS],
}

impl Weights {
    pub(crate) const ZERO: Weights = Weights {
        bytes: [[[0; LANES]; QUAD]; QUADS],
        scales: [Line([0.0; LANES]); PARTS],
        mins: [Line([0.0; LANES]); PARTS],
    };

    /// The elements of one row; `zero` was subtracted from each byte.
    pub(crate) fn row(&self, lane: usize, form: Form, zero: u32, out: &mut [f32]) {
        for (k, out) in out.iter_mut().enumerate() {
            let (line, part) = (k / QUAD, k / QUAD / form.lines);
            let byte = i32::from(self.bytes[line].as_flattened()[QUAD * lane + k % QUAD]) - zero.cast_signed();
            let min = if form.zero == 0 { self.mins[part].0[lane] } else { 0.0 };
            *out = self.scales[part].0[lane] * byte as f32 - min;
        }
    }
}

/// Unpacks columns of a tile into lines of bytes and each part's scale and minimum. Where wide bytes are free, bytes are shifted so
/// that 128 is subtracted from each, whatever the type. Returns what is to be subtracted; 0 if there are minima. As a kernel it is not
/// for the types of `coded`; [`Unpack::with`] is for all.
pub(crate) struct Unpack<'a> {
    /// Subtracts it, so that bytes are signed; only where wide ones are free.
    pub(crate) signed: bool,
    pub(crate) dtype: DType,
    /// Blocks.
    pub(crate) columns: &'a [Bytes],
    pub(crate) out: &'a mut Weights,
}

impl Kernel for Unpack<'_> {
    type Output = u32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u32 {
        for_quant!(self.dtype, unpack[S](s, self))
    }
}

#[inline(always)]
fn unpack<S: Simd, T: Quant<LINES, QUANTS, SIDE>, const LINES: usize, const QUANTS: usize, const SIDE: usize>(
    s: S,
    job: Unpack,
) -> u32 {
    let zero = if S::WIDE_IS_FREE && T::ZERO > 0 { 128 } else { T::ZERO };
    let more = i32::from_le_bytes([(zero - T::ZERO) as u8; 4]);
    let flip = s.splat_int(if job.signed && zero > 0 { i32::from_le_bytes([128; 4]) } else { 0 });
    let blocks = job.columns.chunks_exact(Block::<QUANTS, SIDE>::LEN);
    let bytes = job.out.bytes.as_chunks_mut::<LINES>().0.chunks_exact_mut(T::PARTS);
    let parts = job.out.scales.chunks_exact_mut(T::PARTS).zip(job.out.mins.chunks_exact_mut(T::PARTS));
    for ((block, bytes), (scales, mins)) in blocks.zip(bytes).zip(parts) {
        let block = Block::new(block);
        // Parts with the same remainder by 8 are alike, so only the remainder is a compile-time constant.
        for group in 0..T::PARTS.div_ceil(8) {
            macro_rules! parts {
                ($($i:literal)*) => {$(
                    if const { $i < T::PARTS } {
                        let p = 8 * group + $i;
                        for (i, to) in bytes[p].iter_mut().enumerate() {
                            let quants = T::line(s, &block, p, i);
                            let quants = if more == 0 { quants } else { s.add_int(quants, s.splat_int(more)) };
                            s.store_bytes(to, if zero == 0 { quants } else { s.xor(quants, flip) });
                        }
                        s.store(&mut scales[p].0, T::scale(s, &block, p));
                        if let Some(min) = T::min(s, &block, p) {
                            s.store(&mut mins[p].0, min);
                        }
                    }
                )*};
            }
            parts!(0 1 2 3 4 5 6 7);
        }
    }
    zero
}
