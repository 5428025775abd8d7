//! A model on disk, whatever its format: metadata, tensors and side files behind one interface.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tensor::{DType, Shape};

use crate::{Metadata, Model, ModelError};

/// Which family of files a model came in; decides names of tensors and the layout of some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One or several GGUF files.
    Gguf,
    /// A folder with config.json and safetensors files.
    Safetensors,
}

/// A tensor in a file, not yet read.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// Its dimensions, outermost first (the reverse of GGUF's order).
    pub dims: Vec<usize>,
    /// How it is stored; `Err` holds the name of a type that we cannot read (an error only if the model needs it).
    pub dtype: Result<DType, String>,
    /// Bytes it takes.
    pub bytes: usize,
    // private: which map and where
}

/// What there is to make a tokenizer of.
#[derive(Debug)]
pub enum TokenizerFiles<'a> {
    /// `tokenizer.ggml.*` keys.
    Gguf(&'a Metadata),
    /// The bytes of tokenizer.json and, where there is one, tokenizer_config.json.
    Json {
        /// tokenizer.json.
        tokenizer: Vec<u8>,
        /// tokenizer_config.json.
        config: Option<serde_json::Value>,
    },
    /// None.
    Absent,
}

/// The model's own suggestions for sampling (generation_config.json), and its end tokens from every source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationConfig {
    /// Temperature.
    pub temperature: Option<f32>,
    /// Top-k.
    pub top_k: Option<usize>,
    /// Top-p.
    pub top_p: Option<f32>,
    /// Min-p.
    pub min_p: Option<f32>,
    /// Repetition penalty.
    pub repetition_penalty: Option<f32>,
    /// Token ids that end an answer.
    pub eos: Vec<u32>,
}

/// An opened model: mapped files, parsed headers.
#[derive(Debug)]
pub struct Checkpoint {}

impl Checkpoint {
    /// Opens a GGUF file (or the first of a split set) or a folder with safetensors files.
    ///
    /// # Errors
    /// If a file is missing, damaged or of another format; see [`ModelError`].
    pub fn open(path: &Path) -> Result<Arc<Checkpoint>, ModelError> {
        let _ = path;
        todo!()
    }

    /// The format.
    pub fn format(&self) -> Format {
        todo!()
    }

    /// The file or folder that was opened.
    pub fn path(&self) -> &Path {
        todo!()
    }

    /// Every file it is made of.
    pub fn files(&self) -> Vec<PathBuf> {
        todo!()
    }

    /// GGUF metadata, or config.json.
    pub fn metadata(&self) -> &Metadata {
        todo!()
    }

    /// Every tensor in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        todo!()
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let _ = name;
        todo!()
    }

    /// The bytes of a tensor, from the map.
    pub fn bytes(&self, tensor: &TensorInfo) -> &[u8] {
        let _ = tensor;
        todo!()
    }

    /// A name for people: `general.name`, else the file's or folder's name.
    pub fn name(&self) -> String {
        todo!()
    }

    /// What there is to make a tokenizer of.
    ///
    /// # Errors
    /// If a side file is there and cannot be read.
    pub fn tokenizer(&self) -> Result<TokenizerFiles<'_>, ModelError> {
        todo!()
    }

    /// The model's own chat template (Jinja): `tokenizer.chat_template`, tokenizer_config.json or chat_template.jinja.
    ///
    /// # Errors
    /// If a side file is there and cannot be read.
    pub fn chat_template(&self) -> Result<Option<String>, ModelError> {
        todo!()
    }

    /// The model's own generation settings.
    ///
    /// # Errors
    /// If a side file is there and cannot be read.
    pub fn generation(&self) -> Result<GenerationConfig, ModelError> {
        todo!()
    }

    /// Reads the spec, builds the graph and binds every weight. `context` is the longest sequence that will be run
    /// (None: the model's own); some models choose rope factors by it.
    ///
    /// # Errors
    /// If the architecture is not in the table, or a key or tensor is missing or does not fit.
    pub fn bind(self: &Arc<Self>, context: Option<usize>) -> Result<Model, ModelError> {
        Model::bind(self, context)
    }
}
