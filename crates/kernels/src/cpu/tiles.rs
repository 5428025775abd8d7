//! Weights as the kernels read them: tiles of 16 rows, quantized as they came.
//!
//! A tile is the blocks of its 16 rows, column by column of blocks; in each, every field (a scale, a byte of elements)
//! of row 0 to 15 stands side by side. A matrix's last tile is filled up with rows of zeros.

use graph::BackendError;
use tensor::{DType, Shape};

use super::memory::Buffer;
use super::pool::Pool;
use super::simd::{Bytes, LANES};

/// Matrices in tiles.
#[derive(Debug)]
pub(crate) struct Tiles {
    pub(crate) dtype: DType,
    pub(crate) shape: Shape,
    data: Buffer<Bytes>,
}

impl Tiles {
    /// Packs the matrices of `shape`; `bytes` has the length that shape and type ask for.
    pub(crate) fn pack(pool: &Pool, dtype: DType, shape: Shape, bytes: &[u8]) -> Result<Tiles, BackendError> {
        let row_bytes = bytes.len() / (shape.outer * shape.rows).max(1);
        let tiles = shape.rows.div_ceil(LANES);
        let mut data = Buffer::zeroed(shape.outer * tiles * row_bytes, "a weight")?;
        if row_bytes > 0 {
            let matrix_bytes = row_bytes * shape.rows;
            pool.chunks(&mut data, row_bytes, |i, tile| {
                let (matrix, first) = (i / tiles, i % tiles * LANES);
                let rows = &bytes[matrix * matrix_bytes..][..matrix_bytes][first * row_bytes..];
                interleave(dtype, row_bytes, rows, tile);
            });
        }
        Ok(Tiles { dtype, shape, data })
    }

    /// Tiles of each matrix.
    pub(crate) fn count(&self) -> usize {
        self.shape.rows.div_ceil(LANES)
    }

    /// 16-byte fields in a tile.
    pub(crate) fn tile_len(&self) -> usize {
        self.blocks_len(self.shape.cols)
    }

    /// 16-byte fields that `cols` columns of a tile take.
    pub(crate) fn blocks_len(&self, cols: usize) -> usize {
        self.dtype.row_bytes(cols).expect("whole blocks, as the weight's length was checked")
    }

    /// `n` tiles of a matrix from tile `first` on.
    pub(crate) fn tiles(&self, matrix: usize, first: usize, n: usize) -> &[Bytes] {
        let len = self.tile_len();
        &self.data[(matrix * self.count() + first) * len..][..n * len]
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.data.bytes()
    }
}

/// The widths of a block's fields, in order: (bytes, how many).
fn fields(dtype: DType) -> &'static [(usize, usize)] {
    match dtype {
        DType::F32 => &[(4, 1)],
        DType::F16 | DType::BF16 => &[(2, 1)],
        DType::Q8_0 => &[(2, 1), (1, 32)],
        DType::Q4_0 | DType::IQ4_NL => &[(2, 1), (1, 16)],
        DType::Q4_1 => &[(2, 2), (1, 16)],
        DType::Q5_0 => &[(2, 1), (1, 20)],
        DType::Q5_1 => &[(2, 2), (1, 20)],
        DType::Q2_K => &[(1, 80), (2, 2)],
        DType::Q3_K => &[(1, 108), (2, 1)],
        DType::Q4_K => &[(2, 2), (1, 140)],
        DType::Q5_K => &[(2, 2), (1, 172)],
        DType::Q6_K => &[(1, 208), (2, 1)],
        DType::IQ4_XS => &[(2, 2), (1, 132)],
        DType::MXFP4 => &[(1, 17)],
    }
}

/// Packs up to 16 rows into a tile.
fn interleave(dtype: DType, row_bytes: usize, rows: &[u8], tile: &mut [Bytes]) {
    let block_bytes = dtype.layout().block_bytes;
    for (i, block) in tile.chunks_exact_mut(block_bytes).enumerate() {
        let sources: [&[u8]; LANES] = std::array::from_fn(|r| {
            rows.get(r * row_bytes..).and_then(|row| row.get(i * block_bytes..(i + 1) * block_bytes)).unwrap_or(&[])
        });
        let mut at = 0;
        for &(width, count) in fields(dtype) {
            for _ in 0..count {
                interleave_field(&sources, at, block[at..at + width].as_flattened_mut().chunks_exact_mut(width));
                at += width;
            }
        }
    }
}

/// Puts the field at byte `at` of each row into the row's place; rows that are not there stay zeros.
fn interleave_field<'a>(rows: &[&[u8]; LANES], at: usize, places: impl Iterator<Item = &'a mut [u8]>) {
    for (row, place) in rows.iter().zip(places) {
        if let Some(field) = row.get(at..at + place.len()) {
            place.copy_from_slice(field);
        }
    }
}
