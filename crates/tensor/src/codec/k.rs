//! Decoders of the blocks of 256 values with scaled scales: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K.
//!
//! A block has one half-precision scale (and one for minimums, where there are any) that multiplies the small integer
//! scales of its sub-blocks of 16 or 32 values. That product is rounded first, as the reference does. `j` counts runs of
//! 32 values that share a shift.

use super::{each_block, f16_at};

/// 16 × (scale, minimum in 4 bits each), 64 bytes of 2-bit quants, scale of scales, scale of minimums.
pub(super) fn decode_q2(bytes: &[u8], out: &mut [f32]) {
    each_block::<84, 256>(bytes, out, |b, v| {
        let (d, dmin) = (f16_at(b, 80), f16_at(b, 82));
        for (i, v) in v.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let (scale, min) = (d * f32::from(b[i] & 15), dmin * f32::from(b[i] >> 4));
            let quants = &b[16 + i / 8 * 32 + i % 2 * 16..][..16];
            for (v, q) in v.iter_mut().zip(quants) {
                *v = scale * f32::from(q >> (i / 2 % 4 * 2) & 3) - min;
            }
        }
    });
}

/// 32 bytes of high bits (set means not to subtract 4), 64 bytes of 2-bit quants, 16 6-bit scales, scale of scales.
pub(super) fn decode_q3(bytes: &[u8], out: &mut [f32]) {
    each_block::<110, 256>(bytes, out, |b, v| {
        let d = f16_at(b, 108);
        for (i, v) in v.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let low = b[96 + i % 8] >> (i / 8 * 4) & 15;
            let high = b[104 + i % 4] >> (i / 4 * 2) & 3;
            let scale = d * (f32::from(low | high << 4) - 32.0);
            let highs = &b[i % 2 * 16..][..16];
            let quants = &b[32 + i / 8 * 32 + i % 2 * 16..][..16];
            for ((v, q), h) in v.iter_mut().zip(quants).zip(highs) {
                let q = q >> (i / 2 % 4 * 2) & 3 | (h >> (i / 2) & 1) << 2;
                *v = scale * (f32::from(q) - 4.0);
            }
        }
    });
}

/// Scale of scales, scale of minimums, 12 bytes of packed scales, 128 bytes of nibbles.
pub(super) fn decode_q4(bytes: &[u8], out: &mut [f32]) {
    each_block::<144, 256>(bytes, out, |b, v| {
        for (j, v) in v.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (scale, min) = scale_and_min(b, j);
            let quants = &b[16 + j / 2 * 32..][..32];
            for (v, q) in v.iter_mut().zip(quants) {
                *v = scale * f32::from(q >> (j % 2 * 4) & 15) - min;
            }
        }
    });
}

/// As Q4_K with 32 bytes of fifth bits in front of the nibbles, bit `j` of each byte for run `j`.
pub(super) fn decode_q5(bytes: &[u8], out: &mut [f32]) {
    each_block::<176, 256>(bytes, out, |b, v| {
        for (j, v) in v.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (scale, min) = scale_and_min(b, j);
            let quants = &b[48 + j / 2 * 32..][..32];
            for ((v, q), h) in v.iter_mut().zip(quants).zip(&b[16..48]) {
                *v = scale * f32::from(q >> (j % 2 * 4) & 15 | (h >> j & 1) << 4) - min;
            }
        }
    });
}

/// 128 bytes of nibbles, 64 bytes of upper bit pairs, 16 signed 8-bit scales, scale of scales.
pub(super) fn decode_q6(bytes: &[u8], out: &mut [f32]) {
    each_block::<210, 256>(bytes, out, |b, v| {
        let d = f16_at(b, 208);
        for (i, v) in v.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let (group, j, half) = (i / 8, i / 2 % 4, i % 2 * 16);
            let scale = d * f32::from(b[192 + i].cast_signed());
            let lows = &b[group * 64 + j % 2 * 32 + half..][..16];
            let highs = &b[128 + group * 32 + half..][..16];
            for ((v, l), h) in v.iter_mut().zip(lows).zip(highs) {
                let q = l >> (j / 2 * 4) & 15 | (h >> (j * 2) & 3) << 4;
                *v = scale * (f32::from(q) - 32.0);
            }
        }
    });
}

/// The scale and minimum of run `j` of a Q4_K or Q5_K block. Bytes 4 to 15 hold eight 6-bit scales and minimums: the
/// first four of each in the low bits of bytes 4–7 and 8–11, the rest split between their top bits and bytes 12–15.
#[inline(always)]
fn scale_and_min(b: &[u8], j: usize) -> (f32, f32) {
    let (s, m, rest) = (b[4 + j % 4], b[8 + j % 4], b[12 + j % 4]);
    let (scale, min) = match j {
        0..4 => (s & 63, m & 63),
        _ => (rest & 15 | s >> 6 << 4, rest >> 4 | m >> 6 << 4),
    };
    (f16_at(b, 0) * f32::from(scale), f16_at(b, 2) * f32::from(min))
}
