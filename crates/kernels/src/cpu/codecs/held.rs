//! Products of many 8-bit rows with packed tiles: 32 columns of one or two tiles are unpacked into registers and stay there for all
//! rows. The sums are in memory meanwhile.

use std::marker::PhantomData;
use std::ops::Range;

use super::rounded::{Lines, RoundedProduct, Typed, multiply};
use super::{Block, COLUMNS, QUAD, Quads, Quant};
use crate::cpu::ops::activations_q8::{Block as Rounded, Factor};
use crate::cpu::simd::{Bytes, Kernel, LANES, Line, Simd};

/// Rows that are multiplied before the next tiles: [`COLUMNS`] of them, and their sums, stay in the first-level cache.
const ROWS: usize = 32;

impl<T, const HELD: bool, const LINES: usize, const QUANTS: usize, const SIDE: usize>
    Typed<'_, T, HELD, LINES, QUANTS, SIDE>
where
    T: Quant<LINES, QUANTS, SIDE>,
{
    #[inline(always)]
    pub(super) fn hold<S: Simd>(&mut self, s: S) {
        let RoundedProduct { rows, cols, .. } = self.job;
        let tiles = self.job.tiles.len() / self.job.stride;
        Factor::check(self.job.x, rows, cols);
        for sums in self.job.sums.chunks_mut(self.job.sums_stride).take(rows.len()) {
            sums[..tiles].fill(Line([0.0; LANES]));
        }
        let groups = rows.len().div_ceil(ROWS);
        for start in (0..cols).step_by(COLUMNS) {
            let columns = start..(start + COLUMNS).min(cols);
            let mut row = 0;
            for group in 0..groups {
                // Groups of even size: 40 rows as 20 and 20, not as 32 and 8.
                let rows = row..row + (rows.len() - row).div_ceil(groups - group);
                row = rows.end;
                let mut tile = 0;
                while tile < tiles {
                    if const { S::QUANT_TILES == 2 } && tile + 1 < tiles {
                        self.tiles::<S, 2>(s, tile, &columns, &rows);
                        tile += 2;
                    } else {
                        self.tiles::<S, 1>(s, tile, &columns, &rows);
                        tile += 1;
                    }
                }
            }
        }
    }

    /// Multiplies some columns of N tiles with some rows.
    #[inline(always)]
    fn tiles<S: Simd, const N: usize>(&mut self, s: S, first: usize, columns: &Range<usize>, rows: &Range<usize>) {
        let job = &mut self.job;
        let (len, width) = (Block::<QUANTS, SIDE>::LEN, T::PARTS * LINES * QUAD);
        let blocks = columns.start / width..columns.end / width;
        let fields = blocks.start * len..blocks.end * len;
        let mut w = [&job.tiles[first * job.stride..][fields.clone()]; N];
        for (i, w) in w.iter_mut().enumerate() {
            *w = &job.tiles[(first + i) * job.stride..][fields.clone()];
        }
        // The same columns of the next tiles, or the first tiles' next ones, are prefetched once, by the first rows.
        let ahead = match first + N < job.tiles.len() / job.stride {
            true => N * job.stride,
            false => fields.len().wrapping_sub(first * job.stride),
        };
        let ahead = (rows.start == 0).then(|| ahead.wrapping_mul(size_of::<Bytes>()));
        let mut pass = Pass {
            x: job.x,
            rows: &job.rows[rows.clone()],
            part: 0,
            sums: &mut job.sums[rows.start * job.sums_stride + first..],
            stride: job.sums_stride,
            form: (T::ZERO, T::WIDE),
        };
        let len = Block::<QUANTS, SIDE>::LEN;
        for (b, block) in blocks.enumerate() {
            let mut now = [&w[0][b * len..][..len]; N];
            for (now, w) in now.iter_mut().zip(w) {
                *now = &w[b * len..][..len];
            }
            for group in 0..T::PARTS.div_ceil(8) {
                macro_rules! parts {
                    ($($i:literal)*) => {$(
                        if const { $i < T::PARTS } {
                            pass.part = block * T::PARTS + 8 * group + $i;
                            let (pass, of) = (&mut pass, PhantomData);
                            let parts = Parts::<T, $i, N, LINES, QUANTS, SIDE> { pass, now, group, ahead, of };
                            // Where a block is a part, there is no more to cut.
                            if const { T::PARTS == 1 } { parts.run(s) } else { s.apart(parts) }
                        }
                    )*};
                }
                parts!(0 4);
            }
        }
    }
}

