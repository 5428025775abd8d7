//! Two of every four columns: Q4_2OF4. Unpacked as the other types are, for many rows; few rows have a product of their own
//! (`chosen.rs`).

use super::super::{Block, Quads, bits, half};
use super::{Coded, LINES, Run, ZERO, byte};
use crate::cpu::simd::Simd;

pub(in super::super) struct Q4_2OF4;

/// By the places of both, in two bits each: the first one's byte, the second one's, and what is added to either so that [`ZERO`] and
/// no 8 is too much.
static FIRST: [u32; 16] = bytes_of(0xff, 0, 0);
static SECOND: [u32; 16] = bytes_of(0, 0xff, 0);
static REST: [u32; 16] = bytes_of(-8, -8, ZERO as i32);

const fn bytes_of(first: i32, second: i32, rest: i32) -> [u32; 16] {
    let (mut words, mut i) = ([0; 16], 0);
    while i < 64 {
        let (code, place) = (i / 4, i % 4);
        let first = if code % 4 == place { first } else { 0 };
        let second = if code / 4 == place { second } else { 0 };
        words[code] |= ((first + second + rest) as u32) << (8 * place);
        i += 1;
    }
    words
}

impl Q4_2OF4 {
    /// Half of a block has four words of each row, with the levels of two for eight columns.
    pub(in super::super) const WORDS: usize = 4;

    /// Word `i` of a half: a row's four levels in the bytes of its lane, 8 too large.
    #[inline(always)]
    pub(in super::super) fn levels<S: Simd>(s: S, block: &Block<6, 2>, half: usize, i: usize) -> S::I {
        bits(s, &block.quants[i], 4 * half as u32, 4)
    }

    /// Their places, from 0 to 3.
    #[inline(always)]
    pub(in super::super) fn places<S: Simd>(s: S, places: &Quads, i: usize) -> S::I {
        bits(s, places, 2 * i as u32, 2)
    }
}

/// The block has d, twice four bytes of places, and 16 of levels, low of the first half and high of the second.
impl Coded<6, 2> for Q4_2OF4 {
    const RUNS: usize = 2;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[..2]);
        quants[..16].copy_from_slice(&block[10..]);
        quants[16..].copy_from_slice(&block[2..10]);
    }

    #[inline(always)]
    fn run<S: Simd>(s: S, block: &Block<6, 2>, run: usize) -> Run<S> {
        let mut lines = [s.splat_int(0); LINES];
        for (i, lines) in lines.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let levels = Self::levels(s, block, run, i);
            let places = Self::places(s, &block.quants[4 + run], i);
            let codes = s.or(places, s.shr(places, 6));
            for (four, line) in lines.iter_mut().enumerate() {
                let code = s.and(s.shr(codes, 16 * four as u32), s.splat_int(15));
                let first = s.and(everywhere(s, byte(s, levels, 2 * four)), s.gather(&FIRST, code));
                let second = s.and(everywhere(s, byte(s, levels, 2 * four + 1)), s.gather(&SECOND, code));
                *line = s.add_int(s.add_int(first, second), s.gather(&REST, code));
            }
        }
        Run { lines, scales: [half(s, block.side, 0); 2] }
    }
}

/// The lowest byte of a lane in all four.
#[inline(always)]
fn everywhere<S: Simd>(s: S, x: S::I) -> S::I {
    let two = s.or(x, s.shl(x, 8));
    s.or(two, s.shl(two, 16))
}
