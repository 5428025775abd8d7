//! The integer product's inner loop: rounded rows of x times unpacked columns of tiles. The products of each part are
//! added up exactly; the parts, each times its scale, in the order of the columns, so that neither tile nor company nor
//! chunk shows in the bits.

use std::ops::Range;

use graph::Elem;

use crate::cpu::codecs::{COLUMNS, PARTS, QUAD, QUADS, Quads};
use crate::cpu::ops::eight::{Block, Factor};
use crate::cpu::ops::linear::AT_ONCE;
use crate::cpu::simd::{Bytes, Kernel, Line, Simd};

/// Unpacked columns of one tile: lines of bytes, and each part's scale and minimum.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Weights {
    pub(crate) bytes: [Quads; QUADS],
    pub(crate) scales: [Line; PARTS],
    pub(crate) mins: [Line; PARTS],
}

impl Weights {
    pub(crate) const ZERO: Weights =
        Weights { bytes: [[[0; 16]; QUAD]; QUADS], scales: [Line([0.0; 16]); PARTS], mins: [Line([0.0; 16]); PARTS] };

    /// Part `p`.
    #[inline(always)]
    fn part<const LINES: usize>(&self, p: usize, has_min: bool) -> Unpacked<'_, LINES> {
        let bytes = &self.bytes.as_chunks().0[p];
        Unpacked { bytes, scale: &self.scales[p], min: &self.mins[p], has_min }
    }

    /// The elements of one row, with what was taken from each byte.
    pub(crate) fn row(&self, lane: usize, form: Form, zero: u32, out: &mut [f32]) {
        for (k, out) in out.iter_mut().enumerate() {
            let (line, part) = (k / QUAD, k / QUAD / form.lines);
            let byte = i32::from(self.bytes[line].as_flattened()[QUAD * lane + k % QUAD]) - zero as i32;
            let min = if form.zero == 0 { self.mins[part].0[lane] } else { 0.0 };
            *out = self.scales[part].0[lane] * byte as f32 - min;
        }
    }
}

/// A part of columns of a tile, in registers or in the first cache.
pub(crate) trait Lines<S: Simd, const LINES: usize> {
    /// Line `i`.
    fn line(&self, s: S, i: usize) -> S::I;
    fn scale(&self, s: S) -> S::F;
    fn min(&self, s: S) -> Option<S::F>;
}

/// A part that is loaded line by line, where it is used.
#[derive(Clone, Copy)]
struct Unpacked<'a, const LINES: usize> {
    bytes: &'a [Quads; LINES],
    scale: &'a Line,
    min: &'a Line,
    has_min: bool,
}

impl<S: Simd, const LINES: usize> Lines<S, LINES> for Unpacked<'_, LINES> {
    #[inline(always)]
    fn line(&self, s: S, i: usize) -> S::I {
        s.bytes(&self.bytes[i])
    }

    #[inline(always)]
    fn scale(&self, s: S) -> S::F {
        s.load(&self.scale.0)
    }

    #[inline(always)]
    fn min(&self, s: S) -> Option<S::F> {
        // `map` would take a closure, which is not always inlined.
        if self.has_min { Some(s.load(&self.min.0)) } else { None }
    }
}

/// Adds the products of R rows with a part of T tiles, from whose bytes, `wide` or not, `zero` is taken, to the total of each
/// pair. All pairs take turns: each one's sum waits for its last product, the others'
/// meanwhile go on.
#[inline(always)]
pub(crate) fn multiply<S: Simd, L: Lines<S, LINES>, const R: usize, const T: usize, const LINES: usize>(
    s: S,
    tiles: &[L; T],
    x: &[Factor<LINES>; R],
    (zero, wide): (u32, bool),
    totals: &mut [[S::F; T]; R],
) {
    let mut sums = [[s.splat_int(0); T]; R];
    if zero > 0 {
        for (sums, x) in sums.iter_mut().zip(x) {
            *sums = [x.start(s, zero); T];
        }
    }
    for i in 0..LINES {
        let mut lines = [s.splat_int(0); T];
        for (line, tile) in lines.iter_mut().zip(tiles) {
            *line = tile.line(s, i);
        }
        for (sums, x) in sums.iter_mut().zip(x) {
            let x = s.splat_int(x.quads[i].to_bits() as i32);
            for (sum, line) in sums.iter_mut().zip(lines) {
                *sum = s.dot(*sum, line, x, wide);
            }
        }
    }
    for ((totals, sums), x) in totals.iter_mut().zip(sums).zip(x) {
        let scale = s.splat(x.scale());
        for ((total, sum), tile) in totals.iter_mut().zip(sums).zip(tiles) {
            *total = s.mul_add(s.float(sum), s.mul(tile.scale(s), scale), *total);
            if let Some(min) = tile.min(s) {
                *total = s.mul_add(min, s.splat(x.sum()), *total);
            }
        }
    }
}

/// How parts are multiplied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Lines of a part: 4 or 8.
    pub(crate) lines: usize,
    /// What is taken from each byte; 0 if there are minima.
    pub(crate) zero: u32,
    /// Whether bytes reach 128 and more.
    pub(crate) wide: bool,
}

