//! Matrices whose elements are small numbers times the scales of their groups.

use rayon::prelude::*;
use tensor::{DType, codebook};

use super::blocks;
use super::module::Place;
use super::words::{Numbers, Words};
use crate::checkpoint::Files;

/// Rows that are made at once: those whose numbers are in the same cache lines, where numbers lie along columns.
const TILE: usize = 64;

/// The values of the E2M1 format of the OCP microscaling specification 1.0.
const E2M1: [f32; 16] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// Such a matrix.
#[derive(Clone, Debug)]
pub(super) struct Scaled {
    pub(super) codes: Codes,
    pub(super) scales: Scales,
    pub(super) groups: Groups,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

/// The small numbers.
#[derive(Clone, Debug)]
pub(super) enum Codes {
    /// Integers, of which a zero is subtracted.
    Words(Words, Zeros),
    /// Signed integers, a byte each, of which a zero is subtracted.
    Bytes(Place, Zeros),
    /// Floats of 8 bits, four of them exponent and three mantissa.
    E4m3(Place),
    /// Floats of 4 bits, two of them exponent and one mantissa, the first of two in the low half of a byte.
    E2m1(Place),
}

/// What stands for zero, for each row and group.
#[derive(Clone, Debug)]
pub(super) enum Zeros {
    /// Always this.
    All(i32),
    /// These, each with something added, in as many bits.
    Words(Words, i32),
    /// These signed bytes, of rows with so many.
    Bytes(Place, usize),
}

/// The scales, and where that of a row and a group is among them.
#[derive(Clone, Debug)]
pub(super) struct Scales {
    pub(super) place: Place,
    /// The type, as files name it.
    pub(super) kind: &'static str,
    /// Scales from a row to the next one, or to the next that has others.
    pub(super) line: usize,
    /// Scales from a group to the next one.
    pub(super) step: usize,
    /// Rows that have the same.
    pub(super) rows: usize,
    /// Each is multiplied with the first and divided by the second.
    pub(super) by: (f32, f32),
}

/// Which group a column is in.
#[derive(Clone, Debug)]
pub(super) enum Groups {
    /// Each so many are one.
    Even(usize),
    /// As it says here.
    Given(Vec<u32>),
}

impl Groups {
    #[inline]
    pub(super) fn of(&self, col: usize) -> usize {
        match self {
            Groups::Even(size) => col / size,
            Groups::Given(groups) => groups[col] as usize,
        }
    }

    /// Columns of a group; `None` if they are not beside each other.
    pub(super) fn size(&self) -> Option<usize> {
        if let Groups::Even(size) = self { Some(*size) } else { None }
    }
}

impl Scales {
    /// The types that [`Scales::values`] reads.
    pub(super) const KINDS: [&'static str; 6] = ["F32", "F16", "BF16", "F8_E8M0", "F8_E4M3", "U8"];

    /// All of them, in the order of the files.
    pub(super) fn values(&self, files: &Files) -> Vec<f32> {
        let bytes = self.place.bytes(files);
        let mut values = match DType::all().find(|dtype| dtype.name() == self.kind) {
            Some(dtype) => floats(dtype, bytes),
            None if self.kind == "F8_E4M3" => bytes.iter().map(|&byte| e4m3(byte)).collect(),
            None => bytes.iter().map(|&byte| power(byte)).collect(),
        };
        values.iter_mut().for_each(|scale| *scale = *scale * self.by.0 / self.by.1);
        values
    }

    #[inline]
    pub(super) fn at(&self, row: usize, group: usize) -> usize {
        row / self.rows * self.line + group * self.step
    }
}

impl Scaled {
    /// The matrix in `dtype`: a plain type, one of blocks of 32 that has all its integers, or one of rows.
    pub(super) fn read(&self, files: &Files, dtype: DType) -> Vec<u8> {
        let (scales, codes) = (self.scales.values(files), self.codes.open(files, self.cols));
        let row = dtype.row_bytes(self.cols).unwrap_or(0);
        let mut out = vec![0; self.rows * row];
        let halves = if dtype.layout().block_len == 1 { vec![] } else { encoded(DType::F16, &scales) };
        out.par_chunks_mut((TILE * row).max(1)).enumerate().for_each(|(tile, out)| {
            let from = tile * TILE;
            match dtype.layout().block_len {
                1 => self.plain(&codes, &scales, from, (dtype, row), out),
                _ if dtype == DType::Q8_ROW => self.by_row(&codes, &scales, from, row, out),
                _ => self.blocks(&codes, halves.as_chunks().0, from, (dtype, row), out),
            }
        });
        out
    }

