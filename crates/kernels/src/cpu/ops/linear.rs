//! Products of rows of activations (x) with packed weights, and lookups of their rows.

use std::ops::Range;

use crate::cpu::codecs::{self, CHOSEN_ROWS, COLUMNS, Decode, DotFloats, Effort, QUAD, RoundedProduct};
use crate::cpu::codecs::{Unpack, UnpackedProduct, Weights};
use crate::cpu::memory::{Buffer, Shared, as_lines, as_numbers_mut};
use crate::cpu::named::{Inner, Kernel};
use crate::cpu::ops::gemm::Gemm;
use crate::cpu::ops::gemm_amx::{self, BLOCKS, GemmAmx, Groups, Side};
use crate::cpu::ops::{Input, Worker, activations_bf16, activations_q8, index};
use crate::cpu::pool::Pool;
use crate::cpu::simd::{Amx, Bytes, LANES, Line, Sums, Vector};
use crate::cpu::tiles::Tiles;
use graph::{BackendError, Elem};
use tensor::DType;

/// The most tiles and rows of x in one task: decoded weights and sums then stay in a core's own cache.
pub(crate) const TILES: usize = 16;
const ROWS: usize = 264;
/// Tiles from row to row of sums: one more than needed, so that rows do not compete for few sets of a cache.
pub(crate) const SUMS: usize = TILES + 1;
/// Columns of floats computed at a time, and the distance of the gathered rows of x: not a power of two, which would use few sets
/// of a cache.
const FLOATS: usize = 128;
const FLOATS_STRIDE: usize = FLOATS + LANES;
/// The distance of gathered 8-bit rows, in blocks: as that of floats.
const GATHERED: usize = FLOATS_STRIDE / activations_q8::WORDS;
const _: () = assert!(GATHERED * Elem::Q8_BLOCK >= COLUMNS);
/// Tasks are not cut below this many rows of x.
const GROUP: usize = 12;
/// The most tiles that are unpacked at a time: as many as fit into a core's first-level cache.
pub(crate) const AT_ONCE: usize = 4;
/// Up to this many rows of x, a tile of floats is decoded in registers for each group of rows.
const FEW: usize = 4;
/// Tasks wanted for each thread, so that one that comes late costs little. With few rows, reading the weights takes the time and
/// small tasks cost nothing; with many, rows share what a task has unpacked.
const TASKS_EACH: usize = 4;
const TASKS_OF_FEW_ROWS: usize = 16;
const FEW_ROWS: usize = 64;

/// A thread's scratch memory for products.
#[derive(Debug)]
pub(crate) struct ProductScratch {
    lines: Buffer<Line>,
    x: Buffer<f32>,
    weights: Vec<Weights>,
    /// Where rows of x start.
    starts: Vec<u32>,
    /// What a matrix unit works with: the scales and sums of groups of rows, and the sums of two tiles.
    sides: Vec<Side>,
    parts: Box<[[Sums; 2]; BLOCKS]>,
    /// A row of tiles for each row of x.
    sums: Buffer<Line>,
    kept: Buffer<Line>,
}

impl ProductScratch {
    pub(crate) fn new() -> Result<ProductScratch, BackendError> {
        Ok(ProductScratch {
            lines: Buffer::zeroed(2 * FLOATS.max(COLUMNS), "scratch")?,
            x: Buffer::zeroed(ROWS * FLOATS_STRIDE, "scratch")?,
            weights: vec![Weights::ZERO; AT_ONCE],
            starts: Vec::with_capacity(ROWS),
            sides: vec![Side::ZERO; ROWS.div_ceil(LANES)],
            parts: Box::new([[Sums::ZERO; 2]; BLOCKS]),
            sums: Buffer::zeroed(ROWS * SUMS, "scratch")?,
            kept: Buffer::zeroed(ROWS * SUMS, "scratch")?,
        })
    }

