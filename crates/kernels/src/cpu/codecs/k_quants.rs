//! The K-quants: blocks of 256 in parts of 16 or 32, each part with its own small scale.

use super::{Codec, Sink, half, low};
use crate::cpu::simd::{Bytes, Simd};

pub(super) struct Q2K;
pub(super) struct Q3K;
pub(super) struct Q4K;
pub(super) struct Q5K;
pub(super) struct Q6K;

/// `bits` bits of each lane from bit `at` on.
#[inline(always)]
fn bits<S: Simd>(s: S, byte: &Bytes, at: u32, bits: u32) -> S::I {
    s.and(s.shr(s.unsigned(byte), at), s.splat_int((1 << bits) - 1))
}

impl Codec<256, 84> for Q2K {
    /// 16 scales (low 4 bits) and minima (high), 64 bytes of quarters, d, dmin.
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 256>>(s: S, block: &[Bytes; 84], sink: &mut K) {
        let (d, dmin) = (half(s, block, 80), half(s, block, 82));
        for part in 0..16 {
            let scale = s.unsigned(&block[part]);
            let (scale, min) = (s.mul(d, s.float(low(s, scale))), s.mul(dmin, s.float(s.shr(scale, 4))));
            let (first, shift) = (16 + part / 8 * 32 + part % 2 * 16, part as u32 / 2 % 4 * 2);
            for l in 0..16 {
                let q = bits(s, &block[first + l], shift, 2);
                sink.take(s, part * 16 + l, s.sub(s.mul(scale, s.float(q)), min));
            }
        }
    }
}

impl Codec<256, 110> for Q3K {
    /// 32 bytes of third bits, 64 of quarters, 12 of scales, d.
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 256>>(s: S, block: &[Bytes; 110], sink: &mut K) {
        let d = half(s, block, 108);
        for part in 0..16 {
            let low_bits = bits(s, &block[96 + part % 8], part as u32 / 8 * 4, 4);
            let high_bits = bits(s, &block[104 + part % 4], part as u32 / 4 * 2, 2);
            let scale = s.add_int(s.or(low_bits, s.shl(high_bits, 4)), s.splat_int(-32));
            let scale = s.mul(d, s.float(scale));
            let (row, shift) = (part / 2, part as u32 / 2 % 4 * 2);
            for l in 0..16 {
                let two = bits(s, &block[32 + row / 4 * 32 + part % 2 * 16 + l], shift, 2);
                let third = bits(s, &block[part % 2 * 16 + l], row as u32, 1);
                let q = s.add_int(s.or(two, s.shl(third, 2)), s.splat_int(-4));
                sink.take(s, part * 16 + l, s.mul(scale, s.float(q)));
            }
        }
    }
}

/// Scale and minimum of part 0 to 7 of Q4_K and Q5_K: 6 bits each, packed into the 12 fields from 4 on.
#[inline(always)]
fn scale_and_min<S: Simd, const FIELDS: usize>(s: S, block: &[Bytes; FIELDS], part: usize) -> (S::F, S::F) {
    let field = |i: usize| &block[4 + i];
    let (scale, min) = if part < 4 {
        (bits(s, field(part), 0, 6), bits(s, field(part + 4), 0, 6))
    } else {
        let high = |i| s.shl(bits(s, field(i), 6, 2), 4);
        (s.or(bits(s, field(part + 4), 0, 4), high(part - 4)), s.or(bits(s, field(part + 4), 4, 4), high(part)))
    };
    (s.mul(half(s, block, 0), s.float(scale)), s.mul(half(s, block, 2), s.float(min)))
}

impl Codec<256, 144> for Q4K {
    /// d, dmin, 12 bytes of scales, 128 of nibbles.
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 256>>(s: S, block: &[Bytes; 144], sink: &mut K) {
        for part in 0..8 {
            let (scale, min) = scale_and_min(s, block, part);
            for l in 0..32 {
                let q = bits(s, &block[16 + part / 2 * 32 + l], part as u32 % 2 * 4, 4);
                sink.take(s, part * 32 + l, s.sub(s.mul(scale, s.float(q)), min));
            }
        }
    }
}

impl Codec<256, 176> for Q5K {
    /// d, dmin, 12 bytes of scales, 32 of fifth bits, 128 of nibbles.
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 256>>(s: S, block: &[Bytes; 176], sink: &mut K) {
        for part in 0..8 {
            let (scale, min) = scale_and_min(s, block, part);
            for l in 0..32 {
                let four = bits(s, &block[48 + part / 2 * 32 + l], part as u32 % 2 * 4, 4);
                let fifth = bits(s, &block[16 + l], part as u32, 1);
                let q = s.or(four, s.shl(fifth, 4));
                sink.take(s, part * 32 + l, s.sub(s.mul(scale, s.float(q)), min));
            }
        }
    }
}

impl Codec<256, 210> for Q6K {
    /// 128 bytes of nibbles, 64 of upper pairs, 16 of scales, d.
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 256>>(s: S, block: &[Bytes; 210], sink: &mut K) {
        let d = half(s, block, 208);
        for part in 0..16 {
            let scale = s.mul(d, s.float(s.signed(&block[192 + part])));
            let (side, quarter, first) = (part / 8, part / 2 % 4, part % 2 * 16);
            for l in first..first + 16 {
                let four = bits(s, &block[side * 64 + quarter % 2 * 32 + l], quarter as u32 / 2 * 4, 4);
                let upper = bits(s, &block[128 + side * 32 + l], quarter as u32 * 2, 2);
                let q = s.add_int(s.or(four, s.shl(upper, 4)), s.splat_int(-32));
                sink.take(s, part * 16 + l - first, s.mul(scale, s.float(q)));
            }
        }
    }
}
