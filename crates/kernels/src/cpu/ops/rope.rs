//! Rotary position embedding: a table of sines and cosines for the rows of a step, and the rotation.

use std::sync::Arc;

use graph::{BackendError, Batch, Rope, RopeStyle};

use crate::cpu::memory::Buffer;
use crate::cpu::pool::Pool;
use crate::cpu::simd::{Kernel, Simd};

/// The sines and cosines of all rows of a step. Layers with the same frequencies share it.
#[derive(Debug)]
pub(crate) struct Table {
    freqs: Arc<[f32]>,
    magnitude: f32,
    /// For each row: the cosines, then the sines.
    rotations: Buffer<f32>,
}

impl Table {
    pub(crate) fn new(rope: &Rope, rows: usize) -> Result<Table, BackendError> {
        let rotations = Buffer::zeroed(rows.saturating_mul(2 * rope.freqs.len()), "scratch")?;
        Ok(Table { freqs: rope.freqs.clone(), magnitude: rope.magnitude, rotations })
    }

    /// Whether it is the table that `rope` needs.
    pub(crate) fn is_for(&self, rope: &Rope) -> bool {
        self.freqs == rope.freqs && self.magnitude == rope.magnitude
    }

    /// Computes the rows of a batch: angles in single precision, as the models were trained with.
    pub(crate) fn fill(&mut self, pool: &Pool, batch: &Batch) {
        let (width, freqs, magnitude) = (2 * self.freqs.len(), &self.freqs, self.magnitude);
        if width == 0 {
            return;
        }
        for span in &batch.spans {
            let rows = &mut self.rotations[span.rows.start * width..span.rows.end * width];
            pool.chunks(rows, 16 * width, |i, rows| {
                for (j, row) in rows.chunks_exact_mut(width).enumerate() {
                    let position = (span.position + 16 * i + j) as f32;
                    let (cosines, sines) = row.split_at_mut(width / 2);
                    for ((cos, sin), freq) in cosines.iter_mut().zip(sines).zip(freqs.iter()) {
                        let (s, c) = (position * freq).sin_cos();
                        (*cos, *sin) = (c * magnitude, s * magnitude);
                    }
                }
            });
        }
    }

    /// Rotates heads of a row.
    pub(super) fn rotate<'a>(&'a self, rope: &Rope, row: usize, x: &'a mut [f32]) -> Rotate<'a> {
        Rotate { x, head_dim: rope.head_dim, style: rope.style, rotations: self.row(row) }
    }

    /// Cosines and sines of a row.
    fn row(&self, row: usize) -> (&[f32], &[f32]) {
        let half = self.freqs.len();
        self.rotations[row * 2 * half..][..2 * half].split_at(half)
    }
}

/// Rotates every head of one row.
pub(super) struct Rotate<'a> {
    x: &'a mut [f32],
    head_dim: usize,
    style: RopeStyle,
    rotations: (&'a [f32], &'a [f32]),
}

impl Kernel for Rotate<'_> {
    type Output = ();

    /// Plain loops, which the compiler vectorizes.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (cosines, sines) = self.rotations;
        let half = cosines.len();
        for head in self.x.chunks_exact_mut(self.head_dim) {
            let head = &mut head[..2 * half];
            match self.style {
                RopeStyle::Halves => {
                    let (low, high) = head.split_at_mut(half);
                    for (((a, b), cos), sin) in low.iter_mut().zip(high).zip(cosines).zip(sines) {
                        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                    }
                }
                RopeStyle::Pairs => {
                    for (([a, b], cos), sin) in head.as_chunks_mut().0.iter_mut().zip(cosines).zip(sines) {
                        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                    }
                }
            }
        }
    }
}