    /// The first `n` numbers of each row of sums.
    pub(crate) fn rows(&mut self, n: usize) -> impl Iterator<Item = &mut [f32]> {
        as_numbers_mut(&mut self.sums).chunks_exact_mut(SUMS * LANES).map(move |row| &mut row[..n])
    }

    /// Keeps the sums, so that others can be computed.
    pub(crate) fn keep(&mut self) {
        std::mem::swap(&mut self.sums, &mut self.kept);
    }

    /// The first `n` numbers of each kept row, and of each row of sums.
    pub(crate) fn both(&mut self, n: usize) -> impl Iterator<Item = (&mut [f32], &mut [f32])> {
        let kept = as_numbers_mut(&mut self.kept).chunks_exact_mut(SUMS * LANES);
        let sums = as_numbers_mut(&mut self.sums).chunks_exact_mut(SUMS * LANES);
        kept.zip(sums).map(move |(a, b)| (&mut a[..n], &mut b[..n]))
    }
}

/// Rows of the result. Row `slot` reads row `slot / share` of x.
#[derive(Clone, Copy)]
pub(crate) enum Slots<'a> {
    /// 0, 1, 2 …
    All(usize),
    /// The ones listed.
    Some(&'a [u32]),
    /// So many: from the first on, in steps.
    Every { first: usize, step: usize, count: usize },
}

impl Slots<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Slots::All(n) => *n,
            Slots::Some(list) => list.len(),
            Slots::Every { count, .. } => *count,
        }
    }

    fn get(&self, i: usize) -> usize {
        match self {
            Slots::All(_) => i,
            Slots::Some(list) => list[i] as usize,
            Slots::Every { first, step, .. } => first + i * step,
        }
    }
}

/// Rows of x times one matrix, transposed.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) tiles: &'a Tiles,
    pub(crate) matrix: usize,
    /// Rows of x: rounded to 8 bits if the weight is quantized (`activations_q8.rs`; [`Tiles::span`] columns together), to BF16 if it is multiplied in pairs
    /// (`activations_bf16.rs`).
    pub(crate) x: &'a [f32],
    /// Columns of these rows: those of the matrix, once or several times.
    pub(crate) width: usize,
    pub(crate) slots: Slots<'a>,
    /// Slots that read the same row of x.
    pub(crate) share: usize,
    /// How it is computed, where there is a choice.
    pub(crate) inner: Inner,
}

/// x as the product with `tiles` reads it: itself, or rounded in `scratch`.
pub(crate) fn rounded<'x>(
    (pool, vector): (&Pool, Vector),
    tiles: &Tiles,
    x: Input<'x>,
    scratch: &'x mut [f32],
) -> &'x [f32] {
    if activations_bf16::suit(vector, tiles) {
        let scratch = &mut scratch[..x.x.len() / 2];
        activations_bf16::round((pool, vector), x, scratch);
        return scratch;
    }
    if x.rounded || !tiles.quantized() {
        return x.x;
    }
    let scratch = &mut scratch[..x.rows * activations_q8::words(x.width)];
    activations_q8::quantize((pool, vector), x.x, (x.width, tiles.span()), scratch);
    scratch
}

/// How products are cut into tasks of tiles × rows. The result does not depend on it.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    rows: usize,
    each: (usize, usize),
}

impl Cut {
    /// For products of `rows` rows with `tiles` tiles altogether. A kernel may say how many tiles a task has.
    pub(super) fn new(tiles: usize, rows: usize, threads: usize, kernel: Kernel) -> Cut {
        let each_rows = rows.div_ceil(rows.div_ceil(ROWS).max(1)).max(1);
        let fixed = kernel.tiles.map(|tiles| usize::from(tiles.get()).min(TILES));
        let mut cut = Cut { rows, each: (fixed.unwrap_or(TILES), each_rows) };
        let wanted = threads * if rows <= FEW_ROWS { TASKS_OF_FEW_ROWS } else { TASKS_EACH };
        while fixed.is_none() && cut.across(tiles) * cut.down() < wanted && cut.each.0 > 2 {
            cut.each.0 /= 2;
        }
        while cut.across(tiles) * cut.down() < wanted && cut.each.1 >= 4 * GROUP {
            cut.each.1 = cut.each.1.div_ceil(2);
        }
        cut
    }

