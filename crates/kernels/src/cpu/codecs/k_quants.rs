//! The K-quants: blocks of 256 in parts of 16 or 32, each part with its own small scale.

use super::{Block, Quads, Quant, bits, half};
use crate::cpu::simd::{Bytes, Simd};

pub(super) struct Q2K;
pub(super) struct Q3K;
pub(super) struct Q4K;
pub(super) struct Q5K;
pub(super) struct Q6K;

impl Quant<4, 16, 20> for Q2K {
    const PARTS: usize = 16;
    const FIELDS: &'static [(usize, usize)] = &[(1, 16), (2, 2)];

    /// A block has 16 scales (low 4 bits) and minima (high), 64 bytes of quarters, d, dmin.
    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        quants.copy_from_slice(&block[16..80]);
        side[..16].copy_from_slice(&block[..16]);
        side[16..].copy_from_slice(&block[80..]);
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<16, 20>, part: usize, i: usize) -> S::I {
        bits(s, &block.quants[part / 8 * 8 + part % 2 * 4 + i], part as u32 / 2 % 4 * 2, 2)
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<16, 20>, part: usize) -> S::F {
        s.mul(half(s, block.side, 16), s.float(s.and(s.unsigned(&block.side[part]), s.splat_int(15))))
    }

    #[inline(always)]
    fn min<S: Simd>(s: S, block: &Block<16, 20>, part: usize) -> Option<S::F> {
        Some(s.mul(half(s, block.side, 18), s.float(s.shr(s.unsigned(&block.side[part]), 4))))
    }
}

impl Quant<4, 24, 18> for Q3K {
    const PARTS: usize = 16;
    const ZERO: u32 = 4;
    const FIELDS: &'static [(usize, usize)] = &[(1, 16), (2, 1)];

    /// A block has 32 bytes of third bits, 64 of quarters, 12 of scales (low 4 bits of 16, then high 2), d.
    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        quants[..64].copy_from_slice(&block[32..96]);
        quants[64..].copy_from_slice(&block[..32]);
        let scales = &block[96..108];
        for (p, scale) in side[..16].iter_mut().enumerate() {
            let (low, high) = (scales[p % 8] >> (p / 8 * 4) & 15, scales[8 + p % 4] >> (p / 4 * 2) & 3);
            *scale = (low | high << 4).wrapping_sub(32);
        }
        side[16..].copy_from_slice(&block[108..]);
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<24, 18>, part: usize, i: usize) -> S::I {
        let (row, side) = (part / 2, part % 2 * 4);
        let two = bits(s, &block.quants[row / 4 * 8 + side + i], row as u32 % 4 * 2, 2);
        let third = bits(s, &block.quants[16 + side + i], row as u32, 1);
        s.or(two, s.shl(third, 2))
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<24, 18>, part: usize) -> S::F {
        s.mul(half(s, block.side, 16), s.float(s.signed(&block.side[part])))
    }
}

/// Fields of Q4_K and Q5_K: eight scales and eight minima, which the file packs into 12 bytes of 6 bits each, then d, dmin.
fn pack_side(block: &[u8], side: &mut [u8]) {
    let packed = &block[4..16];
    for p in 0..8 {
        (side[p], side[8 + p]) = if p < 4 {
            (packed[p] & 63, packed[p + 4] & 63)
        } else {
            let both = packed[p + 4];
            (both & 15 | packed[p - 4] >> 6 << 4, both >> 4 | packed[p] >> 6 << 4)
        };
    }
    side[16..].copy_from_slice(&block[..4]);
}

/// The scale of part 0 to 7 of Q4_K and Q5_K.
#[inline(always)]
fn scale<S: Simd>(s: S, side: &[Bytes; 20], part: usize) -> S::F {
    s.mul(half(s, side, 16), s.float(s.unsigned(&side[part])))
}

/// Their minimum.
#[inline(always)]
fn min<S: Simd>(s: S, side: &[Bytes; 20], part: usize) -> S::F {
    s.mul(half(s, side, 18), s.float(s.unsigned(&side[8 + part])))
}

/// Line `i` of their nibbles: low ones of 32 bytes, then their high ones.
#[inline(always)]
fn nibble<S: Simd>(s: S, quants: &[Quads], part: usize, i: usize) -> S::I {
    bits(s, &quants[part / 2 * 8 + i], part as u32 % 2 * 4, 4)
}

impl Quant<8, 32, 20> for Q4K {
    const PARTS: usize = 8;
    const FIELDS: &'static [(usize, usize)] = &[(1, 16), (2, 2)];

    /// A block has d, dmin, 12 bytes of scales, 128 of nibbles.
    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        quants.copy_from_slice(&block[16..]);
        pack_side(block, side);
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<32, 20>, part: usize, i: usize) -> S::I {
        nibble(s, block.quants, part, i)
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<32, 20>, part: usize) -> S::F {
        scale(s, block.side, part)
    }

    #[inline(always)]
    fn min<S: Simd>(s: S, block: &Block<32, 20>, part: usize) -> Option<S::F> {
        Some(min(s, block.side, part))
    }
}

impl Quant<8, 40, 20> for Q5K {
    const PARTS: usize = 8;
    const FIELDS: &'static [(usize, usize)] = &[(1, 16), (2, 2)];

    /// A block has d, dmin, 12 bytes of scales, 32 of fifth bits, 128 of nibbles.
    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        quants[..128].copy_from_slice(&block[48..]);
        quants[128..].copy_from_slice(&block[16..48]);
        pack_side(block, side);
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<40, 20>, part: usize, i: usize) -> S::I {
        let fifth = bits(s, &block.quants[32 + i], part as u32, 1);
        s.or(nibble(s, block.quants, part, i), s.shl(fifth, 4))
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<40, 20>, part: usize) -> S::F {
        scale(s, block.side, part)
    }

    #[inline(always)]
    fn min<S: Simd>(s: S, block: &Block<40, 20>, part: usize) -> Option<S::F> {
        Some(min(s, block.side, part))
    }
}

impl Quant<4, 48, 18> for Q6K {
    const PARTS: usize = 16;
    const ZERO: u32 = 32;
    const FIELDS: &'static [(usize, usize)] = &[(1, 16), (2, 1)];

    /// A block has 128 bytes of nibbles, 64 of upper pairs, 16 scales, d.
    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        quants.copy_from_slice(&block[..192]);
        side.copy_from_slice(&block[192..]);
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<48, 18>, part: usize, i: usize) -> S::I {
        let (half, quarter, first) = (part / 8, part / 2 % 4, part % 2 * 4);
        let four = bits(s, &block.quants[half * 16 + quarter % 2 * 8 + first + i], quarter as u32 / 2 * 4, 4);
        let upper = bits(s, &block.quants[32 + half * 8 + first + i], quarter as u32 * 2, 2);
        s.or(four, s.shl(upper, 4))
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<48, 18>, part: usize) -> S::F {
        s.mul(half(s, block.side, 16), s.float(s.signed(&block.side[part])))
    }
}
