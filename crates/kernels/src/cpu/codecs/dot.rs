//! Products of 8-bit rows with packed tiles. Lines are unpacked in registers again for each group of rows, by instructions that run
//! beside the products.

use std::marker::PhantomData;
use std::ops::Range;

use super::rounded::{Lines, RoundedProduct, Typed, multiply};
use super::{Block, QUAD, Quads, Quant};
use crate::cpu::ops::activations_q8::Factor;
use crate::cpu::simd::{Ahead, AheadOf, Bytes, Kernel, Simd};

impl<'a> RoundedProduct<'a> {
    /// The first fields of `n` tiles; those of the first tile again where there are fewer than N.
    #[inline(always)]
    fn tiles<const N: usize>(&self, first: usize, n: usize, len: usize) -> [&'a [Bytes]; N] {
        let mut tiles = [&self.tiles[first * self.stride..][..len]; N];
        for (i, tile) in tiles.iter_mut().enumerate().take(n) {
            *tile = &self.tiles[(first + i) * self.stride..][..len];
        }
        tiles
    }
}

impl<T, const HELD: bool, const LINES: usize, const QUANTS: usize, const SIDE: usize>
    Typed<'_, T, HELD, LINES, QUANTS, SIDE>
where
    T: Quant<LINES, QUANTS, SIDE>,
{
    /// If registers cannot hold all rows, groups of rows take turns at each tile, or two of them, before the next.
    #[inline(always)]
    pub(super) fn dot<S: Simd>(&mut self, s: S) {
        let (count, tiles) = (self.job.rows.len(), self.job.tiles.len() / self.job.stride);
        let turns = count.div_ceil(S::QUANT_ROWS);
        let at_once = if turns == 1 { tiles } else { S::QUANT_TILES };
        for first in (0..tiles).step_by(at_once) {
            let tiles = first..tiles.min(first + at_once);
            let mut row = 0;
            for turn in 0..turns {
                // Groups of even size: 9 rows as 5 and 4, not as 7 and 2.
                let rows = row..row + (count - row).div_ceil(turns - turn);
                row = rows.end;
                macro_rules! part {
                    ($r:literal, $n:literal) => {
                        s.apart(Rows::<_, $r, $n> {
                            product: self,
                            row: rows.start,
                            tiles: &tiles,
                            turn: (turn, turns),
                        })
                    };
                }
                macro_rules! rows {
                    ($($n:literal)*) => {
                        match rows.len() {
                            1 => part!(1, 1),
                            $($n if const { $n <= S::QUANT_ROWS && S::QUANT_TILES == 1 } => part!($n, 1),
                            $n if const { $n <= S::QUANT_ROWS && S::QUANT_TILES == 2 } => part!($n, 2),)*
                            _ => unreachable!("as many rows as registers take"),
                        }
                    };
                }
                rows!(2 3 4 5 6 7);
            }
        }
    }

    /// R rows times some tiles, N at a time.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const N: usize>(
        &mut self,
        s: S,
        row: usize,
        tiles: &Range<usize>,
        (turn, turns): (usize, usize),
    ) {
        let job = &mut self.job;
        let ahead = job.ahead;
        let len = Block::<QUANTS, SIDE>::LEN;
        let blocks = job.cols / (T::PARTS * LINES * QUAD);
        let rows = job.rows[row..].first_chunk::<R>().expect("so many");
        Factor::check(job.x, rows, job.cols);
        // Parts with the same remainder by 8 are alike, so only the remainder is a compile-time constant.
        let (groups, parts) = (T::PARTS.div_ceil(8), T::PARTS.min(8));
        let lines = len.div_ceil(groups * QUAD);
        let (bytes, next) = (len * size_of::<Bytes>(), N * job.stride * size_of::<Bytes>());
        // If rows take turns, each turn prefetches its share of the next tiles. The first part may read a block's last field.
        let ahead = Ahead { near: ahead.near + bytes, far: ahead.far + bytes };
        let ahead = AheadOf::new(ahead, (blocks, bytes), (N - 1) * job.stride * size_of::<Bytes>());
        for first in tiles.clone().step_by(N) {
            let n = N.min(tiles.end - first);
            let w = job.tiles::<N>(first, n, blocks * len);
            let mut totals = [[s.splat(0.0); N]; R];
            let mut wait = turn;
            for b in 0..blocks {
                let asks = wait == 0;
                wait = if asks { turns } else { wait } - 1;
                let ahead = ahead.at(b);
                let (near, far) = if turns == 1 { (Some(ahead.near), ahead.far) } else { (None, next + bytes) };
                let mut now = [&w[0][b * len..][..len]; N];
                for (now, w) in now.iter_mut().zip(w) {
                    *now = &w[b * len..][..len];
                }
                for group in 0..groups {
                    macro_rules! parts {
                        ($($i:literal)*) => {$(
                            if const { $i < T::PARTS } {
                                let p = 8 * group + $i;
                                let mut w = [Part::<T, QUANTS, SIDE>::new(now[0], p); N];
                                for (w, now) in w.iter_mut().zip(now) {
                                    *w = Part::new(now, p);
                                    let lines = if asks { $i * lines / parts..($i + 1) * lines / parts } else { 0..0 };
                                    ask(s, &now[group * len / groups], lines, near, far);
                                }
                                let x = Factor::<LINES>::all(job.x, rows, b * T::PARTS + p);
                                multiply(s, &w, &x, (T::ZERO, T::WIDE), &mut totals);
                            }
                        )*};
                    }
                    parts!(0 1 2 3 4 5 6 7);
                }
            }
            for (r, totals) in totals.into_iter().enumerate() {
                for (i, total) in totals.into_iter().enumerate().take(n) {
                    s.store(&mut job.sums[(row + r) * job.sums_stride + first + i].0, total);
                }
            }
        }
    }
}

