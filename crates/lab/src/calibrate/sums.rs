//! Sums of squares by column, for one matrix or for one of several.

use std::io::{Read, Write};

use super::kept::{get, put};

/// Sums in double precision: a million inputs of about the same size would be rounded away in single precision.
pub(super) struct Sums {
    cols: usize,
    sums: Vec<f64>,
    counts: Vec<u64>,
}

impl Sums {
    pub(super) fn new(matrices: usize, cols: usize) -> Sums {
        Sums { cols, sums: vec![0.0; matrices * cols], counts: vec![0; matrices] }
    }

    /// Adds an input of a matrix. One that is not finite is left out: it would spoil all that came before it.
    pub(super) fn add(&mut self, matrix: usize, input: &[f32]) {
        if input.iter().any(|x| !x.is_finite()) {
            return;
        }
        let sums = &mut self.sums[matrix * self.cols..][..self.cols];
        sums.iter_mut().zip(input).for_each(|(sum, x)| *sum += f64::from(x * x));
        self.counts[matrix] += 1;
    }

    /// Bytes of all numbers.
    pub(super) fn bytes(&self) -> u64 {
        8 * (self.sums.len() + self.counts.len()) as u64
    }

    pub(super) fn write(&self, file: &mut impl Write) -> std::io::Result<()> {
        put(&self.sums, file)?;
        put(&self.counts, file)
    }

    pub(super) fn read(&mut self, file: &mut impl Read) -> std::io::Result<()> {
        get(&mut self.sums, file)?;
        get(&mut self.counts, file)
    }

    pub(super) fn finish(self) -> (Vec<f32>, Vec<f32>) {
        (self.sums.iter().map(|x| *x as f32).collect(), self.counts.iter().map(|n| *n as f32).collect())
    }
}
