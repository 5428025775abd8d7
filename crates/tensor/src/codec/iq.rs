//! Decoders of the blocks of 256 values from codebooks: IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S.
//!
//! A block has one half-precision scale, which small integer scales of its runs of 16 or 32 values are multiplied with. `i` counts
//! groups of eight values, which share an entry of IQ1 and IQ2 and have two of IQ3; `run` counts runs of 32 values.

use super::{codebook, each_block, f16_at};

/// Magnitudes of IQ2.
const IQ2: [f32; 4] = [8.0, 25.0, 43.0, 0.0];
/// Magnitudes of IQ3_XXS.
const IQ3: [f32; 8] = [4.0, 12.0, 20.0, 28.0, 36.0, 44.0, 52.0, 62.0];
/// What is added to the values of a run of IQ1, or subtracted.
const SHIFT: f32 = 0.125;

/// Scale, then for each run four bytes of entries, and in four bytes 4 × 7 signs and four bits of scale.
pub(super) fn decode_iq2_xxs(bytes: &[u8], out: &mut [f32]) {
    each_block::<66, 256>(bytes, out, |b, v| {
        let d = f16_at(b, 0);
        for (run, v) in v.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (entries, signs) = (&b[2 + 8 * run..][..4], word(b, 6 + 8 * run));
            let scale = d * (0.5 + (signs >> 28) as f32) * 0.25;
            for (i, v) in v.as_chunks_mut().0.iter_mut().enumerate() {
                *v = eight(codebook::IQ2_XXS[usize::from(entries[i])], even(signs >> (7 * i)), scale);
            }
        }
    });
}

/// Scale, 32 × (9 bits of entry, 7 signs), 16 × four bits of scale.
pub(super) fn decode_iq2_xs(bytes: &[u8], out: &mut [f32]) {
    each_block::<74, 256>(bytes, out, |b, v| {
        let d = f16_at(b, 0);
        for (i, v) in v.as_chunks_mut().0.iter_mut().enumerate() {
            let entry = half_word(b, 2 + 2 * i);
            let scale = d * (0.5 + nibble(&b[66..], i / 2)) * 0.25;
            *v = eight(codebook::IQ2_XS[usize::from(entry & 511)], even(u32::from(entry >> 9)), scale);
        }
    });
}

/// Scale, 32 bytes of entries, 32 bytes of signs, 8 bytes of the entries' upper pairs, 16 × four bits of scale.
pub(super) fn decode_iq2_s(bytes: &[u8], out: &mut [f32]) {
    each_block::<82, 256>(bytes, out, |b, v| {
        let d = f16_at(b, 0);
        for (i, v) in v.as_chunks_mut().0.iter_mut().enumerate() {
            let entry = usize::from(b[2 + i]) | usize::from(b[66 + i / 4] >> (i % 4 * 2) & 3) << 8;
            let scale = d * (0.5 + nibble(&b[74..], i / 2)) * 0.25;
            *v = eight(codebook::IQ2_S[entry], b[34 + i], scale);
        }
    });
}

/// Scale, 64 bytes of entries, then for each run in four bytes 4 × 7 signs and four bits of scale.
pub(super) fn decode_iq3_xxs(bytes: &[u8], out: &mut [f32]) {
    each_block::<98, 256>(bytes, out, |b, v| {
        let d = f16_at(b, 0);
        for (i, v) in v.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let (entries, signs) = (&b[2 + 2 * i..][..2], word(b, 66 + i / 4 * 4));
            let scale = d * (0.5 + (signs >> 28) as f32) * 0.5;
            let signs = even(signs >> (i % 4 * 7));
            for (j, v) in v.iter_mut().enumerate() {
                let code = codebook::IQ3_XXS[usize::from(entries[j / 4])] >> (j % 4 * 4) & 7;
                *v = scale * IQ3[usize::from(code)] * sign(signs, j);
            }
        }
    });
}

/// Scale, 64 bytes of entries, 8 bytes of their ninth bits, 32 bytes of signs, 8 × four bits of scale.
pub(super) fn decode_iq3_s(bytes: &[u8], out: &mut [f32]) {
    each_block::<110, 256>(bytes, out, |b, v| {
        let d = f16_at(b, 0);
        for (i, v) in v.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let entry = |at: usize| usize::from(b[2 + at]) | usize::from(b[66 + at / 8] >> (at % 8) & 1) << 8;
            let scale = d * (1.0 + 2.0 * nibble(&b[106..], i / 4));
            for (j, v) in v.iter_mut().enumerate() {
                let code = codebook::IQ3_S[entry(2 * i + j / 4)] >> (j % 4 * 4) & 7;
                *v = scale * f32::from(2 * code + 1) * sign(b[74 + i], j);
            }
        }
    });
}

/// Scale, 32 bytes of entries, then for each run in two bytes 4 × the entries' upper three bits, three bits of scale and the shift's
/// sign.
pub(super) fn decode_iq1_s(bytes: &[u8], out: &mut [f32]) {
    each_block::<50, 256>(bytes, out, |b, v| {
        let d = f16_at(b, 0);
        for (i, v) in v.as_chunks_mut().0.iter_mut().enumerate() {
            let high = half_word(b, 34 + i / 4 * 2);
            let entry = usize::from(b[2 + i]) | usize::from(high >> (i % 4 * 3) & 7) << 8;
            let scale = d * f32::from(2 * (high >> 12 & 7) + 1);
            *v = shifted(entry, high & 0x8000 != 0, scale);
        }
    });
}

/// 32 bytes of entries, 32 × (their upper three bits, the shift's sign), then four times in two bytes 4 × three bits of scale and
/// four bits of the block's scale.
pub(super) fn decode_iq1_m(bytes: &[u8], out: &mut [f32]) {
    each_block::<56, 256>(bytes, out, |b, v| {
        let scales: [u16; 4] = std::array::from_fn(|k| half_word(b, 48 + 2 * k));
        let d = scales.iter().rev().fold(0, |d, scales| d << 4 | scales >> 12);
        let d = half::f16::from_bits(d).to_f32();
        for (i, v) in v.as_chunks_mut().0.iter_mut().enumerate() {
            let high = b[32 + i / 2] >> (i % 2 * 4) & 15;
            let entry = usize::from(b[i]) | usize::from(high & 7) << 8;
            let scale = d * f32::from(2 * (scales[i / 8] >> (i / 2 % 4 * 3) & 7) + 1);
            *v = shifted(entry, high & 8 != 0, scale);
        }
    });
}

/// Seven signs, and the eighth that makes the number of negative ones even.
fn even(signs: u32) -> u8 {
    let seven = signs & 127;
    (seven | (seven.count_ones() & 1) << 7) as u8
}

fn sign(signs: u8, at: usize) -> f32 {
    if signs >> at & 1 == 0 { 1.0 } else { -1.0 }
}

/// Eight values of IQ2.
fn eight(entry: u16, signs: u8, scale: f32) -> [f32; 8] {
    std::array::from_fn(|j| scale * IQ2[usize::from(entry >> (2 * j) & 3)] * sign(signs, j))
}

/// Eight values of IQ1.
fn shifted(entry: usize, down: bool, scale: f32) -> [f32; 8] {
    let shift = if down { -SHIFT } else { SHIFT };
    std::array::from_fn(|j| scale * (f32::from(codebook::IQ1[entry] >> (2 * j) & 3) - 1.0 + shift))
}

/// Four bits, the lower ones of a byte first.
fn nibble(bytes: &[u8], at: usize) -> f32 {
    f32::from(bytes[at / 2] >> (at % 2 * 4) & 15)
}

fn half_word(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

fn word(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}
