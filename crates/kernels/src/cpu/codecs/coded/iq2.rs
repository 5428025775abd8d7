//! IQ2_XXS, IQ2_XS, IQ2_S: blocks of 256. Eight magnitudes are an entry of a codebook, each has a sign.

use tensor::codebook;

use super::super::{Block, fields, half};
use super::{Coded, LINES, Run, apart, bit, bits_of_lines, byte, close_up, eights, odd, signs_and, words_of_eights};
use crate::cpu::simd::{Bytes, Simd};

pub(super) struct IQ2XXS;
pub(super) struct IQ2XS;
pub(super) struct IQ2S;

static XXS: [u32; 256] = words_of_eights(&codebook::IQ2_XXS);
static XS: [u32; 512] = words_of_eights(&codebook::IQ2_XS);
static S: [u32; 1024] = words_of_eights(&codebook::IQ2_S);
/// The magnitudes, positive and negative, plus 64.
const LEVELS: Bytes = [72, 89, 107, 64, 56, 39, 21, 64, 0, 0, 0, 0, 0, 0, 0, 0];

/// The signs of each line, after the codes.
#[inline(always)]
fn signs<T: Simd>(s: T, signs: T::I) -> [T::I; LINES] {
    let mut lines = [signs; LINES];
    for (i, line) in lines.iter_mut().enumerate() {
        *line = bit(s, signs, i, 2);
    }
    lines
}

/// The scales of both halves of a run, from a byte with four bits for each.
#[inline(always)]
fn scales<T: Simd>(s: T, scale: T::F, both: T::I) -> [T::F; 2] {
    let four = s.splat_int(15);
    [odd(s, scale, s.and(both, four), 0.125), odd(s, scale, s.shr(both, 4), 0.125)]
}

/// The block has d, then for each run four bytes of entries and four of signs and the scale.
impl Coded<16, 2> for IQ2XXS {
    const RUNS: usize = 8;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[..2]);
        let (entries, signs) = quants.split_at_mut(32);
        let outs = entries.as_chunks_mut::<4>().0.iter_mut().zip(signs.as_chunks_mut::<4>().0);
        for ([entries, word], outs) in block[2..].as_chunks::<4>().0.as_chunks::<2>().0.iter().zip(outs) {
            let word = u32::from_le_bytes(*word);
            (*outs.0, *outs.1) = (*entries, signs_and((word >> 28) as u8, |i| word >> (7 * i)));
        }
    }

    #[inline(always)]
    fn run<T: Simd>(s: T, block: &Block<16, 2>, run: usize) -> Run<T> {
        let entries = s.bytes(&block.quants[run]);
        let (bits, number) = apart(s, s.bytes(&block.quants[8 + run]));
        let mut places = [entries; 4];
        for (i, place) in places.iter_mut().enumerate() {
            *place = byte(s, entries, i);
        }
        let scale = odd(s, half(s, block.side, 0), close_up(s, number), 0.125);
        Run { lines: eights(s, (&XXS, &LEVELS), places, signs(s, bits)), scales: [scale; 2] }
    }
}

/// The block has d, 32 times nine bits of entry and seven signs, 16 scales of four bits.
impl Coded<16, 10> for IQ2XS {
    const RUNS: usize = 8;
    const PARTS: usize = 2;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1), (1, 8)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side[..2].copy_from_slice(&block[..2]);
        side[2..].copy_from_slice(&block[66..]);
        let (entries, signs) = quants.split_at_mut(32);
        let outs = entries.as_chunks_mut::<4>().0.iter_mut().zip(signs.as_chunks_mut::<4>().0);
        for (four, outs) in block[2..66].as_chunks::<2>().0.as_chunks::<4>().0.iter().zip(outs) {
            let four = four.map(u16::from_le_bytes);
            let ninth = four.iter().rev().fold(0, |bits, x| bits << 1 | (x >> 8 & 1) as u8);
            (*outs.0, *outs.1) = (four.map(|x| x as u8), signs_and(ninth, |i| u32::from(four[i] >> 9)));
        }
    }

    #[inline(always)]
    fn run<T: Simd>(s: T, block: &Block<16, 10>, run: usize) -> Run<T> {
        let entries = s.bytes(&block.quants[run]);
        let (bits, ninth) = apart(s, s.bytes(&block.quants[8 + run]));
        let mut places = [entries; 4];
        for (i, place) in places.iter_mut().enumerate() {
            let ninth = s.and(s.shr(ninth, 2 * i as u32), s.splat_int(1));
            *place = s.or(byte(s, entries, i), s.shl(ninth, 8));
        }
        let both = s.unsigned(&fields::<8, 10>(block.side, 2)[run]);
        let lines = eights(s, (&XS, &LEVELS), places, signs(s, bits));
        Run { lines, scales: scales(s, half(s, block.side, 0), both) }
    }
}

/// The block has d, 32 bytes of entries, 32 of signs, 8 of the entries' upper pairs, 16 scales of four bits.
impl Coded<16, 18> for IQ2S {
    const RUNS: usize = 8;
    const PARTS: usize = 2;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1), (1, 16)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side[..2].copy_from_slice(&block[..2]);
        side[2..].copy_from_slice(&block[66..]);
        quants[..32].copy_from_slice(&block[2..34]);
        for (signs, out) in block[34..66].as_chunks().0.iter().zip(quants[32..].as_chunks_mut().0) {
            *out = bits_of_lines(*signs);
        }
    }

    #[inline(always)]
    fn run<T: Simd>(s: T, block: &Block<16, 18>, run: usize) -> Run<T> {
        let (entries, bits) = (s.bytes(&block.quants[run]), s.bytes(&block.quants[8 + run]));
        let side = fields::<16, 18>(block.side, 2);
        let (high, both) = (s.unsigned(&side[run]), s.unsigned(&side[8 + run]));
        let mut places = [entries; 4];
        for (i, place) in places.iter_mut().enumerate() {
            let high = s.and(s.shr(high, 2 * i as u32), s.splat_int(3));
            *place = s.or(byte(s, entries, i), s.shl(high, 8));
        }
        let lines = eights(s, (&S, &LEVELS), places, signs(s, bits));
        Run { lines, scales: scales(s, half(s, block.side, 0), both) }
    }
}
