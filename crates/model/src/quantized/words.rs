//! Numbers of a few bits, packed into words of 32.

use super::module::Place;
use crate::checkpoint::Files;

/// Where in a word AWQ keeps the number of each of eight rows.
const AWQ: [usize; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

/// A matrix of such numbers; they lie along its rows or along its columns, from the lowest bit on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    pub(super) place: Place,
    pub(super) bits: usize,
    /// Whether neighbours in a word are of one column, not of one row.
    pub(super) down: bool,
    /// Words from one to the next of the same line of numbers.
    pub(super) word: usize,
    /// Words from a line to the next one.
    pub(super) line: usize,
    /// Whether each eight of a word are in AWQ's order.
    pub(super) awq: bool,
}

impl Words {
    /// The matrix with its bytes.
    pub(super) fn bytes(self, files: &Files) -> Numbers<'_> {
        Numbers { words: self, bytes: self.place.bytes(files).as_chunks().0 }
    }
}

/// See [`Words`].
#[derive(Clone, Copy)]
pub(super) struct Numbers<'a> {
    words: Words,
    bytes: &'a [[u8; 4]],
}

impl Numbers<'_> {
    /// The number in that place.
    #[inline]
    pub(super) fn get(&self, row: usize, col: usize) -> u32 {
        let Words { bits, down, word, line, awq, .. } = self.words;
        let (along, across) = if down { (row, col) } else { (col, row) };
        let along = if awq { along & !7 | AWQ[along & 7] } else { along };
        let (first, shift) = (along * bits / 32, along * bits % 32);
        let at = |i: usize| u64::from(u32::from_le_bytes(self.bytes[i * word + across * line]));
        let mut number = at(first) >> shift;
        if shift + bits > 32 {
            number |= at(first + 1) << (32 - shift);
        }
        number as u32 & ((1 << bits) - 1)
    }

    /// The 32 numbers of a row from `col` on, a multiple of 32.
    #[inline]
    pub(super) fn run(&self, row: usize, col: usize, out: &mut [i32; 32]) {
        let Words { bits, down, word, line, awq, .. } = self.words;
        if down || awq || 32 % bits != 0 {
            out.iter_mut().enumerate().for_each(|(i, n)| *n = self.get(row, col + i) as i32);
            return;
        }
        let each = 32 / bits;
        for (w, out) in out.chunks_exact_mut(each).enumerate() {
            let numbers = u32::from_le_bytes(self.bytes[(col / each + w) * word + row * line]);
            for (i, n) in out.iter_mut().enumerate() {
                *n = (numbers >> (i * bits) & ((1 << bits) - 1)) as i32;
            }
        }
    }
}