    /// Tasks with the same rows, for a matrix of `tiles` tiles.
    pub(super) fn across(&self, tiles: usize) -> usize {
        tiles.div_ceil(self.each.0)
    }

    /// Tasks with the same tiles.
    pub(super) fn down(&self) -> usize {
        self.rows.div_ceil(self.each.1)
    }

    /// The tiles of task `i` across a matrix of `tiles` tiles.
    pub(super) fn tiles(&self, i: usize, tiles: usize) -> Range<usize> {
        i * self.each.0..((i + 1) * self.each.0).min(tiles)
    }

    /// The rows of task `i` down.
    pub(super) fn rows(&self, i: usize) -> Range<usize> {
        i * self.each.1..((i + 1) * self.each.1).min(self.rows)
    }
}

impl Product<'_> {
    /// Computes some tiles of some rows, into the scratch's sums.
    pub(crate) fn sums(&self, vector: Vector, scratch: &mut ProductScratch, tiles: &Range<usize>, rows: &Range<usize>) {
        match (rows.len(), self.tiles.quantized()) {
            (0, _) => {}
            (_, true) if self.tiles.by_row() => self.product(vector, scratch, tiles, rows).run_by_row(vector),
            (n, true) => match vector.amx().filter(|_| matches!(self.inner, Inner::Auto | Inner::Amx)) {
                Some(amx) if gemm_amx::suits(self.tiles.layout.form, n) => {
                    self.rows_by_unit((vector, amx), scratch, tiles, rows);
                }
                _ if self.tiles.dtype == DType::Q4_2OF4 && n <= CHOSEN_ROWS && self.inner != Inner::Unpacked => {
                    self.product(vector, scratch, tiles, rows).run_chosen(vector);
                }
                _ if self.tiles.layout.effort == Effort::Most => self.unpacked_rows(vector, scratch, tiles, rows),
                _ => self.rounded_rows(vector, scratch, tiles, rows),
            },
            (n, false) if self.unpacks_again(vector, n) => self.rows_of_packed(vector, scratch, tiles, rows),
            (_, false) => self.rows(vector, scratch, tiles, rows),
        }
    }

    /// Computes some tiles of all rows, into their slots of `out`, whose rows are as wide as the matrix has rows.
    pub(crate) fn write(&self, vector: Vector, scratch: &mut ProductScratch, tiles: &Range<usize>, out: Shared<f32>) {
        let columns = self.columns(tiles);
        for first in (0..self.slots.len()).step_by(ROWS) {
            let rows = first..(first + ROWS).min(self.slots.len());
            self.sums(vector, scratch, tiles, &rows);
            for (i, sums) in rows.zip(scratch.rows(columns.len())) {
                // SAFETY: a slot's columns are written by one task alone.
                #[allow(unsafe_code)]
                let out = unsafe { out.part(self.slots.get(i) * self.tiles.shape.rows + columns.start, columns.len()) };
                out.copy_from_slice(sums);
            }
        }
    }

    /// The columns of the result that tiles give; the last tile may be wider than the matrix has rows.
    pub(crate) fn columns(&self, tiles: &Range<usize>) -> Range<usize> {
        tiles.start * LANES..(tiles.end * LANES).min(self.tiles.shape.rows)
    }

    /// The row of x that the `i`th row of the result reads.
    fn source(&self, i: usize) -> usize {
        self.slots.get(i) / self.share
    }

    /// Decodes the tiles in registers.
    fn rows_of_packed(&self, vector: Vector, scratch: &mut ProductScratch, tiles: &Range<usize>, rows: &Range<usize>) {
        let pairs = activations_bf16::suit(vector, self.tiles);
        let cols = if pairs { self.tiles.shape.cols / 2 } else { self.tiles.shape.cols };
        scratch.starts.clear();
        scratch.starts.extend(rows.clone().map(|i| index(self.source(i) * cols)));
        let kernel = DotFloats {
            dtype: self.tiles.dtype,
            tiles: self.tiles.tiles(self.matrix, tiles.start, tiles.len()),
            stride: self.tiles.tile_len(),
            x: self.x,
            rows: &scratch.starts,
            cols,
            sums: &mut scratch.sums,
            sums_stride: SUMS,
            ahead: vector.ahead(),
        };
        if pairs { vector.run_pairs(kernel) } else { vector.run(kernel) }
    }

    /// Lists where the 8-bit rows start that some rows of the result read.
    fn starts(&self, rows: &Range<usize>, starts: &mut Vec<u32>) {
        starts.clear();
        let start = |i| activations_q8::start(self.width, self.tiles.shape.cols, self.source(i));
        starts.extend(rows.clone().map(|i| index(start(i))));
    }

    /// Whether tiles are unpacked again for each group of rows, by the kernel that was chosen. Pairs are never decoded before.
    fn unpacks_again(&self, vector: Vector, rows: usize) -> bool {
        match (self.inner, self.tiles.quantized()) {
            (Inner::Registers, _) => true,
            (Inner::Held, true) => false,
            (Inner::Decoded, false) if !activations_bf16::suit(vector, self.tiles) => false,
            _ => self.packed_suits(vector, rows),
        }
    }

    /// Whether that suits so many rows: there is only one group, or unpacking again costs less than keeping
    /// the result. With half the registers there is only ever one group.
    fn packed_suits(&self, vector: Vector, rows: usize) -> bool {
        let (at_once, tiles) = if self.tiles.quantized() { vector.quants() } else { (FEW, vector.tiles()) };
        let effort = if activations_bf16::suit(vector, self.tiles) { Effort::None } else { self.tiles.layout.effort };
        let most = match effort {
            _ if tiles == 1 => at_once,
            Effort::None => usize::MAX,
            Effort::Little if vector.unpacks_beside() => usize::MAX,
            Effort::Little => FEW_ROWS,
            Effort::Much | Effort::Most => at_once,
        };
        rows <= most
    }

    /// Unpacks the tiles in registers, again for each group of rows or once for many.
    fn rounded_rows(&self, vector: Vector, scratch: &mut ProductScratch, tiles: &Range<usize>, rows: &Range<usize>) {
        self.product(vector, scratch, tiles, rows).run(vector, !self.unpacks_again(vector, rows.len()));
    }

    /// Some tiles and 8-bit rows, whose sums go into the scratch's.
    fn product<'s>(
        &'s self,
        vector: Vector,
        scratch: &'s mut ProductScratch,
        tiles: &Range<usize>,
        rows: &Range<usize>,
    ) -> RoundedProduct<'s> {
        self.starts(rows, &mut scratch.starts);
        RoundedProduct {
            dtype: self.tiles.dtype,
            tiles: self.tiles.tiles(self.matrix, tiles.start, tiles.len()),
            stride: self.tiles.tile_len(),
            cols: self.tiles.shape.cols,
            x: activations_q8::blocks(self.x),
            rows: &scratch.starts,
            sums: &mut scratch.sums,
            sums_stride: SUMS,
            ahead: vector.ahead(),
        }
    }

    /// Unpacks some columns of a few tiles at a time into the first-level cache, for all rows.
    fn unpacked_rows(&self, vector: Vector, scratch: &mut ProductScratch, tiles: &Range<usize>, rows: &Range<usize>) {
        let (cols, x) = (self.tiles.shape.cols, activations_q8::blocks(self.x));
        self.starts(rows, &mut scratch.starts);
        for start in (0..cols).step_by(COLUMNS) {
            for first in tiles.clone().step_by(AT_ONCE) {
                let now = first..(first + AT_ONCE).min(tiles.end);
                self.unpack(vector, &mut scratch.weights, &now, (start, false));
                vector.run(UnpackedProduct {
                    lines: self.tiles.layout.form.lines,
                    w: &scratch.weights[..now.len()],
                    columns: COLUMNS.min(cols - start),
                    x: &x[start / Elem::Q8_BLOCK..],
                    rows: &scratch.starts,
                    sums: &mut scratch.sums[first - tiles.start..],
                    sums_stride: SUMS,
                    resume: start > 0,
                });
            }
        }
    }

    /// Unpacks some columns of a few tiles at a time into the first-level cache, from where a matrix unit multiplies them.
    fn rows_by_unit(
        &self,
        (vector, amx): (Vector, Amx),
        scratch: &mut ProductScratch,
        tiles: &Range<usize>,
        rows: &Range<usize>,
    ) {
        let (cols, groups) = (self.tiles.shape.cols, Groups::new(rows.len()));
        let unit = amx.unit(groups.most());
        self.starts(rows, &mut scratch.starts);
        let spaced = gemm_amx::spaced(&scratch.starts);
        for start in (0..cols).step_by(COLUMNS) {
            let (at, blocks) = (start / Elem::Q8_BLOCK, COLUMNS.min(cols - start) / Elem::Q8_BLOCK);
            let (x, stride) = match spaced {
                Some(stride) => (&activations_q8::blocks(self.x)[scratch.starts[0] as usize + at..], stride),
                None => {
                    let x = activations_q8::blocks(self.x);
                    activations_q8::gather(x, &scratch.starts, at..at + blocks, (&mut scratch.x, GATHERED));
                    (activations_q8::blocks(&scratch.x), GATHERED)
                }
            };
            Side::read(&mut scratch.sides, groups, (x, stride), blocks);
            for first in tiles.clone().step_by(AT_ONCE) {
                let now = first..(first + AT_ONCE).min(tiles.end);
                self.unpack(vector, &mut scratch.weights, &now, (start, true));
                vector.run(GemmAmx {
                    unit: &unit,
                    groups,
                    has_min: self.tiles.layout.form.zero == 0,
                    w: &scratch.weights[..now.len()],
                    x: (x, stride),
                    blocks,
                    sides: &scratch.sides,
                    sums: &mut scratch.parts,
                    acc: &mut scratch.sums,
                    first: first - tiles.start,
                    resume: start > 0,
                    next: self.next(tiles, now.end, (start, COLUMNS)),
                });
            }
        }
    }

    /// Unpacks the columns of a few tiles from `start` on, maybe to signed bytes.
    fn unpack(&self, vector: Vector, out: &mut [Weights], tiles: &Range<usize>, (start, signed): (usize, bool)) {
        for (tile, out) in tiles.clone().zip(out) {
            let columns = self.tiles.columns(self.matrix, tile, start..start + COLUMNS);
            Unpack { dtype: self.tiles.dtype, columns, signed, out }.with(vector);
        }
    }

    /// Decodes some columns of a few tiles at a time into the first-level cache, for all rows.
    fn rows(&self, vector: Vector, scratch: &mut ProductScratch, tiles: &Range<usize>, rows: &Range<usize>) {
        let (cols, at_once) = (self.tiles.shape.cols, vector.tiles());
        for start in (0..cols).step_by(FLOATS) {
            let columns = start..(start + FLOATS).min(cols);
            for (i, x) in rows.clone().zip(scratch.x.chunks_exact_mut(FLOATS_STRIDE)) {
                x[..columns.len()].copy_from_slice(&self.x[self.source(i) * cols..][columns.clone()]);
            }
            for first in tiles.clone().step_by(at_once) {
                let now = first..(first + at_once).min(tiles.end);
                let (w, w_stride) = self.weights(vector, &mut scratch.lines, &now, &columns);
                vector.run(Gemm {
                    w,
                    w_stride,
                    tiles: now.len(),
                    x: &scratch.x,
                    x_stride: FLOATS_STRIDE,
                    rows: rows.len(),
                    k: columns.len(),
                    acc: &mut scratch.sums[first - tiles.start..],
                    acc_stride: SUMS,
                    resume: start > 0,
                    next: self.next(tiles, now.end, (start, FLOATS)),
                });
            }
        }
    }

    /// The columns that are decoded next, to be prefetched: the same columns (`step` of them, from `start` on) of the tiles from
    /// `tile` on, or the next columns of the first tiles.
    fn next<const N: usize>(&self, tiles: &Range<usize>, tile: usize, (start, step): (usize, usize)) -> [&[Bytes]; N] {
        let (tile, start) = if tile < tiles.end { (tile, start) } else { (tiles.start, start + step) };
        let mut next: [&[Bytes]; N] = [&[]; N];
        if start < self.tiles.shape.cols {
            for (tile, next) in (tile..tiles.end).zip(&mut next) {
                *next = self.tiles.columns(self.matrix, tile, start..start + step);
            }
        }
        next
    }

    /// The columns of the tiles as lines, and the distance between tiles. F32 needs no decoding.
    fn weights<'w>(
        &'w self,
        vector: Vector,
        scratch: &'w mut [Line],
        tiles: &Range<usize>,
        columns: &Range<usize>,
    ) -> (&'w [Line], usize) {
        let dtype = self.tiles.dtype;
        if dtype == DType::F32 {
            let lines = as_lines(self.tiles.tiles(self.matrix, tiles.start, tiles.len()));
            return (&lines[columns.start..], self.tiles.tile_len() / QUAD);
        }
        for (tile, out) in tiles.clone().zip(scratch.chunks_exact_mut(FLOATS)) {
            let columns = self.tiles.columns(self.matrix, tile, columns.clone());
            vector.run(Decode { dtype, columns, out });
        }
        (scratch, FLOATS)
    }
}

