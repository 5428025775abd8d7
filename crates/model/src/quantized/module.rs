//! The tensors of one quantized module.

use crate::ModelError;
use crate::checkpoint::{Files, TensorInfo};

/// What may follow a module's name, and goes where its matrix comes.
const PARTS: [&str; 26] = [
    ".qweight",
    ".qzeros",
    ".scales",
    ".g_idx",
    ".weight",
    ".weight_packed",
    ".weight_scale",
    ".weight_scale_inv",
    ".weight_scale_2",
    ".weight_zero_point",
    ".weight_shape",
    ".weight_g_idx",
    ".weight_global_scale",
    ".SCB",
    ".weight_format",
    ".weight.absmax",
    ".weight.quant_map",
    ".weight.nested_absmax",
    ".weight.nested_quant_map",
    ".weight.quant_state.bitsandbytes__nf4",
    ".weight.quant_state.bitsandbytes__fp4",
    // What follows is for activations: here these have 8 bits and scales of their own.
    ".input_scale",
    ".input_zero_point",
    ".input_global_scale",
    ".activation_scale",
    ".output_scale",
];

/// Endings of scales that others quantize their KV cache with: ours has its own.
const CACHE: [&str; 5] = [".k_scale", ".v_scale", ".q_scale", ".kv_scale", ".prob_scale"];

/// Whether a tensor is such a scale.
pub(super) fn is_of_cache(name: &str) -> bool {
    CACHE.iter().any(|ending| name.ends_with(ending))
}

/// Where a tensor's bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) start: usize,
    pub(super) bytes: usize,
}

impl Place {
    pub(super) fn of(tensor: &TensorInfo) -> Place {
        Place { file: tensor.file, start: tensor.start, bytes: tensor.bytes }
    }

    pub(super) fn bytes(self, files: &Files) -> &[u8] {
        &files.files[self.file].1[self.start..self.start + self.bytes]
    }
}

/// The tensors whose names begin with a module's.
pub(super) struct Module<'a> {
    pub(super) files: &'a Files,
    pub(super) name: &'a str,
}

impl<'a> Module<'a> {
    pub(super) fn get(&self, part: &str) -> Option<&'a TensorInfo> {
        self.files.tensor(&self.full(part))
    }

    /// The type of a part, as files name it; empty if there is no such part.
    pub(super) fn kind(&self, part: &str) -> &'a str {
        self.get(part).map_or("", kind)
    }

    /// A part that must be there, of one of the types, with so many dimensions.
    pub(super) fn part(&self, part: &str, kinds: &[&str], dims: usize) -> Result<&'a TensorInfo, ModelError> {
        let tensor = self
            .get(part)
            .ok_or_else(|| self.invalid(part, "the tensor is missing; take a complete copy of the model".into()))?;
        if !kinds.contains(&kind(tensor)) {
            let problem = format!(
                "is stored as {}, {} is read; take another file of the model",
                kind(tensor),
                kinds.join(" or ")
            );
            return Err(ModelError::unsupported(self.files.path(tensor.file), &tensor.name, problem));
        }
        if tensor.dims.len() != dims {
            return Err(self.invalid(part, format!("has the dimensions {:?}, {dims} are needed", tensor.dims)));
        }
        Ok(tensor)
    }

    /// As [`Module::part`], with these dimensions.
    pub(super) fn sized(&self, part: &str, kinds: &[&str], dims: &[usize]) -> Result<&'a TensorInfo, ModelError> {
        let tensor = self.part(part, kinds, dims.len())?;
        if tensor.dims != dims {
            let problem = format!("has the dimensions {:?}, the module's others need {dims:?}", tensor.dims);
            return Err(self.invalid(part, problem));
        }
        Ok(tensor)
    }

    /// The names of the parts that there are, the main one first.
    pub(super) fn taken(&self) -> Vec<String> {
        PARTS.iter().map(|part| self.full(part)).filter(|name| self.files.tensor(name).is_some()).collect()
    }

    /// Where its main part is.
    pub(super) fn main(&self) -> Place {
        let main = PARTS.iter().find_map(|part| self.get(part));
        main.map_or(Place { file: 0, start: 0, bytes: 0 }, Place::of)
    }

    pub(super) fn invalid(&self, part: &str, problem: String) -> ModelError {
        let file =
            self.get(part).or_else(|| PARTS.iter().find_map(|part| self.get(part))).map_or(0, |tensor| tensor.file);
        ModelError::invalid(self.files.path(file), self.full(part), problem)
    }

    pub(super) fn unsupported(&self, part: &str, problem: String) -> ModelError {
        let file = self.get(part).map_or(0, |tensor| tensor.file);
        ModelError::unsupported(self.files.path(file), self.full(part), problem)
    }

    fn full(&self, part: &str) -> String {
        format!("{}{part}", self.name)
    }
}

/// The type of a tensor, as files name it.
pub(super) fn kind(tensor: &TensorInfo) -> &str {
    tensor.dtype.as_ref().map_or_else(String::as_str, |dtype| dtype.name())
}
