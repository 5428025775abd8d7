//! Decoders of the types with a bit or two for each value and one half-precision scale: TQ1_0, TQ2_0, Q1_0, Q2_0.

use super::{each_block, f16_at};

/// Five values of three levels in each of 48 bytes, four in each of 4 more, then the scale. Bytes are fractions of 256, whose digits
/// to the base 3 are the values. Those at the same place in 32, 16 and 4 bytes are side by side.
pub(super) fn decode_tq1_0(bytes: &[u8], out: &mut [f32]) {
    each_block::<54, 256>(bytes, out, |b, v| {
        let d = f16_at(b, 52);
        let mut values = v.iter_mut();
        for (bytes, places) in [(&b[..32], 5), (&b[32..48], 5), (&b[48..52], 4)] {
            for place in 0..places {
                let digit = |byte: &u8| (u16::from(byte.wrapping_mul(3u8.pow(place))) * 3) >> 8;
                for (level, v) in bytes.iter().map(digit).zip(&mut values) {
                    *v = d * (f32::from(level) - 1.0);
                }
            }
        }
    });
}

/// Twice 32 bytes of pairs of bits, each for four runs of 32 values, then the scale.
pub(super) fn decode_tq2_0(bytes: &[u8], out: &mut [f32]) {
    each_block::<66, 256>(bytes, out, |b, v| {
        let d = f16_at(b, 64);
        for (run, v) in v.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for (v, q) in v.iter_mut().zip(&b[run / 4 * 32..]) {
                *v = d * (f32::from(q >> (run % 4 * 2) & 3) - 1.0);
            }
        }
    });
}

/// Scale, then a bit for each value: whether it is positive.
pub(super) fn decode_q1_0(bytes: &[u8], out: &mut [f32]) {
    each_block::<18, 128>(bytes, out, |b, v| {
        let d = f16_at(b, 0);
        for (i, v) in v.iter_mut().enumerate() {
            *v = if b[2 + i / 8] >> (i % 8) & 1 == 1 { d } else { -d };
        }
    });
}

/// Scale, then two bits for each value: -1 to 2 times the scale.
pub(super) fn decode_q2_0(bytes: &[u8], out: &mut [f32]) {
    each_block::<18, 64>(bytes, out, |b, v| {
        let d = f16_at(b, 0);
        for (i, v) in v.iter_mut().enumerate() {
            *v = d * (f32::from(b[2 + i / 4] >> (i % 4 * 2) & 3) - 1.0);
        }
    });
}
