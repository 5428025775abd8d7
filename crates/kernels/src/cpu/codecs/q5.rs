//! Five bits an element in blocks of 32: four as in `q4.rs`, and bit i of the last line's bytes is the fifth bit of line i.

use super::q4::nibble;
use super::{Block, Quads, Quant, bits, half};
use crate::cpu::simd::Simd;

pub(super) struct Q5_0;
pub(super) struct Q5_1;

/// Packs nibbles, then the fifth bits, which the file has in the order of the columns.
fn pack(high: &[u8], nibbles: &[u8], quants: &mut [u8]) {
    quants[..16].copy_from_slice(nibbles);
    quants[16..].fill(0);
    for column in 0..32 {
        quants[16 + column % 4] |= (high[column / 8] >> (column % 8) & 1) << (column / 4);
    }
}

#[inline(always)]
fn five<S: Simd>(s: S, quants: &[Quads; 5], i: usize) -> S::I {
    s.or(nibble(s, quants, i), s.shl(bits(s, &quants[4], i as u32, 1), 4))
}

impl Quant<8, 5, 2> for Q5_0 {
    const PARTS: usize = 1;
    const ZERO: u32 = 16;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[..2]);
        pack(&block[2..6], &block[6..], quants);
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<5, 2>, _: usize, i: usize) -> S::I {
        five(s, block.quants, i)
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<5, 2>, _: usize) -> S::F {
        half(s, block.side, 0)
    }
}

impl Quant<8, 5, 4> for Q5_1 {
    const PARTS: usize = 1;
    const FIELDS: &'static [(usize, usize)] = &[(2, 2)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[..4]);
        pack(&block[4..8], &block[8..], quants);
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<5, 4>, _: usize, i: usize) -> S::I {
        five(s, block.quants, i)
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<5, 4>, _: usize) -> S::F {
        half(s, block.side, 0)
    }

    #[inline(always)]
    fn min<S: Simd>(s: S, block: &Block<5, 4>, _: usize) -> Option<S::F> {
        Some(s.sub(s.splat(-0.0), half(s, block.side, 2)))
    }
}
