//! Error feedback, as GPTQ does it (Frantar et al. 2022): what a column loses is made good in the columns that are still to come.

use crate::Gram;

/// Rows that are multiplied together with the Gram matrix, which is read once for all of them.
pub(crate) const TOGETHER: usize = 8;

/// What is added to the diagonal of the Gram matrix, as a part of its mean.
const DAMPING: f64 = 0.01;

/// The factors of the inverse of a Gram matrix, and the matrix itself.
#[derive(Debug)]
pub struct Feedback {
    blocks: Vec<Block>,
}

/// Columns that are correlated with each other.
#[derive(Debug)]
struct Block {
    first: usize,
    len: usize,
    gram: Vec<f32>,
    /// U of (G + damping)⁻¹ = Uᵀ U, row after row.
    upper: Vec<f32>,
}

impl Feedback {
    /// The factors of a Gram matrix; `None` if it is not of numbers.
    pub fn new(gram: &Gram) -> Option<Feedback> {
        let block = |(first, gram): (usize, Vec<f32>)| {
            let len = gram.len().isqrt();
            Some(Block { first, len, upper: factor(&gram, len)?, gram })
        };
        Some(Feedback { blocks: gram.blocks().map(block).collect::<Option<_>>()? })
    }

    /// Quantizes a row. `begin` is called with the first column of each group of `group` columns and what their values have become;
    /// then `nearest` gives the value that stands for a column's. The row holds these values in the end.
    ///
    /// # Panics
    /// If the row is shorter than the Gram matrix.
    pub fn quantize(
        &self,
        row: &mut [f32],
        group: usize,
        mut begin: impl FnMut(usize, &[f32]),
        mut nearest: impl FnMut(usize, f32) -> f32,
    ) {
        for block in &self.blocks {
            let row = &mut row[block.first..block.first + block.len];
            for at in 0..block.len {
                if at.is_multiple_of(group) {
                    begin(block.first + at, &row[at..block.len.min(at + group)]);
                }
                let upper = &block.upper[at * block.len + at..(at + 1) * block.len];
                let stands = nearest(block.first + at, row[at]);
                let error = (row[at] - stands) / upper[0];
                row[at] = stands;
                row[at + 1..].iter_mut().zip(&upper[1..]).for_each(|(x, u)| *x -= error * u);
            }
        }
    }

    /// The diagonal of the factors: how far each column is from what the columns after it can make good.
    pub fn pivots(&self) -> Vec<f32> {
        let of = |block: &Block| (0..block.len).map(|i| block.upper[i * block.len + i]).collect::<Vec<_>>();
        self.blocks.iter().flat_map(of).collect()
    }

    /// Columns of the matrices whose inputs the Gram matrix is of.
    pub(crate) fn cols(&self) -> usize {
        self.blocks.iter().map(|block| block.len).sum()
    }

    /// The Gram matrix times rows that lie column after column.
    pub(crate) fn times(&self, rows: &[[f32; TOGETHER]]) -> Vec<[f32; TOGETHER]> {
        let mut out = Vec::with_capacity(rows.len());
        for block in &self.blocks {
            let rows = &rows[block.first..block.first + block.len];
            let gram: Vec<&[f32]> = block.gram.chunks_exact(block.len.max(1)).collect();
            let (fours, rest) = gram.as_chunks::<4>();
            fours.iter().for_each(|gram| out.extend(products(gram, rows)));
            rest.iter().for_each(|gram| out.extend(products(&[gram], rows)));
        }
        out
    }

    /// What a row's products lose in all, in squares: δᵀ G δ of the differences δ.
    pub fn loss(&self, row: &[f32], quantized: &[f32]) -> f64 {
        let lost: Vec<f32> = row.iter().zip(quantized).map(|(a, b)| a - b).collect();
        let of_block = |block: &Block| {
            let lost = &lost[block.first..block.first + block.len];
            let rows = block.gram.chunks_exact(block.len).zip(lost);
            rows.map(|(gram, x)| f64::from(x * dot(gram, lost))).sum::<f64>()
        };
        self.blocks.iter().map(of_block).sum()
    }
}

/// The sum of products, added up in lanes, so that the loop is vectorized and no addition waits for the one before.
fn dot(gram: &[f32], row: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (gram, row) = (gram.as_chunks::<LANES>(), row.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (g, x) in gram.0.iter().zip(row.0) {
        (0..LANES).for_each(|lane| lanes[lane] += g[lane] * x[lane]);
    }
    let rest: f32 = gram.1.iter().zip(row.1).map(|(g, x)| g * x).sum();
    lanes.into_iter().sum::<f32>() + rest
}

/// Rows of the Gram matrix times rows that lie column after column: runs of columns are summed on their own, so that little is rounded.
fn products<const N: usize>(gram: &[&[f32]; N], rows: &[[f32; TOGETHER]]) -> [[f32; TOGETHER]; N] {
    const RUN: usize = 128;
    let mut sums = [[0.0; TOGETHER]; N];
    for (run, rows) in rows.chunks(RUN).enumerate() {
        let gram = gram.map(|gram| &gram[run * RUN..][..rows.len()]);
        let mut of_run = [[0.0; TOGETHER]; N];
        for (column, x) in rows.iter().enumerate() {
            for (sums, gram) in of_run.iter_mut().zip(gram) {
                (0..TOGETHER).for_each(|row| sums[row] += gram[column] * x[row]);
            }
        }
        for (sums, of_run) in sums.iter_mut().zip(of_run) {
            (0..TOGETHER).for_each(|row| sums[row] += of_run[row]);
        }
    }
    sums
}

/// U of the inverse of a damped matrix, `len` × `len`.
///
/// With G = R Rᵀ for an upper R, the inverse is R⁻ᵀ R⁻¹, so that U is R⁻¹: one decomposition, from the last row up.
fn factor(gram: &[f32], len: usize) -> Option<Vec<f32>> {
    let mut g: Vec<f64> = gram.iter().map(|x| f64::from(*x)).collect();
    let mean = (0..len).map(|i| g[i * len + i]).sum::<f64>() / len.max(1) as f64;
    let mean = if mean == 0.0 { 1.0 } else { mean };
    for i in 0..len {
        // A column that is always zero may be anything.
        let own = if g[i * len + i] == 0.0 { mean } else { 0.0 };
        g[i * len + i] += own + DAMPING * mean;
    }
    for j in (0..len).rev() {
        let (above, row) = g.split_at_mut(j * len);
        let row = &mut row[..len];
        let square = row[j] - row[j + 1..].iter().map(|x| x * x).sum::<f64>();
        if !(square > 0.0 && square.is_finite()) {
            return None;
        }
        row[j] = square.sqrt();
        for other in above.chunks_exact_mut(len) {
            let product: f64 = other[j + 1..].iter().zip(&row[j + 1..]).map(|(a, b)| a * b).sum();
            other[j] = (other[j] - product) / row[j];
        }
    }
    Some(inverted(&g, len))
}

/// The inverse of an upper matrix; what is below the diagonal is not read.
fn inverted(upper: &[f64], len: usize) -> Vec<f32> {
    let mut inverse = vec![0.0; len * len];
    let mut column = vec![0.0; len];
    for j in 0..len {
        column[j] = 1.0 / upper[j * len + j];
        for i in (0..j).rev() {
            let row = &upper[i * len..][..len];
            let product: f64 = row[i + 1..=j].iter().zip(&column[i + 1..=j]).map(|(a, b)| a * b).sum();
            column[i] = -product / row[i];
        }
        (0..=j).for_each(|i| inverse[i * len + j] = column[i] as f32);
    }
    inverse
}
