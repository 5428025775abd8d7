//! Codecs of the 4-bit types whose quants index a table: IQ4_NL, IQ4_XS, MXFP4.

use super::{each_block, f16_at};

/// The levels of IQ4_NL and IQ4_XS, fixed by the format.
const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Twice the values of the E2M1 format of the OCP microscaling specification 1.0.
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// A scale and 16 bytes of nibbles.
pub(super) fn decode_iq4_nl(bytes: &[u8], out: &mut [f32]) {
    each_block::<18, 32>(bytes, out, |b, v| nibbles(&IQ4, f16_at(b, 0), &b[2..], v));
}

/// A scale of scales, eight 6-bit scales (2 bytes of upper pairs, 4 bytes of nibbles), 8 × 16 bytes of nibbles.
pub(super) fn decode_iq4_xs(bytes: &[u8], out: &mut [f32]) {
    each_block::<136, 256>(bytes, out, |b, v| {
        let d = f16_at(b, 0);
        let highs = u16::from_le_bytes([b[2], b[3]]);
        for (j, v) in v.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let low = b[4 + j / 2] >> (j % 2 * 4) & 15;
            let high = (highs >> (2 * j) & 3) as u8;
            nibbles(&IQ4, d * (f32::from(low | high << 4) - 32.0), &b[8 + j * 16..][..16], v);
        }
    });
}

/// An exponent and 16 bytes of nibbles.
pub(super) fn decode_mxfp4(bytes: &[u8], out: &mut [f32]) {
    each_block::<17, 32>(bytes, out, |b, v| nibbles(&E2M1, half_power(b[0]), &b[1..], v));
}

/// 2^(exponent - 128): half the scale, because the table holds doubled values. The two smallest are subnormal.
fn half_power(exponent: u8) -> f32 {
    f32::from_bits(match exponent {
        0 | 1 => 0x0020_0000 << exponent,
        _ => u32::from(exponent - 1) << 23,
    })
}

#[inline(always)]
fn nibbles(levels: &[i8; 16], scale: f32, quants: &[u8], out: &mut [f32; 32]) {
    for (i, q) in quants[..16].iter().enumerate() {
        out[i] = scale * f32::from(levels[usize::from(q & 15)]);
        out[i + 16] = scale * f32::from(levels[usize::from(q >> 4)]);
    }
}
