//! Integers and FP4 as the blocks of our types.

use tensor::DType;

use super::module::Place;
use crate::checkpoint::Files;

/// One block of 32 integers with their scale, as Q4_0, Q5_0 or Q8_0 has them.
pub(super) fn put(dtype: DType, scale: [u8; 2], integers: &[i32; 32], out: &mut [u8]) {
    out[..2].copy_from_slice(&scale);
    match dtype {
        DType::Q4_0 => nibbles(integers, 8, &mut out[2..]),
        DType::Q5_0 => {
            let fifth = integers.iter().enumerate().fold(0u32, |bits, (i, &n)| bits | ((n + 16) as u32 >> 4 & 1) << i);
            out[2..6].copy_from_slice(&fifth.to_le_bytes());
            nibbles(integers, 16, &mut out[6..]);
        }
        _ => out[2..].iter_mut().zip(integers).for_each(|(byte, &n)| *byte = (n as i8).cast_unsigned()),
    }
}

/// The low four bits of each, which has `zero` added; numbers 16 to 31 in the upper halves.
fn nibbles(integers: &[i32; 32], zero: i32, out: &mut [u8]) {
    let nibble = |i: usize| (integers[i] + zero) as u8 & 15;
    out.iter_mut().enumerate().for_each(|(i, byte)| *byte = nibble(i) | nibble(i + 16) << 4);
}

/// FP4 with scales for each 16 (NVFP4) or 32 (MXFP4) elements of a row, the first of two in the low half of a byte.
#[derive(Clone, Debug)]
pub(super) struct Fp4 {
    pub(super) codes: Place,
    pub(super) scales: Place,
    /// What all products are multiplied with, for NVFP4; `None` for MXFP4.
    pub(super) nvfp4: Option<f32>,
}

impl Fp4 {
    /// The blocks: scales first, and in each byte elements that are half a scale's span apart.
    pub(super) fn read(&self, files: &Files) -> Vec<u8> {
        let (codes, scales) = (self.codes.bytes(files), self.scales.bytes(files));
        let (span, together) = if self.nvfp4.is_some() { (16, 4) } else { (32, 1) };
        let mut out = Vec::with_capacity(codes.len() + scales.len());
        for (scales, codes) in scales.chunks_exact(together).zip(codes.chunks_exact(span / 2 * together)) {
            out.extend_from_slice(scales);
            for codes in codes.chunks_exact(span / 2) {
                let element = |i: usize| codes[i / 2] >> (i % 2 * 4) & 15;
                out.extend((0..span / 2).map(|i| element(i) | element(i + span / 2) << 4));
            }
        }
        out
    }
}
