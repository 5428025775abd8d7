//! Five bits an element in blocks of 32: four as in `four.rs`, the fifth of element k in bit k of a 32-bit word.

use super::{Codec, Sink, fields, half, low};
use crate::cpu::simd::{Bytes, Simd};

pub(super) struct Q5_0;
pub(super) struct Q5_1;

#[inline(always)]
fn elements<S: Simd, K: Sink<S, 32>>(
    s: S,
    high: &[Bytes; 4],
    bytes: &[Bytes; 16],
    sink: &mut K,
    value: impl Fn(S::I) -> S::F,
) {
    for k in 0..32 {
        let byte = s.unsigned(&bytes[k % 16]);
        let four = if k < 16 { low(s, byte) } else { s.shr(byte, 4) };
        let fifth = s.and(s.shr(s.unsigned(&high[k / 8]), k as u32 % 8), s.splat_int(1));
        sink.take(s, k, value(s.or(four, s.shl(fifth, 4))));
    }
}

impl Codec<32, 22> for Q5_0 {
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 32>>(s: S, block: &[Bytes; 22], sink: &mut K) {
        let d = half(s, block, 0);
        elements(s, fields(block, 2), fields(block, 6), sink, |q| s.mul(d, s.sub(s.float(q), s.splat(16.0))));
    }
}

impl Codec<32, 24> for Q5_1 {
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 32>>(s: S, block: &[Bytes; 24], sink: &mut K) {
        let (d, m) = (half(s, block, 0), half(s, block, 2));
        elements(s, fields(block, 4), fields(block, 8), sink, |q| s.add(s.mul(d, s.float(q)), m));
    }
}