    /// Rows from `from` on in a plain type.
    fn plain(&self, codes: &Open<'_>, scales: &[f32], from: usize, (dtype, row): (DType, usize), out: &mut [u8]) {
        let mut values = vec![0.0; self.cols];
        for (r, out) in out.chunks_exact_mut(row).enumerate() {
            let r = from + r;
            for (c, value) in values.iter_mut().enumerate() {
                let group = self.groups.of(c);
                *value = codes.value(r, c, group) * scales[self.scales.at(r, group)];
            }
            tensor::encode(dtype, &values, out).expect("a row of a plain type");
        }
    }

    /// Rows from `from` on in blocks, a block of each row after the other.
    fn blocks(&self, codes: &Open<'_>, halves: &[[u8; 2]], from: usize, (dtype, row): (DType, usize), out: &mut [u8]) {
        let size = dtype.layout().block_bytes;
        let mut integers = [0; 32];
        for block in 0..self.cols / 32 {
            let group = self.groups.of(block * 32);
            for (r, out) in out.chunks_exact_mut(row).enumerate() {
                let r = from + r;
                codes.integers(r, block * 32, group, &mut integers);
                let scale = halves[self.scales.at(r, group)];
                blocks::put(dtype, scale, &integers, &mut out[block * size..(block + 1) * size]);
            }
        }
    }

    /// Rows from `from` on, each its scale and then its integers, which are signed bytes.
    fn by_row(&self, codes: &Open<'_>, scales: &[f32], from: usize, row: usize, out: &mut [u8]) {
        let mut integers = [0; 32];
        for (r, out) in out.chunks_exact_mut(row).enumerate() {
            let (scale, quants) = out.split_at_mut(size_of::<f32>());
            scale.copy_from_slice(&scales[self.scales.at(from + r, 0)].to_le_bytes());
            for (block, quants) in quants.chunks_exact_mut(32).enumerate() {
                codes.integers(from + r, block * 32, 0, &mut integers);
                quants.iter_mut().zip(integers).for_each(|(q, n)| *q = (n as i8).cast_unsigned());
            }
        }
    }

    /// The smallest and the largest integer that there may be; `None` if they are floats.
    pub(super) fn range(&self, files: &Files, groups: usize) -> Option<(i32, i32)> {
        let (low, high, zeros) = match &self.codes {
            Codes::Words(words, zeros) => (0, (1 << words.bits) - 1, zeros),
            Codes::Bytes(_, zeros) => (-128, 127, zeros),
            Codes::E4m3(_) | Codes::E2m1(_) => return None,
        };
        let (mut least, mut most) = (i32::MAX, i32::MIN);
        let zeros = zeros.open(files);
        let (rows, groups) = if let OpenZeros::All(_) = zeros { (1, 1) } else { (self.rows, groups) };
        for (row, group) in (0..groups).flat_map(|group| (0..rows).map(move |row| (row, group))) {
            let zero = zeros.at(row, group);
            (least, most) = (least.min(zero), most.max(zero));
        }
        Some((low - most, high - least))
    }
}

impl Codes {
    fn open<'a>(&self, files: &'a Files, cols: usize) -> Open<'a> {
        match self {
            Codes::Words(words, zeros) => Open::Words(words.bytes(files), zeros.open(files)),
            Codes::Bytes(place, zeros) => Open::Bytes(place.bytes(files), cols, zeros.open(files)),
            Codes::E4m3(place) => {
                Open::Floats(place.bytes(files), cols, Box::new(std::array::from_fn(|byte| e4m3(byte as u8))))
            }
            Codes::E2m1(place) => Open::Halves(place.bytes(files), cols),
        }
    }
}

