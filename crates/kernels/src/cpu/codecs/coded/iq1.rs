//! IQ1_S, IQ1_M: blocks of 256. Eight of -1, 0 and 1 are an entry of a codebook, and an eighth is added to all of some, or subtracted.
//! Bytes are eight times as large.

use tensor::codebook;

use super::super::{Block, fields, half};
use super::{Coded, LINES, Run, all, byte, eights, odd, words_of_eights};
use crate::cpu::simd::{Bytes, Simd};

pub(super) struct IQ1S;
pub(super) struct IQ1M;

static BOOK: [u32; 2048] = words_of_eights(&codebook::IQ1);
/// Eight times the elements plus 1, and minus 1; all plus 64.
const LEVELS: Bytes = [57, 65, 73, 64, 55, 63, 71, 64, 0, 0, 0, 0, 0, 0, 0, 0];
/// What is after the codes of those that are smaller.
const SMALLER: i32 = all(4);

/// The block has d, 32 bytes of entries, then for each run in two bytes four times the entries' upper three bits, the scale of three
/// bits, and whether the eighth is subtracted.
impl Coded<8, 18> for IQ1S {
    const RUNS: usize = 8;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1), (1, 16)];

    /// Lower bytes of the pairs before all upper ones.
    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side[..2].copy_from_slice(&block[..2]);
        quants.copy_from_slice(&block[2..34]);
        for (run, pair) in block[34..].as_chunks::<2>().0.iter().enumerate() {
            (side[2 + run], side[10 + run]) = (pair[0], pair[1]);
        }
    }

    #[inline(always)]
    fn run<T: Simd>(s: T, block: &Block<8, 18>, run: usize) -> Run<T> {
        let (entries, side) = (s.bytes(&block.quants[run]), fields::<16, 18>(block.side, 2));
        let high = s.or(s.unsigned(&side[run]), s.shl(s.unsigned(&side[8 + run]), 8));
        let mut places = [entries; 4];
        for (i, place) in places.iter_mut().enumerate() {
            let high = s.and(s.shr(high, 3 * i as u32), s.splat_int(7));
            *place = s.or(byte(s, entries, i), s.shl(high, 8));
        }
        let number = s.and(s.shr(high, 12), s.splat_int(7));
        let smaller = s.and(s.sar(s.shl(high, 16), 31), s.splat_int(SMALLER));
        let scale = odd(s, half(s, block.side, 0), number, 0.125);
        Run { lines: eights(s, (&BOOK, &LEVELS), places, [smaller; LINES]), scales: [scale; 2] }
    }
}

/// The block has 32 bytes of entries, 32 times four bits (the entries' upper three, and whether the eighth is subtracted), then four
/// times in two bytes four scales of three bits and a quarter of d.
impl Coded<12, 8> for IQ1M {
    const RUNS: usize = 8;
    const PARTS: usize = 2;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1), (1, 6)];

    /// The lowest bits of all 16 scales, then the next ones, then the highest.
    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        quants.copy_from_slice(&block[..48]);
        let scales = block[48..].as_chunks().0;
        let scale = |i: usize| u16::from_le_bytes(scales[i / 4]) >> (i % 4 * 3) & 7;
        let d = (0..4).rev().fold(0, |d, i| d << 4 | u16::from_le_bytes(scales[i]) >> 12);
        let bits = |at: usize| (0..16).fold(0, |bits, i| bits | (scale(i) >> at & 1) << i);
        let words = [d, bits(0), bits(1), bits(2)].map(u16::to_le_bytes);
        side.copy_from_slice(words.as_flattened());
    }

    #[inline(always)]
    fn run<T: Simd>(s: T, block: &Block<12, 8>, run: usize) -> Run<T> {
        let entries = s.bytes(&block.quants[run]);
        let high = s.shr(s.bytes(&block.quants[8 + run / 2]), run as u32 % 2 * 16);
        let (mut places, mut bits) = ([entries; 4], [entries; LINES]);
        for (i, (place, bits)) in places.iter_mut().zip(bits.as_chunks_mut::<2>().0).enumerate() {
            let three = s.and(s.shr(high, 4 * i as u32), s.splat_int(7));
            *place = s.or(byte(s, entries, i), s.shl(three, 8));
            *bits = [s.and(s.sar(s.shl(high, 28 - 4 * i as u32), 31), s.splat_int(SMALLER)); 2];
        }
        let mut numbers = [s.splat_int(0); 2];
        for (at, two) in fields::<6, 8>(block.side, 2).as_chunks::<2>().0.iter().enumerate() {
            let both = s.shr(s.unsigned(&two[run / 4]), run as u32 % 4 * 2);
            for (number, bits) in numbers.iter_mut().zip([both, s.shr(both, 1)]) {
                *number = s.or(*number, s.shl(s.and(bits, s.splat_int(1)), at as u32));
            }
        }
        let scale = half(s, block.side, 0);
        let scales = [odd(s, scale, numbers[0], 0.125), odd(s, scale, numbers[1], 0.125)];
        Run { lines: eights(s, (&BOOK, &LEVELS), places, bits), scales }
    }
}
