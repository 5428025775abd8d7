//! Codecs of the blocks of 32 values with one scale: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1.
//!
//! Each block starts with its scale (and its minimum, where it has one) in half precision. Nibbles hold value `i` low
//! and value `i + 16` high; the fifth bits, if any, are 32 bits in front of the nibbles.

use super::{each_block, each_values, f16_at};
use half::f16;

pub(super) fn decode_q8_0(bytes: &[u8], out: &mut [f32]) {
    each_block::<34, 32>(bytes, out, |b, v| {
        let d = f16_at(b, 0);
        for (v, q) in v.iter_mut().zip(&b[2..]) {
            *v = d * f32::from(q.cast_signed());
        }
    });
}

pub(super) fn decode_q4_0(bytes: &[u8], out: &mut [f32]) {
    each_block::<18, 32>(bytes, out, |b, v| {
        let d = f16_at(b, 0);
        for i in 0..16 {
            v[i] = d * (f32::from(b[2 + i] & 15) - 8.0);
            v[i + 16] = d * (f32::from(b[2 + i] >> 4) - 8.0);
        }
    });
}

pub(super) fn decode_q4_1(bytes: &[u8], out: &mut [f32]) {
    each_block::<20, 32>(bytes, out, |b, v| {
        let (d, min) = (f16_at(b, 0), f16_at(b, 2));
        for i in 0..16 {
            v[i] = d * f32::from(b[4 + i] & 15) + min;
            v[i + 16] = d * f32::from(b[4 + i] >> 4) + min;
        }
    });
}

pub(super) fn decode_q5_0(bytes: &[u8], out: &mut [f32]) {
    each_block::<22, 32>(bytes, out, |b, v| {
        let d = f16_at(b, 0);
        let quants = five_bits(u32::from_le_bytes([b[2], b[3], b[4], b[5]]), &b[6..]);
        for (v, q) in v.iter_mut().zip(quants) {
            *v = d * (f32::from(q) - 16.0);
        }
    });
}

pub(super) fn decode_q5_1(bytes: &[u8], out: &mut [f32]) {
    each_block::<24, 32>(bytes, out, |b, v| {
        let (d, min) = (f16_at(b, 0), f16_at(b, 2));
        let quants = five_bits(u32::from_le_bytes([b[4], b[5], b[6], b[7]]), &b[8..]);
        for (v, q) in v.iter_mut().zip(quants) {
            *v = d * f32::from(q) + min;
        }
    });
}

pub(super) fn encode_q8_0(values: &[f32], bytes: &mut [u8]) {
    each_values::<34, 32>(values, bytes, |v, b| {
        let d = extreme(v).abs() / 127.0;
        let inverse = invert(d);
        put_f16(b, 0, d);
        for (q, x) in b[2..].iter_mut().zip(v) {
            *q = ((x * inverse).round() as i8).cast_unsigned();
        }
    });
}

pub(super) fn encode_q4_0(values: &[f32], bytes: &mut [u8]) {
    each_values::<18, 32>(values, bytes, |v, b| {
        let (d, quants) = centered(v, 8.0);
        put_f16(b, 0, d);
        put_nibbles(&quants, &mut b[2..]);
    });
}

pub(super) fn encode_q4_1(values: &[f32], bytes: &mut [u8]) {
    each_values::<20, 32>(values, bytes, |v, b| {
        let (d, min, quants) = from_minimum(v, 15.0);
        put_f16(b, 0, d);
        put_f16(b, 2, min);
        put_nibbles(&quants, &mut b[4..]);
    });
}

pub(super) fn encode_q5_0(values: &[f32], bytes: &mut [u8]) {
    each_values::<22, 32>(values, bytes, |v, b| {
        let (d, quants) = centered(v, 16.0);
        put_f16(b, 0, d);
        b[2..6].copy_from_slice(&fifth_bits(&quants));
        put_nibbles(&quants, &mut b[6..]);
    });
}

pub(super) fn encode_q5_1(values: &[f32], bytes: &mut [u8]) {
    each_values::<24, 32>(values, bytes, |v, b| {
        let (d, min, quants) = from_minimum(v, 31.0);
        put_f16(b, 0, d);
        put_f16(b, 2, min);
        b[4..8].copy_from_slice(&fifth_bits(&quants));
        put_nibbles(&quants, &mut b[8..]);
    });
}

#[inline(always)]
fn five_bits(fifth: u32, nibbles: &[u8]) -> [u8; 32] {
    let mut quants = [0; 32];
    for i in 0..16 {
        quants[i] = nibbles[i] & 15 | ((fifth >> i & 1) << 4) as u8;
        quants[i + 16] = nibbles[i] >> 4 | ((fifth >> (i + 16) & 1) << 4) as u8;
    }
    quants
}

/// The scale and quants of a block whose extreme value becomes `-half`; the opposite end is cut at `2 * half - 1`.
pub(super) fn centered(v: &[f32; 32], half: f32) -> (f32, [u8; 32]) {
    let d = extreme(v) / -half;
    let inverse = invert(d);
    (d, v.map(|x| (x * inverse + (half + 0.5)).min(2.0 * half - 1.0) as u8))
}

/// The scale, minimum and quants of a block that spans `levels` steps from its smallest to its largest value.
fn from_minimum(v: &[f32; 32], levels: f32) -> (f32, f32, [u8; 32]) {
    let max = v.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let min = v.iter().copied().fold(f32::INFINITY, f32::min);
    let d = (max - min) / levels;
    let inverse = invert(d);
    (d, min, v.map(|x| ((x - min) * inverse + 0.5).min(levels) as u8))
}

/// The first of the values that lie farthest from zero.
fn extreme(v: &[f32; 32]) -> f32 {
    v.iter().copied().fold(v[0], |best, x| if x.abs() > best.abs() { x } else { best })
}

fn invert(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

pub(super) fn put_f16(block: &mut [u8], at: usize, value: f32) {
    block[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
}

fn put_nibbles(quants: &[u8; 32], out: &mut [u8]) {
    for i in 0..16 {
        out[i] = quants[i] & 15 | quants[i + 16] << 4;
    }
}

fn fifth_bits(quants: &[u8; 32]) -> [u8; 4] {
    let bits = quants.iter().enumerate().fold(0, |bits, (i, q)| bits | u32::from(q >> 4 & 1) << i);
    bits.to_le_bytes()
}
