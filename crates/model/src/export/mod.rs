//! A model as one GGUF file: which tensors it gets, in which type, and the writing of them.

mod check;
mod mixes;
mod plan;
mod recurrent;
mod types;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use crate::arch::{self, Config};
use crate::lora::{Adapter, Piece};
use crate::{Checkpoint, Format, GgufValue, Model, ModelError, gguf};
pub use mixes::Mix;
pub use plan::Planned;
use plan::{Part, Tensor};
pub use types::{WeightType, file_type_name};
pub(crate) use write::Temporary;
pub use write::{EncodeRows, Going, Recipe};

/// A model whose GGUF file is being prepared.
#[derive(Debug)]
pub struct Export {
    checkpoint: Arc<Checkpoint>,
    /// `None` where the input is GGUF already: then its tensors are taken as they are.
    model: Option<Model>,
    keys: Vec<(String, GgufValue)>,
    tensors: Vec<Tensor>,
    merged: Merged,
}

/// What adapters change, and how many times each counts.
#[derive(Debug, Default)]
struct Merged {
    /// Of weights of the graph, by their index.
    weights: HashMap<usize, Vec<(Piece, f32)>>,
    /// Of tensors of a GGUF input.
    tensors: HashMap<String, Vec<(Piece, f32)>>,
}

impl Export {
    /// Reads what the file will hold; of the tokenizer it gets only what a GGUF input has.
    ///
    /// # Errors
    /// If the model cannot be used, or a GGUF file cannot say what it does.
    pub fn new(checkpoint: &Arc<Checkpoint>) -> Result<Export, ModelError> {
        match checkpoint.format() {
            Format::Gguf => Export::again(checkpoint),
            Format::Safetensors => Export::of_safetensors(checkpoint),
        }
    }

    fn of_safetensors(checkpoint: &Arc<Checkpoint>) -> Result<Export, ModelError> {
        let model = checkpoint.bind(None)?;
        let config = Config::new(checkpoint)?;
        let mut keys = arch::keys(&config, model.spec())?;
        keys.insert(1, ("general.type".into(), GgufValue::Str("model".into())));
        keys.insert(2, ("general.name".into(), GgufValue::Str(checkpoint.name())));
        keys.extend(sampling(checkpoint)?);
        let mut tensors = plan::of_model(&model, config.arch);
        for (name, factors) in arch::rope_factors(&config, model.spec())? {
            tensors.push(Tensor::made(name, factors));
        }
        let merged = Merged::default();
        Ok(Export { checkpoint: checkpoint.clone(), model: Some(model), keys, tensors, merged })
    }

    /// A GGUF file with weights of other types.
    fn again(checkpoint: &Arc<Checkpoint>) -> Result<Export, ModelError> {
        let missing = || checkpoint.invalid("file", "has no metadata; take a complete copy of the model");
        let (path, bytes) = checkpoint.first_file().ok_or_else(missing)?;
        let mut keys = gguf::raw_keys(path, bytes)?;
        keys.retain(|(key, _)| key != "general.alignment" && !key.starts_with("split."));
        let keys = keys.into_iter().map(|(key, raw)| (key, GgufValue::Raw(raw))).collect();
        let tensors = plan::of_file(checkpoint)?;
        let merged = Merged::default();
        Ok(Export { checkpoint: checkpoint.clone(), model: None, keys, tensors, merged })
    }

    /// Merges an adapter, which counts `scale` times, into the weights that will be written. Several add up.
    ///
    /// # Errors
    /// If the adapter is for another model, or changes what cannot be merged.
    pub fn merge(&mut self, adapter: &Adapter, scale: f32) -> Result<(), ModelError> {
        match &self.model {
            Some(model) => {
                for (weight, pieces) in adapter.weights(model)? {
                    let all = self.merged.weights.entry(weight).or_default();
                    all.extend(pieces.into_iter().map(|piece| (piece, scale)));
                }
            }
            None => {
                for (tensor, piece) in adapter.tensors(&self.checkpoint)? {
                    self.merged.tensors.entry(tensor).or_default().push((piece, scale));
                }
            }
        }
        Ok(())
    }

    /// Rows of the embedding: so many tokens the vocabulary must have.
    pub fn vocab(&self) -> Option<usize> {
        self.model.as_ref().map(|model| model.spec().vocab)
    }

    /// Sets a key, in its place if it is there.
    pub fn set(&mut self, key: &str, value: GgufValue) {
        match self.keys.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key.to_owned(), value)),
        }
    }
}

/// The model's own suggestions for sampling.
fn sampling(checkpoint: &Checkpoint) -> Result<Vec<(String, GgufValue)>, ModelError> {
    let own = checkpoint.generation()?;
    let float = |x: Option<f32>| x.map(GgufValue::F32);
    let all = [
        ("temp", float(own.temperature)),
        ("top_k", own.top_k.map(|k| GgufValue::I32(k as i32))),
        ("top_p", float(own.top_p)),
        ("min_p", float(own.min_p)),
        ("penalty_repeat", float(own.repetition_penalty)),
    ];
    let named = |(name, value): (&str, Option<GgufValue>)| Some((format!("general.sampling.{name}"), value?));
    Ok(all.into_iter().filter_map(named).collect())
}
