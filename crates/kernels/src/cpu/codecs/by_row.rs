//! Products of 8-bit rows with weights of which each row has one scale (Q8_ROW). As rows of activations have one too, sums are of integers
//! alone; they are scaled once for many columns ([0063](../../../../../../docs/decisions/0063-a-scale-for-each-row.md)).

use std::ops::Range;

use graph::Elem;

use super::rounded::RoundedProduct;
use super::{Block, Effort, Form, Layout, QUAD, Quads};
use crate::cpu::ops::activations_q8::{Block as Rounded, Factor, scale_of, start_of};
use crate::cpu::simd::{Ahead, AheadOf, Bytes, Kernel, LANES, Simd, Vector};

/// Lines of a block.
const LINES: usize = Elem::Q8_BLOCK / QUAD;
/// Fields of a block.
const LEN: usize = Block::<LINES, 0>::LEN;
/// Fields of the scales, which are behind a tile's blocks.
const SCALES: usize = 4;

/// Columns whose products are added up as integers. As many of two tiles and of some rows stay in the first-level cache.
const COLUMNS: usize = 512;
const _: () = assert!(COLUMNS * 255 * 127 <= i32::MAX as usize, "sums are exact");
/// Up to this many rows tiles are read from end to end; for more, some columns of all tiles are, while x stays in the cache.
const FEW: usize = 16;

/// Bytes are stored 128 too large, as the dot product takes them.
pub(super) const LAYOUT: Layout = Layout {
    columns: Elem::Q8_BLOCK,
    quants: LINES,
    fields: &[],
    head: SCALES,
    form: Form { lines: 0, zero: 0 },
    effort: Effort::None,
    pack: |block, quants, _| quants.iter_mut().zip(block).for_each(|(to, q)| *to = q ^ 0x80),
};

/// The elements of one of a tile's rows.
pub(crate) fn decode(tile: &[Bytes], lane: usize, out: &mut [f32]) {
    let (quants, scales) = tile.split_at(out.len() / Elem::Q8_BLOCK * LEN);
    let scale = scales.as_flattened().as_chunks::<SCALES>().0[lane];
    let words = quants.as_flattened().as_chunks::<QUAD>().0.iter().skip(lane).step_by(LANES);
    for (out, word) in out.as_chunks_mut::<QUAD>().0.iter_mut().zip(words) {
        *out = word.map(|byte| f32::from_le_bytes(scale) * f32::from((byte ^ 0x80).cast_signed()));
    }
}

impl RoundedProduct<'_> {
    /// Runs it for weights with a scale for each row, and rows that were rounded so.
    pub(crate) fn run_by_row(self, vector: Vector) {
        vector.run(ByRow(self));
    }
}

struct ByRow<'a>(RoundedProduct<'a>);

impl Kernel for ByRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (cols, tiles) = (self.0.cols, self.0.tiles.len() / self.0.stride);
        Factor::check(self.0.x, self.0.rows, cols);
        // One loop for both orders, so that what is in it is compiled once.
        let (parts, pairs) = (cols.div_ceil(COLUMNS), tiles.div_ceil(S::QUANT_TILES));
        for i in 0..parts * pairs {
            let few = self.0.rows.len() <= FEW;
            let (tile, start) = if few { (i / parts, i % parts) } else { (i % pairs, i / pairs) };
            let columns = start * COLUMNS..((start + 1) * COLUMNS).min(cols);
            self.columns(s, tile * S::QUANT_TILES, columns);
        }
    }
}

