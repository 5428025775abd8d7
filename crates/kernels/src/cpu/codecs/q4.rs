//! Four bits an element in blocks of 32: byte j holds elements j (low) and j + 16 (high).

use super::{Block, Effort, Quads, Quant, bits, fields, half};
use crate::cpu::simd::{Bytes, LANES, Simd};

pub(super) struct Q4_0;
pub(super) struct Q4_1;
pub(super) struct IQ4NL;
pub(super) struct IQ4XS;
pub(super) struct MXFP4;

/// The levels of IQ4_NL and IQ4_XS, plus 128.
const LEVELS: Bytes = [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];
/// Twice the numbers of the 4-bit float of the OCP microscaling formats (sign, two bits of exponent, one of mantissa), plus 16.
const FLOATS: Bytes = [16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4];

/// Line `i` of 32 columns from the nibbles of four lines.
#[inline(always)]
pub(super) fn nibble<S: Simd>(s: S, quants: &[Quads], i: usize) -> S::I {
    bits(s, &quants[i % 4], i as u32 / 4 * 4, 4)
}

impl Quant<8, 4, 2> for Q4_0 {
    const PARTS: usize = 1;
    const ZERO: u32 = 8;
    const EFFORT: Effort = Effort::Little;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[..2]);
        quants.copy_from_slice(&block[2..]);
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<4, 2>, _: usize, i: usize) -> S::I {
        nibble(s, block.quants, i)
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<4, 2>, _: usize) -> S::F {
        half(s, block.side, 0)
    }
}

impl Quant<8, 4, 4> for Q4_1 {
    const PARTS: usize = 1;
    const EFFORT: Effort = Effort::Little;
    const FIELDS: &'static [(usize, usize)] = &[(2, 2)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[..4]);
        quants.copy_from_slice(&block[4..]);
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<4, 4>, _: usize, i: usize) -> S::I {
        nibble(s, block.quants, i)
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<4, 4>, _: usize) -> S::F {
        half(s, block.side, 0)
    }

    #[inline(always)]
    fn min<S: Simd>(s: S, block: &Block<4, 4>, _: usize) -> Option<S::F> {
        Some(s.sub(s.splat(-0.0), half(s, block.side, 2)))
    }
}

impl Quant<8, 4, 2> for IQ4NL {
    const PARTS: usize = 1;
    const ZERO: u32 = 128;
    const WIDE: bool = true;
    const EFFORT: Effort = Effort::Little;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        Q4_0::pack(block, quants, side);
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<4, 2>, _: usize, i: usize) -> S::I {
        s.lookup(&LEVELS, nibble(s, block.quants, i))
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<4, 2>, _: usize) -> S::F {
        half(s, block.side, 0)
    }
}

impl Quant<8, 4, 1> for MXFP4 {
    const PARTS: usize = 1;
    const ZERO: u32 = 16;
    const EFFORT: Effort = Effort::Little;
    const FIELDS: &'static [(usize, usize)] = &[(1, 1)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[..1]);
        quants.copy_from_slice(&block[1..]);
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<4, 1>, _: usize, i: usize) -> S::I {
        s.lookup(&FLOATS, nibble(s, block.quants, i))
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<4, 1>, _: usize) -> S::F {
        let mut scales = [0.0; LANES];
        for (scale, &e) in scales.iter_mut().zip(&block.side[0]) {
            *scale = half_power(e);
        }
        s.load(&scales)
    }
}

/// 2^(e - 128): half of what the exponent byte says, as the table has twice the numbers. The two smallest are subnormal.
#[inline(always)]
fn half_power(e: u8) -> f32 {
    f32::from_bits(if e < 2 { 0x0020_0000 << e } else { (u32::from(e) - 1) << 23 })
}

impl Quant<8, 32, 10> for IQ4XS {
    const PARTS: usize = 8;
    const ZERO: u32 = 128;
    const WIDE: bool = true;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1), (1, 8)];

    /// A block has d, the upper two bits of the parts' scales, their lower four, and the nibbles.
    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        quants.copy_from_slice(&block[8..]);
        side[..2].copy_from_slice(&block[..2]);
        let high = u16::from_le_bytes([block[2], block[3]]);
        for (p, scale) in side[2..].iter_mut().enumerate() {
            let low = block[4 + p / 2] >> (4 * (p % 2)) & 15;
            *scale = (low | ((high >> (2 * p) & 3) as u8) << 4).wrapping_sub(32);
        }
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<32, 10>, part: usize, i: usize) -> S::I {
        s.lookup(&LEVELS, nibble(s, &block.quants[4 * part..], i))
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<32, 10>, part: usize) -> S::F {
        let scale = s.float(s.signed(&fields::<8, 10>(block.side, 2)[part]));
        s.mul(half(s, block.side, 0), scale)
    }
}

const _: () = assert!(LANES == 16, "a table of 16 levels is a field");
