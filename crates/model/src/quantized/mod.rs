//! Safetensors weights that others have quantized: GPTQ, AWQ, FP8, compressed-tensors, ModelOpt and bitsandbytes.
//!
//! A module has several tensors there (`qweight`, `scales` …). In the table of tensors one takes their place, which is called `weight`, has
//! the shape of the matrix and one of our types. Its bytes are made when it is read. The type is one that has the same numbers where there
//! is one, so that the matrix stays small; else the type in which the reference writes them.

mod bitsandbytes;
mod blocks;
mod choice;
mod config;
mod floats;
mod integers;
mod module;
mod scaled;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tensor::DType;

use crate::ModelError;
use crate::checkpoint::{Files, TensorInfo};
use bitsandbytes::Table;
use blocks::Fp4;
use config::{Config, Method};
use module::{Module, Place};
use scaled::Scaled;

pub(crate) use config::refuse;

/// Matrices of one kind: what the files have and what they are multiplied as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repacked {
    /// What the files have, such as `GPTQ of 4 bits, groups of 128`.
    pub stored: String,
    /// The name of the type that they are multiplied in.
    pub dtype: &'static str,
    /// What that does to the numbers.
    pub fidelity: Fidelity,
}

/// What another type does to numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fidelity {
    /// Nothing.
    Exact,
    /// Scales are rounded to half precision.
    Scales,
    /// Each is rounded to the wider type, as the reference does it.
    Widened,
}

/// How a matrix is made of a module's tensors.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    how: How,
    stored: String,
    fidelity: Fidelity,
}

#[derive(Clone, Debug)]
enum How {
    /// Each element is a small number times a scale.
    Scaled(Scaled),
    /// Blocks of FP4, which our types have in another order.
    Fp4(Fp4),
    /// Each element is one of 16 values times a scale.
    Table(Table),
    /// One number, which all products of a matrix are multiplied with.
    Factor(f32),
}

/// A matrix before it has a name.
struct Built {
    how: How,
    dims: [usize; 2],
    dtype: DType,
    fidelity: Fidelity,
    stored: String,
}

impl Packed {
    /// The bytes of the matrix in `dtype`, which is what the table of tensors says.
    pub(crate) fn read(&self, files: &Files, dtype: DType) -> Vec<u8> {
        match &self.how {
            How::Scaled(scaled) => scaled.read(files, dtype),
            How::Fp4(blocks) => blocks.read(files),
            How::Table(table) => table.read(files, dtype),
            How::Factor(factor) => factor.to_le_bytes().to_vec(),
        }
    }
}

/// What takes the place of a module's tensors.
struct Made {
    tensors: Vec<TensorInfo>,
    taken: Vec<String>,
}

/// The files with a matrix in place of the tensors of every quantized module.
///
/// # Errors
/// If a tensor is missing, is of another type or size than the others need, or its layout is one that is not read.
pub(crate) fn resolve(files: Files) -> Result<Files, ModelError> {
    let Some(config) = Config::read(&files.metadata)? else { return Ok(files) };
    let mut all = Vec::new();
    for name in modules(&files, &config) {
        let module = Module { files: &files, name: &name };
        if let Some(built) = build(&module, &config)? {
            all.push(made(&module, built));
        }
    }
    choice::unify(all.iter_mut().flat_map(|made| &mut made.tensors));
    replaced(files, all).indexed()
}

/// What the matrices of `tensors` were and are, and how many there are of each kind.
pub(crate) fn summary(tensors: &[TensorInfo]) -> BTreeMap<Repacked, usize> {
    let mut kinds = BTreeMap::new();
    for tensor in tensors {
        let (Some(packed), Ok(dtype)) = (&tensor.packed, &tensor.dtype) else { continue };
        if matches!(packed.how, How::Factor(_)) {
            continue;
        }
        let kind = Repacked { stored: packed.stored.clone(), dtype: dtype.name(), fidelity: packed.fidelity };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// The modules that may have a quantized weight.
fn modules(files: &Files, config: &Config) -> BTreeSet<String> {
    let marks = config.method.marks();
    let module = |name: &str| marks.iter().find_map(|mark| name.strip_suffix(mark)).map(str::to_owned);
    files.tensors.iter().filter_map(|tensor| module(&tensor.name)).collect()
}

/// A module's matrix; `None` if it is not quantized.
fn build(module: &Module<'_>, config: &Config) -> Result<Option<Built>, ModelError> {
    match config.method {
        Method::Gptq { bits, shifted } => integers::gptq(module, config, (bits, shifted)).map(Some),
        Method::Awq => integers::awq(module, config).map(Some),
        Method::Tensors => floats::or_integers(module, config),
        Method::BitsAndBytes => bitsandbytes::build(module, config),
    }
}

fn made(module: &Module<'_>, built: Built) -> Made {
    let Place { file, start, bytes } = module.main();
    let tensor = |ending: &str, dims, dtype, bytes, packed| {
        let (name, packed) = (format!("{}{ending}", module.name), Some(Arc::new(packed)));
        TensorInfo { name, dims, dtype: Ok(dtype), bytes, file, start, packed }
    };
    let Built { how, dims, dtype, fidelity, stored } = built;
    let factor = if let How::Fp4(blocks) = &how { blocks.nvfp4 } else { None };
    let factor = factor.map(|factor| Packed { how: How::Factor(factor), stored: stored.clone(), fidelity });
    let matrix = tensor(".weight", dims.to_vec(), dtype, bytes, Packed { how, stored, fidelity });
    let factor = factor.map(|packed| tensor(".scale", vec![1], DType::F32, 0, packed));
    Made { tensors: [matrix].into_iter().chain(factor).collect(), taken: module.taken() }
}

/// Each matrix stands where the first of its tensors stood.
fn replaced(mut files: Files, all: Vec<Made>) -> Files {
    let taken: HashSet<String> = all.iter().flat_map(|made| made.taken.iter().cloned()).collect();
    let mut made: HashMap<String, Vec<TensorInfo>> =
        all.into_iter().filter_map(|Made { tensors, taken }| Some((taken.into_iter().next()?, tensors))).collect();
    let mut tensors = Vec::with_capacity(files.tensors.len());
    for tensor in std::mem::take(&mut files.tensors) {
        if let Some(made) = made.remove(&tensor.name) {
            tensors.extend(made);
        } else if !taken.contains(&tensor.name) && !module::is_of_cache(&tensor.name) {
            tensors.push(tensor);
        }
    }
    Files::new(files.metadata, tensors, files.files)
}
