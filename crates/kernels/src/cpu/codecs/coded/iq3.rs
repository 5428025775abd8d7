//! IQ3_XXS, IQ3_S: blocks of 256. Four magnitudes are an entry of a codebook, each has a sign.

use tensor::codebook;

use super::super::{Block, Quads, fields, half};
use super::{Coded, LINES, Run, all, apart, bit, bits_of_lines, byte, close_up, odd, signs_and};
use crate::cpu::simd::{Bytes, Simd};

pub(super) struct IQ3XXS;
pub(super) struct IQ3S;

static XXS: [u32; 256] = words_of_fours(&codebook::IQ3_XXS);
static S: [u32; 512] = words_of_fours(&codebook::IQ3_S);
/// The magnitudes, positive and negative, plus 64.
const XXS_LEVELS: Bytes = [68, 76, 84, 92, 100, 108, 116, 126, 60, 52, 44, 36, 28, 20, 12, 2];
const S_LEVELS: Bytes = [65, 67, 69, 71, 73, 75, 77, 79, 63, 61, 59, 57, 55, 53, 51, 49];

/// The words of a codebook of fours: a code in each byte.
const fn words_of_fours<const N: usize>(book: &[u16; N]) -> [u32; N] {
    let (mut words, mut i) = ([0; N], 0);
    while i < 4 * N {
        let (entry, column) = (i / 4, i % 4);
        words[entry] |= ((book[entry] >> (4 * column) & 7) as u32) << (8 * column);
        i += 1;
    }
    words
}

/// Lines of a run: eight entries in two words, whose ninth bits are those of `ninth`, and the signs as bits of lines.
#[inline(always)]
fn fours<T: Simd, const N: usize>(
    s: T,
    (book, levels): (&[u32; N], &Bytes),
    entries: [&Quads; 2],
    ninth: Option<T::I>,
    signs: T::I,
) -> [T::I; LINES] {
    let mut lines = [signs; LINES];
    let words = entries.map(|entries| s.bytes(entries));
    for (i, line) in lines.iter_mut().enumerate() {
        let mut place = byte(s, words[i / 4], i % 4);
        if let Some(ninth) = ninth {
            let ninth = s.and(s.shr(ninth, i as u32), s.splat_int(1));
            place = s.or(place, s.shl(ninth, 8));
        }
        let codes = s.and(s.gather(book, place), s.splat_int(all(7)));
        *line = s.lookup(levels, s.or(codes, bit(s, signs, i, 3)));
    }
    lines
}

/// The block has d, 64 bytes of entries, then for each run four bytes of signs and the scale.
impl Coded<24, 2> for IQ3XXS {
    const RUNS: usize = 8;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[..2]);
        quants[..64].copy_from_slice(&block[2..66]);
        for (word, out) in block[66..].as_chunks().0.iter().zip(quants[64..].as_chunks_mut().0) {
            let word = u32::from_le_bytes(*word);
            *out = signs_and((word >> 28) as u8, |i| word >> (7 * i));
        }
    }

    #[inline(always)]
    fn run<T: Simd>(s: T, block: &Block<24, 2>, run: usize) -> Run<T> {
        let (signs, number) = apart(s, s.bytes(&block.quants[16 + run]));
        let entries = [&block.quants[2 * run], &block.quants[2 * run + 1]];
        let lines = fours(s, (&XXS, &XXS_LEVELS), entries, None, signs);
        Run { lines, scales: [odd(s, half(s, block.side, 0), close_up(s, number), 0.25); 2] }
    }
}

/// The block has d, 64 bytes of entries, 8 of their ninth bits, 32 of signs, 8 scales of four bits.
impl Coded<24, 14> for IQ3S {
    const RUNS: usize = 8;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1), (1, 12)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side[..2].copy_from_slice(&block[..2]);
        side[2..10].copy_from_slice(&block[66..74]);
        side[10..].copy_from_slice(&block[106..]);
        quants[..64].copy_from_slice(&block[2..66]);
        for (signs, out) in block[74..106].as_chunks().0.iter().zip(quants[64..].as_chunks_mut().0) {
            *out = bits_of_lines(*signs);
        }
    }

    #[inline(always)]
    fn run<T: Simd>(s: T, block: &Block<24, 14>, run: usize) -> Run<T> {
        let side = fields::<12, 14>(block.side, 2);
        let (ninth, signs) = (s.unsigned(&side[run]), s.bytes(&block.quants[16 + run]));
        let number = s.and(s.shr(s.unsigned(&side[8 + run / 2]), run as u32 % 2 * 4), s.splat_int(15));
        let entries = [&block.quants[2 * run], &block.quants[2 * run + 1]];
        let lines = fours(s, (&S, &S_LEVELS), entries, Some(ninth), signs);
        Run { lines, scales: [odd(s, half(s, block.side, 0), number, 1.0); 2] }
    }
}
