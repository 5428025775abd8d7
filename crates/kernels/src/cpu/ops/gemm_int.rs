//! The integer product's inner loop: rounded rows of x times unpacked columns of tiles. The products of each part are
//! added up exactly; the parts, each times its scale, in the order of the columns, so that neither tile nor company nor
//! chunk shows in the bits.

use crate::cpu::codecs::{PARTS, Part, QUAD, QUADS, Quads};
use crate::cpu::ops::eight::Row;
use crate::cpu::simd::{Kernel, Line, Simd};

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
}

/// Adds the products of part `p` of R strips and of T tiles, whose bytes reach 128 if `wide`, to the total of each pair. All
/// pairs take turns: each one's sum of integers waits for its last product, the others' meanwhile go on.
#[inline(always)]
pub(crate) fn multiply<S: Simd, const R: usize, const T: usize, const LINES: usize>(
    s: S,
    (tiles, wide): (&[Part<S, LINES>; T], bool),
    x: &[Strip; R],
    p: usize,
    totals: &mut [[S::F; T]; R],
) {
    // The remainder changes nothing; it shows the compiler that all indices are in bounds.
    let p = p % (QUADS / LINES);
    let mut sums = [[s.splat_int(0); T]; R];
    for (sums, x) in sums.iter_mut().zip(x) {
        *sums = [s.splat_int(x.starts[p]); T];
    }
    for i in 0..LINES {
        for (sums, x) in sums.iter_mut().zip(x) {
            let x = s.splat_int(x.quads[p * LINES + i]);
            for (sum, tile) in sums.iter_mut().zip(tiles) {
                *sum = s.dot(*sum, tile.bytes[i], x, wide);
            }
        }
    }
    for ((totals, sums), x) in totals.iter_mut().zip(sums).zip(x) {
        let scale = s.splat(x.scales[p]);
        for ((total, sum), tile) in totals.iter_mut().zip(sums).zip(tiles) {
            *total = s.mul_add(s.float(sum), s.mul(tile.scale, scale), *total);
            if let Some(min) = tile.min {
                *total = s.mul_add(min, s.splat(x.mins[p]), *total);
            }
        }
    }
}

/// Takes `parts` parts of a rounded row, from part `first` on.
pub(crate) struct Fill<'a> {
    pub(crate) x: Row<'a>,
    /// Lines of a part.
    pub(crate) lines: usize,
    /// What is taken from each byte of a weight.
    pub(crate) zero: i32,
    pub(crate) first: usize,
    pub(crate) parts: usize,
    pub(crate) strip: &'a mut Strip,
}

impl Kernel for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Fill { x, lines, zero, first, parts, strip } = self;
        copy(&x.quads[first * lines..][..parts * lines], &mut strip.quads, |x| x.to_bits() as i32);
        if lines == 8 {
            copy(&x.scales[first..][..parts], &mut strip.scales, |x| x);
            let sums = x.sums[2 * first..][..2 * parts].as_chunks::<2>().0;
            copy(sums, &mut strip.starts, |[a, b]| a.wrapping_add(b) as i32);
        } else {
            let halves = strip.scales.as_chunks_mut::<2>().0;
            copy(&x.scales[first / 2..][..parts.div_ceil(2)], halves, |x| [x; 2]);
            copy(&x.sums[first..][..parts], &mut strip.starts, |sum| sum as i32);
        }
        for ((start, min), scale) in strip.starts.iter_mut().zip(&mut strip.mins).zip(strip.scales) {
            (*start, *min) = (start.wrapping_mul(-zero), -(scale * *start as f32));
        }
    }
}

/// to\[i\] = f(from\[i\]), as far as both go.
#[inline(always)]
fn copy<A: Copy, B>(from: &[A], to: &mut [B], f: impl Fn(A) -> B) {
    from.iter().zip(to).for_each(|(&from, to)| *to = f(from));
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
        let mut tile = 0;
        while tile < self.w.len() {
            match &self.w[tile..] {
                [a, b, ..] if S::QUANT_TILES == 2 => {
                    self.rows::<S, 2, LINES, MIN, WIDE>(s, [a, b], tile);
                    tile += 2;
                }
                [a, ..] => {
                    self.rows::<S, 1, LINES, MIN, WIDE>(s, [a], tile);
                    tile += 1;
                }
                [] => {}
            }
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const T: usize, const LINES: usize, const MIN: bool, const WIDE: bool>(
        &mut self,
        s: S,
        w: [&Weights; T],
        tile: usize,
    ) {
        macro_rules! product {
            ($x:expr, $row:expr; $($n:literal)*) => {
                match $x.len() {
                    $($n if S::QUANT_ROWS >= $n => {
                        let x = $x.first_chunk::<$n>().expect("so many");
                        self.product::<S, $n, T, LINES, MIN, WIDE>(s, w, x, ($row, tile));
                    })*
                    _ => unreachable!("at most S::QUANT_ROWS rows"),
                }
            };
        }
        let (x, mut row) = (self.x, 0);
        while row < x.len() {
            // Rows are shared out evenly: 9 as 5 and 4, not as 8 and 1.
            let left = x.len() - row;
            let n = left.div_ceil(left.div_ceil(S::QUANT_ROWS));
            product!(x[row..row + n], row; 1 2 3 4 5 6 7 8);
            row += n;
        }
    }

    /// R rows times T tiles, all sums in registers.
    #[inline(always)]
    fn product<S: Simd, const R: usize, const T: usize, const LINES: usize, const MIN: bool, const WIDE: bool>(
        &mut self,
        s: S,
        w: [&Weights; T],
        x: &[Strip; R],
        (row, tile): (usize, usize),
    ) {
        let mut totals = [[s.splat(0.0); T]; R];
        if self.resume {
            for (r, totals) in totals.iter_mut().enumerate() {
                for (t, total) in totals.iter_mut().enumerate() {
                    *total = s.load(&self.acc[(row + r) * self.acc_stride + tile + t].0);
                }
            }
        }
        for p in 0..self.parts.min(QUADS / LINES) {
            let mut parts = [Part { bytes: [s.splat_int(0); LINES], scale: s.splat(0.0), min: None }; T];
            for (part, w) in parts.iter_mut().zip(w) {
                for (bytes, line) in part.bytes.iter_mut().zip(&w.bytes[p * LINES..]) {
                    *bytes = s.bytes(line);
                }
                part.scale = s.load(&w.scales[p].0);
                if MIN {
                    part.min = Some(s.load(&w.mins[p].0));
                }
            }
            multiply(s, (&parts, WIDE), x, p, &mut totals);
        }
        for (r, totals) in totals.into_iter().enumerate() {
            for (t, total) in totals.into_iter().enumerate() {
                s.store(&mut self.acc[(row + r) * self.acc_stride + tile + t].0, total);
            }
        }
    }
}
