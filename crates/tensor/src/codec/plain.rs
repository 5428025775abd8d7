//! Codecs of the types that store each number by itself: F32, F16, BF16.

use super::{each_block, each_values};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// How many halves are converted at once: the conversion looks for hardware support once per slice.
const CHUNK: usize = 256;

pub(super) fn decode_f32(bytes: &[u8], out: &mut [f32]) {
    each_block::<4, 1>(bytes, out, |b, v| v[0] = f32::from_le_bytes(*b));
}

pub(super) fn decode_f16(bytes: &[u8], out: &mut [f32]) {
    let mut halves = [f16::ZERO; CHUNK];
    for (bytes, out) in bytes.chunks(2 * CHUNK).zip(out.chunks_mut(CHUNK)) {
        let halves = &mut halves[..out.len()];
        for (h, b) in halves.iter_mut().zip(bytes.as_chunks().0) {
            *h = f16::from_le_bytes(*b);
        }
        halves.convert_to_f32_slice(out);
    }
}

pub(super) fn decode_bf16(bytes: &[u8], out: &mut [f32]) {
    each_block::<2, 1>(bytes, out, |b, v| v[0] = f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16));
}

pub(super) fn encode_f32(values: &[f32], bytes: &mut [u8]) {
    each_values::<4, 1>(values, bytes, |v, b| *b = v[0].to_le_bytes());
}

pub(super) fn encode_f16(values: &[f32], bytes: &mut [u8]) {
    let mut halves = [f16::ZERO; CHUNK];
    for (values, bytes) in values.chunks(CHUNK).zip(bytes.chunks_mut(2 * CHUNK)) {
        let halves = &mut halves[..values.len().min(bytes.len() / 2)];
        halves.convert_from_f32_slice(&values[..halves.len()]);
        for (h, b) in halves.iter().zip(bytes.as_chunks_mut().0) {
            *b = h.to_le_bytes();
        }
    }
}

pub(super) fn encode_bf16(values: &[f32], bytes: &mut [u8]) {
    each_values::<2, 1>(values, bytes, |v, b| *b = bf16::from_f32(v[0]).to_le_bytes());
}
