//! Encoders of the blocks of 256 values with scaled scales (their layouts are in `k.rs`): scales of the sub-blocks by search,
//! rounded to small integers, then quants for the rounded scales.

use super::search::{Affine, ZERO, extreme, nearest, scale, scale_by_turns, value_first};
use super::simple::put_f16;
use super::{each_values, f16_at};

pub(super) fn encode_q2(values: &[f32], bytes: &mut [u8]) {
    const SEARCH: Affine = Affine { levels: 3.0, first: -0.5, steps: 15, absolute: true };
    each_values::<84, 256>(values, bytes, |v, b| {
        let parts = v.as_chunks::<16>().0;
        let found: [(f32, f32); 16] = std::array::from_fn(|i| SEARCH.fit(&parts[i], &parts[i].map(f32::abs)));
        let (scales, mins) = scaled(&found, 15.0);
        put_f16(b, 80, scales.0);
        put_f16(b, 82, mins.0);
        let (d, dmin) = (f16_at(b, 80), f16_at(b, 82));
        let mut quants = [0; 256];
        for (i, (v, q)) in parts.iter().zip(quants.as_chunks_mut::<16>().0).enumerate() {
            b[i] = scales.1[i] | mins.1[i] << 4;
            *q = affine(v, d * f32::from(scales.1[i]), dmin * f32::from(mins.1[i]), 3.0);
        }
        pairs_of_bits(&quants, &mut b[16..80]);
    });
}

pub(super) fn encode_q3(values: &[f32], bytes: &mut [u8]) {
    each_values::<110, 256>(values, bytes, |v, b| {
        let parts = v.as_chunks::<16>().0;
        let found: [f32; 16] = std::array::from_fn(|i| scale_by_turns(&parts[i], 4.0));
        let largest = extreme(&found);
        let inverse = if largest == 0.0 { 0.0 } else { -32.0 / largest };
        *b = [0; 110];
        put_f16(b, 108, if largest == 0.0 { 0.0 } else { 1.0 / inverse });
        let d = f16_at(b, 108);
        let mut quants = [0; 256];
        for (i, (v, q)) in parts.iter().zip(quants.as_chunks_mut::<16>().0).enumerate() {
            let scale = nearest(inverse * found[i], -32.0, 31.0);
            *q = centered(v, d * scale, 4.0);
            let scale = if largest == 0.0 { 0 } else { (scale + 32.0) as u8 };
            b[96 + i % 8] |= (scale & 15) << (i / 8 * 4);
            b[104 + i % 4] |= scale >> 4 << (i / 4 * 2);
        }
        for (i, q) in quants.iter_mut().enumerate() {
            b[i % 32] |= (*q >> 2) << (i / 32);
            *q &= 3;
        }
        pairs_of_bits(&quants, &mut b[32..96]);
    });
}

pub(super) fn encode_q4(values: &[f32], bytes: &mut [u8]) {
    const SEARCH: Affine = Affine { levels: 15.0, first: -1.0, steps: 20, absolute: false };
    each_values::<144, 256>(values, bytes, |v, b| {
        let quants = with_minimums(v, b, &SEARCH);
        nibbles(&quants, &mut b[16..]);
    });
}

pub(super) fn encode_q5(values: &[f32], bytes: &mut [u8]) {
    const SEARCH: Affine = Affine { levels: 31.0, first: -0.5, steps: 15, absolute: false };
    each_values::<176, 256>(values, bytes, |v, b| {
        let mut quants = with_minimums(v, b, &SEARCH);
        b[16..48].fill(0);
        for (i, q) in quants.iter_mut().enumerate() {
            b[16 + i % 32] |= (*q >> 4) << (i / 32);
            *q &= 15;
        }
        nibbles(&quants, &mut b[48..]);
    });
}