/// R rows from `row` on times some tiles, N at a time.
struct Rows<'r, P, const R: usize, const N: usize> {
    product: &'r mut P,
    row: usize,
    tiles: &'r Range<usize>,
    turn: (usize, usize),
}

impl<T, const HELD: bool, const LINES: usize, const QUANTS: usize, const SIDE: usize, const R: usize, const N: usize>
    Kernel for Rows<'_, Typed<'_, T, HELD, LINES, QUANTS, SIDE>, R, N>
where
    T: Quant<LINES, QUANTS, SIDE>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.product.rows::<S, R, N>(s, self.row, self.tiles, self.turn);
    }
}

/// Prefetches lines at these distances from a place.
#[inline(always)]
pub(super) fn ask<S: Simd>(s: S, place: &Bytes, lines: Range<usize>, near: Option<usize>, far: usize) {
    for line in lines {
        if let Some(near) = near {
            s.prefetch(place, near + line * size_of::<Quads>());
        }
        s.prefetch_far(place, far + line * size_of::<Quads>());
    }
}

/// A part of a block of type `T`.
struct Part<'a, T, const QUANTS: usize, const SIDE: usize> {
    block: Block<'a, QUANTS, SIDE>,
    part: usize,
    of: PhantomData<T>,
}

impl<'a, T, const QUANTS: usize, const SIDE: usize> Part<'a, T, QUANTS, SIDE> {
    #[inline(always)]
    fn new(fields: &'a [Bytes], part: usize) -> Self {
        Part { block: Block::new(fields), part, of: PhantomData }
    }
}

// Not derived, because a derived one requires the same of `T`.
impl<T, const QUANTS: usize, const SIDE: usize> Clone for Part<'_, T, QUANTS, SIDE> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, const QUANTS: usize, const SIDE: usize> Copy for Part<'_, T, QUANTS, SIDE> {}

impl<S, T, const LINES: usize, const QUANTS: usize, const SIDE: usize> Lines<S, LINES> for Part<'_, T, QUANTS, SIDE>
where
    S: Simd,
    T: Quant<LINES, QUANTS, SIDE>,
{
    #[inline(always)]
    fn line(&self, s: S, i: usize) -> S::I {
        T::line(s, &self.block, self.part, i)
    }

    #[inline(always)]
    fn scale(&self, s: S) -> S::F {
        T::scale(s, &self.block, self.part)
    }

    #[inline(always)]
    fn min(&self, s: S) -> Option<S::F> {
        T::min(s, &self.block, self.part)
    }
}
