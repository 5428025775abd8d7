//! A model on disk, whatever its format: metadata, tensors and side files behind one interface.

mod files;
mod generation;
mod open;
mod side;
mod sniff;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tensor::DType;

use crate::quantized::{self, Packed};
use crate::{FileIdentity, Metadata, Model, ModelError, Repacked};
pub(crate) use files::Files;
pub use generation::GenerationConfig;
pub(crate) use side::{LONGEST_TEXT, read_optional};
pub use side::{PoolingType, TokenizerFiles};

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
    /// Bytes it takes; 0 for a type whose size is not known. Of a matrix that is made of several tensors, the bytes of the first.
    pub bytes: usize,
    /// Which of the checkpoint's files it is in.
    pub(crate) file: usize,
    /// Its first byte there; opening has checked that all its bytes are inside the file.
    pub(crate) start: usize,
    /// How it is made of several tensors, if others have quantized it.
    pub(crate) packed: Option<Arc<Packed>>,
}

/// An opened model: mapped files, parsed headers.
#[derive(Debug)]
pub struct Checkpoint {
    format: Format,
    path: PathBuf,
    /// Where the side files of safetensors are.
    folder: Option<PathBuf>,
    pub(crate) files: Files,
}

impl Checkpoint {
    /// Opens a GGUF file (or any part of a split set), a folder with one of these, a folder with safetensors files, or
    /// a single safetensors file with its config.json beside it.
    ///
    /// # Errors
    /// If a file is missing, damaged or of another format; see [`ModelError`].
    pub fn open(path: &Path) -> Result<Arc<Checkpoint>, ModelError> {
        open::open(path).map(Arc::new)
    }

    /// Reads a GGUF file that is in memory: `&'static [u8]` (an embedded model) or `Vec<u8>`.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], with `(memory)` as the path.
    pub fn from_gguf_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Arc<Checkpoint>, ModelError> {
        open::gguf_bytes(bytes.into()).map(Arc::new)
    }

    /// Reads a safetensors file that is in memory, with the text of its config.json.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], with `(memory)` as the path.
    pub fn from_safetensors_bytes(
        bytes: impl Into<Cow<'static, [u8]>>,
        config: &str,
    ) -> Result<Arc<Checkpoint>, ModelError> {
        open::safetensors_bytes(bytes.into(), config).map(Arc::new)
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The file or folder that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every file with weights that it is made of.
    pub fn files(&self) -> Vec<PathBuf> {
        self.files.paths().map(Path::to_owned).collect()
    }

    /// Which files these are, as they were opened; `None` if they are in memory that is not the program's own.
    pub fn identities(&self) -> Option<Vec<FileIdentity>> {
        self.files.files.iter().map(|(_, bytes)| bytes.identity()).collect()
    }

    /// GGUF metadata, or config.json.
    pub fn metadata(&self) -> &Metadata {
        &self.files.metadata
    }

    /// Every tensor in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.files.tensors
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.files.tensor(name)
    }

    /// The bytes of a tensor of this checkpoint, from the map. Of a matrix that is made of several tensors, those of the first; see
    /// [`Checkpoint::data`].
    pub fn bytes(&self, tensor: &TensorInfo) -> &[u8] {
        self.files.bytes(tensor)
    }

