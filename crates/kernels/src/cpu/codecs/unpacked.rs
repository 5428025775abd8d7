//! Products of 8-bit rows with columns that were unpacked into memory: one loop for all types of `coded`.

use super::coded::ZERO;
use super::rounded::{Lines, multiply};
use super::{COLUMNS, QUAD, Quads, Weights};
use crate::cpu::ops::activations_q8::{Block as Rounded, Factor};
use crate::cpu::simd::{Kernel, Line, Simd};

/// Multiplies columns of tiles with 8-bit rows: row r of `sums` + t (+)= tile t · row r. The parts are added up as in `rounded.rs`.
pub(crate) struct UnpackedProduct<'a> {
    /// Lines of a part: 4 or 8.
    pub(crate) lines: usize,
    /// Unpacked columns of each tile.
    pub(crate) w: &'a [Weights],
    /// How many columns.
    pub(crate) columns: usize,
    /// The rows from these columns on.
    pub(crate) x: &'a [Rounded],
    /// Where each row starts in `x`.
    pub(crate) rows: &'a [u32],
    pub(crate) sums: &'a mut [Line],
    pub(crate) sums_stride: usize,
    /// Adds to what is in `sums`; else starts from zero.
    pub(crate) resume: bool,
}

impl Kernel for UnpackedProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        assert!(self.columns <= COLUMNS, "unpacked columns");
        Factor::check(self.x, self.rows, self.columns);
        match self.lines {
            4 => self.all::<S, 4>(s),
            _ => self.all::<S, 8>(s),
        }
    }
}

impl UnpackedProduct<'_> {
    #[inline(always)]
    fn all<S: Simd, const LINES: usize>(&mut self, s: S) {
        let mut row = 0;
        while row < self.rows.len() {
            let rows = match self.rows.len() - row {
                1 => 1,
                2 | 3 => 2,
                _ => S::QUANT_ROWS.min(4),
            };
            let mut tile = 0;
            while tile < self.w.len() {
                let tiles = (self.w.len() - tile).min(S::QUANT_TILES);
                match (rows, tiles) {
                    (1, 1) => self.part::<S, 1, 1, LINES>(s, row, tile),
                    (2, 1) => self.part::<S, 2, 1, LINES>(s, row, tile),
                    (4, 1) if const { S::QUANT_ROWS >= 4 } => self.part::<S, 4, 1, LINES>(s, row, tile),
                    (1, _) if const { S::QUANT_TILES == 2 } => self.part::<S, 1, 2, LINES>(s, row, tile),
                    (2, _) if const { S::QUANT_TILES == 2 } => self.part::<S, 2, 2, LINES>(s, row, tile),
                    (4, _) if const { S::QUANT_TILES == 2 && S::QUANT_ROWS >= 4 } => {
                        self.part::<S, 4, 2, LINES>(s, row, tile);
                    }
                    _ => unreachable!("as many as registers take"),
                }
                tile += tiles;
            }
            row += rows;
        }
    }

    /// R rows from `row` on times N tiles from `tile` on.
    #[inline(always)]
    fn part<S: Simd, const R: usize, const N: usize, const LINES: usize>(&mut self, s: S, row: usize, tile: usize) {
        let rows = self.rows[row..].first_chunk::<R>().expect("so many");
        let w = self.w[tile..].first_chunk::<N>().expect("so many");
        let at = |r: usize| (row + r) * self.sums_stride + tile;
        let mut totals = [[s.splat(0.0); N]; R];
        if self.resume {
            for (r, totals) in totals.iter_mut().enumerate() {
                for (total, sum) in totals.iter_mut().zip(&self.sums[at(r)..]) {
                    *total = s.load(&sum.0);
                }
            }
        }
        for part in 0..self.columns / (LINES * QUAD) {
            let mut tiles = [Part::<LINES>::of(&w[0], part); N];
            for (tile, w) in tiles.iter_mut().zip(w) {
                *tile = Part::of(w, part);
            }
            multiply(s, &tiles, &Factor::all(self.x, rows, part), (ZERO, false), &mut totals);
        }
        for (r, totals) in totals.into_iter().enumerate() {
            for (total, sum) in totals.into_iter().zip(&mut self.sums[(row + r) * self.sums_stride + tile..]) {
                s.store(&mut sum.0, total);
            }
        }
    }
}

/// A part of unpacked columns.
#[derive(Clone, Copy)]
struct Part<'a, const LINES: usize> {
    bytes: &'a [Quads; LINES],
    scale: &'a Line,
}

impl<'a, const LINES: usize> Part<'a, LINES> {
    #[inline(always)]
    fn of(w: &'a Weights, part: usize) -> Self {
        Part { bytes: &w.bytes.as_chunks().0[part], scale: &w.scales[part] }
    }
}

impl<S: Simd, const LINES: usize> Lines<S, LINES> for Part<'_, LINES> {
    #[inline(always)]
    fn line(&self, s: S, i: usize) -> S::I {
        s.bytes(&self.bytes[i])
    }

    #[inline(always)]
    fn scale(&self, s: S) -> S::F {
        s.load(&self.scale.0)
    }

    #[inline(always)]
    fn min(&self, _: S) -> Option<S::F> {
        None
    }
}
