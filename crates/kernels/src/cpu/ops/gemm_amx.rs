//! The inner loop of integer products with a matrix unit. It gives the same bits as the one without: both sums are exact, and they are
//! scaled and added up in the same order.

use crate::cpu::codecs::{COLUMNS, Form, QUAD, Weights};
use crate::cpu::ops::activations_q8::{Block, Factor};
use crate::cpu::ops::linear::{AT_ONCE, SUMS, TILES};
use crate::cpu::simd::{Bytes, Kernel, LANES, Line, Simd, Sums, Unit};
use graph::Elem;

/// With fewer rows than this [`RoundedProduct`](crate::cpu::codecs::RoundedProduct) is faster: the unit saves less than its setup
/// costs.
const FEWEST: usize = 64;
/// Parts of a tile whose sums are computed at a time: with x and weights they stay in the first-level cache.
pub(crate) const BLOCKS: usize = COLUMNS / Elem::Q8_BLOCK;

/// Whether the unit multiplies so many rows with weights of this form: their parts must be as long as a block of activations.
pub(crate) fn suits(form: Form, rows: usize) -> bool {
    form.lines * QUAD == Elem::Q8_BLOCK && rows >= FEWEST
}

/// The distance between numbers, if it is always the same.
pub(crate) fn spaced(rows: &[u32]) -> Option<usize> {
    let stride = rows[1].checked_sub(rows[0])?;
    rows.windows(2).all(|pair| pair[0].checked_add(stride) == Some(pair[1])).then_some(stride as usize)
}

/// The groups in which rows of x are multiplied.
#[derive(Clone, Copy)]
pub(crate) struct Groups {
    count: usize,
    rows: usize,
}

impl Groups {
    pub(crate) fn new(rows: usize) -> Groups {
        Groups { count: rows.div_ceil(LANES), rows }
    }

    /// The most rows of a group. All groups have as many, or one less.
    pub(crate) fn most(self) -> usize {
        self.rows.div_ceil(self.count)
    }

    /// The first row of group `i` and the number of its rows. Groups with one row less come first.
    fn get(self, i: usize) -> (usize, usize) {
        let (least, more) = (self.rows / self.count, self.rows % self.count);
        let first = i * least + (i + more).saturating_sub(self.count);
        (first, least + usize::from(i + more >= self.count))
    }
}

/// The scales and sums of a group's rows for each block of columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    scales: [Line; BLOCKS],
    /// The factors of minima.
    sums: [Line; BLOCKS],
}

impl Side {
    pub(crate) const ZERO: Side = Side { scales: [Line([0.0; LANES]); BLOCKS], sums: [Line([0.0; LANES]); BLOCKS] };

    /// Reads those of some blocks of rows of x that are `stride` blocks apart.
    pub(crate) fn read(sides: &mut [Side], groups: Groups, (x, stride): (&[Block], usize), blocks: usize) {
        for (i, side) in sides[..groups.count].iter_mut().enumerate() {
            let (first, n) = groups.get(i);
            for lane in 0..n {
                let row = &x[(first + lane) * stride..][..blocks];
                for (i, (scales, sums)) in side.scales.iter_mut().zip(&mut side.sums).take(blocks).enumerate() {
                    let factor = Factor::<8>::new(row, 0, i);
                    (scales.0[lane], sums.0[lane]) = (factor.scale(), factor.sum());
                }
            }
        }
    }
}

