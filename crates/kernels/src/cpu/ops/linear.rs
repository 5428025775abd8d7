//! Products with packed weights, and rows of them.

use std::ops::Range;

use crate::cpu::codecs::{COLUMNS, Decode, DotFloats, DotQuants, Prefetch, QUAD, Unpack};
use crate::cpu::memory::{Buffer, Shared, as_lines, as_numbers_mut};
use crate::cpu::ops::gemm::Gemm;
use crate::cpu::ops::gemm_int::{Fill, GemmInt, Strip, Weights};
use crate::cpu::ops::{Input, Worker, eight};
use crate::cpu::pool::Pool;
use crate::cpu::simd::{LANES, Line, Vector};
use crate::cpu::tiles::Tiles;
use graph::BackendError;

/// The most tiles and rows of x in one piece of work: what is decoded and added up then stays in a core's own cache.
const TILES: usize = 16;
const ROWS: usize = 144;
/// Rows of x brought together at a time, and how far apart: not by a power of two, which would share few cache sets.
const GROUP: usize = 12;
const GROUP_STRIDE: usize = COLUMNS + LANES;
/// Rows of x for which a tile is unpacked in registers, not beforehand.
const FEW: usize = 8;
/// Pieces wanted for each thread, so that one that comes late costs little.
const PIECES_EACH: usize = 4;

/// A thread's room for a product.
#[derive(Debug)]
pub(crate) struct Room {
    lines: Buffer<Line>,
    x: Buffer<f32>,
    weights: Vec<Weights>,
    strips: Vec<Strip>,
    /// A row of tiles for each row of x.
    sums: Buffer<Line>,
    kept: Buffer<Line>,
}

impl Room {
    /// For rounded rows of up to `cols` columns.
    pub(crate) fn new(cols: usize) -> Result<Room, BackendError> {
        Ok(Room {
            lines: Buffer::zeroed(TILES * COLUMNS, "scratch")?,
            x: Buffer::zeroed(GROUP * GROUP_STRIDE, "scratch")?,
            weights: vec![Weights::ZERO; TILES],
            strips: vec![Strip::ZERO; FEW * cols.div_ceil(COLUMNS)],
            sums: Buffer::zeroed(ROWS * TILES, "scratch")?,
            kept: Buffer::zeroed(ROWS * TILES, "scratch")?,
        })
    }

    /// The first `n` numbers of each row of sums.
    pub(crate) fn rows(&mut self, n: usize) -> impl Iterator<Item = &mut [f32]> {
        as_numbers_mut(&mut self.sums).chunks_exact_mut(TILES * LANES).map(move |row| &mut row[..n])
    }

    /// Puts the sums aside, so that others can be made.
    pub(crate) fn keep(&mut self) {
        std::mem::swap(&mut self.sums, &mut self.kept);
    }

    /// The first `n` numbers of each row that was put aside, and of each row of sums.
    pub(crate) fn both(&mut self, n: usize) -> impl Iterator<Item = (&mut [f32], &mut [f32])> {
        let kept = as_numbers_mut(&mut self.kept).chunks_exact_mut(TILES * LANES);
        let sums = as_numbers_mut(&mut self.sums).chunks_exact_mut(TILES * LANES);
        kept.zip(sums).map(move |(a, b)| (&mut a[..n], &mut b[..n]))
    }
}

/// Which rows of x go into which rows of the result: those of `slots`, slot by slot. Row of the result = slot, row of
/// x = slot / `share`.
#[derive(Clone, Copy)]
pub(crate) enum Slots<'a> {
    /// 0, 1, 2 …
    All(usize),
    /// The ones listed.
    Some(&'a [u32]),
}

impl Slots<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Slots::All(n) => *n,
            Slots::Some(list) => list.len(),
        }
    }

    fn get(&self, i: usize) -> usize {
        match self {
            Slots::All(_) => i,
            Slots::Some(list) => list[i] as usize,
        }
    }
}

/// Rows of x times one matrix, transposed.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) tiles: &'a Tiles,
    pub(crate) matrix: usize,
    /// Rows of the matrix's columns; rounded ones (see `eight.rs`) where the weight is quantized.
    pub(crate) x: &'a [f32],
    /// Columns of a row of x: the matrix's, or those of several rows for it.
    pub(crate) width: usize,
    pub(crate) slots: Slots<'a>,
    /// Slots that read the same row of x.
    pub(crate) share: usize,
}

/// x as the product with `tiles` reads it: itself, or rounded in `room`.
pub(crate) fn rounded<'x>(
    (pool, vector): (&Pool, Vector),
    tiles: &Tiles,
    x: Input<'x>,
    room: &'x mut [f32],
) -> &'x [f32] {
    if x.rounded || !tiles.quantized() {
        return x.x;
    }
    let room = &mut room[..x.rows * eight::words(x.width)];
    eight::quantize(pool, vector, x.x, x.width, room);
    room
}

/// How products are cut into pieces: as tiles × rows. It does not show in the result.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    rows: usize,
    each: (usize, usize),
}

