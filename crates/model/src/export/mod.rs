//! A model as one GGUF file: which tensors it gets, in which type, and the writing of them.

mod check;
mod mixes;
mod plan;
mod recurrent;
mod types;
mod write;

use std::sync::Arc;

use crate::arch::{self, Config};
use crate::{Checkpoint, Format, GgufValue, Model, ModelError, gguf};
pub use mixes::Mix;
pub use plan::Planned;
use plan::{Part, Tensor};
pub use types::{WeightType, file_type_name};
pub use write::Going;

/// A model whose GGUF file is being prepared.
#[derive(Debug)]
pub struct Export {
    checkpoint: Arc<Checkpoint>,
    /// `None` where the input is GGUF already: then its tensors are taken as they are.
    model: Option<Model>,
    keys: Vec<(String, GgufValue)>,
    tensors: Vec<Tensor>,
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
        Ok(Export { checkpoint: checkpoint.clone(), model: Some(model), keys, tensors })
    }

    /// A GGUF file with weights of other types.
    fn again(checkpoint: &Arc<Checkpoint>) -> Result<Export, ModelError> {
        let missing = || checkpoint.invalid("file", "has no metadata; take a complete copy of the model");
        let (path, bytes) = checkpoint.first_file().ok_or_else(missing)?;
        let mut keys = gguf::raw_keys(path, bytes)?;
        keys.retain(|(key, _)| key != "general.alignment" && !key.starts_with("split."));
        let keys = keys.into_iter().map(|(key, raw)| (key, GgufValue::Raw(raw))).collect();
        let tensors = plan::of_file(checkpoint)?;
        Ok(Export { checkpoint: checkpoint.clone(), model: None, keys, tensors })
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
