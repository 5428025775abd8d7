//! Products with packed weights, and rows of them.

use std::ops::Range;

use crate::cpu::codecs::{COLUMNS, Decode, DotFloats, Effort, QUAD, RoundedProduct, Unpack, Weights};
use crate::cpu::memory::{Buffer, Shared, as_lines, as_numbers_mut};
use crate::cpu::ops::gemm::Gemm;
use crate::cpu::ops::gemm_amx::{self, BLOCKS, GemmAmx, Groups, Side};
use crate::cpu::ops::{Input, Worker, activations_q8, pairs};
use crate::cpu::pool::Pool;
use crate::cpu::simd::{Amx, Bytes, LANES, Line, Sums, Vector};
use crate::cpu::tiles::Tiles;
use graph::{BackendError, Elem};

/// The most tiles and rows of x in one piece of work: what is decoded and added up then stays in a core's own cache.
pub(crate) const TILES: usize = 16;
const ROWS: usize = 264;
/// Tiles from row to row of sums: one more, so that rows do not share few sets of a cache.
pub(crate) const SUMS: usize = TILES + 1;
/// Columns of floats in one turn, and how far apart the rows of x are brought together: not by a power of two, which would
/// share few cache sets.
const FLOATS: usize = 128;
const FLOATS_STRIDE: usize = FLOATS + LANES;
/// How far apart rounded rows are that are brought together, in blocks: as floats are.
const TOGETHER: usize = FLOATS_STRIDE / activations_q8::WORDS;
const _: () = assert!(TOGETHER * Elem::Q8_BLOCK >= COLUMNS);
/// Rows of x that a piece of work is not cut below.
const GROUP: usize = 12;
/// The most tiles that are unpacked at a time; so many fit into a core's first cache.
pub(crate) const AT_ONCE: usize = 4;
/// Rows of x for which a tile of floats is decoded in registers even if there are few of them.
const FEW: usize = 4;
/// Pieces wanted for each thread, so that one that comes late costs little: more where the weights' way from memory is what
/// takes time than where many rows share what a piece has unpacked.
const PIECES_EACH: usize = 4;
const PIECES_OF_FEW_ROWS: usize = 16;
const FEW_ROWS: usize = 64;

/// A thread's room for a product.
#[derive(Debug)]
pub(crate) struct Room {
    lines: Buffer<Line>,
    x: Buffer<f32>,
    weights: Vec<Weights>,
    /// Where rows of x start.
    starts: Vec<u32>,
    /// What a matrix unit works with: of groups of rows of x, and of two tiles.
    sides: Vec<Side>,
    parts: Box<[[Sums; 2]; BLOCKS]>,
    /// A row of tiles for each row of x.
    sums: Buffer<Line>,
    kept: Buffer<Line>,
}