/// acc\[row\]\[tile\] (+)= Σ x\[row\] · w\[tile\], in groups of rows.
pub(crate) struct GemmAmx<'a> {
    /// Set up for the most rows of a group.
    pub(crate) unit: &'a Unit,
    pub(crate) groups: Groups,
    pub(crate) has_min: bool,
    /// Few enough to stay in the first-level cache; their bytes are signed.
    pub(crate) w: &'a [Weights],
    /// Rows of x, and how many blocks they are apart.
    pub(crate) x: (&'a [Block], usize),
    /// How many of each row.
    pub(crate) blocks: usize,
    /// Of each group.
    pub(crate) sides: &'a [Side],
    /// Scratch memory for the sums of two tiles' parts.
    pub(crate) sums: &'a mut [[Sums; 2]; BLOCKS],
    /// Rows of [`SUMS`]; the tiles' are from `first` on.
    pub(crate) acc: &'a mut [Line],
    pub(crate) first: usize,
    /// Adds to what is in `acc`; else starts from zero.
    pub(crate) resume: bool,
    /// Blocks that will be unpacked next, a tile each; they are prefetched bit by bit.
    pub(crate) next: [&'a [Bytes]; AT_ONCE],
}

impl Kernel for GemmAmx<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        // Known at compile time, so no code is generated for other instruction sets.
        assert!(S::WIDE_IS_FREE, "signed bytes of weights");
        let ask = (self.next[0].len() / QUAD).div_ceil(self.groups.count);
        for group in 0..self.groups.count {
            for blocks in self.next {
                let lines = blocks.as_chunks::<QUAD>().0;
                for line in &lines[(group * ask).min(lines.len())..((group + 1) * ask).min(lines.len())] {
                    s.prefetch(line, 0);
                }
            }
            for (i, pair) in self.w.chunks(2).enumerate() {
                self.group(s, group, pair, self.first + 2 * i);
            }
        }
    }
}

impl GemmAmx<'_> {
    /// Multiplies a group of rows with one or two tiles, whose sums begin at place `tile` of their rows.
    #[inline(always)]
    fn group<S: Simd>(&mut self, s: S, group: usize, w: &[Weights], tile: usize) {
        let ((row, n), sums) = (self.groups.get(group), &mut self.sums[..self.blocks]);
        if let [first, .., last] | [first @ last] = w {
            let x = &self.x.0[row * self.x.1..];
            self.unit.multiply(x, self.x.1, [first, last].map(|w| w.bytes.as_chunks().0), sums);
        }
        let acc = &mut self.acc.as_chunks_mut().0[row..];
        for (t, w) in w.iter().enumerate() {
            let scaled = Scaled { w, side: &self.sides[group], sums, t };
            macro_rules! rows {
                ($($n:literal)*) => {
                    match (n, self.has_min) {
                        $(
                            ($n, true) => scaled.add::<S, $n, true>(s, acc, tile + t, self.resume),
                            ($n, false) => scaled.add::<S, $n, false>(s, acc, tile + t, self.resume),
                        )*
                        _ => unreachable!("rows from the fewest on are cut into groups of 13 to 16"),
                    }
                };
            }
            rows!(13 14 15 16);
        }
    }
}

/// Sums of parts of a tile that are yet to be scaled and added up.
struct Scaled<'a> {
    w: &'a Weights,
    side: &'a Side,
    sums: &'a [[Sums; 2]],
    /// Which of the two.
    t: usize,
}

impl Scaled<'_> {
    /// Adds the parts of R rows, with all totals in registers, to place `tile` of their rows of sums.
    #[inline(always)]
    fn add<S: Simd, const R: usize, const MIN: bool>(&self, s: S, acc: &mut [[Line; SUMS]], tile: usize, resume: bool) {
        let (acc, tile) = (acc.first_chunk_mut::<R>().expect("a row of sums for each"), tile % TILES);
        let mut totals = [s.splat(0.0); R];
        if resume {
            for (total, acc) in totals.iter_mut().zip(acc.iter()) {
                *total = s.load(&acc[tile].0);
            }
        }
        let scales = self.w.scales.iter().zip(&self.w.mins).zip(self.side.scales.iter().zip(&self.side.sums));
        for (((w, min), (x, sum)), sums) in scales.zip(self.sums) {
            let (w, min) = (s.load(&w.0), s.load(&min.0));
            for (r, total) in totals.iter_mut().enumerate() {
                let part = s.float(s.bytes(&sums[self.t].0[r]));
                *total = s.mul_add(part, s.mul(w, s.splat(x.0[r])), *total);
            }
            if MIN {
                for (r, total) in totals.iter_mut().enumerate() {
                    *total = s.mul_add(min, s.splat(sum.0[r]), *total);
                }
            }
        }
        for (total, acc) in totals.into_iter().zip(acc) {
            s.store(&mut acc[tile].0, total);
        }
    }
}