/// Four parts of blocks of N tiles from part 8 · `group` + I on, for some rows. Parts with the same remainder by 8 are alike, so only the
/// remainder is a compile-time constant. What scales have in common is computed once for four of them.
struct Parts<'p, 'a, T, const I: usize, const N: usize, const LINES: usize, const QUANTS: usize, const SIDE: usize> {
    pass: &'p mut Pass<'a>,
    now: [&'a [Bytes]; N],
    group: usize,
    /// How far ahead memory is prefetched, if it is.
    ahead: Option<usize>,
    of: PhantomData<T>,
}

impl<T, const I: usize, const N: usize, const LINES: usize, const QUANTS: usize, const SIDE: usize> Kernel
    for Parts<'_, '_, T, I, N, LINES, QUANTS, SIDE>
where
    T: Quant<LINES, QUANTS, SIDE>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (groups, parts) = const { (T::PARTS.div_ceil(8), if T::PARTS < 8 { T::PARTS } else { 8 }) };
        let (len, part) = (Block::<QUANTS, SIDE>::LEN, 8 * self.group + I);
        if let Some(ahead) = self.ahead {
            let lines = len.div_ceil(groups * QUAD);
            for now in self.now {
                for line in I * lines / parts..parts.min(I + 4) * lines / parts {
                    s.prefetch(&now[self.group * len / groups], ahead.wrapping_add(line * size_of::<Quads>()));
                }
            }
        }
        macro_rules! parts {
            ($($i:literal)*) => {$(
                // A short part is held together with the one before it.
                if const { I + $i < T::PARTS && (LINES == 8 || $i % 2 == 0) } {
                    let next = match const { LINES == 8 } {
                        true => None,
                        false => Some(Held::all::<T, N, QUANTS, SIDE>(s, &self.now, part + $i + 1)),
                    };
                    self.pass.run(s, &Held::all::<T, N, QUANTS, SIDE>(s, &self.now, part + $i), &next);
                    self.pass.part += 8 / LINES;
                }
            )*};
        }
        parts!(0 1 2 3);
    }
}

/// A part of a tile, in registers.
#[derive(Clone, Copy)]
struct Held<S: Simd, const LINES: usize> {
    lines: [S::I; LINES],
    scale: S::F,
    min: Option<S::F>,
}

impl<S: Simd, const LINES: usize> Held<S, LINES> {
    /// Part `part` of blocks of N tiles.
    #[inline(always)]
    fn all<T, const N: usize, const QUANTS: usize, const SIDE: usize>(
        s: S,
        blocks: &[&[Bytes]; N],
        part: usize,
    ) -> [Self; N]
    where
        T: Quant<LINES, QUANTS, SIDE>,
    {
        let mut all = [Held { lines: [s.splat_int(0); LINES], scale: s.splat(0.0), min: None }; N];
        for (held, block) in all.iter_mut().zip(blocks) {
            let block = Block::new(block);
            for (i, line) in held.lines.iter_mut().enumerate() {
                *line = T::line(s, &block, part, i);
            }
            (held.scale, held.min) = (T::scale(s, &block, part), T::min(s, &block, part));
        }
        all
    }
}

impl<S: Simd, const LINES: usize> Lines<S, LINES> for Held<S, LINES> {
    const IN_TURN: bool = true;

    #[inline(always)]
    fn line(&self, _: S, i: usize) -> S::I {
        self.lines[i]
    }

    #[inline(always)]
    fn scale(&self, _: S) -> S::F {
        self.scale
    }

    #[inline(always)]
    fn min(&self, _: S) -> Option<S::F> {
        self.min
    }
}

/// The rows that are multiplied with what is held.
struct Pass<'a> {
    x: &'a [Rounded],
    rows: &'a [u32],
    /// The part that is held.
    part: usize,
    /// Of the first row and tile.
    sums: &'a mut [Line],
    stride: usize,
    form: (u32, bool),
}

impl Pass<'_> {
    /// Adds the products with a part, and with the next if it is held too, to the sums of all rows: two rows at a time, so that
    /// their sums do not wait for each other.
    #[inline(always)]
    fn run<S: Simd, const N: usize, const LINES: usize>(
        &mut self,
        s: S,
        held: &[Held<S, LINES>; N],
        next: &Option<[Held<S, LINES>; N]>,
    ) {
        let (pairs, rest) = self.rows.as_chunks::<2>();
        let mut at = 0;
        for rows in pairs {
            self.rows(s, rows, at, held, next);
            at += 2 * self.stride;
        }
        if let [row] = rest {
            self.rows(s, &[*row], at, held, next);
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const R: usize, const N: usize, const LINES: usize>(
        &mut self,
        s: S,
        rows: &[u32; R],
        at: usize,
        held: &[Held<S, LINES>; N],
        next: &Option<[Held<S, LINES>; N]>,
    ) {
        let mut totals = [[s.splat(0.0); N]; R];
        for (r, totals) in totals.iter_mut().enumerate() {
            for (total, sum) in totals.iter_mut().zip(&self.sums[at + r * self.stride..][..N]) {
                *total = s.load(&sum.0);
            }
        }
        multiply(s, held, &Factor::all(self.x, rows, self.part), self.form, &mut totals);
        if let Some(next) = next {
            multiply(s, next, &Factor::all(self.x, rows, self.part + 1), self.form, &mut totals);
        }
        for (r, totals) in totals.into_iter().enumerate() {
            for (total, sum) in totals.into_iter().zip(&mut self.sums[at + r * self.stride..][..N]) {
                s.store(&mut sum.0, total);
            }
        }
    }
}