/// acc\[row\]\[tile\] (+)= Σ x\[row\] · w\[tile\].
pub(crate) struct GemmInt<'a> {
    pub(crate) form: Form,
    /// Few enough to stay in a core's first cache.
    pub(crate) w: &'a [Weights],
    pub(crate) x: &'a [Block],
    /// Where each row's columns start in `x`.
    pub(crate) rows: &'a [u32],
    /// How many columns.
    pub(crate) columns: usize,
    /// Row r starts at r · `acc_stride`.
    pub(crate) acc: &'a mut [Line],
    pub(crate) acc_stride: usize,
    /// Goes on from what is in `acc`; else starts from zero.
    pub(crate) resume: bool,
    /// Blocks that will be unpacked next, a tile each, asked for bit by bit.
    pub(crate) next: [&'a [Bytes]; AT_ONCE],
}

impl Kernel for GemmInt<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        match self.form {
            Form { lines: 8, zero: 0, .. } => self.rows::<S, 8, true, false>(s),
            Form { lines: 8, wide, .. } if wide || S::WIDE_IS_FREE => self.rows::<S, 8, false, true>(s),
            Form { lines: 8, .. } => self.rows::<S, 8, false, false>(s),
            Form { zero: 0, .. } => self.rows::<S, 4, true, false>(s),
            Form { .. } => self.rows::<S, 4, false, false>(s),
        }
    }
}

impl GemmInt<'_> {
    #[inline(always)]
    fn rows<S: Simd, const LINES: usize, const MIN: bool, const WIDE: bool>(&mut self, s: S) {
        // Two short parts of two tiles in a turn take more registers beside the sums.
        let most = const { if LINES == 8 || S::QUANT_TILES == 1 { S::QUANT_ROWS } else { S::QUANT_ROWS - 1 } };
        macro_rules! tiles {
            ($rows:expr, $row:expr; $($n:literal)*) => {
                match $rows.len() {
                    $($n if most >= $n => {
                        self.tiles::<S, $n, LINES, MIN, WIDE>(s, $rows.first_chunk().expect("so many"), $row);
                    })*
                    _ => unreachable!("as many rows as registers take"),
                }
            };
        }
        Factor::check(self.x, self.rows, self.columns);
        let groups = self.rows.len().div_ceil(most);
        let each = (self.next[0].len() / QUAD).div_ceil(groups);
        let (rows, mut row) = (self.rows, 0);
        for group in 0..groups {
            // Rows are shared out evenly: 9 as 5 and 4, not as 8 and 1.
            let n = (rows.len() - row).div_ceil(groups - group);
            tiles!(rows[row..row + n], (row, group * each..(group + 1) * each); 1 2 3 4 5 6 7 8);
            row += n;
        }
    }

    #[inline(always)]
    fn tiles<S: Simd, const R: usize, const LINES: usize, const MIN: bool, const WIDE: bool>(
        &mut self,
        s: S,
        rows: &[u32; R],
        (row, ask): (usize, Range<usize>),
    ) {
        let mut tile = 0;
        while tile < self.w.len() {
            match &self.w[tile..] {
                [a, b, ..] if S::QUANT_TILES == 2 => {
                    self.product::<S, R, 2, LINES, MIN, WIDE>(s, [a, b], rows, (row, tile, &ask));
                    tile += 2;
                }
                [a, ..] => {
                    self.product::<S, R, 1, LINES, MIN, WIDE>(s, [a], rows, (row, tile, &ask));
                    tile += 1;
                }
                [] => {}
            }
        }
    }

    /// R rows times T tiles, all sums in registers.
    #[inline(always)]
    fn product<S: Simd, const R: usize, const T: usize, const LINES: usize, const MIN: bool, const WIDE: bool>(
        &mut self,
        s: S,
        w: [&Weights; T],
        rows: &[u32; R],
        (row, tile, ask): (usize, usize, &Range<usize>),
    ) {
        for blocks in self.next.iter().skip(tile).take(T) {
            let lines = blocks.as_chunks::<QUAD>().0;
            for line in &lines[ask.start.min(lines.len())..ask.end.min(lines.len())] {
                s.prefetch(line, 0);
            }
        }
        let mut totals = [[s.splat(0.0); T]; R];
        if self.resume {
            for (r, totals) in totals.iter_mut().enumerate() {
                for (t, total) in totals.iter_mut().enumerate() {
                    *total = s.load(&self.acc[(row + r) * self.acc_stride + tile + t].0);
                }
            }
        }
        let zero = if S::WIDE_IS_FREE && !MIN { 128 } else { self.form.zero };
        for block in 0..(self.columns / Elem::Q8_BLOCK).min(COLUMNS / Elem::Q8_BLOCK) {
            // A block of x in one turn: where its parts lie is then known when this is compiled.
            macro_rules! part {
                ($p:expr) => {
                    let mut parts = [w[0].part::<LINES>($p, MIN); T];
                    for (part, w) in parts.iter_mut().zip(w) {
                        *part = w.part($p, MIN);
                    }
                    let x = Factor::<LINES>::all(self.x, rows, $p);
                    multiply(s, &parts, &x, (zero, WIDE), &mut totals);
                };
            }
            if QUAD * LINES == Elem::Q8_BLOCK {
                part!(block);
            } else {
                part!(2 * block);
                part!(2 * block + 1);
            }
        }
        for (r, totals) in totals.into_iter().enumerate() {
            for (t, total) in totals.into_iter().enumerate() {
                s.store(&mut self.acc[(row + r) * self.acc_stride + tile + t].0, total);
            }
        }
    }
}