impl Zeros {
    fn open<'a>(&self, files: &'a Files) -> OpenZeros<'a> {
        match self {
            Zeros::All(zero) => OpenZeros::All(*zero),
            Zeros::Words(words, plus) => OpenZeros::Words(words.bytes(files), *plus, (1 << words.bits) - 1),
            Zeros::Bytes(place, groups) => OpenZeros::Bytes(place.bytes(files), *groups),
        }
    }
}

/// [`Codes`] with their bytes.
enum Open<'a> {
    Words(Numbers<'a>, OpenZeros<'a>),
    Bytes(&'a [u8], usize, OpenZeros<'a>),
    Floats(&'a [u8], usize, Box<[f32; 256]>),
    Halves(&'a [u8], usize),
}

impl Open<'_> {
    /// An element before it is multiplied with its scale.
    #[inline]
    fn value(&self, row: usize, col: usize, group: usize) -> f32 {
        match self {
            Open::Words(words, zeros) => (words.get(row, col) as i32 - zeros.at(row, group)) as f32,
            Open::Bytes(bytes, cols, zeros) => {
                (i32::from(bytes[row * cols + col].cast_signed()) - zeros.at(row, group)) as f32
            }
            Open::Floats(bytes, cols, table) => table[usize::from(bytes[row * cols + col])],
            Open::Halves(bytes, cols) => E2M1[usize::from(bytes[(row * cols + col) / 2] >> (col % 2 * 4) & 15)],
        }
    }

    /// The 32 integers of a row from `col` on, which are of one group.
    #[inline]
    fn integers(&self, row: usize, col: usize, group: usize, out: &mut [i32; 32]) {
        let zero = match self {
            Open::Words(words, zeros) => {
                words.run(row, col, out);
                zeros.at(row, group)
            }
            Open::Bytes(bytes, cols, zeros) => {
                let bytes = &bytes[row * cols + col..][..32];
                out.iter_mut().zip(bytes).for_each(|(n, byte)| *n = i32::from(byte.cast_signed()));
                zeros.at(row, group)
            }
            // Floats are never put into blocks of integers.
            Open::Floats(..) | Open::Halves(..) => return,
        };
        out.iter_mut().for_each(|n| *n -= zero);
    }
}

/// [`Zeros`] with their bytes.
enum OpenZeros<'a> {
    All(i32),
    Words(Numbers<'a>, i32, i32),
    Bytes(&'a [u8], usize),
}

impl OpenZeros<'_> {
    #[inline]
    fn at(&self, row: usize, group: usize) -> i32 {
        match *self {
            OpenZeros::All(zero) => zero,
            OpenZeros::Words(ref words, plus, mask) => (words.get(row, group) as i32 + plus) & mask,
            OpenZeros::Bytes(bytes, groups) => i32::from(bytes[row * groups + group].cast_signed()),
        }
    }
}

/// Numbers of a plain type.
pub(super) fn floats(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; bytes.len() / dtype.layout().block_bytes];
    tensor::decode(dtype, bytes, &mut values).expect("whole elements");
    values
}

/// Numbers as a plain type.
pub(super) fn encoded(dtype: DType, values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * dtype.layout().block_bytes];
    tensor::encode(dtype, values, &mut bytes).expect("whole elements");
    bytes
}

/// The 8-bit float of a sign, four bits of exponent and three of mantissa, without infinities.
fn e4m3(byte: u8) -> f32 {
    match byte & 127 {
        127 => f32::NAN,
        size => 2.0 * codebook::half_e4m3(size) * if byte < 128 { 1.0 } else { -1.0 },
    }
}

/// The power of two that E8M0 means; 255 is no number there.
fn power(exponent: u8) -> f32 {
    match exponent {
        0 => f32::from_bits(1 << 22),
        255 => f32::NAN,
        _ => f32::from_bits(u32::from(exponent) << 23),
    }
}
