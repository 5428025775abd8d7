//! The integer product's inner loop: rounded rows of x times unpacked columns of tiles. The products of each part are
//! added up exactly; the parts, each times its scale, in the order of the columns, so that neither tile nor company nor
//! chunk shows in the bits.

use crate::cpu::codecs::{COLUMNS, PARTS, QUAD, Quads, Row};
use crate::cpu::simd::{Kernel, Line, Simd};

const QUADS: usize = COLUMNS / QUAD;

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

    /// The elements of one row.
    pub(crate) fn row(&self, lane: usize, lines: usize, zero: i32, out: &mut [f32]) {
        for (k, out) in out.iter_mut().enumerate() {
            let (line, part) = (k / QUAD, k / QUAD / lines);
            let byte = self.bytes[line].as_flattened()[QUAD * lane + k % QUAD];
            *out = self.scales[part].0[lane] * (i32::from(byte) - zero) as f32 - self.mins[part].0[lane];
        }
    }
}

/// The same columns of one row of x: bytes, and for each part what the sum starts from, its scale, and what its minimum is
/// multiplied with.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Strip {
    quads: [i32; QUADS],
    starts: [i32; PARTS],
    scales: [f32; PARTS],
    mins: [f32; PARTS],
}

impl Strip {
    pub(crate) const ZERO: Strip =
        Strip { quads: [0; QUADS], starts: [0; PARTS], scales: [0.0; PARTS], mins: [0.0; PARTS] };

    /// Takes `parts` parts of `lines` lines from part `first` on; `zero` is taken from each byte of a weight.
    pub(crate) fn fill(&mut self, x: Row, lines: usize, zero: i32, (first, parts): (usize, usize)) {
        let quads = &x.quads[first * lines..][..parts * lines];
        self.quads.iter_mut().zip(quads).for_each(|(to, x)| *to = x.to_bits() as i32);
        for p in 0..parts.min(PARTS) {
            let (scale, sum) = x.part(lines, first + p);
            (self.starts[p], self.scales[p], self.mins[p]) = (-zero * sum, scale, -(scale * sum as f32));
        }
    }
}

/// How parts are multiplied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Lines of a part: 4 or 8.
    pub(crate) lines: usize,
    /// Whether there are minima.
    pub(crate) min: bool,
    /// Whether bytes reach 128 and more.
    pub(crate) wide: bool,
}

/// acc\[row\]\[tile\] (+)= Σ x\[row\] · w\[tile\].
pub(crate) struct GemmInt<'a> {
    pub(crate) form: Form,
    pub(crate) w: &'a [Weights],
    pub(crate) x: &'a [Strip],
    /// Parts of the columns.
    pub(crate) parts: usize,
    /// Row r starts at r · `acc_stride`.
    pub(crate) acc: &'a mut [Line],
    pub(crate) acc_stride: usize,
    /// Goes on from what is in `acc`; else starts from zero.
    pub(crate) resume: bool,
}

impl Kernel for GemmInt<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        match self.form {
            Form { lines: 8, min: false, wide: true } => self.tiles::<S, 8, false, true>(s),
            Form { lines: 8, min: false, wide: false } => self.tiles::<S, 8, false, false>(s),
            Form { lines: 8, min: true, .. } => self.tiles::<S, 8, true, false>(s),
            Form { min: false, .. } => self.tiles::<S, 4, false, false>(s),
            Form { min: true, .. } => self.tiles::<S, 4, true, false>(s),
        }
    }
}

impl GemmInt<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const LINES: usize, const MIN: bool, const WIDE: bool>(&mut self, s: S) {
        macro_rules! rows {
            ($tile:expr, $w:expr, $x:expr, $row:expr; $($n:literal)*) => {
                match $x.len() {
                    $($n if S::QUANT_ROWS >= $n => {
                        let x = $x.first_chunk::<$n>().expect("so many");
                        self.product::<S, $n, LINES, MIN, WIDE>(s, $w, x, ($row, $tile));
                    })*
                    _ => unreachable!("at most S::QUANT_ROWS rows"),
                }
            };
        }
        let (w, x) = (self.w, self.x);
        for (tile, w) in w.iter().enumerate() {
            let mut row = 0;
            while row < x.len() {
                // Rows are shared out evenly: 9 as 5 and 4, not as 8 and 1.
                let left = x.len() - row;
                let n = left.div_ceil(left.div_ceil(S::QUANT_ROWS));
                rows!(tile, w, x[row..row + n], row; 1 2 3 4 5 6 7 8);
                row += n;
            }
        }
    }

    /// R rows times one tile, all sums and a part of the tile in registers.
    #[inline(always)]
    fn product<S: Simd, const R: usize, const LINES: usize, const MIN: bool, const WIDE: bool>(
        &mut self,
        s: S,
        w: &Weights,
        x: &[Strip; R],
        (row, tile): (usize, usize),
    ) {
        let mut sums = [s.splat(0.0); R];
        if self.resume {
            sums = std::array::from_fn(|r| s.load(&self.acc[(row + r) * self.acc_stride + tile].0));
        }
        for p in 0..self.parts.min(QUADS / LINES) {
            let bytes: [S::I; LINES] = std::array::from_fn(|i| s.bytes(&w.bytes[p * LINES + i]));
            let scale = s.load(&w.scales[p].0);
            for (x, total) in x.iter().zip(&mut sums) {
                let mut acc = s.splat_int(x.starts[p]);
                for (i, &bytes) in bytes.iter().enumerate() {
                    acc = s.dot(acc, bytes, s.splat_int(x.quads[p * LINES + i]), WIDE);
                }
                *total = s.mul_add(s.float(acc), s.mul(scale, s.splat(x.scales[p])), *total);
                if MIN {
                    *total = s.mul_add(s.load(&w.mins[p].0), s.splat(x.mins[p]), *total);
                }
            }
        }
        for (r, total) in sums.into_iter().enumerate() {
            s.store(&mut self.acc[(row + r) * self.acc_stride + tile].0, total);
        }
    }
}
