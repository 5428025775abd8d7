//! Products with packed weights, and rows of them.

use std::ops::Range;

use crate::cpu::codecs::{COLUMNS, Decode, DotFloats, DotQuants, Prefetch, QUAD, Unpack};
use crate::cpu::memory::{Buffer, Shared, as_lines, as_numbers};
use crate::cpu::ops::gemm::Gemm;
use crate::cpu::ops::gemm_int::{Fill, GemmInt, Strip, Weights};
use crate::cpu::ops::{Worker, eight};
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
    sums: Buffer<Line>,
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
        })
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
    pub(crate) slots: Slots<'a>,
    /// Slots that read the same row of x.
    pub(crate) share: usize,
    /// Rows of the matrix's rows.
    pub(crate) out: Shared<'a, f32>,
}

/// out = x · weightᵀ.
pub(super) fn linear(cpu: &mut Worker, tiles: &Tiles, x: &[f32], rows: usize, out: &mut [f32]) {
    let Worker { pool, vector, rooms, eight, .. } = cpu;
    let x = rounded((pool, *vector), tiles, x, eight);
    let product = Product { tiles, matrix: 0, x, slots: Slots::All(rows), share: 1, out: Shared::new(out) };
    let cut = Cut::new(tiles.count(), rows, 1, pool.threads());
    pool.run_with(rooms, cut.pieces(), &|room, piece| {
        let (tiles, rows) = cut.piece(piece);
        product.piece(*vector, &mut room.product, tiles, rows);
    });
}

/// x as the product with `tiles` reads it: itself, or rounded in `room`.
pub(crate) fn rounded<'x>(
    (pool, vector): (&Pool, Vector),
    tiles: &Tiles,
    x: &'x [f32],
    room: &'x mut [f32],
) -> &'x [f32] {
    if !tiles.quantized() {
        return x;
    }
    let cols = tiles.shape.cols;
    let room = &mut room[..x.len() / cols * eight::words(cols)];
    eight::quantize(pool, vector, x, cols, room);
    room
}

/// How a product is cut into pieces: as tiles × rows. It does not show in the result.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    total: (usize, usize),
    each: (usize, usize),
}

impl Cut {
    /// For `times` products of `tiles` tiles with `rows` rows.
    pub(super) fn new(tiles: usize, rows: usize, times: usize, threads: usize) -> Cut {
        let each_rows = rows.div_ceil(rows.div_ceil(ROWS).max(1)).max(1);
        let mut cut = Cut { total: (tiles, rows), each: (TILES, each_rows) };
        while cut.pieces() * times < PIECES_EACH * threads && cut.each.0 > 2 {
            cut.each.0 /= 2;
        }
        while cut.pieces() * times < PIECES_EACH * threads && cut.each.1 >= 4 * GROUP {
            cut.each.1 = cut.each.1.div_ceil(2);
        }
        cut
    }

    pub(super) fn pieces(&self) -> usize {
        self.total.0.div_ceil(self.each.0) * self.total.1.div_ceil(self.each.1)
    }

    /// Tiles and rows of a piece. Neighbours have the same rows, which then stay in the cache.
    pub(super) fn piece(&self, i: usize) -> (Range<usize>, Range<usize>) {
        let across = self.total.0.div_ceil(self.each.0);
        let range = |i: usize, each: usize, total: usize| i * each..((i + 1) * each).min(total);
        (range(i % across, self.each.0, self.total.0), range(i / across, self.each.1, self.total.1))
    }
}

impl Product<'_> {
    /// Does some of the tiles for some of the rows.
    pub(super) fn piece(&self, vector: Vector, room: &mut Room, tiles: Range<usize>, rows: Range<usize>) {
        match rows.len() {
            0 => return,
            1..=FEW if self.tiles.quantized() => self.few_rounded_rows(vector, room, &tiles, &rows),
            _ if self.tiles.quantized() => self.many_rounded_rows(vector, room, &tiles, &rows),
            1 => self.one_row(vector, room, &tiles, rows.start),
            _ => self.many_rows(vector, room, &tiles, &rows),
        }
        self.write(room, &tiles, &rows);
    }

    /// Does some of the tiles for all rows.
    pub(crate) fn all_rows(&self, vector: Vector, room: &mut Room, tiles: &Range<usize>) {
        for first in (0..self.slots.len()).step_by(ROWS) {
            self.piece(vector, room, tiles.clone(), first..(first + ROWS).min(self.slots.len()));
        }
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
        let (x, lines) = (eight::row(self.x, cols, self.source(i)), layout.form.lines);
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

    /// Brings the sums to their places; the last tile may be wider than the matrix has rows.
    fn write(&self, room: &Room, tiles: &Range<usize>, rows: &Range<usize>) {
        let width = self.tiles.shape.rows;
        let (first, end) = (tiles.start * LANES, (tiles.end * LANES).min(width));
        for (i, sums) in rows.clone().zip(room.sums.chunks(TILES)) {
            // SAFETY: a piece has its rows and columns of the result for itself.
            #[allow(unsafe_code)]
            let out = unsafe { self.out.part(self.slots.get(i) * width + first, end - first) };
            out.copy_from_slice(&as_numbers(sums)[..end - first]);
        }
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
