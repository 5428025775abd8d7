//! Weight tiles to numbers: one decoder for each storage type, written once for every instruction set.
//!
//! A tile holds the blocks of 16 rows with their fields interleaved (see `tiles.rs`), so a vector's lanes are 16 rows
//! and a decoder is the scalar formula, lane by lane: it gives the same bits as `tensor::decode`.

mod five;
mod four;
mod k_quants;
mod plain;

use tensor::DType;

use super::simd::{Bytes, Kernel, LANES, Line, Simd};

/// A storage type: `LEN` elements of each row in `FIELDS` bytes of each row.
trait Codec<const LEN: usize, const FIELDS: usize> {
    /// Gives `sink` the elements of one block of 16 rows, in ascending order of columns.
    fn block<S: Simd, K: Sink<S, LEN>>(s: S, block: &[Bytes; FIELDS], sink: &mut K);
}

/// What becomes of decoded elements.
trait Sink<S: Simd, const LEN: usize> {
    /// Takes column `k` < `LEN` of a block.
    fn take(&mut self, s: S, k: usize, x: S::F);
}

/// Stores them.
struct Store<'a, const LEN: usize>(&'a mut [Line; LEN]);

impl<S: Simd, const LEN: usize> Sink<S, LEN> for Store<'_, LEN> {
    #[inline(always)]
    fn take(&mut self, s: S, k: usize, x: S::F) {
        s.store(&mut self.0[k].0, x);
    }
}

/// Multiplies them with a row of x and adds up.
struct Dot<'a, S: Simd, const LEN: usize> {
    x: &'a [f32; LEN],
    sum: S::F,
}

impl<S: Simd, const LEN: usize> Sink<S, LEN> for Dot<'_, S, LEN> {
    #[inline(always)]
    fn take(&mut self, s: S, k: usize, x: S::F) {
        self.sum = s.mul_add(x, s.splat(self.x[k]), self.sum);
    }
}

/// Decodes blocks of one tile into `out`: a line for each column.
pub(crate) struct Decode<'a> {
    pub(crate) dtype: DType,
    pub(crate) blocks: &'a [Bytes],
    pub(crate) out: &'a mut [Line],
}

/// Multiplies tiles with one row of x: `sums[t]` = tile t · x.
pub(crate) struct DotTiles<'a> {
    pub(crate) dtype: DType,
    /// The tiles, one after the other.
    pub(crate) tiles: &'a [Bytes],
    pub(crate) x: &'a [f32],
    pub(crate) sums: &'a mut [Line],
}

/// Runs `$do::<S, Codec, LEN, FIELDS>` for the codec of a type.
macro_rules! for_codec {
    ($dtype:expr, $do:ident($($arg:expr),*)) => {
        match $dtype {
            DType::F32 => $do::<S, plain::F32, 1, 4>($($arg),*),
            DType::F16 => $do::<S, plain::F16, 1, 2>($($arg),*),
            DType::BF16 => $do::<S, plain::BF16, 1, 2>($($arg),*),
            DType::Q8_0 => $do::<S, plain::Q8_0, 32, 34>($($arg),*),
            DType::Q4_0 => $do::<S, four::Q4_0, 32, 18>($($arg),*),
            DType::Q4_1 => $do::<S, four::Q4_1, 32, 20>($($arg),*),
            DType::Q5_0 => $do::<S, five::Q5_0, 32, 22>($($arg),*),
            DType::Q5_1 => $do::<S, five::Q5_1, 32, 24>($($arg),*),
            DType::Q2_K => $do::<S, k_quants::Q2K, 256, 84>($($arg),*),
            DType::Q3_K => $do::<S, k_quants::Q3K, 256, 110>($($arg),*),
            DType::Q4_K => $do::<S, k_quants::Q4K, 256, 144>($($arg),*),
            DType::Q5_K => $do::<S, k_quants::Q5K, 256, 176>($($arg),*),
            DType::Q6_K => $do::<S, k_quants::Q6K, 256, 210>($($arg),*),
            DType::IQ4_NL => $do::<S, four::IQ4NL, 32, 18>($($arg),*),
            DType::IQ4_XS => $do::<S, four::IQ4XS, 256, 136>($($arg),*),
            DType::MXFP4 => $do::<S, four::MXFP4, 32, 17>($($arg),*),
        }
    };
}

impl Kernel for Decode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for_codec!(self.dtype, decode(s, self));
    }
}

#[inline(always)]
fn decode<S: Simd, C: Codec<LEN, FIELDS>, const LEN: usize, const FIELDS: usize>(s: S, job: Decode) {
    let blocks = job.blocks.as_chunks::<FIELDS>().0;
    for (block, out) in blocks.iter().zip(job.out.as_chunks_mut::<LEN>().0) {
        C::block(s, block, &mut Store(out));
    }
}

impl Kernel for DotTiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for_codec!(self.dtype, dot_tiles(s, self));
    }
}

/// Goes through all tiles together, some columns of each in turn: the sums of several tiles are then under way at once,
/// where one alone would wait for each addition.
#[inline(always)]
fn dot_tiles<S: Simd, C: Codec<LEN, FIELDS>, const LEN: usize, const FIELDS: usize>(s: S, job: DotTiles) {
    let x = job.x.as_chunks::<LEN>().0;
    let tiles = job.tiles.as_chunks::<FIELDS>().0;
    let turn = (32 / LEN).max(1);
    for start in (0..x.len()).step_by(turn) {
        let end = (start + turn).min(x.len());
        for (sum, tile) in job.sums.iter_mut().zip(tiles.chunks_exact(x.len())) {
            let mut total = s.load(&sum.0);
            for (block, x) in tile[start..end].iter().zip(&x[start..end]) {
                let mut dot = Dot { x, sum: total };
                C::block(s, block, &mut dot);
                total = dot.sum;
            }
            s.store(&mut sum.0, total);
        }
    }
}

/// N fields from the `at`th on.
#[inline(always)]
fn fields<const N: usize, const FIELDS: usize>(block: &[Bytes; FIELDS], at: usize) -> &[Bytes; N] {
    block[at..].first_chunk().expect("a codec's fields lie in its block")
}

/// The half-precision number at fields `at` and `at + 1`.
#[inline(always)]
fn half<S: Simd, const FIELDS: usize>(s: S, block: &[Bytes; FIELDS], at: usize) -> S::F {
    s.f16(fields(block, at))
}

/// The low four bits of each lane.
#[inline(always)]
fn low<S: Simd>(s: S, x: S::I) -> S::I {
    s.and(x, s.splat_int(15))
}

const _: () = assert!(LANES == 16, "fields are loaded 16 rows at a time");
