//! LoRA adapters (Hu et al. 2021): changes of low rank to a model's matrices, as PEFT and llama.cpp keep them in files.

mod bind;
mod gguf;
mod names;
mod peft;
mod resolve;

use std::path::{Path, PathBuf};

use tensor::decode;

use crate::{Format, ModelError, TensorInfo};
pub(crate) use resolve::Piece;

/// An adapter in memory, for any model that has matrices of its names and shapes.
#[derive(Debug)]
pub struct Adapter {
    path: PathBuf,
    /// Whose names its matrices have.
    format: Format,
    /// What it changes, by the names of its files.
    changes: Vec<(String, LowRank)>,
}

/// What is added to a matrix `[rows, cols]`: b · a.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// Columns of b and rows of a.
    pub rank: usize,
    /// `[rank, cols]`.
    pub a: Vec<f32>,
    /// `[rows, rank]`, the adapter's own scale included.
    pub b: Vec<f32>,
}

impl LowRank {
    /// Rows of the matrix that it changes.
    pub fn rows(&self) -> usize {
        self.b.len() / self.rank
    }

    /// Columns of the matrix that it changes.
    pub fn cols(&self) -> usize {
        self.a.len() / self.rank
    }

    /// Adds a row of b · a, so many times, to that row of the matrix.
    pub(crate) fn add_row(&self, row: usize, scale: f32, to: &mut [f32]) {
        for (b, a) in self.b[row * self.rank..][..self.rank].iter().zip(self.a.chunks_exact(self.cols())) {
            let by = scale * b;
            to.iter_mut().zip(a).for_each(|(to, a)| *to += by * a);
        }
    }
}

impl Adapter {
    /// Opens a folder of PEFT (adapter_config.json and adapter_model.safetensors), or a GGUF file of llama.cpp.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the adapter does more than LoRA (DoRA, biases, whole modules).
    pub fn open(path: &Path) -> Result<Adapter, ModelError> {
        let missing = "does not exist; give the folder of a PEFT adapter or a GGUF file";
        let found = std::fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => ModelError::invalid(path, "file", missing),
            _ => ModelError::io(path, e),
        })?;
        let is_gguf = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"));
        let (format, changes) = match (found.is_dir(), is_gguf) {
            (true, _) => (Format::Safetensors, peft::read(path)?),
            (false, true) => (Format::Gguf, gguf::read(path)?),
            (false, false) => (Format::Safetensors, peft::read(&path.with_file_name(""))?),
        };
        if changes.is_empty() {
            return Err(ModelError::invalid(path, "tensors", "there are none; the adapter changes nothing"));
        }
        Ok(Adapter { path: path.to_owned(), format, changes })
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn invalid(&self, field: &str, problem: impl Into<String>) -> ModelError {
        ModelError::invalid(&self.path, field, problem)
    }
}

/// A matrix of an adapter's file.
struct Matrix {
    dims: [usize; 2],
    values: Vec<f32>,
}

impl Matrix {
    fn read(path: &Path, tensor: &TensorInfo, bytes: &[u8]) -> Result<Matrix, ModelError> {
        let &[rows, cols] = tensor.dims.as_slice() else {
            return Err(ModelError::unsupported(
                path,
                &tensor.name,
                format!("is {:?}, not a matrix; only products can be adapted", tensor.dims),
            ));
        };
        let dtype = tensor.dtype.as_ref();
        let dtype = *dtype.map_err(|other| {
            ModelError::unsupported(path, &tensor.name, format!("is stored as {other}; save it as F32, F16 or BF16"))
        })?;
        let mut values = vec![0.0; rows * cols];
        decode(dtype, bytes, &mut values).map_err(|e| ModelError::invalid(path, &tensor.name, e.to_string()))?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(ModelError::invalid(
                path,
                &tensor.name,
                "holds infinities or what is no number; take another copy of the adapter",
            ));
        }
        Ok(Matrix { dims: [rows, cols], values })
    }
}

/// The two factors of a change, and how many times it counts by its rank.
fn joined(
    path: &Path,
    name: &str,
    (a, b): (Matrix, Matrix),
    scale: impl Fn(usize) -> f32,
) -> Result<LowRank, ModelError> {
    let ([rank, _], [_, columns]) = (a.dims, b.dims);
    if rank != columns || rank == 0 {
        let problem =
            format!("a is {:?} and b {:?}: their ranks differ; the adapter is damaged, fetch it again", a.dims, b.dims);
        return Err(ModelError::invalid(path, name, problem));
    }
    let scale = scale(rank);
    Ok(LowRank { rank, a: a.values, b: b.values.into_iter().map(|b| scale * b).collect() })
}
