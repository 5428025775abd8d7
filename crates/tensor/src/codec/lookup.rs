//! Codecs of the 4-bit types whose quants index a table: IQ4_NL, IQ4_XS, MXFP4, NVFP4.

use super::codebook::half_e4m3;
use super::search::{ZERO, extreme, nearest, quant_first, scale};
use super::simple::put_f16;
use super::{each_block, each_values, f16_at};

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

/// Four scales and four times 8 bytes: nibbles of 8 values low, those of the next 8 high.
pub(super) fn decode_nvfp4(bytes: &[u8], out: &mut [f32]) {
    each_block::<36, 64>(bytes, out, |b, v| {
        for (j, v) in v.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = half_e4m3(b[j]);
            for (i, q) in b[4 + 8 * j..][..8].iter().enumerate() {
                v[i] = scale * f32::from(E2M1[usize::from(q & 15)]);
                v[i + 8] = scale * f32::from(E2M1[usize::from(q >> 4)]);
            }
        }
    });
}

pub(super) fn encode_iq4_nl(values: &[f32], bytes: &mut [u8]) {
    each_values::<18, 32>(values, bytes, |v, b| {
        let scale = iq4_scale(v);
        put_f16(b, 0, scale);
        put_levels(v, scale, &mut b[2..]);
    });
}

pub(super) fn encode_iq4_xs(values: &[f32], bytes: &mut [u8]) {
    each_values::<136, 256>(values, bytes, |v, b| {
        let parts = v.as_chunks::<32>().0;
        let found: [f32; 8] = std::array::from_fn(|j| iq4_scale(&parts[j]));
        let d = -extreme(&found) / 32.0;
        let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
        *b = [0; 136];
        put_f16(b, 0, d);
        let mut highs = 0u16;
        for (j, v) in parts.iter().enumerate() {
            let scale = nearest(inverse * found[j], -32.0, 31.0);
            put_levels(v, d * scale, &mut b[8 + j * 16..][..16]);
            let scale = (scale + 32.0) as u8;
            b[4 + j / 2] |= (scale & 15) << (j % 2 * 4);
            highs |= u16::from(scale >> 4) << (2 * j);
        }
        b[2..4].copy_from_slice(&highs.to_le_bytes());
    });
}

pub(super) fn encode_mxfp4(values: &[f32], bytes: &mut [u8]) {
    each_values::<17, 32>(values, bytes, |v, b| {
        let max = extreme(v).abs();
        // The largest level is 6, whose exponent is 2.
        b[0] = if max > 0.0 { (max.log2().floor() + 125.0).clamp(0.0, 254.0) as u8 } else { 0 };
        let scale = half_power(b[0]);
        for i in 0..16 {
            b[1 + i] = e2m1(v[i], scale) | e2m1(v[i + 16], scale) << 4;
        }
    });
}

/// The level nearest to `x`, of two the first.
fn e2m1(x: f32, scale: f32) -> u8 {
    let lost = |level: i8| (scale * f32::from(level) - x).abs();
    (1..16).fold(0, |best: u8, i| if lost(E2M1[usize::from(i)]) < lost(E2M1[usize::from(best)]) { i } else { best })
}

/// The scale that loses least, tried around the one that makes the extreme value the lowest level.
fn iq4_scale(v: &[f32; 32]) -> f32 {
    let max = extreme(v);
    if max.abs() < ZERO {
        return 0.0;
    }
    let lowest = f32::from(IQ4[0]);
    let tries = (-7..=7).map(|i| (i as f32 + lowest) / max);
    scale(v, [1.0 / (-max / lowest)].into_iter().chain(tries), nearest_level, quant_first)
}

fn put_levels(v: &[f32; 32], scale: f32, out: &mut [u8]) {
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    for i in 0..16 {
        out[i] = level(inverse * v[i]) | level(inverse * v[i + 16]) << 4;
    }
}

/// Between each two levels of IQ4, and how far apart they are.
const STEPS: [(f32, f32); 15] = {
    let mut steps = [(0.0, 0.0); 15];
    let mut i = 0;
    while i < 15 {
        let (low, high) = (IQ4[i] as f32, IQ4[i + 1] as f32);
        steps[i] = ((low + high) / 2.0, high - low);
        i += 1;
    }
    steps
};

/// Which level of IQ4 is nearest to `x`, of two the higher.
fn level(x: f32) -> u8 {
    STEPS.iter().map(|(between, _)| u8::from(x >= *between)).sum()
}

/// The level of IQ4 that is nearest to `x`, of two the higher; without branches, so that loops are vectorized.
#[inline(always)]
fn nearest_level(x: f32) -> f32 {
    STEPS.iter().fold(f32::from(IQ4[0]), |level, (between, step)| level + if x >= *between { *step } else { 0.0 })
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
