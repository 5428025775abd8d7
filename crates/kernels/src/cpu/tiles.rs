//! Weights as the kernels read them: tiles of 16 rows, in the storage type of the file.
//!
//! A tile is its blocks, one after the other. A block of a quantized type is lines, with four columns of each row, and then fields
//! beside them: scales and the like. A block of floats is a line, with a field for each column or one for two. In every field the
//! rows 0 to 15 are next to each other. What all blocks of a row share is a field behind the tile's blocks. A matrix's last tile and a
//! row's last block are padded with zeros.

use std::ops::Range;

use graph::{BackendError, Elem};
use tensor::{DType, Shape};

use super::codecs::{COLUMNS, Layout, QUAD};
use super::memory::{Buffer, Frozen, PackedFile, SlabAllocator};
use super::pool::Pool;
use super::simd::{Bytes, LANES};

/// Matrices in tiles.
#[derive(Debug)]
pub(crate) struct Tiles {
    pub(crate) dtype: DType,
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
    data: Frozen<Bytes>,
}

impl Tiles {
    /// Packs the matrices of `shape`; `bytes` has the length that shape and type ask for.
    pub(crate) fn pack(
        (pool, allocator): (&Pool, &SlabAllocator),
        dtype: DType,
        shape: Shape,
        bytes: &[u8],
    ) -> Result<Tiles, BackendError> {
        let tiles = Tiles::empty(dtype, shape);
        let (count, len) = (tiles.count(), tiles.tile_len());
        let mut data = allocator.zeroed(shape.outer * count * len, "a weight")?;
        let matrix_bytes = bytes.len() / shape.outer.max(1);
        pool.chunks(&mut data, len.max(1), |i, tile| {
            let matrix = &bytes[i / count * matrix_bytes..][..matrix_bytes];
            tiles.pack_tile(&matrix[i % count * LANES * (matrix_bytes / shape.rows)..], tile);
        });
        Ok(Tiles { data: data.into(), ..tiles })
    }

    /// The matrices of `shape` whose tiles are these bytes of a file; `None` if they cannot be.
    pub(crate) fn mapped(dtype: DType, shape: Shape, file: &PackedFile, bytes: &Range<usize>) -> Option<Tiles> {
        let tiles = Tiles::empty(dtype, shape);
        let len = shape.outer.checked_mul(tiles.count())?.checked_mul(tiles.tile_len())?;
        Some(Tiles { data: Frozen::mapped(file, bytes, len)?, ..tiles })
    }

    /// Of that type and shape, without its bytes.
    fn empty(dtype: DType, shape: Shape) -> Tiles {
        Tiles { dtype, shape, layout: Layout::of(dtype), data: Buffer::empty().into() }
    }

    /// Whether products are of integers, with activations in 8 bits.
    pub(crate) fn quantized(&self) -> bool {
        self.layout.quants > 0
    }

    /// Whether each row has one scale, so that sums are of integers alone.
    pub(crate) fn by_row(&self) -> bool {
        self.layout.head > 0
    }

    /// Columns of activations that are rounded together, as [`graph::WeightInfo::span`] says.
    pub(crate) fn span(&self) -> usize {
        if self.by_row() { self.shape.cols } else { Elem::Q8_BLOCK }
    }

    /// Tiles of each matrix.
    pub(crate) fn count(&self) -> usize {
        self.shape.rows.div_ceil(LANES)
    }

    /// Distance between tiles, in fields: whole cache lines.
    pub(crate) fn tile_len(&self) -> usize {
        (self.blocks(self.shape.cols) * self.layout.block_len() + self.layout.head).next_multiple_of(QUAD)
    }

    /// `n` tiles of a matrix from tile `first` on.
    pub(crate) fn tiles(&self, matrix: usize, first: usize, n: usize) -> &[Bytes] {
        let len = self.tile_len();
        &self.data[(matrix * self.count() + first) * len..][..n * len]
    }

    /// A tile's blocks of these columns, as far as it has them. The first column begins a block.
    pub(crate) fn columns(&self, matrix: usize, tile: usize, columns: Range<usize>) -> &[Bytes] {
        let (from, to) = (self.blocks(columns.start), self.blocks(columns.end.min(self.shape.cols)));
        let len = self.layout.block_len();
        &self.tiles(matrix, tile, 1)[from * len..to * len]
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.data.bytes()
    }

    /// The tiles as they lie in memory.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.data.as_bytes()
    }

    fn blocks(&self, columns: usize) -> usize {
        // A shift, as a block's length is a power of two: divisions are slow.
        (columns + self.layout.columns - 1) >> self.layout.columns.trailing_zeros()
    }

    /// Packs the first rows of `rows`, up to 16.
    fn pack_tile(&self, rows: &[u8], tile: &mut [Bytes]) {
        let in_file = self.dtype.layout();
        let bytes = |columns: usize| columns / in_file.block_len * in_file.block_bytes;
        let quants = self.layout.quants * QUAD;
        let (mut row_quants, mut row_side) = ([0; COLUMNS], [0; 2 * LANES]);
        let (row_quants, row_side) = (&mut row_quants[..quants], &mut row_side[..self.layout.side()]);
        let head = self.layout.head;
        let (tile, heads) = tile.split_at_mut(self.blocks(self.shape.cols) * self.layout.block_len());
        let rows = rows.chunks_exact(head + bytes(self.shape.cols)).take(LANES);
        for (lane, row) in rows.enumerate() {
            let (shared, row) = row.split_at(head);
            put(shared, head.max(1), lane, heads);
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

/// Writes one row's fields of `width` bytes to its lane.
fn put(row: &[u8], width: usize, lane: usize, fields: &mut [Bytes]) {
    let fields = fields.as_flattened_mut().chunks_exact_mut(LANES * width);
    for (field, from) in fields.zip(row.chunks_exact(width)) {
        field[lane * width..][..width].copy_from_slice(from);
    }
}