/// out\[i\] = row ids\[i\] of the weight.
pub(super) fn embed(cpu: &mut Worker, tiles: &Tiles, place: impl Fn(usize) -> usize + Sync, out: &mut [f32]) {
    let (cols, rows, vector) = (tiles.shape.cols, out.len() / tiles.shape.cols, cpu.vector);
    let out = Shared::new(out);
    cpu.pool.run_with(cpu.scratch, rows, &|scratch, i| {
        // SAFETY: each task is a row of its own.
        #[allow(unsafe_code)]
        let out = unsafe { out.part(i * cols, cols) };
        scratch.product.decode(vector, tiles, (0, place(i)), out);
    });
}

impl ProductScratch {
    /// Decodes one row of a matrix: a lane of its tile.
    pub(crate) fn decode(&mut self, vector: Vector, tiles: &Tiles, (matrix, row): (usize, usize), out: &mut [f32]) {
        let (tile, lane, dtype) = (row / LANES, row % LANES, tiles.dtype);
        if tiles.by_row() {
            return codecs::decode_by_row(tiles.tiles(matrix, tile, 1), lane, out);
        }
        for (i, out) in out.chunks_mut(COLUMNS).enumerate() {
            let columns = tiles.columns(matrix, tile, i * COLUMNS..(i + 1) * COLUMNS);
            if tiles.quantized() {
                let zero = Unpack { dtype, columns, signed: false, out: &mut self.weights[0] }.with(vector);
                self.weights[0].row(lane, tiles.layout.form, zero, out);
            } else {
                vector.run(Decode { dtype, columns, out: &mut self.lines });
                out.iter_mut().zip(self.lines.iter()).for_each(|(out, line)| *out = line.0[lane]);
            }
        }
    }
}
