//! What LoRA adapters add to products: rows of x through two factors of low rank. Each row is computed alone, in an order that
//! depends on its own adapter, so it has the same bits whatever shares its batch.

use std::ops::Range;

use graph::{Batch, Change, WeightId};

use super::activations_q8::{self, Block};
use super::{Input, Values, Worker};
use crate::cpu::simd::{Kernel, LANES, Simd, sum_lanes};

/// Numbers between the factors that a task computes.
const DOTS: usize = 8;
/// Rows of the first factor that share what is loaded of x.
const AT_ONCE: usize = 4;
/// Numbers of the result in a task.
const SUMS: usize = 32 * LANES;

/// Adds to the first input, which is in the output, what the rows' adapters make of the second.
pub(super) fn compute(cpu: &mut Worker, batch: &Batch, weight: WeightId, values: &Values) {
    let (x, width, out) = (values.inputs[1], values.width, values.out());
    let change = |row: usize| batch.adapter(row, x.rows)?.change(weight);
    // The largest rank says where rows begin, not what is in them.
    let Some(most) = (0..x.rows).filter_map(|row| Some(change(row)?.rank)).max() else { return };
    cpu.low.resize(cpu.low.len().max(x.rows * most), 0.0);
    let (vector, low) = (cpu.vector, &mut cpu.low[..x.rows * most]);
    cpu.pool.chunks(low, DOTS, |i, low| {
        for (row, columns, low) in parts(i * DOTS, low, most) {
            let Some(Change { rank, a, .. }) = change(row) else { continue };
            let of = columns.start.min(*rank)..columns.end.min(*rank);
            let (a, out) = (&a[of.start * x.width..of.end * x.width], &mut low[..of.len()]);
            vector.run(Dots { x: X::row(x, row), cols: x.width, a, out });
        }
    });
    let low = &cpu.low;
    cpu.pool.chunks(out, SUMS, |i, sums| {
        for (row, columns, sums) in parts(i * SUMS, sums, width) {
            let Some(Change { rank, b, .. }) = change(row) else { continue };
            vector.run(AddProduct { low: &low[row * most..][..*rank], b, width, columns, sums });
        }
    });
}

/// The parts of rows of `width` numbers that lie in a chunk, which begins at `start` of the first row: the row, its columns, the
/// numbers.
fn parts(start: usize, mut chunk: &mut [f32], width: usize) -> impl Iterator<Item = (usize, Range<usize>, &mut [f32])> {
    let mut at = start;
    std::iter::from_fn(move || {
        let (row, first) = (at / width, at % width);
        let len = chunk.len().min(width - first);
        let part = chunk.split_off_mut(..len).filter(|part| !part.is_empty())?;
        at += len;
        Some((row, first..first + len, part))
    })
}

/// A row of x: numbers, or rounded ones.
#[derive(Clone, Copy)]
enum X<'a> {
    Plain(&'a [f32]),
    Rounded(&'a [Block]),
}

impl<'a> X<'a> {
    fn row(x: Input<'a>, row: usize) -> X<'a> {
        match x.rounded {
            true => X::Rounded(&activations_q8::blocks(x.x)[activations_q8::start(x.width, x.width, row)..]),
            false => X::Plain(&x.x[row * x.width..][..x.width]),
        }
    }

    /// Columns from 16 · i on; zeros beyond the last one.
    #[inline(always)]
    fn vector<S: Simd>(self, s: S, i: usize) -> S::F {
        match self {
            X::Plain(x) => load(s, &x[i * LANES..]),
            X::Rounded(x) => activations_q8::numbers(s, &x[i / 2], i % 2),
        }
    }
}

/// out\[j\] ← x · row j of a.
struct Dots<'a> {
    x: X<'a>,
    cols: usize,
    a: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let whole = self.out.len() / AT_ONCE * AT_ONCE;
        for j in (0..whole).step_by(AT_ONCE) {
            self.out[j..j + AT_ONCE].copy_from_slice(&dots::<S, AT_ONCE>(
                s,
                self.x,
                &self.a[j * self.cols..],
                self.cols,
            ));
        }
        for j in whole..self.out.len() {
            [self.out[j]] = dots(s, self.x, &self.a[j * self.cols..], self.cols);
        }
    }
}

/// x · N rows of a; each sum in the same order for every N.
#[inline(always)]
fn dots<S: Simd, const N: usize>(s: S, x: X<'_>, a: &[f32], cols: usize) -> [f32; N] {
    let mut sums = [s.splat(0.0); N];
    for i in 0..cols.div_ceil(LANES) {
        let (x, rest) = (x.vector(s, i), (cols - i * LANES).min(LANES));
        for (j, sum) in sums.iter_mut().enumerate() {
            *sum = s.mul_add(x, load(s, &a[j * cols + i * LANES..][..rest]), *sum);
        }
    }
    // No closure: one that is not inlined is compiled without the instruction set.
    let mut dots = [0.0; N];
    for (dot, sum) in dots.iter_mut().zip(sums) {
        *dot = sum_lanes(s, sum);
    }
    dots
}

/// The sums of some columns of a row, and low · b of them.
struct AddProduct<'a> {
    low: &'a [f32],
    /// A row for each number of `low`.
    b: &'a [f32],
    width: usize,
    columns: Range<usize>,
    sums: &'a mut [f32],
}

impl Kernel for AddProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (i, sums) in self.sums.chunks_mut(LANES).enumerate() {
            let (first, len) = (self.columns.start + i * LANES, sums.len());
            let mut product = s.splat(0.0);
            for (j, &low) in self.low.iter().enumerate() {
                product = s.mul_add(s.splat(low), load(s, &self.b[j * self.width + first..][..len]), product);
            }
            let mut line = [0.0; LANES];
            s.store(&mut line, s.add(load(s, sums), product));
            sums.copy_from_slice(&line[..len]);
        }
    }
}

/// The first 16 numbers; zeros for those that are missing.
#[inline(always)]
fn load<S: Simd>(s: S, from: &[f32]) -> S::F {
    match from.first_chunk() {
        Some(whole) => s.load(whole),
        None => {
            let mut padded = [0.0; LANES];
            padded[..from.len()].copy_from_slice(from);
            s.load(&padded)
        }
    }
}
