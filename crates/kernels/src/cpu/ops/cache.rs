//! The paged KV cache, in the order that attention reads it.
//!
//! A block holds a page of keys and a page of values for each head. Keys are tiles of 16 positions: a line of 16 elements for
//! each dimension. Values are strips of 16 dimensions: a line for each position. So both of attention's products read line after
//! line, multiply each with one number and add.
//!
//! In Q8_0 and Q4_0, 32 dimensions of one position share a scale. The scales of 16 positions are a line of their own: before their
//! tile of keys, and all together before the values. Their keys are multiplied as integers, so a line of keys has 16 positions of
//! four dimensions, a quad, as unsigned bytes; in Q4_0 of two quads, the second in the upper halves of the bytes. A line of values
//! in Q4_0 is that of two strips, the second in the upper halves.
//!
//! Padding is zeros. What is stored for a position depends on its own key and value alone.

use graph::{BackendError, Batch, KvShape, KvType, Limits};

use super::Worker;
use crate::cpu::memory::{Buffer, Shared};
use crate::cpu::simd::{Bytes, LANES};

/// Bytes of a scale; also the size of a line of 16, in units of 16 bytes.
fn scale(kv: KvType) -> usize {
    match kv {
        KvType::F32 | KvType::F16 => 0,
        KvType::Q8_0 | KvType::Q4_0 => 2,
    }
}

/// Dimensions that are encoded together and share a scale, if there is one.
pub(super) const RUN: usize = 32;

/// Dimensions that are multiplied together as integers.
pub(super) const QUAD: usize = 4;

/// One layer's keys and values.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(super) shape: KvShape,
    pub(super) block_len: usize,
    pub(super) kv: KvType,
    /// Size of one head's keys in a block, and of its keys and values, in units of 16 bytes.
    keys_size: usize,
    head_size: usize,
    data: Buffer<Bytes>,
}

impl Layer {
    pub(crate) fn new(shape: KvShape, limits: &Limits) -> Result<Layer, BackendError> {
        let &Limits { kv_type: kv, kv_blocks, block_len, .. } = limits;
        let mut layer = Layer { shape, block_len, kv, keys_size: 0, head_size: 0, data: Buffer::empty() };
        layer.keys_size = layer.tiles() * layer.tile_size();
        let lines = layer.shape.head_dim.div_ceil(layer.line_dims()) * block_len;
        layer.head_size = layer.keys_size + layer.tiles() * layer.scales_size() + lines * layer.line_size();
        layer.data = Buffer::zeroed(kv_blocks.saturating_mul(layer.block_size()), "the KV cache")?;
        Ok(layer)
    }

