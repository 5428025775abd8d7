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
use crate::{Checkpoint, Format, GgufValue, Model, ModelError, ModelSpec, gguf};
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
    /// Its layer that predicts ahead, which the file has after the last.
    ahead: Option<Model>,
    /// What the file lacks that the input has.
    note: Option<String>,
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
        let (ahead, note) = ahead(checkpoint, &model, config.arch.name);
        let mut keys = match &ahead {
            Some(ahead) => {
                let layers = model.spec().layers + 1;
                arch::keys(&config, &ModelSpec { layers, ..ahead.spec().clone() }, 1)?
            }
            None => arch::keys(&config, model.spec(), 0)?,
        };
        keys.insert(1, ("general.type".into(), GgufValue::Str("model".into())));
        keys.insert(2, ("general.name".into(), GgufValue::Str(checkpoint.name())));
        keys.extend(sampling(checkpoint)?);
        let mut tensors = plan::of_model(&model, config.arch);
        tensors.extend(ahead.iter().flat_map(|ahead| plan::of_layer(ahead, config.arch, model.spec().layers)));
        for (name, factors) in arch::rope_factors(&config, model.spec())? {
            tensors.push(Tensor::made(name, factors));
        }
        let merged = Merged::default();
        Ok(Export { checkpoint: checkpoint.clone(), model: Some(model), ahead, note, keys, tensors, merged })
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
        Ok(Export { checkpoint: checkpoint.clone(), model: None, ahead: None, note: None, keys, tensors, merged })
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

    /// What the file will lack that the input has, if anything, and why.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
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

/// The layer of a model that predicts ahead, if the file can have it; else, if there is one, why it cannot.
fn ahead(checkpoint: &Arc<Checkpoint>, model: &Model, arch: &str) -> (Option<Model>, Option<String>) {
    const WHAT: &str = "the layer that predicts ahead (--draft-model mtp) is left out";
    let known = arch::AHEAD.contains(&arch);
    match checkpoint.bind_mtp(None) {
        Ok(Some(ahead)) if known => (Some(ahead), None),
        Ok(Some(_)) => (None, Some(format!("{WHAT}: llama.cpp's files of \"{arch}\" have no place for it"))),
        Err(why) => (None, Some(format!("{WHAT}: {why}"))),
        Ok(None) if model.unused().iter().any(|tensor| predicts(&tensor.name, model.spec().layers)) => {
            (None, Some(format!("{WHAT}: its tensors are laid out as no model's that this program knows")))
        }
        Ok(None) => (None, None),
    }
}

/// Whether a tensor that the model does not need is of a layer that predicts ahead, by its name.
fn predicts(tensor: &str, layers: usize) -> bool {
    let mut parts = tensor.split('.');
    let listed = parts.by_ref().any(|part| part == "layers");
    let beyond = listed && parts.next().and_then(|i| i.parse().ok()).is_some_and(|i: usize| i >= layers);
    beyond || tensor.split('.').any(|part| part.starts_with("mtp"))
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
