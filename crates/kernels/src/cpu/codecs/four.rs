//! Four bits an element in blocks of 32: byte j holds elements j (low) and j + 16 (high).

use super::{Codec, Sink, fields, half, low};
use crate::cpu::simd::{Bytes, LANES, Simd};

pub(super) struct Q4_0;
pub(super) struct Q4_1;
pub(super) struct IQ4NL;
pub(super) struct IQ4XS;
pub(super) struct MXFP4;

/// The levels of IQ4_NL and IQ4_XS.
const LEVELS: [f32; LANES] = [-127., -104., -83., -65., -49., -35., -22., -10., 1., 13., 25., 38., 53., 69., 89., 113.];
/// Twice the numbers of the 4-bit float of the OCP microscaling formats (sign, two bits of exponent, one of mantissa).
const FLOATS: [f32; LANES] = [0., 1., 2., 3., 4., 6., 8., 12., 0., -1., -2., -3., -4., -6., -8., -12.];

/// The 32 nibbles at field `at` in the order of their elements, each made a number by `value`, to columns from `k` on.
#[inline(always)]
fn nibbles<S: Simd, K: Sink<S, LEN>, const LEN: usize>(
    s: S,
    bytes: &[Bytes; 16],
    k: usize,
    sink: &mut K,
    value: impl Fn(S::I) -> S::F,
) {
    for (j, byte) in bytes.iter().enumerate() {
        sink.take(s, k + j, value(low(s, s.unsigned(byte))));
    }
    for (j, byte) in bytes.iter().enumerate() {
        sink.take(s, k + 16 + j, value(s.shr(s.unsigned(byte), 4)));
    }
}

impl Codec<32, 18> for Q4_0 {
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 32>>(s: S, block: &[Bytes; 18], sink: &mut K) {
        let (d, eight) = (half(s, block, 0), s.splat(8.0));
        nibbles(s, fields(block, 2), 0, sink, |q| s.mul(d, s.sub(s.float(q), eight)));
    }
}

impl Codec<32, 20> for Q4_1 {
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 32>>(s: S, block: &[Bytes; 20], sink: &mut K) {
        let (d, m) = (half(s, block, 0), half(s, block, 2));
        nibbles(s, fields(block, 4), 0, sink, |q| s.add(s.mul(d, s.float(q)), m));
    }
}

impl Codec<32, 18> for IQ4NL {
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 32>>(s: S, block: &[Bytes; 18], sink: &mut K) {
        let d = half(s, block, 0);
        nibbles(s, fields(block, 2), 0, sink, |q| s.mul(d, s.lookup(&LEVELS, q)));
    }
}

impl Codec<32, 17> for MXFP4 {
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 32>>(s: S, block: &[Bytes; 17], sink: &mut K) {
        let d = s.load(&block[0].map(half_power));
        nibbles(s, fields(block, 1), 0, sink, |q| s.mul(d, s.lookup(&FLOATS, q)));
    }
}

/// 2^(e - 128): half of what the exponent byte says, for a table of doubles. The two smallest are subnormal.
#[inline(always)]
fn half_power(e: u8) -> f32 {
    f32::from_bits(if e < 2 { 0x0020_0000 << e } else { (u32::from(e) - 1) << 23 })
}

impl Codec<256, 136> for IQ4XS {
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 256>>(s: S, block: &[Bytes; 136], sink: &mut K) {
        let d = half(s, block, 0);
        let high = s.halves(fields(block, 2));
        for part in 0..8 {
            let low_bits = low(s, s.shr(s.unsigned(&block[4 + part / 2]), 4 * (part as u32 % 2)));
            let high_bits = s.shl(s.and(s.shr(high, 2 * part as u32), s.splat_int(3)), 4);
            let scale = s.add_int(s.or(low_bits, high_bits), s.splat_int(-32));
            let d = s.mul(d, s.float(scale));
            nibbles(s, fields(block, 8 + 16 * part), 32 * part, sink, |q| s.mul(d, s.lookup(&LEVELS, q)));
        }
    }
}