    /// Memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.data.bytes()
    }

    /// Copies whole blocks (from, to), in order.
    pub(crate) fn copy(&mut self, copies: &[(u32, u32)]) {
        let size = self.block_size();
        for &(from, to) in copies {
            let from = from as usize * size;
            self.data.copy_within(from..from + size, to as usize * size);
        }
    }

    /// Gives the memory of these blocks (in ascending order) back to the system, as far as they fill pages.
    pub(crate) fn forget(&mut self, blocks: &[u32]) {
        let size = self.block_size();
        for run in blocks.chunk_by(|a, b| a + 1 == *b) {
            let start = run[0] as usize * size;
            self.data.forget(start..start + run.len() * size);
        }
    }

    /// What a block holds; `None` if there is no such block.
    pub(crate) fn block(&self, block: u32) -> Option<&[u8]> {
        let size = self.block_size();
        Some(self.data.get(block as usize * size..)?.get(..size)?.as_flattened())
    }

    pub(crate) fn block_mut(&mut self, block: u32) -> Option<&mut [u8]> {
        let size = self.block_size();
        Some(self.data.get_mut(block as usize * size..)?.get_mut(..size)?.as_flattened_mut())
    }

    /// Tiles that a block's positions take.
    #[inline]
    pub(super) fn tiles(&self) -> usize {
        self.block_len.div_ceil(LANES)
    }

    /// Strips that a head's dimensions take.
    #[inline]
    pub(super) fn strips(&self) -> usize {
        self.shape.head_dim.div_ceil(LANES)
    }

    /// Size of the scales of 16 positions, in units of 16 bytes.
    #[inline]
    pub(super) fn scales_size(&self) -> usize {
        self.shape.head_dim.div_ceil(RUN) * scale(self.kv)
    }

    /// Size of a tile of keys, in units of 16 bytes.
    #[inline]
    pub(super) fn tile_size(&self) -> usize {
        self.scales_size() + self.tile_lines_size()
    }

    /// Size of a tile of keys without scales, in units of 16 bytes. What is multiplied as integers is whole runs.
    #[inline]
    pub(super) fn tile_lines_size(&self) -> usize {
        let head_dim = self.shape.head_dim;
        let dims = if self.rounds_queries() { head_dim.next_multiple_of(RUN) } else { head_dim };
        dims * self.run_size() / RUN
    }

    /// Size of a run of 16 positions without scales, in units of 16 bytes.
    #[inline]
    fn run_size(&self) -> usize {
        match self.kv {
            KvType::F32 => 4 * RUN,
            KvType::F16 => 2 * RUN,
            KvType::Q8_0 => RUN,
            KvType::Q4_0 => RUN / 2,
        }
    }

    /// Dimensions of a line of values.
    #[inline]
    fn line_dims(&self) -> usize {
        if self.kv == KvType::Q4_0 { 2 * LANES } else { LANES }
    }

    /// Size of a line of values, in units of 16 bytes.
    #[inline]
    fn line_size(&self) -> usize {
        self.run_size() * self.line_dims() / (RUN * LANES)
    }

    /// Whether keys are multiplied as integers, with queries rounded to bytes.
    pub(super) fn rounds_queries(&self) -> bool {
        matches!(self.kv, KvType::Q8_0 | KvType::Q4_0)
    }

    /// One head's tiles of keys in a block.
    #[inline]
    pub(super) fn keys(&self, block: usize, head: usize) -> &[Bytes] {
        &self.page(block, head)[..self.keys_size]
    }

    /// One head's scales and strips of values in a block.
    #[inline]
    pub(super) fn values(&self, block: usize, head: usize) -> &[Bytes] {
        &self.page(block, head)[self.keys_size..]
    }

    #[inline]
    fn page(&self, block: usize, head: usize) -> &[Bytes] {
        &self.data[block * self.block_size() + head * self.head_size..][..self.head_size]
    }

    #[inline]
    fn block_size(&self) -> usize {
        self.head_size * self.shape.heads
    }

    /// Puts one head's key and value of a position into its part of the block.
    fn put(&self, part: &mut [Bytes], offset: usize, key: &[f32], value: &[f32]) {
        let (keys, values) = part.as_flattened_mut().split_at_mut(LANES * self.keys_size);
        let (tile, lane, scale) = (offset / LANES, offset % LANES, scale(self.kv));
        let tile_keys = &mut keys[LANES * tile * self.tile_size()..][..LANES * self.tile_size()];
        let (scales, lines) = tile_keys.split_at_mut(LANES * self.scales_size());
        for (i, (run, lines)) in key.chunks(RUN).zip(lines.chunks_mut(LANES * self.run_size())).enumerate() {
            let bytes = self.encode(run);
            let at = (LANES * i + lane) * scale;
            scales[at..at + scale].copy_from_slice(&bytes[..scale]);
            put_key(self.kv, lines, lane, &bytes[scale..]);
        }
        let (scales, lines) = values.split_at_mut(LANES * self.tiles() * self.scales_size());
        let line_size = LANES * self.line_size();
        for (i, run) in value.chunks(RUN).enumerate() {
            let bytes = self.encode(run);
            let at = (LANES * (i * self.tiles() + tile) + lane) * scale;
            scales[at..at + scale].copy_from_slice(&bytes[..scale]);
            let some = run.len().div_ceil(self.line_dims());
            for (part, x) in bytes[scale..].chunks_exact(line_size).take(some).enumerate() {
                let line = (RUN / self.line_dims() * i + part) * self.block_len + offset;
                lines[line_size * line..][..line_size].copy_from_slice(x);
            }
        }
    }

    /// A run of a head's dimensions, padded with zeros: the scale, if there is one, and the elements.
    fn encode(&self, run: &[f32]) -> [u8; 4 * RUN] {
        let (mut numbers, mut bytes) = ([0.0; RUN], [0; 4 * RUN]);
        numbers[..run.len()].copy_from_slice(run);
        let encode = tensor::encoder(self.kv.dtype()).expect("types of caches are written");
        let size = self.kv.dtype().row_bytes(RUN).expect("a run is whole blocks");
        encode(&numbers, &mut bytes[..size]);
        bytes
    }
}

