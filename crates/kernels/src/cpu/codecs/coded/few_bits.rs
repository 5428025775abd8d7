//! Types of one, two or four bits without a codebook: Q1_0, Q2_0, TQ1_0, TQ2_0, NVFP4.

use tensor::codebook::half_e4m3;

use super::super::{Block, Quads, fields, half};
use super::{Coded, LINES, Run, all, bits_of_lines};
use crate::cpu::simd::{Bytes, Simd};

pub(super) struct Q1_0;
pub(super) struct Q2_0;
pub(super) struct TQ1_0;
pub(super) struct TQ2_0;
pub(super) struct NVFP4;

/// Twice the 4-bit floats (as in `q4.rs`), plus 64.
const FLOATS: Bytes = [64, 65, 66, 67, 68, 70, 72, 76, 64, 63, 62, 61, 60, 58, 56, 52];
/// The bits of half of each scale of NVFP4.
static SCALES: [u32; 256] = {
    let (mut bits, mut i) = ([0; 256], 0);
    while i < 256 {
        bits[i] = half_e4m3(i as u8).to_bits();
        i += 1;
    }
    bits
};

/// Bits of bytes, minus 1, plus 64.
#[inline(always)]
fn less_one<S: Simd>(s: S, bytes: S::I, mask: u8) -> S::I {
    s.add_int(s.and(bytes, s.splat_int(all(mask))), s.splat_int(all(63)))
}

/// The block has d and a bit for each column: -1 or 1.
impl Coded<4, 2> for Q1_0 {
    const RUNS: usize = 4;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[..2]);
        for (bits, out) in block[2..].as_chunks().0.iter().zip(quants.as_chunks_mut().0) {
            *out = bits_of_lines(*bits);
        }
    }

    #[inline(always)]
    fn run<S: Simd>(s: S, block: &Block<4, 2>, run: usize) -> Run<S> {
        let bits = s.bytes(&block.quants[run]);
        let mut lines = [bits; LINES];
        for (i, line) in lines.iter_mut().enumerate() {
            *line = less_one(s, if i == 0 { s.shl(bits, 1) } else { s.shr(bits, i as u32 - 1) }, 2);
        }
        Run { lines, scales: [half(s, block.side, 0); 2] }
    }
}

/// The block has d and two bits for each column: -1 to 2.
impl Coded<4, 2> for Q2_0 {
    const RUNS: usize = 2;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1)];

    /// A byte has four neighbours; here it has the same column of four lines.
    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[..2]);
        for (four, out) in block[2..].as_chunks::<4>().0.iter().zip(quants.as_chunks_mut::<4>().0) {
            *out = std::array::from_fn(|k| (0..4).fold(0, |byte, i| byte | (four[i] >> (2 * k) & 3) << (2 * i)));
        }
    }

    #[inline(always)]
    fn run<S: Simd>(s: S, block: &Block<4, 2>, run: usize) -> Run<S> {
        let words = [s.bytes(&block.quants[2 * run]), s.bytes(&block.quants[2 * run + 1])];
        let mut lines = [words[0]; LINES];
        for (i, line) in lines.iter_mut().enumerate() {
            *line = less_one(s, s.shr(words[i / 4], i as u32 % 4 * 2), 3);
        }
        Run { lines, scales: [half(s, block.side, 0); 2] }
    }
}

/// A run of TQ2_0: each byte has a column of four runs.
#[inline(always)]
fn ternary<S: Simd>(s: S, block: &Block<16, 2>, run: usize) -> Run<S> {
    let mut lines = [s.splat_int(0); LINES];
    let words: &[Quads] = &block.quants[run / 4 * LINES..];
    for (line, quads) in lines.iter_mut().zip(words) {
        *line = less_one(s, s.shr(s.bytes(quads), run as u32 % 4 * 2), 3);
    }
    Run { lines, scales: [half(s, block.side, 0); 2] }
}

/// The block has 64 bytes and d.
impl Coded<16, 2> for TQ2_0 {
    const RUNS: usize = 8;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        quants.copy_from_slice(&block[..64]);
        side.copy_from_slice(&block[64..]);
    }

    #[inline(always)]
    fn run<S: Simd>(s: S, block: &Block<16, 2>, run: usize) -> Run<S> {
        ternary(s, block, run)
    }
}

/// The block has 48 bytes of five columns each, 4 of four, and d. It is packed as TQ2_0: the products that digits to the base 3 take
/// would cost more than the memory that they save.
impl Coded<16, 2> for TQ1_0 {
    const RUNS: usize = 8;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[52..]);
        quants.fill(0);
        let mut column = 0;
        for (bytes, places) in [(&block[..32], 5), (&block[32..48], 5), (&block[48..52], 4)] {
            for place in 0..places {
                for byte in bytes {
                    let digit = ((u16::from(byte.wrapping_mul(3u8.pow(place))) * 3) >> 8) as u8;
                    quants[column / 128 * 32 + column % 32] |= digit << (column / 32 % 4 * 2);
                    column += 1;
                }
            }
        }
    }

    #[inline(always)]
    fn run<S: Simd>(s: S, block: &Block<16, 2>, run: usize) -> Run<S> {
        ternary(s, block, run)
    }
}

/// The block has four scales and 32 bytes of nibbles, 8 for each scale: eight columns low, the next eight high.
impl Coded<8, 4> for NVFP4 {
    const RUNS: usize = 2;
    const PARTS: usize = 2;
    const FIELDS: &'static [(usize, usize)] = &[(1, 4)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[..4]);
        quants.copy_from_slice(&block[4..]);
    }

    #[inline(always)]
    fn run<S: Simd>(s: S, block: &Block<8, 4>, run: usize) -> Run<S> {
        let (mut lines, mut scales) = ([s.splat_int(0); LINES], [s.splat(0.0); 2]);
        for (part, scale) in scales.iter_mut().enumerate() {
            let at = 2 * run + part;
            *scale = s.with_bits(s.gather(&SCALES, s.unsigned(&fields::<4, 4>(block.side, 0)[at])));
            for (i, line) in lines[4 * part..][..4].iter_mut().enumerate() {
                let bytes = s.shr(s.bytes(&block.quants[2 * at + i % 2]), i as u32 / 2 * 4);
                *line = s.lookup(&FLOATS, s.and(bytes, s.splat_int(all(15))));
            }
        }
        Run { lines, scales }
    }
}
