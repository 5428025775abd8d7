//! What calibration found out about a model: for each matrix, how large the inputs of its columns are.

mod gguf;
mod legacy;

use std::collections::BTreeMap;
use std::path::Path;

use crate::Error;

/// Statistics of the activations that a model's matrices are multiplied with; an importance matrix, as llama.cpp calls it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// By the name of the weight, such as `blk.0.attn_q.weight`.
    pub entries: BTreeMap<String, Entry>,
    /// Where the texts came from.
    pub datasets: Vec<String>,
    /// How many chunks of text were computed.
    pub chunks: u32,
    /// Tokens in a chunk.
    pub chunk_size: u32,
}

/// What is known of the inputs of one weight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Sums of squares, `[matrices, columns]`: of each column over all inputs. Experts are matrices of their own.
    pub sums: Vec<f32>,
    /// How many inputs each matrix has seen.
    pub counts: Vec<f32>,
}

/// The format of a file of statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatisticsFormat {
    /// GGUF, as llama.cpp writes it since 2025.
    Gguf,
    /// The older `.dat`: one count for all experts of a weight, and no more than the last name of a data set.
    Legacy,
}

impl Entry {
    /// Columns of a matrix; 0 if the parts do not fit.
    pub fn cols(&self) -> usize {
        let whole = !self.counts.is_empty() && self.sums.len().is_multiple_of(self.counts.len());
        if whole { self.sums.len() / self.counts.len() } else { 0 }
    }

    /// The mean squares of the inputs of matrix `index`, by column; `None` if it has seen none, or numbers that are none. One count
    /// for several matrices stands for all of them.
    pub fn mean_squares(&self, index: usize, cols: usize) -> Option<Vec<f32>> {
        let count = *self.counts.get(index).or(if self.counts.len() == 1 { self.counts.first() } else { None })?;
        let sums = self.sums.get(index.checked_mul(cols)?..)?.get(..cols)?;
        let usable = count > 0.0 && sums.iter().all(|sum| sum.is_finite() && *sum >= 0.0);
        (usable && sums.iter().any(|sum| *sum > 0.0)).then(|| sums.iter().map(|sum| sum / count).collect())
    }

    /// The matrices that have seen no input.
    pub fn unvisited(&self) -> Vec<usize> {
        self.counts.iter().enumerate().filter(|(_, count)| **count <= 0.0).map(|(index, _)| index).collect()
    }
}

impl Statistics {
    /// Reads a file in either format.
    ///
    /// # Errors
    /// If it cannot be read, or is neither.
    pub fn read(path: &Path) -> Result<Statistics, Error> {
        let mut start = [0; 4];
        let mut file = std::fs::File::open(path).map_err(Error::io(path))?;
        std::io::Read::read_exact(&mut file, &mut start).map_err(Error::io(path))?;
        let statistics = if &start == b"GGUF" { gguf::read(path)? } else { legacy::read(path)? };
        if statistics.entries.is_empty() {
            return Err(Error::file(path, "has no statistics of any weight; calibrate again"));
        }
        Ok(statistics)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// If it cannot be written, or the older format cannot say it.
    pub fn write(&self, path: &Path, format: StatisticsFormat) -> Result<(), Error> {
        match format {
            StatisticsFormat::Gguf => gguf::write(self, path),
            StatisticsFormat::Legacy => legacy::write(self, path),
        }
    }

    /// The statistics of a tensor of a file. Files may have matrices as one that the graph has apart: all of them have the same
    /// input.
    pub fn of(&self, tensor: &str) -> Option<&Entry> {
        of(&self.entries, tensor)
    }

    /// The weights with matrices (experts) that calibration never visited, and which.
    pub fn unvisited(&self) -> Vec<(&str, Vec<usize>)> {
        let each = self.entries.iter().map(|(name, entry)| (name.as_str(), entry.unvisited()));
        each.filter(|(_, unvisited)| !unvisited.is_empty()).collect()
    }
}

/// What is kept for a tensor of a file, by the names of the graph's weights.
pub(crate) fn of<'a, T>(all: &'a BTreeMap<String, T>, tensor: &str) -> Option<&'a T> {
    let part = |whole: &str, part: &str| all.get(&tensor.replacen(&format!(".{whole}."), &format!(".{part}."), 1));
    let fused = || {
        let (qkv, up) = (tensor.contains(".attn_qkv."), tensor.contains(".ffn_up."));
        qkv.then(|| part("attn_qkv", "attn_q")).or(up.then(|| part("ffn_up", "ffn_gate"))).flatten()
    };
    all.get(tensor).or_else(fused)
}
