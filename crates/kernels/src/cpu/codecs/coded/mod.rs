//! Types whose columns are unpacked into memory, from where one product multiplies those of all of them: elements are entries of
//! codebooks with signs of their own, or so few bits that another loop in registers for each is not worth its code.
//!
//! A codebook is a table of words, so that 16 rows look up their entries at once. An entry has codes of some bits in the bytes of a
//! word. With a row's signs as a further bit they are numbers of a table of levels, which a register holds.

mod few_bits;
mod iq1;
mod iq2;
mod iq3;
mod sparse;

use std::marker::PhantomData;

pub(super) use sparse::Q4_2OF4;
use tensor::DType;

use super::unpack::Unpack;
use super::{Block, COLUMNS, Effort, Form, Layout, QUAD};
use crate::cpu::simd::{Bytes, Kernel, Simd, Vector};

/// What is subtracted from a byte. All elements are between -63 and 63, so that no byte is wide.
pub(super) const ZERO: u32 = 64;
/// Columns that are unpacked at once.
const RUN: usize = 32;
/// Lines of bytes that they become.
const LINES: usize = RUN / QUAD;

/// A type of `QUANTS` lines of packed elements and `SIDE` fields beside them. It is read in runs of 32 columns.
pub(super) trait Coded<const QUANTS: usize, const SIDE: usize> {
    /// Runs of a block.
    const RUNS: usize;
    /// Parts of a run with a scale of their own: 1 or 2.
    const PARTS: usize = 1;
    /// The widths of the fields beside the lines, in order: (bytes, how many).
    const FIELDS: &'static [(usize, usize)];

    /// Separates one row's block, as the file has it, into the bytes of its lines and of the fields beside them.
    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]);

    /// Run `run` of a block.
    fn run<S: Simd>(s: S, block: &Block<QUANTS, SIDE>, run: usize) -> Run<S>;
}

/// A run, unpacked.
#[derive(Clone, Copy)]
pub(super) struct Run<S: Simd> {
    /// Each byte is [`ZERO`] too large.
    lines: [S::I; LINES],
    /// Of its parts; the second is not read if there is only one.
    scales: [S::F; 2],
}

/// Calls `$do` for a type of this module: with the type, and the two numbers of [`Coded`]. For others gives `$other`.
macro_rules! for_coded {
    ($dtype:expr, $do:ident($($arg:expr),*), else $other:expr) => {
        match $dtype {
            DType::NVFP4 => $do::<few_bits::NVFP4, 8, 4>($($arg),*),
            DType::IQ1_S => $do::<iq1::IQ1S, 8, 18>($($arg),*),
            DType::IQ1_M => $do::<iq1::IQ1M, 12, 8>($($arg),*),
            DType::IQ2_XXS => $do::<iq2::IQ2XXS, 16, 2>($($arg),*),
            DType::IQ2_XS => $do::<iq2::IQ2XS, 16, 10>($($arg),*),
            DType::IQ2_S => $do::<iq2::IQ2S, 16, 18>($($arg),*),
            DType::IQ3_XXS => $do::<iq3::IQ3XXS, 24, 2>($($arg),*),
            DType::IQ3_S => $do::<iq3::IQ3S, 24, 14>($($arg),*),
            DType::TQ1_0 => $do::<few_bits::TQ1_0, 16, 2>($($arg),*),
            DType::TQ2_0 => $do::<few_bits::TQ2_0, 16, 2>($($arg),*),
            DType::Q1_0 => $do::<few_bits::Q1_0, 4, 2>($($arg),*),
            DType::Q2_0 => $do::<few_bits::Q2_0, 4, 2>($($arg),*),
            DType::Q4_2OF4 => $do::<sparse::Q4_2OF4, 6, 2>($($arg),*),
            _ => $other,
        }
    };
}

/// How blocks of `dtype` are packed, if it is a type of this module.
pub(super) fn layout(dtype: DType) -> Option<Layout> {
    fn layout<T: Coded<QUANTS, SIDE>, const QUANTS: usize, const SIDE: usize>() -> Option<Layout> {
        Some(Layout {
            columns: T::RUNS * RUN,
            quants: QUANTS,
            fields: T::FIELDS,
            head: 0,
            form: Form { lines: LINES / T::PARTS, zero: ZERO },
            effort: Effort::Most,
            pack: T::pack,
        })
    }
    for_coded!(dtype, layout(), else None)
}

impl Unpack<'_> {
    /// Runs it for any type.
    pub(crate) fn with(self, vector: Vector) -> u32 {
        // Types have kernels of their own, so that they are compiled side by side.
        for_coded!(self.dtype, unpack(vector, self), else vector.run(self))
    }
}

fn unpack<T: Coded<QUANTS, SIDE>, const QUANTS: usize, const SIDE: usize>(vector: Vector, job: Unpack) -> u32 {
    vector.run(Typed::<T, QUANTS, SIDE> { job, of: PhantomData });
    ZERO
}

/// [`Unpack`] of one type.
struct Typed<'a, T, const QUANTS: usize, const SIDE: usize> {
    job: Unpack<'a>,
    of: PhantomData<T>,
}

