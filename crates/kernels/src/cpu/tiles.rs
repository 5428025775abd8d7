//! Weights as the kernels read them: tiles of 16 rows, quantized as they came.
//!
//! A tile of a quantized type is the lines of its blocks (four columns of each row in a line), then their sides (scales
//! and what else stands beside them, field by field); one of floats is a field for each column. In every field the rows
//! 0 to 15 stand side by side. A matrix's last tile is filled up with zeros.

use graph::BackendError;
use tensor::{DType, Shape};

use super::codecs::{COLUMNS, Layout, QUAD, Quads};
use super::memory::Buffer;
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

/// Columns of one tile: lines, and the fields beside them.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub(crate) quants: &'a [Quads],
    pub(crate) side: &'a [Bytes],
}

impl Tiles {
    /// Packs the matrices of `shape`; `bytes` has the length that shape and type ask for.
    pub(crate) fn pack(pool: &Pool, dtype: DType, shape: Shape, bytes: &[u8]) -> Result<Tiles, BackendError> {
        let mut tiles = Tiles { dtype, shape, layout: Layout::of(dtype), data: Buffer::empty() };
        let (count, len) = (tiles.count(), tiles.tile_len());
        let mut data = Buffer::zeroed(shape.outer * count * len, "a weight")?.on_large_pages();
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
        let block = self.layout.quants * QUAD + self.layout.side();
        (self.blocks(self.shape.cols) * block).next_multiple_of(QUAD)
    }

    /// `n` tiles of a matrix from tile `first` on.
    pub(crate) fn tiles(&self, matrix: usize, first: usize, n: usize) -> &[Bytes] {
        let len = self.tile_len();
        &self.data[(matrix * self.count() + first) * len..][..n * len]
    }

    /// Up to [`COLUMNS`] columns of a tile, from column `start` on, which begins a block.
    pub(crate) fn columns(&self, matrix: usize, tile: usize, start: usize) -> Columns<'_> {
        let (blocks, all) = (self.blocks(COLUMNS.min(self.shape.cols - start)), self.blocks(self.shape.cols));
        let (quants, side) = (self.layout.quants, self.layout.side());
        let (lines, sides) = self.tiles(matrix, tile, 1).split_at(all * quants * QUAD);
        let first = self.blocks(start);
        Columns {
            quants: &lines.as_chunks().0[first * quants..][..blocks * quants],
            side: &sides[first * side..][..blocks * side],
        }
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.data.bytes()
    }

    fn blocks(&self, columns: usize) -> usize {
        columns / self.dtype.layout().block_len
    }

    /// Packs up to 16 rows, those that `rows` begins with.
    fn pack_tile(&self, rows: &[u8], tile: &mut [Bytes]) {
        let (blocks, block_bytes) = (self.blocks(self.shape.cols), self.dtype.layout().block_bytes);
        let (quants, side) = (self.layout.quants, self.layout.side());
        let (lines, sides) = tile.split_at_mut(blocks * quants * QUAD);
        let (mut row_quants, mut row_side) = ([0; COLUMNS], [0; 2 * LANES]);
        let (row_quants, row_side) = (&mut row_quants[..quants * QUAD], &mut row_side[..side]);
        let rows = rows.chunks_exact(blocks * block_bytes).take(LANES);
        for (lane, row) in rows.enumerate() {
            for (b, block) in row.chunks_exact(block_bytes).enumerate() {
                (self.layout.pack)(block, row_quants, row_side);
                put(row_quants, QUAD, lane, &mut lines[b * quants * QUAD..]);
                let mut at = 0;
                for &(width, count) in self.layout.fields {
                    let end = at + width * count;
                    put(&row_side[at..end], width, lane, &mut sides[b * side + at..]);
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
