//! Elements that stand alone, and bytes with a scale.

use super::{Codec, Sink, fields, half};
use crate::cpu::simd::{Bytes, Simd};

pub(super) struct F32;
pub(super) struct F16;
pub(super) struct BF16;
pub(super) struct Q8_0;

impl Codec<1, 4> for F32 {
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 1>>(s: S, block: &[Bytes; 4], sink: &mut K) {
        let numbers = block.as_flattened().as_chunks::<4>().0;
        let numbers: [f32; 16] = std::array::from_fn(|i| f32::from_le_bytes(numbers[i]));
        sink.take(s, 0, s.load(&numbers));
    }
}

impl Codec<1, 2> for F16 {
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 1>>(s: S, block: &[Bytes; 2], sink: &mut K) {
        sink.take(s, 0, s.f16(block));
    }
}

impl Codec<1, 2> for BF16 {
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 1>>(s: S, block: &[Bytes; 2], sink: &mut K) {
        sink.take(s, 0, s.with_bits(s.shl(s.halves(block), 16)));
    }
}

impl Codec<32, 34> for Q8_0 {
    #[inline(always)]
    fn block<S: Simd, K: Sink<S, 32>>(s: S, block: &[Bytes; 34], sink: &mut K) {
        let d = half(s, block, 0);
        for (k, q) in fields::<32, 34>(block, 2).iter().enumerate() {
            sink.take(s, k, s.mul(d, s.float(s.signed(q))));
        }
    }
}