impl Cut {
    /// For products of some rows and `tiles` tiles altogether.
    pub(super) fn new(tiles: usize, rows: usize, threads: usize) -> Cut {
        let each_rows = rows.div_ceil(rows.div_ceil(ROWS).max(1)).max(1);
        let mut cut = Cut { rows, each: (TILES, each_rows) };
        while cut.across(tiles) * cut.down() < PIECES_EACH * threads && cut.each.0 > 2 {
            cut.each.0 /= 2;
        }
        while cut.across(tiles) * cut.down() < PIECES_EACH * threads && cut.each.1 >= 4 * GROUP {
            cut.each.1 = cut.each.1.div_ceil(2);
        }
        cut
    }

    /// Pieces of the same rows of a matrix of `tiles` tiles.
    pub(super) fn across(&self, tiles: usize) -> usize {
        tiles.div_ceil(self.each.0)
    }

    /// Pieces of the same tiles.
    pub(super) fn down(&self) -> usize {
        self.rows.div_ceil(self.each.1)
    }

    /// Of a matrix of `tiles` tiles, those of piece `i` across.
    pub(super) fn tiles(&self, i: usize, tiles: usize) -> Range<usize> {
        i * self.each.0..((i + 1) * self.each.0).min(tiles)
    }

    /// The rows of piece `i` down.
    pub(super) fn rows(&self, i: usize) -> Range<usize> {
        i * self.each.1..((i + 1) * self.each.1).min(self.rows)
    }
}

