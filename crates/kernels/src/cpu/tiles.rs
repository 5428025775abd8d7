//! Weights as the kernels read them: tiles of 16 rows, quantized as they came.
//!
//! A tile is its blocks, one after the other. A block of a quantized type is lines (four columns of each row in a line) and then
//! its side: scales and what else there is, field by field; one of floats is a line, of a field for each column or of one for two.
//! In every field the rows 0 to 15 stand side by side. A matrix's last tile is filled up with zeros, and so is a row's last block.

use std::ops::Range;

use graph::BackendError;
use tensor::{DType, Shape};

use super::codecs::{COLUMNS, Layout, QUAD};
use super::memory::{Buffer, Shelf};
use super::pool::Pool;
use super::simd::{Bytes, LANES};

/// Matrices in tiles.
#[derive(Debug)]
pub(crate) struct Tiles {
    pub(crate) dtype: DType,
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
    data: Buffer<Bytes>,
}

impl Tiles {
    /// Packs the matrices of `shape`; `bytes` has the length that shape and type ask for.
    pub(crate) fn pack(
        (pool, shelf): (&Pool, &Shelf),
        dtype: DType,
        shape: Shape,
        bytes: &[u8],
    ) -> Result<Tiles, BackendError> {
        let mut tiles = Tiles { dtype, shape, layout: Layout::of(dtype), data: Buffer::empty() };
        let (count, len) = (tiles.count(), tiles.tile_len());
        let mut data = shelf.zeroed(shape.outer * count * len, "a weight")?;
        let matrix_bytes = bytes.len() / shape.outer.max(1);
        pool.chunks(&mut data, len.max(1), |i, tile| {
            let matrix = &bytes[i / count * matrix_bytes..][..matrix_bytes];
            tiles.pack_tile(&matrix[i % count * LANES * (matrix_bytes / shape.rows)..], tile);
        });
        tiles.data = data;
        Ok(tiles)
    }

    /// Whether products are of integers, with rounded rows.
    pub(crate) fn quantized(&self) -> bool {
        self.layout.quants > 0
    }

    /// Tiles of each matrix.
    pub(crate) fn count(&self) -> usize {
        self.shape.rows.div_ceil(LANES)
    }

    /// Fields from tile to tile: whole cache lines.
    pub(crate) fn tile_len(&self) -> usize {
        (self.blocks(self.shape.cols) * self.layout.block_len()).next_multiple_of(QUAD)
    }

    /// `n` tiles of a matrix from tile `first` on.
    pub(crate) fn tiles(&self, matrix: usize, first: usize, n: usize) -> &[Bytes] {
        let len = self.tile_len();
        &self.data[(matrix * self.count() + first) * len..][..n * len]
    }

    /// The blocks of those columns that a tile has; the first begins a block.
    pub(crate) fn columns(&self, matrix: usize, tile: usize, columns: Range<usize>) -> &[Bytes] {
        let (from, to) = (self.blocks(columns.start), self.blocks(columns.end.min(self.shape.cols)));
        let len = self.layout.block_len();
        &self.tiles(matrix, tile, 1)[from * len..to * len]
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.data.bytes()
    }

    fn blocks(&self, columns: usize) -> usize {
        // A power of two, for which there is an instruction that is faster than a division.
        (columns + self.layout.columns - 1) >> self.layout.columns.trailing_zeros()
    }

    /// Packs up to 16 rows, those that `rows` begins with.
    fn pack_tile(&self, rows: &[u8], tile: &mut [Bytes]) {
        let in_file = self.dtype.layout();
        let bytes = |columns: usize| columns / in_file.block_len * in_file.block_bytes;
        let quants = self.layout.quants * QUAD;
        let (mut row_quants, mut row_side) = ([0; COLUMNS], [0; 2 * LANES]);
        let (row_quants, row_side) = (&mut row_quants[..quants], &mut row_side[..self.layout.side()]);
        let rows = rows.chunks_exact(bytes(self.shape.cols)).take(LANES);
        for (lane, row) in rows.enumerate() {
            let blocks = tile.chunks_exact_mut(self.layout.block_len());
            for (block, out) in row.chunks(bytes(self.layout.columns)).zip(blocks) {
                (self.layout.pack)(block, row_quants, row_side);
                put(row_quants, QUAD, lane, out);
                let mut at = 0;
                for &(width, count) in self.layout.fields {
                    let end = at + width * count;
                    put(&row_side[at..end], width, lane, &mut out[quants + at..]);
                    at = end;
                }
            }
        }
    }
}

/// Puts one row's fields of `width` bytes at its places.
fn put(row: &[u8], width: usize, lane: usize, fields: &mut [Bytes]) {
    let fields = fields.as_flattened_mut().chunks_exact_mut(LANES * width);
    for (field, from) in fields.zip(row.chunks_exact(width)) {
        field[lane * width..][..width].copy_from_slice(from);
    }
}