    /// The bytes of a tensor in the type that it is said to have: from the map, or made of several tensors.
    pub fn data(&self, tensor: &TensorInfo) -> Cow<'_, [u8]> {
        match (&tensor.packed, &tensor.dtype) {
            (Some(packed), &Ok(dtype)) => packed.read(&self.files, dtype).into(),
            _ => self.bytes(tensor).into(),
        }
    }

    /// What weights that others have quantized are read as, and how many there are of each kind.
    pub fn repacked(&self) -> Vec<(Repacked, usize)> {
        quantized::summary(self.tensors()).into_iter().collect()
    }

    /// The same with other files.
    pub(crate) fn with_files(&self, files: Files) -> Checkpoint {
        Checkpoint { format: self.format, path: self.path.clone(), folder: self.folder.clone(), files }
    }

    /// The first of its files with weights, where a GGUF model has its metadata.
    pub(crate) fn first_file(&self) -> Option<(&Path, &[u8])> {
        self.files.files.first().map(|(path, bytes)| (path.as_path(), &bytes[..]))
    }

    /// Gives back the memory of what was read of the files so far: to be called when a weight has been copied elsewhere.
    pub fn release(&self) {
        self.files.files.iter().for_each(|(_, bytes)| bytes.release());
    }

    /// A name for people: `general.name`, else the file's or folder's name. It is one line: control characters, which would
    /// command the terminal that shows it, are spaces.
    pub fn name(&self) -> String {
        let own = self
            .metadata()
            .read::<&str>("general.name")
            .ok()
            .flatten()
            .filter(|name| !name.trim_matches(|c: char| c.is_whitespace() || c.is_control()).is_empty());
        let name = own.map(str::to_owned).unwrap_or_else(|| side::name(&self.path));
        name.replace(char::is_control, " ").trim().to_owned()
    }

    /// That `field` (a key, a tensor) of this model is wrong. For a key prefer [`Metadata::invalid`], which knows
    /// nested objects.
    pub fn invalid(&self, field: &str, problem: impl Into<String>) -> ModelError {
        ModelError::invalid(self.path_of(field), field, problem)
    }

    /// That `field` (a key, a tensor) asks for something that Whinchat does not have.
    pub fn unsupported(&self, field: &str, problem: impl Into<String>) -> ModelError {
        ModelError::unsupported(self.path_of(field), field, problem)
    }

    /// The file that holds `field` if it is a tensor, else what was opened.
    fn path_of(&self, field: &str) -> &Path {
        self.tensor(field).map_or(self.path(), |tensor| self.files.path(tensor.file))
    }

    /// Reads the spec, builds the graph and binds every weight. `context` is the longest sequence that will be run
    /// (None: the model's own); some models choose rope factors by it.
    ///
    /// # Errors
    /// If the architecture is not in the table, or a key or tensor is missing or does not fit.
    pub fn bind(self: &Arc<Self>, context: Option<usize>) -> Result<Model, ModelError> {
        self.bind_handing_over(context, &[])
    }

    /// As [`Checkpoint::bind`], of a model whose hidden states are read by a head that drafts for it: cut at its own head
    /// ([`Model::head`]), it hands over what goes into each of these layers, then the normalized rows of the last layer. The number of
    /// layers stands for what comes out of the last one.
    ///
    /// # Errors
    /// As [`Checkpoint::bind`], or if the model has several streams of hidden states, or no such layer.
    pub fn bind_handing_over(self: &Arc<Self>, context: Option<usize>, layers: &[usize]) -> Result<Model, ModelError> {
        if self.tensors().is_empty() {
            return Err(
                self.invalid("tensors", "there are none, only a vocabulary; take a file with the model's weights")
            );
        }
        if self.is_eagle3() {
            let why =
                "is of an EAGLE-3 head, which drafts for a model: give that model, and the head as its draft model";
            return Err(self.unsupported("fc.weight", why));
        }
        Model::bind(self, context, layers)
    }

    /// Binds an EAGLE-3 head ([`crate::Eagle3::checkpoint`]). Its graph takes, beside each token, what the model hands over of the token
    /// before ([`Model::handed`]), and after it the head's own row of that token; one of the two is zeros. Its rows before its output matrix
    /// are such rows of its own.
    ///
    /// # Errors
    /// As [`Checkpoint::bind`].
    pub fn bind_eagle3(self: &Arc<Self>, context: Option<usize>) -> Result<Model, ModelError> {
        Model::bind_eagle3(self, context)
    }

    /// Binds the layer that predicts the token after the next, with its embedding and its head (multi-token prediction); `None` if the
    /// files have none, or one that is built otherwise than DeepSeek's and Qwen's. Its graph takes a row of the model's hidden states
    /// ([`Model::head`]) beside each token: that of the token before.
    ///
    /// # Errors
    /// As [`Checkpoint::bind`].
    pub fn bind_mtp(self: &Arc<Self>, context: Option<usize>) -> Result<Option<Model>, ModelError> {
        Model::bind_mtp(self, context)
    }
}
