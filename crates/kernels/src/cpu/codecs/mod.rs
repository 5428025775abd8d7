//! How tiles of each storage type are packed and read, written once for every instruction set.
//!
//! A vector's lanes are 16 rows. Floats are read as numbers. Quantized types are read as lines of unsigned bytes, with four columns
//! of each row in a lane. A block consists of parts, each with its own scale and minimum: an element is
//! scale · (byte − [`Quant::ZERO`]) − minimum, with the same bits as `tensor::decode` gives. So products with rows of signed bytes
//! are sums of integers.

mod by_row;
mod chosen;
mod coded;
mod dot;
mod float;
mod held;
mod k_quants;
mod q4;
mod q5;
mod q8;
mod rounded;
mod unpack;
mod unpacked;

use tensor::DType;

use super::simd::{Bytes, Simd};
pub(crate) use by_row::decode as decode_by_row;
pub(crate) use chosen::ROWS as CHOSEN_ROWS;
pub(crate) use float::{Column, Decode, DotFloats, F16, F32};
pub(crate) use rounded::RoundedProduct;
pub(crate) use unpack::{Unpack, Weights};
pub(crate) use unpacked::UnpackedProduct;

/// Columns unpacked at a time; the longest block of any type.
pub(crate) const COLUMNS: usize = 256;
/// Columns that a line of bytes holds.
pub(crate) const QUAD: usize = 4;

/// 64 bytes: four columns of 16 rows.
pub(crate) type Quads = [Bytes; QUAD];

/// A quantized type. A block of a tile is `QUANTS` lines of packed elements and `SIDE` fields beside them, of 16 bytes: one for each
/// row. It is read in parts of `LINES` · 4 columns, each with its own scale.
trait Quant<const LINES: usize, const QUANTS: usize, const SIDE: usize> {
    /// Parts of a block.
    const PARTS: usize;
    /// What is subtracted from a byte, a power of two; 0 where there is a minimum.
    const ZERO: u32 = 0;
    /// Whether bytes can be 128 or more.
    const WIDE: bool = false;
    /// The cost of unpacking a line.
    const EFFORT: Effort = Effort::Much;
    /// The widths of the fields beside the lines, in order: (bytes, how many).
    const FIELDS: &'static [(usize, usize)];

    /// Separates one row's block, as the file has it, into the bytes of its lines and of the fields beside them.
    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]);

    /// Line `i` of part `part` of a block.
    fn line<S: Simd>(s: S, block: &Block<QUANTS, SIDE>, part: usize, i: usize) -> S::I;

    /// The scale of a part.
    fn scale<S: Simd>(s: S, block: &Block<QUANTS, SIDE>, part: usize) -> S::F;

    /// Its minimum; `None` for the types whose minimum is [`Quant::ZERO`] times the scale.
    #[inline(always)]
    fn min<S: Simd>(_: S, _: &Block<QUANTS, SIDE>, _: usize) -> Option<S::F> {
        None
    }
}

/// A block of 16 rows.
#[derive(Clone, Copy)]
struct Block<'a, const QUANTS: usize, const SIDE: usize> {
    quants: &'a [Quads; QUANTS],
    side: &'a [Bytes; SIDE],
}

impl<'a, const QUANTS: usize, const SIDE: usize> Block<'a, QUANTS, SIDE> {
    /// Fields of a block.
    const LEN: usize = QUANTS * QUAD + SIDE;

    #[inline(always)]
    fn new(fields: &'a [Bytes]) -> Block<'a, QUANTS, SIDE> {
        let (quants, side) = fields.split_at(QUANTS * QUAD);
        let whole = "the fields of a block";
        Block { quants: quants.as_chunks().0.first_chunk().expect(whole), side: side.first_chunk().expect(whole) }
    }
}

/// Calls `$do` for a quantized type, but not for those of `coded`: with `S` if given, the type, and the three numbers of [`Quant`].
macro_rules! for_quant {
    ($dtype:expr, $do:ident [$($s:ident)?] ($($arg:expr),*)) => {
        match $dtype {
            DType::Q8_0 => $do::<$($s,)? q8::Q8_0, 8, 8, 2>($($arg),*),
            DType::Q4_0 => $do::<$($s,)? q4::Q4_0, 8, 4, 2>($($arg),*),
            DType::Q4_1 => $do::<$($s,)? q4::Q4_1, 8, 4, 4>($($arg),*),
            DType::Q5_0 => $do::<$($s,)? q5::Q5_0, 8, 5, 2>($($arg),*),
            DType::Q5_1 => $do::<$($s,)? q5::Q5_1, 8, 5, 4>($($arg),*),
            DType::IQ4_NL => $do::<$($s,)? q4::IQ4NL, 8, 4, 2>($($arg),*),
            DType::IQ4_XS => $do::<$($s,)? q4::IQ4XS, 8, 32, 10>($($arg),*),
            DType::MXFP4 => $do::<$($s,)? q4::MXFP4, 8, 4, 1>($($arg),*),
            DType::Q2_K => $do::<$($s,)? k_quants::Q2K, 4, 16, 20>($($arg),*),
            DType::Q3_K => $do::<$($s,)? k_quants::Q3K, 4, 24, 18>($($arg),*),
            DType::Q4_K => $do::<$($s,)? k_quants::Q4K, 8, 32, 20>($($arg),*),
            DType::Q5_K => $do::<$($s,)? k_quants::Q5K, 8, 40, 20>($($arg),*),
            DType::Q6_K => $do::<$($s,)? k_quants::Q6K, 4, 48, 18>($($arg),*),
            DType::F32 | DType::F16 | DType::BF16 => unreachable!("floats are not quantized"),
            _ => unreachable!("a type of `coded`, or of `by_row`"),
        }
    };
}
use for_quant;

/// How parts are multiplied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Lines of a part: 4 or 8.
    pub(crate) lines: usize,
    /// What is subtracted from each byte; 0 if there are minima.
    pub(crate) zero: u32,
}