impl<T: Coded<QUANTS, SIDE>, const QUANTS: usize, const SIDE: usize> Kernel for Typed<'_, T, QUANTS, SIDE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = Block::<QUANTS, SIDE>::LEN;
        let (bytes, _) = self.job.out.bytes.as_chunks_mut::<LINES>();
        let scales = self.job.out.scales.chunks_exact_mut(T::PARTS);
        let mut outs = bytes.iter_mut().zip(scales);
        for block in self.job.columns.chunks_exact(len) {
            // This tile is read again after others, in so many columns.
            for line in block.as_chunks::<QUAD>().0 {
                s.prefetch(line, COLUMNS / (T::RUNS * RUN) * len * size_of::<Bytes>());
            }
            let block = Block::new(block);
            for (run, (bytes, scales)) in (0..T::RUNS).zip(&mut outs) {
                let unpacked = T::run(s, &block, run);
                for (to, line) in bytes.iter_mut().zip(unpacked.lines) {
                    s.store_bytes(to, if self.job.signed { signed(s, line) } else { line });
                }
                for (to, scale) in scales.iter_mut().zip(unpacked.scales) {
                    s.store(&mut to.0, scale);
                }
            }
        }
    }
}

/// Subtracts [`ZERO`] from each byte. Added first, to 128 in all, it carries into no other byte.
#[inline(always)]
fn signed<S: Simd>(s: S, line: S::I) -> S::I {
    let rest = s.splat_int(i32::from_le_bytes([128 - ZERO as u8; 4]));
    s.xor(s.add_int(line, rest), s.splat_int(i32::from_le_bytes([128; 4])))
}

/// scale · (2 · number + 1) · by.
#[inline(always)]
fn odd<S: Simd>(s: S, scale: S::F, number: S::I, by: f32) -> S::F {
    let odd = s.or(s.shl(number, 1), s.splat_int(1));
    s.mul(scale, s.mul(s.float(odd), s.splat(by)))
}

/// Byte `at` of each lane.
#[inline(always)]
fn byte<S: Simd>(s: S, x: S::I, at: usize) -> S::I {
    s.and(s.shr(x, 8 * at as u32), s.splat_int(255))
}

/// The same bits in all four bytes.
const fn all(bits: u8) -> i32 {
    i32::from_le_bytes([bits; 4])
}

/// Bits of 32 columns, in their order, as bits of lines: bit i of byte k is of column 4 · i + k.
fn bits_of_lines(columns: [u8; 4]) -> [u8; 4] {
    let (columns, mut lines) = (u32::from_le_bytes(columns), [0; 4]);
    for column in 0..RUN {
        lines[column % QUAD] |= ((columns >> column & 1) as u8) << (column / QUAD);
    }
    lines
}

/// Signs of four times seven columns, each followed by a bit of `number` in the place of the eighth's, which makes the number of
/// negative ones even.
fn signs_and(number: u8, signs: impl Fn(usize) -> u32) -> [u8; 4] {
    bits_of_lines(std::array::from_fn(|i| (signs(i) & 127) as u8 | (number >> i & 1) << 7))
}

/// The signs of all 32 columns, as bits of lines, and the four bits of [`signs_and`]'s number, in bits 0, 2, 4 and 6.
#[inline(always)]
fn apart<S: Simd>(s: S, word: S::I) -> (S::I, S::I) {
    let pairs = s.splat_int(0x55);
    let number = s.and(s.shr(word, 25), pairs);
    let seven = s.and(word, s.splat_int(0x55ff_ffff));
    let count = s.xor(seven, s.shr(seven, 16));
    let count = s.xor(count, s.shr(count, 8));
    let count = s.and(s.xor(count, s.shr(count, 1)), pairs);
    (s.or(seven, s.shl(count, 25)), number)
}

/// Four bits that are in bits 0, 2, 4 and 6.
#[inline(always)]
fn close_up<S: Simd>(s: S, bits: S::I) -> S::I {
    let pairs = s.and(s.or(bits, s.shr(bits, 1)), s.splat_int(0x33));
    s.and(s.or(pairs, s.shr(pairs, 2)), s.splat_int(0x0f))
}

/// Bit `i` of each byte, moved to bit `to`.
#[inline(always)]
fn bit<S: Simd>(s: S, bits: S::I, i: usize, to: usize) -> S::I {
    let moved = if i < to { s.shl(bits, (to - i) as u32) } else { s.shr(bits, (i - to) as u32) };
    s.and(moved, s.splat_int(all(1 << to)))
}

/// Lines of which `bits` are in place: codes of eight columns in each word of `book`, and with the bit after them their numbers in
/// `levels`.
#[inline(always)]
fn eights<S: Simd, const N: usize>(
    s: S,
    (book, levels): (&[u32; N], &Bytes),
    entries: [S::I; 4],
    bits: [S::I; LINES],
) -> [S::I; LINES] {
    let mut lines = bits;
    for (entry, lines) in entries.into_iter().zip(lines.as_chunks_mut::<2>().0) {
        let codes = s.gather(book, entry);
        for (line, codes) in lines.iter_mut().zip([codes, s.shr(codes, 4)]) {
            *line = s.lookup(levels, s.or(*line, s.and(codes, s.splat_int(all(3)))));
        }
    }
    lines
}

/// The words of a codebook of eights: in byte k the code of column k in bits 0 and 1, that of column k + 4 in bits 4 and 5.
const fn words_of_eights<const N: usize>(book: &[u16; N]) -> [u32; N] {
    let (mut words, mut i) = ([0; N], 0);
    while i < 8 * N {
        let (entry, column) = (i / 8, i % 8);
        let code = (book[entry] >> (2 * column) & 3) as u32;
        words[entry] |= code << (column % 4 * 8 + column / 4 * 4);
        i += 1;
    }
    words
}