pub(super) fn encode_q6(values: &[f32], bytes: &mut [u8]) {
    each_values::<210, 256>(values, bytes, |v, b| {
        let parts = v.as_chunks::<16>().0;
        let found: [f32; 16] = std::array::from_fn(|i| q6_scale(&parts[i]));
        let largest = extreme(&found);
        *b = [0; 210];
        if largest.abs() < ZERO {
            return;
        }
        let inverse = -128.0 / largest;
        put_f16(b, 208, 1.0 / inverse);
        let d = f16_at(b, 208);
        for (i, v) in parts.iter().enumerate() {
            let scale = nearest(inverse * found[i], -128.0, 127.0) as i8;
            b[192 + i] = scale.cast_unsigned();
            let (group, j, half) = (i / 8, i / 2 % 4, i % 2 * 16);
            for (at, q) in centered(v, d * f32::from(scale), 32.0).into_iter().enumerate() {
                b[group * 64 + j % 2 * 32 + half + at] |= (q & 15) << (j / 2 * 4);
                b[128 + group * 32 + half + at] |= q >> 4 << (j * 2);
            }
        }
    });
}

fn q6_scale(v: &[f32; 16]) -> f32 {
    let max = extreme(v);
    if max.abs() < ZERO {
        return 0.0;
    }
    let tries = [0].into_iter().chain(-9..=-1).chain(1..=9);
    scale(v, tries.map(|i| -(32.0 + 0.1 * i as f32) / max), |x| nearest(x, -32.0, 31.0), value_first)
}

/// Writes the scales and minimums of a Q4_K or Q5_K block; gives its quants.
fn with_minimums(v: &[f32; 256], b: &mut [u8], search: &Affine) -> [u8; 256] {
    let parts = v.as_chunks::<32>().0;
    let found: [(f32, f32); 8] = std::array::from_fn(|i| {
        let mean = (parts[i].iter().fold(0.0, |sum, x| sum + x * x) / 32.0).sqrt();
        search.fit(&parts[i], &parts[i].map(|x| mean + x.abs()))
    });
    let (scales, mins) = scaled(&found, 63.0);
    put_f16(b, 0, scales.0);
    put_f16(b, 2, mins.0);
    let (d, dmin) = (f16_at(b, 0), f16_at(b, 2));
    let mut quants = [0; 256];
    b[4..16].fill(0);
    for (j, (v, q)) in parts.iter().zip(quants.as_chunks_mut::<32>().0).enumerate() {
        let (scale, min) = (scales.1[j], mins.1[j]);
        *q = affine(v, d * f32::from(scale), dmin * f32::from(min), search.levels);
        if j < 4 {
            (b[4 + j], b[8 + j]) = (scale, min);
        } else {
            b[8 + j] = scale & 15 | min << 4;
            b[j] |= scale >> 4 << 6;
            b[4 + j] |= min >> 4 << 6;
        }
    }
    quants
}

/// Scales as integers up to `levels`, and the scale of these.
type Scaled<const N: usize> = (f32, [u8; N]);

/// Scales and minimums as integers, each with the scale of these.
fn scaled<const N: usize>(found: &[(f32, f32); N], levels: f32) -> (Scaled<N>, Scaled<N>) {
    let one = |numbers: [f32; N]| {
        let max = numbers.iter().copied().fold(0.0, f32::max);
        let inverse = if max > 0.0 { levels / max } else { 0.0 };
        (max / levels, numbers.map(|x| nearest(inverse * x, 0.0, levels) as u8))
    };
    (one(found.map(|f| f.0)), one(found.map(|f| f.1)))
}

/// Quants of values that lie `min` above zero; none where the scale has been rounded to zero.
fn affine<const N: usize>(v: &[f32; N], scale: f32, min: f32, levels: f32) -> [u8; N] {
    v.map(|x| if scale == 0.0 { 0 } else { nearest((x + min) / scale, 0.0, levels) as u8 })
}

/// Quants from `-half` to `half - 1`, as they are stored: from 0 on.
fn centered<const N: usize>(v: &[f32; N], scale: f32, half: f32) -> [u8; N] {
    v.map(|x| if scale == 0.0 { 0 } else { (nearest(x / scale, -half, half - 1.0) + half) as u8 })
}

/// Four runs of 32 in the bit pairs of 32 bytes, twice.
fn pairs_of_bits(quants: &[u8; 256], out: &mut [u8]) {
    for (runs, out) in quants.as_chunks::<128>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = runs[i] | runs[i + 32] << 2 | runs[i + 64] << 4 | runs[i + 96] << 6;
        }
    }
}

/// Two runs of 32 in the nibbles of 32 bytes, four times.
fn nibbles(quants: &[u8; 256], out: &mut [u8]) {
    for (runs, out) in quants.as_chunks::<64>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = runs[i] | runs[i + 32] << 4;
        }
    }
}