impl Product<'_> {
    /// Some of the tiles for some of the rows, to the room's sums.
    pub(crate) fn sums(&self, vector: Vector, room: &mut Room, tiles: &Range<usize>, rows: &Range<usize>) {
        match rows.len() {
            0 => {}
            1..=FEW if self.tiles.quantized() => self.few_rounded_rows(vector, room, tiles, rows),
            _ if self.tiles.quantized() => self.many_rounded_rows(vector, room, tiles, rows),
            1 => self.one_row(vector, room, tiles, rows.start),
            _ => self.many_rows(vector, room, tiles, rows),
        }
    }

    /// Some of the tiles for all rows, to their slots' places in `out`, rows of the matrix's rows.
    pub(crate) fn write(&self, vector: Vector, room: &mut Room, tiles: &Range<usize>, out: Shared<f32>) {
        let columns = self.columns(tiles);
        for first in (0..self.slots.len()).step_by(ROWS) {
            let rows = first..(first + ROWS).min(self.slots.len());
            self.sums(vector, room, tiles, &rows);
            for (i, sums) in rows.zip(room.rows(columns.len())) {
                // SAFETY: a slot's columns are written by one piece alone.
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

    /// Which row of x the `i`th row of the result reads.
    fn source(&self, i: usize) -> usize {
        self.slots.get(i) / self.share
    }

    fn row(&self, i: usize) -> &[f32] {
        let cols = self.tiles.shape.cols;
        &self.x[self.source(i) * cols..][..cols]
    }

    fn one_row(&self, vector: Vector, room: &mut Room, tiles: &Range<usize>, row: usize) {
        let sums = &mut room.sums[..tiles.len()];
        sums.fill(Line::default());
        let (dtype, stride) = (self.tiles.dtype, self.tiles.tile_len());
        let tiles = self.tiles.tiles(self.matrix, tiles.start, tiles.len());
        vector.run(DotFloats { dtype, tiles, stride, x: self.row(row), sums });
    }

    /// Fills strips with [`COLUMNS`] columns, from `start` on, of a row that the `i`th of the result reads.
    fn fill(&self, vector: Vector, i: usize, start: usize, strip: &mut Strip) {
        let (cols, layout) = (self.tiles.shape.cols, &self.tiles.layout);
        let (x, lines) = (eight::row(self.x, self.width, cols, self.source(i)), layout.form.lines);
        let (first, parts) = (start / (QUAD * lines), COLUMNS.min(cols - start) / (QUAD * lines));
        vector.run(Fill { x, lines, zero: layout.zero, first, parts, strip });
    }

    /// Up to [`FEW`] rows: each tile is read once and unpacked in registers.
    fn few_rounded_rows(&self, vector: Vector, room: &mut Room, tiles: &Range<usize>, rows: &Range<usize>) {
        let (cols, at_once) = (self.tiles.shape.cols, rows.len().next_power_of_two());
        for (start, strips) in (0..cols).step_by(COLUMNS).zip(room.strips.chunks_exact_mut(at_once)) {
            for (row, strip) in rows.clone().zip(strips) {
                self.fill(vector, row, start, strip);
            }
        }
        vector.run(DotQuants {
            dtype: self.tiles.dtype,
            tiles: self.tiles.tiles(self.matrix, tiles.start, tiles.len()),
            stride: self.tiles.tile_len(),
            cols,
            rows: at_once,
            x: &room.strips[..cols.div_ceil(COLUMNS) * at_once],
            sums: &mut room.sums,
            sums_stride: TILES,
        });
    }

    fn many_rounded_rows(&self, vector: Vector, room: &mut Room, tiles: &Range<usize>, rows: &Range<usize>) {
        let (cols, form) = (self.tiles.shape.cols, self.tiles.layout.form);
        let group = vector.quant_rows().min(FEW);
        for start in (0..cols).step_by(COLUMNS) {
            for (tile, out) in tiles.clone().zip(&mut room.weights) {
                let columns = self.tiles.columns(self.matrix, tile, start);
                vector.run(Unpack { dtype: self.tiles.dtype, columns, out });
            }
            let groups = rows.len().div_ceil(group);
            for (g, first) in (0..rows.len()).step_by(group).enumerate() {
                let n = group.min(rows.len() - first);
                for tile in tiles.start + g * tiles.len() / groups..tiles.start + (g + 1) * tiles.len() / groups {
                    if start + COLUMNS < cols {
                        vector.run(Prefetch(self.tiles.columns(self.matrix, tile, start + COLUMNS).quants));
                    }
                }
                for (i, strip) in room.strips[..n].iter_mut().enumerate() {
                    self.fill(vector, rows.start + first + i, start, strip);
                }
                vector.run(GemmInt {
                    form,
                    w: &room.weights[..tiles.len()],
                    x: &room.strips[..n],
                    parts: COLUMNS.min(cols - start) / (QUAD * form.lines),
                    acc: &mut room.sums[first * TILES..],
                    acc_stride: TILES,
                    resume: start > 0,
                });
            }
        }
    }

    fn many_rows(&self, vector: Vector, room: &mut Room, tiles: &Range<usize>, rows: &Range<usize>) {
        let (cols, at_once) = (self.tiles.shape.cols, vector.rows().min(GROUP));
        let groups = rows.len().div_ceil(at_once);
        let group = rows.len().div_ceil(groups);
        for start in (0..cols).step_by(COLUMNS) {
            let columns = start..(start + COLUMNS).min(cols);
            let (w, w_stride) = self.weights(vector, &mut room.lines, tiles, &columns);
            for first in (0..rows.len()).step_by(group) {
                let n = group.min(rows.len() - first);
                for (i, x) in room.x.chunks_exact_mut(GROUP_STRIDE).take(n).enumerate() {
                    x[..columns.len()].copy_from_slice(&self.row(rows.start + first + i)[columns.clone()]);
                }
                vector.run(Gemm {
                    w,
                    w_stride,
                    tiles: tiles.len(),
                    x: &room.x,
                    x_stride: GROUP_STRIDE,
                    rows: n,
                    k: columns.len(),
                    acc: &mut room.sums[first * TILES..],
                    acc_stride: TILES,
                    resume: start > 0,
                });
            }
        }
    }

    /// The columns of the tiles as lines, and the distance between tiles; F32 is read where it lies.
    fn weights<'w>(
        &'w self,
        vector: Vector,
        room: &'w mut [Line],
        tiles: &Range<usize>,
        columns: &Range<usize>,
    ) -> (&'w [Line], usize) {
        let (cols, dtype) = (self.tiles.shape.cols, self.tiles.dtype);
        if dtype == tensor::DType::F32
            && let Some(lines) = as_lines(self.tiles.tiles(self.matrix, tiles.start, tiles.len()))
        {
            return (&lines[columns.start..], cols);
        }
        for (tile, out) in tiles.clone().zip(room.chunks_exact_mut(COLUMNS)) {
            let columns = self.tiles.columns(self.matrix, tile, columns.start).side;
            vector.run(Decode { dtype, columns, out });
        }
        (room, COLUMNS)
    }
}

/// out\[i\] = row ids\[i\] of the weight.
pub(super) fn embed(cpu: &mut Worker, tiles: &Tiles, ids: &[u32], out: &mut [f32]) {
    let (cols, vector, out) = (tiles.shape.cols, cpu.vector, Shared::new(out));
    cpu.pool.run_with(cpu.rooms, ids.len(), &|room, i| {
        // SAFETY: each piece is a row of its own.
        #[allow(unsafe_code)]
        let out = unsafe { out.part(i * cols, cols) };
        room.product.decode(vector, tiles, (0, ids[i] as usize), out);
    });
}

impl Room {
    /// Decodes one row of a matrix: its tile, of which it keeps a lane.
    pub(crate) fn decode(&mut self, vector: Vector, tiles: &Tiles, (matrix, row): (usize, usize), out: &mut [f32]) {
        let (tile, lane, dtype) = (row / LANES, row % LANES, tiles.dtype);
        for (i, out) in out.chunks_mut(COLUMNS).enumerate() {
            let columns = tiles.columns(matrix, tile, i * COLUMNS);
            if tiles.quantized() {
                vector.run(Unpack { dtype, columns, out: &mut self.weights[0] });
                self.weights[0].row(lane, tiles.layout.form.lines, tiles.layout.zero, out);
            } else {
                vector.run(Decode { dtype, columns: columns.side, out: &mut self.lines });
                out.iter_mut().zip(self.lines.iter()).for_each(|(out, line)| *out = line.0[lane]);
            }
        }
    }
}