impl ByRow<'_> {
    /// Some columns of one or two tiles times all rows.
    #[inline(always)]
    fn columns<S: Simd>(&mut self, s: S, tile: usize, columns: Range<usize>) {
        let count = self.0.rows.len();
        let two = S::QUANT_TILES == 2 && (tile + 1) * self.0.stride < self.0.tiles.len();
        let mut row = 0;
        while row < count {
            let rows = match count - row {
                1 => 1,
                2 | 3 => 2,
                4..8 => 4,
                _ if two => 8,
                _ => 4,
            };
            let place = (row, tile, columns.clone());
            match (rows, two) {
                (1, false) => self.part::<S, 1, 1>(s, place),
                (2, false) => self.part::<S, 2, 1>(s, place),
                (_, false) => self.part::<S, 4, 1>(s, place),
                (1, true) if const { S::QUANT_TILES == 2 } => self.part::<S, 1, 2>(s, place),
                (2, true) if const { S::QUANT_TILES == 2 } => self.part::<S, 2, 2>(s, place),
                (4, true) if const { S::QUANT_TILES == 2 } => self.part::<S, 4, 2>(s, place),
                (_, true) if const { S::QUANT_TILES == 2 } => self.part::<S, 8, 2>(s, place),
                _ => unreachable!("as many as registers take"),
            }
            row += rows;
        }
    }

    /// Some columns of R rows times N tiles. The order of the additions depends on the columns alone.
    #[inline(always)]
    fn part<S: Simd, const R: usize, const N: usize>(&mut self, s: S, place: (usize, usize, Range<usize>)) {
        let (row, tile, columns) = place;
        let blocks = columns.start / Elem::Q8_BLOCK..columns.end / Elem::Q8_BLOCK;
        let (ahead, job) = (self.prefetch::<N>(row, tile, &columns), &mut self.0);
        let rows = job.rows[row..].first_chunk::<R>().expect("so many");
        let mut x = [&job.x[..0]; R];
        let mut sums = [[s.splat_int(0); N]; R];
        for ((x, sums), &start) in x.iter_mut().zip(&mut sums).zip(rows) {
            *x = &job.x[start as usize..][blocks.clone()];
            *sums = [s.splat_int(if S::SIGNED { 0 } else { start_of(x) }); N];
        }
        let mut w = [&job.tiles[..0]; N];
        for (t, w) in w.iter_mut().enumerate() {
            *w = &job.tiles[(tile + t) * job.stride..][blocks.start * LEN..blocks.end * LEN];
        }
        for b in 0..blocks.len() {
            let mut now = [lines(w[0], b); N];
            for (now, w) in now.iter_mut().zip(w) {
                *now = lines(w, b);
            }
            if let Some(ahead) = &ahead {
                let Ahead { near, far } = ahead.at(blocks.start + b);
                for line in now.into_iter().flatten() {
                    s.prefetch(line, near);
                    s.prefetch_far(line, far);
                }
            }
            let mut factors = [&x[0][b]; R];
            for (factor, x) in factors.iter_mut().zip(x) {
                *factor = &x[b];
            }
            multiply(s, &now, &factors, &mut sums);
        }
        for (r, sums) in sums.into_iter().enumerate() {
            let scale = s.splat(scale_of(job.x, rows[r]));
            for (t, sum) in sums.into_iter().enumerate() {
                let scales = job.tiles[(tile + t) * job.stride + job.cols / Elem::Q8_BLOCK * LEN..].first_chunk();
                let own = s.with_bits(s.bytes(scales.expect("behind the blocks")));
                let total = &mut job.sums[(row + r) * job.sums_stride + tile + t].0;
                let before = if columns.start > 0 { s.load(total) } else { s.splat(0.0) };
                s.store(total, s.mul_add(s.float(sum), s.mul(own, scale), before));
            }
        }
    }

    /// How far ahead the first rows prefetch: along the tiles if there are few rows, else the same columns of the next tiles, or the first
    /// tiles' next ones.
    #[inline(always)]
    fn prefetch<const N: usize>(&self, row: usize, tile: usize, columns: &Range<usize>) -> Option<AheadOf> {
        let RoundedProduct { stride, cols, rows, tiles, ahead, .. } = self.0;
        let (bytes, jump) = (LEN * size_of::<Bytes>(), (N - 1) * stride * size_of::<Bytes>());
        if row > 0 {
            return None;
        }
        if rows.len() <= FEW {
            return Some(AheadOf::new(ahead, (cols / Elem::Q8_BLOCK, bytes), jump));
        }
        let fields = match (tile + N) * stride < tiles.len() {
            true => N * stride,
            false => (columns.len() / Elem::Q8_BLOCK * LEN).wrapping_sub(tile * stride),
        };
        let far = fields.wrapping_mul(size_of::<Bytes>());
        Some(AheadOf::new(Ahead { near: far, far }, (usize::MAX, bytes), 0))
    }
}

/// The lines of a block.
#[inline(always)]
fn lines(tile: &[Bytes], block: usize) -> &[Quads; LINES] {
    Block::<LINES, 0>::new(&tile[block * LEN..][..LEN]).quants
}

/// Adds the products of R rows with a block of N tiles: of bytes that are 128 too large, or of signed ones where these are faster.
#[inline(always)]
fn multiply<S: Simd, const R: usize, const N: usize>(
    s: S,
    w: &[&[Quads; LINES]; N],
    x: &[&Rounded; R],
    sums: &mut [[S::I; N]; R],
) {
    for i in 0..LINES {
        let mut lines = [s.splat_int(0); N];
        for (line, w) in lines.iter_mut().zip(w) {
            *line = s.bytes(&w[i]);
            if S::SIGNED {
                *line = s.xor(*line, s.splat_int(i32::from_le_bytes([128; 4])));
            }
        }
        for (sums, x) in sums.iter_mut().zip(x) {
            let x = s.splat_int(x[i].to_bits().cast_signed());
            for (sum, line) in sums.iter_mut().zip(lines) {
                *sum = if S::SIGNED { s.dot_signed(*sum, line, x) } else { s.dot(*sum, line, x, true) };
            }
        }
    }
}