impl Room {
    pub(crate) fn new() -> Result<Room, BackendError> {
        Ok(Room {
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

    /// Puts the sums aside, so that others can be made.
    pub(crate) fn keep(&mut self) {
        std::mem::swap(&mut self.sums, &mut self.kept);
    }

    /// The first `n` numbers of each row that was put aside, and of each row of sums.
    pub(crate) fn both(&mut self, n: usize) -> impl Iterator<Item = (&mut [f32], &mut [f32])> {
        let kept = as_numbers_mut(&mut self.kept).chunks_exact_mut(SUMS * LANES);
        let sums = as_numbers_mut(&mut self.sums).chunks_exact_mut(SUMS * LANES);
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
    /// Rows of x; rounded ones where the weight is quantized (see `activations_q8.rs`) or multiplied in pairs (see `pairs.rs`).
    pub(crate) x: &'a [f32],
    /// Columns of these rows: the matrix's, once or several times.
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
    if pairs::suit(vector, tiles) {
        let room = &mut room[..x.x.len() / 2];
        pairs::round((pool, vector), x, room);
        return room;
    }
    if x.rounded || !tiles.quantized() {
        return x.x;
    }
    let room = &mut room[..x.rows * activations_q8::words(x.width)];
    activations_q8::quantize(pool, vector, x.x, x.width, room);
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
        let wanted = threads * if rows <= FEW_ROWS { PIECES_OF_FEW_ROWS } else { PIECES_EACH };
        while cut.across(tiles) * cut.down() < wanted && cut.each.0 > 2 {
            cut.each.0 /= 2;
        }
        while cut.across(tiles) * cut.down() < wanted && cut.each.1 >= 4 * GROUP {
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
        match (rows.len(), self.tiles.quantized()) {
            (0, _) => {}
            (n, true) => match vector.amx() {
                Some(amx) if gemm_amx::suits(self.tiles.layout.form, n) => {
                    self.rows_by_unit((vector, amx), room, tiles, rows);
                }
                _ => self.rounded_rows(vector, room, tiles, rows),
            },
            (n, false) if self.packed_suits(vector, n) => self.rows_of_packed(vector, room, tiles, rows),
            (_, false) => self.rows(vector, room, tiles, rows),
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

    /// The tiles are decoded in registers.
    fn rows_of_packed(&self, vector: Vector, room: &mut Room, tiles: &Range<usize>, rows: &Range<usize>) {
        let pairs = pairs::suit(vector, self.tiles);
        let cols = if pairs { self.tiles.shape.cols / 2 } else { self.tiles.shape.cols };
        room.starts.clear();
        room.starts.extend(rows.clone().map(|i| (self.source(i) * cols) as u32));
        let kernel = DotFloats {
            dtype: self.tiles.dtype,
            tiles: self.tiles.tiles(self.matrix, tiles.start, tiles.len()),
            stride: self.tiles.tile_len(),
            x: self.x,
            rows: &room.starts,
            cols,
            sums: &mut room.sums,
            sums_stride: SUMS,
            ahead: vector.ahead(),
        };
        if pairs { vector.run_pairs(kernel) } else { vector.run(kernel) }
    }

    /// Makes a list of where in rounded x the rows start that some rows of the result read.
    fn starts(&self, rows: &Range<usize>, starts: &mut Vec<u32>) {
        starts.clear();
        starts.extend(
            rows.clone().map(|i| activations_q8::start(self.width, self.tiles.shape.cols, self.source(i)) as u32),
        );
    }

    /// Whether so many rows are multiplied with tiles that are unpacked anew for each group of them: there is but one, or that
    /// takes less than to hold or keep what is unpacked. Half the registers leave no room for it.
    fn packed_suits(&self, vector: Vector, rows: usize) -> bool {
        let (at_once, tiles) = if self.tiles.quantized() { vector.quants() } else { (FEW, vector.tiles()) };
        let effort = if pairs::suit(vector, self.tiles) { Effort::None } else { self.tiles.layout.effort };
        let most = match effort {
            _ if tiles == 1 => at_once,
            Effort::None => usize::MAX,
            Effort::Little if vector.unpacks_beside() => usize::MAX,
            Effort::Little => FEW_ROWS,
            Effort::Much => at_once,
        };
        rows <= most
    }

    /// The tiles are unpacked in registers, anew for each group of rows or held there for many.
    fn rounded_rows(&self, vector: Vector, room: &mut Room, tiles: &Range<usize>, rows: &Range<usize>) {
        self.starts(rows, &mut room.starts);
        let product = RoundedProduct {
            dtype: self.tiles.dtype,
            tiles: self.tiles.tiles(self.matrix, tiles.start, tiles.len()),
            stride: self.tiles.tile_len(),
            cols: self.tiles.shape.cols,
            x: activations_q8::blocks(self.x),
            rows: &room.starts,
            sums: &mut room.sums,
            sums_stride: SUMS,
        };
        product.run(vector, !self.packed_suits(vector, rows.len()));
    }

    /// Some columns of a few tiles are unpacked to where a matrix unit finds them in a core's first cache.
    fn rows_by_unit(&self, (vector, amx): (Vector, Amx), room: &mut Room, tiles: &Range<usize>, rows: &Range<usize>) {
        let (cols, groups) = (self.tiles.shape.cols, Groups::new(rows.len()));
        let unit = amx.unit(groups.most());
        self.starts(rows, &mut room.starts);
        let spaced = gemm_amx::spaced(&room.starts);
        for start in (0..cols).step_by(COLUMNS) {
            let (at, blocks) = (start / Elem::Q8_BLOCK, COLUMNS.min(cols - start) / Elem::Q8_BLOCK);
            let (x, stride) = match spaced {
                Some(stride) => (&activations_q8::blocks(self.x)[room.starts[0] as usize + at..], stride),
                None => {
                    let x = activations_q8::blocks(self.x);
                    activations_q8::bring_together(x, &room.starts, at..at + blocks, (&mut room.x, TOGETHER));
                    (activations_q8::blocks(&room.x), TOGETHER)
                }
            };
            Side::read(&mut room.sides, groups, (x, stride), blocks);
            for first in tiles.clone().step_by(AT_ONCE) {
                let now = first..(first + AT_ONCE).min(tiles.end);
                self.unpack(vector, &mut room.weights, &now, start);
                vector.run(GemmAmx {
                    unit: &unit,
                    groups,
                    has_min: self.tiles.layout.form.zero == 0,
                    w: &room.weights[..now.len()],
                    x: (x, stride),
                    blocks,
                    sides: &room.sides,
                    sums: &mut room.parts,
                    acc: &mut room.sums,
                    first: first - tiles.start,
                    resume: start > 0,
                    next: self.next(tiles, now.end, (start, COLUMNS)),
                });
            }
        }
    }

    /// Unpacks the columns of a few tiles from `start` on, to signed bytes.
    fn unpack(&self, vector: Vector, out: &mut [Weights], tiles: &Range<usize>, start: usize) {
        for (tile, out) in tiles.clone().zip(out) {
            let columns = self.tiles.columns(self.matrix, tile, start..start + COLUMNS);
            vector.run(Unpack { dtype: self.tiles.dtype, columns, signed: true, out });
        }
    }

    /// Some columns of a few tiles are decoded to where all rows then find them in a core's first cache.
    fn rows(&self, vector: Vector, room: &mut Room, tiles: &Range<usize>, rows: &Range<usize>) {
        let (cols, at_once) = (self.tiles.shape.cols, vector.tiles());
        for start in (0..cols).step_by(FLOATS) {
            let columns = start..(start + FLOATS).min(cols);
            for (i, x) in rows.clone().zip(room.x.chunks_exact_mut(FLOATS_STRIDE)) {
                x[..columns.len()].copy_from_slice(&self.x[self.source(i) * cols..][columns.clone()]);
            }
            for first in tiles.clone().step_by(at_once) {
                let now = first..(first + at_once).min(tiles.end);
                let (w, w_stride) = self.weights(vector, &mut room.lines, &now, &columns);
                vector.run(Gemm {
                    w,
                    w_stride,
                    tiles: now.len(),
                    x: &room.x,
                    x_stride: FLOATS_STRIDE,
                    rows: rows.len(),
                    k: columns.len(),
                    acc: &mut room.sums[first - tiles.start..],
                    acc_stride: SUMS,
                    resume: start > 0,
                    next: self.next(tiles, now.end, (start, FLOATS)),
                });
            }
        }
    }

    /// What is decoded after the columns from `start` on of the tiles before `tile`, `step` columns at a time: the same
    /// columns of the tiles that follow, or the first tiles' next columns.
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

    /// The columns of the tiles as lines, and the distance between tiles; F32 is read where it lies.
    fn weights<'w>(
        &'w self,
        vector: Vector,
        room: &'w mut [Line],
        tiles: &Range<usize>,
        columns: &Range<usize>,
    ) -> (&'w [Line], usize) {
        let dtype = self.tiles.dtype;
        if dtype == tensor::DType::F32 {
            let lines = as_lines(self.tiles.tiles(self.matrix, tiles.start, tiles.len()));
            return (&lines[columns.start..], self.tiles.tile_len() / QUAD);
        }
        for (tile, out) in tiles.clone().zip(room.chunks_exact_mut(FLOATS)) {
            let columns = self.tiles.columns(self.matrix, tile, columns.clone());
            vector.run(Decode { dtype, columns, out });
        }
        (room, FLOATS)
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
            let columns = tiles.columns(matrix, tile, i * COLUMNS..(i + 1) * COLUMNS);
            if tiles.quantized() {
                let zero = vector.run(Unpack { dtype, columns, signed: false, out: &mut self.weights[0] });
                self.weights[0].row(lane, tiles.layout.form, zero, out);
            } else {
                vector.run(Decode { dtype, columns, out: &mut self.lines });
                out.iter_mut().zip(self.lines.iter()).for_each(|(out, line)| *out = line.0[lane]);
            }
        }
    }
}
