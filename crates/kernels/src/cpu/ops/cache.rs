//! The paged KV cache, in the order that attention reads it: as weight tiles, so that both its products are the same
//! inner loop as a linear layer's.
//!
//! A block holds, head by head: the keys, as tiles of 16 positions with a line for each dimension; then the values, as
//! strips of 16 dimensions with a line for each position. Filling lanes are zeros.

use std::ops::Range;

use graph::{BackendError, Batch, KvShape};
use tensor::DType;

use super::Worker;
use crate::cpu::codecs::Decode;
use crate::cpu::memory::{Buffer, Shared, as_lines};
use crate::cpu::simd::{Bytes, LANES, Line, Vector};

/// How the elements of the KV cache are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// 4 bytes, exact.
    #[default]
    F32,
    /// 2 bytes, rounded to half precision.
    F16,
}

/// One layer's keys and values.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(super) shape: KvShape,
    pub(super) block_len: usize,
    dtype: DType,
    data: Buffer<Bytes>,
}

impl Layer {
    pub(crate) fn new(shape: KvShape, kv: KvType, blocks: usize, block_len: usize) -> Result<Layer, BackendError> {
        let dtype = match kv {
            KvType::F32 => DType::F32,
            KvType::F16 => DType::F16,
        };
        let mut layer = Layer { shape, block_len, dtype, data: Buffer::empty() };
        layer.data = Buffer::zeroed(blocks.saturating_mul(layer.block_size()), "the KV cache")?;
        Ok(layer)
    }

    /// Memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.data.bytes()
    }

    /// Tiles that a block's positions take.
    pub(super) fn tiles(&self) -> usize {
        self.block_len.div_ceil(LANES)
    }

    /// Strips that a head's dimensions take.
    pub(super) fn strips(&self) -> usize {
        self.shape.head_dim.div_ceil(LANES)
    }

    /// Lines of the keys, and of the values, of one head in one block.
    pub(super) fn lines(&self) -> (usize, usize) {
        (self.tiles() * self.shape.head_dim, self.strips() * self.block_len)
    }

    /// 16-byte parts of a line.
    fn parts(&self) -> usize {
        self.dtype.layout().block_bytes
    }

    /// 16-byte parts of a head in a block, and of a block.
    fn head_size(&self) -> usize {
        let (keys, values) = self.lines();
        (keys + values) * self.parts()
    }

    fn block_size(&self) -> usize {
        self.head_size() * self.shape.heads
    }

    /// Copies whole blocks (from, to), in order.
    pub(crate) fn copy(&mut self, copies: &[(u32, u32)]) {
        let size = self.block_size();
        for &(from, to) in copies {
            let from = from as usize * size;
            self.data.copy_within(from..from + size, to as usize * size);
        }
    }

    /// Lines of one head's keys (`values` false) or values in a block; decoded into `room` where they are not F32.
    pub(super) fn read<'a>(
        &'a self,
        vector: Vector,
        (block, head): (usize, usize),
        values: bool,
        room: &'a mut [Line],
    ) -> &'a [Line] {
        let (keys, all) = (self.lines().0 * self.parts(), self.head_size());
        let range: Range<usize> = if values { keys..all } else { 0..keys };
        let packed = &self.data[block * self.block_size() + head * all..][range];
        if self.dtype == DType::F32
            && let Some(lines) = as_lines(packed)
        {
            return lines;
        }
        let room = &mut room[..packed.len() / self.parts()];
        vector.run(Decode { dtype: self.dtype, columns: packed, out: room });
        room
    }

    /// Puts one head's key and value of a position into its part of the block.
    fn put(&self, part: &mut [Bytes], offset: usize, key: &[f32], value: &[f32]) {
        let width = self.parts();
        let bytes = part.as_flattened_mut();
        let mut set = |line: usize, lane: usize, x: f32| {
            let place = &mut bytes[(line * LANES + lane) * width..][..width];
            match self.dtype {
                DType::F16 => place.copy_from_slice(&half::f16::from_f32(x).to_le_bytes()),
                _ => place.copy_from_slice(&x.to_le_bytes()),
            }
        };
        let (tile, lane) = (offset / LANES, offset % LANES);
        for (d, &x) in key.iter().enumerate() {
            set(tile * self.shape.head_dim + d, lane, x);
        }
        let first = self.lines().0;
        for (d, &x) in value.iter().enumerate() {
            set(first + d / LANES * self.block_len + offset, d % LANES, x);
        }
    }
}

/// Writes rows of keys and values at their positions. A piece of work is a head: even if two spans name the same block,
/// no two threads write the same place.
pub(super) fn write(cpu: &mut Worker, layer: &mut Layer, batch: &Batch, k: &[f32], v: &[f32]) {
    let (KvShape { heads, head_dim }, size, block_size) = (layer.shape, layer.head_size(), layer.block_size());
    let mut data = std::mem::replace(&mut layer.data, Buffer::empty());
    let (shared, layer_ref) = (Shared::new(&mut data), &*layer);
    cpu.pool.run(heads, &|_, head| {
        for (row, position, block) in places(batch, layer_ref.block_len) {
            // SAFETY: only this piece touches this head's parts.
            #[allow(unsafe_code)]
            let part = unsafe { shared.part(block * block_size + head * size, size) };
            let at = (row * heads + head) * head_dim;
            let (key, value) = (&k[at..at + head_dim], &v[at..at + head_dim]);
            layer_ref.put(part, position % layer_ref.block_len, key, value);
        }
    });
    layer.data = data;
}

/// Row, position and block of every row of a batch.
fn places(batch: &Batch, block_len: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    batch.spans.iter().flat_map(move |span| {
        span.rows.clone().enumerate().map(move |(i, row)| {
            let position = span.position + i;
            (row, position, batch.blocks[span.table.start + position / block_len] as usize)
        })
    })
}