/// The cost of making vectors of packed weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// None: they are stored as they are multiplied.
    None,
    /// An instruction or two.
    Little,
    Much,
    /// So much that columns are always unpacked into memory, once for all rows.
    Most,
}

/// How a type's blocks are packed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Columns of a block, a power of two.
    pub(crate) columns: usize,
    /// Lines of a block; none for floats.
    pub(crate) quants: usize,
    /// Widths of the other fields: (bytes, how many).
    pub(crate) fields: &'static [(usize, usize)],
    /// The width of the field that all blocks of a tile share, behind them; 0 if there is none.
    pub(crate) head: usize,
    /// How parts are multiplied; of no lines where a row has no parts.
    pub(crate) form: Form,
    /// The cost of unpacking a line.
    pub(crate) effort: Effort,
    /// Separates one row's block into the bytes of its lines and of the fields beside them.
    pub(crate) pack: fn(&[u8], &mut [u8], &mut [u8]),
}

impl Layout {
    pub(crate) fn of(dtype: DType) -> Layout {
        fn float(columns: usize, fields: &'static [(usize, usize)], effort: Effort) -> Layout {
            let pack = |block: &[u8], _: &mut [u8], side: &mut [u8]| {
                // A row's last block may lack a column.
                side[block.len()..].fill(0);
                side[..block.len()].copy_from_slice(block);
            };
            Layout { columns, quants: 0, fields, head: 0, form: Form { lines: 0, zero: 0 }, effort, pack }
        }
        fn quant<T: Quant<LINES, QUANTS, SIDE>, const LINES: usize, const QUANTS: usize, const SIDE: usize>() -> Layout
        {
            let form = Form { lines: LINES, zero: T::ZERO };
            Layout {
                columns: T::PARTS * LINES * QUAD,
                quants: QUANTS,
                fields: T::FIELDS,
                head: 0,
                form,
                effort: T::EFFORT,
                pack: T::pack,
            }
        }
        match dtype {
            DType::F32 => float(1, &[(4, 1)], Effort::None),
            DType::F16 => float(2, &[(2, 2)], Effort::Little),
            // Both columns of a row next to each other, as the instructions for pairs want them.
            DType::BF16 => float(2, &[(4, 1)], Effort::Little),
            DType::Q8_ROW => by_row::LAYOUT,
            _ => coded::layout(dtype).unwrap_or_else(|| for_quant!(dtype, quant[]())),
        }
    }

    /// Fields of a block.
    pub(crate) fn block_len(&self) -> usize {
        self.quants * QUAD + self.side()
    }

    /// Fields beside the lines.
    pub(crate) fn side(&self) -> usize {
        self.fields.iter().map(|(width, count)| width * count).sum()
    }
}

/// N fields from the `at`th on.
#[inline(always)]
fn fields<const N: usize, const SIDE: usize>(side: &[Bytes; SIDE], at: usize) -> &[Bytes; N] {
    side[at..].first_chunk().expect("a type's fields lie in its side")
}

/// The half-precision number at fields `at` and `at + 1`.
#[inline(always)]
fn half<S: Simd, const SIDE: usize>(s: S, side: &[Bytes; SIDE], at: usize) -> S::F {
    s.f16(fields(side, at))
}

/// `bits` bits of each byte from bit `at` on.
#[inline(always)]
fn bits<S: Simd>(s: S, quads: &Quads, at: u32, bits: u32) -> S::I {
    s.and(s.shr(s.bytes(quads), at), s.splat_int(((1 << bits) - 1) * 0x0101_0101))
}
