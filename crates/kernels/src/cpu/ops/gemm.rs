//! The inner loop of float products: rows of x times lines of weights. Each result is one chain of additions in the order of the
//! columns, so its bits depend on neither the tile, nor the rest of the batch, nor how a prompt is cut.

use crate::cpu::codecs::QUAD;
use crate::cpu::simd::{Bytes, Kernel, LANES, Line, Simd};

/// acc\[row\]\[tile\] (+)= Σₖ x\[row\]\[k\] · w\[tile\]\[k\].
pub(crate) struct Gemm<'a> {
    /// Lines, one for each column; tile t starts at t · `w_stride`.
    pub(crate) w: &'a [Line],
    pub(crate) w_stride: usize,
    pub(crate) tiles: usize,
    /// Row r starts at r · `x_stride`.
    pub(crate) x: &'a [f32],
    pub(crate) x_stride: usize,
    pub(crate) rows: usize,
    /// Columns.
    pub(crate) k: usize,
    /// Row r starts at r · `acc_stride`.
    pub(crate) acc: &'a mut [Line],
    pub(crate) acc_stride: usize,
    /// Adds to what is in `acc`; else starts from zero.
    pub(crate) resume: bool,
    /// What will be decoded next; it is prefetched bit by bit.
    pub(crate) next: [&'a [Bytes]; 2],
}

impl Kernel for Gemm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        self.check();
        let mut tile = 0;
        while tile < self.tiles {
            let tiles = (self.tiles - tile).min(S::TILES);
            let mut row = 0;
            while row < self.rows {
                // Groups of even size: 13 rows as 7 and 6, not as 12 and 1.
                let left = self.rows - row;
                let groups = left.div_ceil(S::ROWS);
                let rows = left.div_ceil(groups);
                self.ask(s, groups);
                match tiles {
                    2 if const { S::TILES >= 2 } => self.rows::<S, 2>(s, (row, rows), tile),
                    _ => self.rows::<S, 1>(s, (row, rows), tile),
                }
                row += rows;
            }
            tile += tiles;
        }
    }
}

/// R rows from `row` on times T tiles from `tile` on.
struct Part<'g, 'a, const R: usize, const T: usize> {
    gemm: &'g mut Gemm<'a>,
    row: usize,
    tile: usize,
}

impl<const R: usize, const T: usize> Kernel for Part<'_, '_, R, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.gemm.product::<S, R, T>(s, self.row, self.tile);
    }
}

impl Gemm<'_> {
    /// What `product` relies on.
    #[inline(always)]
    fn check(&self) {
        if self.rows > 0 && self.tiles > 0 {
            assert!((self.tiles - 1) * self.w_stride + self.k <= self.w.len(), "weights");
            assert!((self.rows - 1) * self.x_stride + self.k <= self.x.len(), "rows of x");
            assert!((self.rows - 1) * self.acc_stride + self.tiles <= self.acc.len(), "sums");
        }
    }

    /// Prefetches one of `parts` of what is left of `next`.
    #[inline(always)]
    fn ask<S: Simd>(&mut self, s: S, parts: usize) {
        for next in &mut self.next {
            let (now, later) = next.split_at(next.len() / parts);
            for line in now.chunks(QUAD) {
                s.prefetch(&line[0], 0);
            }
            *next = later;
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const T: usize>(&mut self, s: S, (row, rows): (usize, usize), tile: usize) {
        macro_rules! case {
            ($($n:literal)*) => {
                match rows {
                    $($n if const { S::ROWS >= $n } => s.apart(Part::<$n, T> { gemm: self, row, tile }),)*
                    _ => unreachable!("at most S::ROWS rows"),
                }
            };
        }
        case!(1 2 3 4 5 6 7 8 9 10 11 12);
    }

    /// R rows times T tiles, all sums in registers. They stay there only if the loops over R and T are unrolled, which
    /// a check of bounds in them prevents; see the functions below.
    #[inline(always)]
    fn product<S: Simd, const R: usize, const T: usize>(&mut self, s: S, row: usize, tile: usize) {
        let at = row * self.acc_stride + tile;
        let mut sums = [[s.splat(0.0); T]; R];
        if self.resume {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (t, sum) in sums.iter_mut().enumerate() {
                    *sum = s.load(&self.sum(at + r * self.acc_stride + t).0);
                }
            }
        }
        for k in 0..self.k {
            let w: [S::F; T] = std::array::from_fn(|t| s.load(&self.weight((tile + t) * self.w_stride + k).0));
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = s.splat(self.element((row + r) * self.x_stride + k));
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = s.mul_add(w, x, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (t, sum) in sums.iter().enumerate() {
                let place = at + r * self.acc_stride + t;
                s.store(&mut self.sum(place).0, *sum);
            }
        }
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn weight(&self, at: usize) -> &Line {
        // SAFETY: `check` has compared the last tile's last column with the length.
        unsafe { self.w.get_unchecked(at) }
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn sum(&mut self, at: usize) -> &mut Line {
        // SAFETY: `check` has compared the last row's last tile with the length.
        unsafe { self.acc.get_unchecked_mut(at) }
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn element(&self, at: usize) -> f32 {
        // SAFETY: `check` has compared the last row's last column with the length.
        unsafe { *self.x.get_unchecked(at) }
    }
}

const _: () = assert!(LANES == 16, "a line is a vector");
