//! Gram matrices: which columns of a matrix's inputs are large together.

use std::io::{Read, Write};

use super::kept::{get, put};

/// Sums of the products of any two columns, within blocks of neighbouring columns: what error feedback needs to know. A block as wide as
/// the matrix has all of them; smaller ones take less memory, and leave out what is between blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Gram {
    cols: usize,
    block: usize,
    /// Block after block, `[columns, columns]`; only what is on and above the diagonal is filled.
    sums: Vec<f32>,
}

impl Gram {
    /// Of no input yet.
    pub fn new(cols: usize, block: usize) -> Gram {
        let block = block.clamp(1, cols.max(1));
        let lens = (0..cols).step_by(block).map(|first| block.min(cols - first).pow(2));
        Gram { cols, block, sums: vec![0.0; lens.sum()] }
    }

    /// Columns of the matrix.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Adds inputs, `[rows, columns]`; those that are not finite are left out.
    ///
    /// # Panics
    /// If they are not whole rows.
    pub fn add(&mut self, inputs: &[f32]) {
        assert!(inputs.len().is_multiple_of(self.cols.max(1)), "whole rows");
        let rows: Vec<&[f32]> =
            inputs.chunks_exact(self.cols).filter(|row| row.iter().all(|x| x.is_finite())).collect();
        let mut rest = self.sums.as_mut_slice();
        for first in (0..self.cols).step_by(self.block) {
            let len = self.block.min(self.cols - first);
            let (sums, after) = rest.split_at_mut(len * len);
            rest = after;
            // A row of sums stays in the first-level cache while all inputs go by.
            for (i, sums) in sums.chunks_exact_mut(len).enumerate() {
                for row in &rows {
                    let (x, row) = (row[first + i], &row[first + i..first + len]);
                    sums[i..].iter_mut().zip(row).for_each(|(sum, y)| *sum += x * y);
                }
            }
        }
    }

    /// Bytes of all numbers.
    pub(super) fn bytes(&self) -> u64 {
        4 * self.sums.len() as u64
    }

    pub(super) fn write(&self, file: &mut impl Write) -> std::io::Result<()> {
        put(&self.sums, file)
    }

    pub(super) fn read(&mut self, file: &mut impl Read) -> std::io::Result<()> {
        get(&mut self.sums, file)
    }

    /// The blocks: the first column of each, and its `[columns, columns]` sums, both halves filled.
    pub fn blocks(&self) -> impl Iterator<Item = (usize, Vec<f32>)> {
        let mut start = 0;
        (0..self.cols).step_by(self.block).map(move |first| {
            let len = self.block.min(self.cols - first);
            let mut sums = self.sums[start..start + len * len].to_vec();
            start += len * len;
            for i in 0..len {
                for j in 0..i {
                    sums[i * len + j] = sums[j * len + i];
                }
            }
            (first, sums)
        })
    }
}