/// Puts the elements of a run of a position's key into its lane of the run's lines.
fn put_key(kv: KvType, lines: &mut [u8], lane: usize, elements: &[u8]) {
    let quads = |element: &dyn Fn(usize) -> u8, lines: &mut [u8]| {
        for (i, line) in lines.chunks_exact_mut(QUAD * LANES).enumerate() {
            for (j, byte) in line[QUAD * lane..][..QUAD].iter_mut().enumerate() {
                *byte = element(i * QUAD + j);
            }
        }
    };
    // Dimension d < 16 of a run of Q4_0 is the lower half of byte d, dimension 16 + d the upper one.
    let half = |d: usize| elements[d % LANES] >> (4 * (d / LANES)) & 15;
    match kv {
        KvType::F32 | KvType::F16 => {
            let size = if kv == KvType::F32 { 4 } else { 2 };
            for (line, x) in lines.chunks_exact_mut(LANES * size).zip(elements.chunks_exact(size)) {
                line[lane * size..][..size].copy_from_slice(x);
            }
        }
        KvType::Q8_0 => quads(&|d| elements[d] ^ 128, lines),
        KvType::Q4_0 => quads(
            &|at| {
                let d = at / QUAD * 2 * QUAD + at % QUAD;
                half(d) | half(d + QUAD) << 4
            },
            lines,
        ),
    }
}

/// Elements written in one task, at least: fewer are not worth another thread.
const GRAIN: usize = 1024;

/// Writes rows of keys and values at their positions. Each key head first goes through `finish`, with the number of its row. A task
/// is some heads of all rows, so no two threads write the same place, even if two spans name the same block.
pub(super) fn write(
    cpu: &mut Worker,
    layer: &mut Layer,
    batch: &Batch,
    (k, v): (&[f32], &[f32]),
    finish: impl Fn(usize, &mut [f32]) + Sync,
) {
    let (KvShape { heads, head_dim }, size, block_size) = (layer.shape, layer.head_size, layer.block_size());
    let mut data = std::mem::replace(&mut layer.data, Buffer::empty());
    let (shared, layer_ref) = (Shared::new(&mut data), &*layer);
    let tasks = (k.len() / GRAIN).clamp(1, heads);
    cpu.pool.run_with(cpu.scratch, tasks, &|scratch, task| {
        let key = &mut scratch.row[..head_dim];
        for head in (task..heads).step_by(tasks) {
            for (row, position, block) in places(batch, layer_ref.block_len) {
                // SAFETY: only this task touches this head's parts.
                #[allow(unsafe_code)]
                let part = unsafe { shared.part(block * block_size + head * size, size) };
                let at = (row * heads + head) * head_dim;
                key.copy_from_slice(&k[at..at + head_dim]);
                finish(row, key);
                layer_ref.put(part, position % layer_ref.block_len, key, &v[at..at + head_dim]);
            }
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
