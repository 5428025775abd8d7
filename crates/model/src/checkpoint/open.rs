//! From a path to the files of a model: which format it is, and which file of a folder is meant.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sniff::{self, Looks};
use super::{Checkpoint, Files, Format};
use crate::mmap::Bytes;
use crate::{ModelError, gguf, quantized, safetensors};

const MEMORY: &str = "(memory)";
/// A tokenizer alone can be opened too, to tokenize with.
const VOCABULARY: &str = "tokenizer.json";
/// The endings of PyTorch's weights.
const TORCH_ENDINGS: [&str; 4] = [".bin", ".pt", ".pth", ".ckpt"];
const TORCH_ONLY: &str =
    "holds PyTorch weights only; take the model's safetensors or GGUF files, or convert it (save_pretrained)";
const ADAPTER: &str =
    "the folder holds a LoRA adapter, not a model; merge it into its base model (whinchat convert BASE --lora ADAPTER)";
const NOT_THERE: &str = "does not exist; give a GGUF file, a folder with safetensors or a Hugging Face id (org/name)";
const NO_MODEL: &str = "holds no .gguf and no .safetensors file; give a model's file or the folder with its weights";

/// See [`Checkpoint::open`].
pub(super) fn open(path: &Path) -> Result<Checkpoint, ModelError> {
    let found = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => ModelError::invalid(path, "file", NOT_THERE),
        _ => ModelError::io(path, e),
    })?;
    let is_vocabulary = path.file_name().is_some_and(|name| name == VOCABULARY);
    let (format, files) = match found.is_dir() {
        true => open_folder(path)?,
        false if is_vocabulary => (Format::Safetensors, safetensors::open_vocabulary(&path.with_file_name(""))?),
        false => open_file(path)?,
    };
    let folder = if found.is_dir() { path.to_owned() } else { path.with_file_name("") };
    let folder = (format == Format::Safetensors).then_some(folder);
    checkpoint(format, path, folder, files)
}

pub(super) fn gguf_bytes(bytes: Cow<'static, [u8]>) -> Result<Checkpoint, ModelError> {
    let path = Path::new(MEMORY);
    let gguf = gguf::parse(path, &bytes, 0)?;
    let files = Files::new(gguf.metadata, gguf.tensors, vec![(path.to_owned(), Arc::new(Bytes::Memory(bytes)))]);
    checkpoint(Format::Gguf, path, None, files)
}

pub(super) fn safetensors_bytes(bytes: Cow<'static, [u8]>, config: &str) -> Result<Checkpoint, ModelError> {
    let path = Path::new(MEMORY);
    let tensors = safetensors::parse(path, &bytes, 0)?;
    let metadata = safetensors::config(path, config)?;
    let files = Files::new(metadata, tensors, vec![(path.to_owned(), Arc::new(Bytes::Memory(bytes)))]);
    checkpoint(Format::Safetensors, path, None, files)
}

fn checkpoint(format: Format, path: &Path, folder: Option<PathBuf>, files: Files) -> Result<Checkpoint, ModelError> {
    let files = match format {
        Format::Gguf => files.indexed()?,
        Format::Safetensors => quantized::resolve(files.indexed()?)?,
    };
    Ok(Checkpoint { format, path: path.to_owned(), folder, files })
}

fn open_file(path: &Path) -> Result<(Format, Files), ModelError> {
    match looks(path)? {
        Looks::Gguf => Ok((Format::Gguf, gguf::open(path)?)),
        Looks::Safetensors => Ok((Format::Safetensors, safetensors::open_file(path)?)),
        Looks::Other(what) => Err(ModelError::invalid(path, "file", what)),
    }
}

/// What the file's first bytes look like; a file without any is refused here.
fn looks(path: &Path) -> Result<Looks, ModelError> {
    let found = std::fs::metadata(path).map_err(|e| ModelError::io(path, e))?;
    if !found.is_file() {
        return Err(ModelError::invalid(path, "file", "is neither a file nor a folder; give a model's file or folder"));
    }
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| ModelError::io(path, e))?;
    file.take(sniff::HEAD as u64).read_to_end(&mut head).map_err(|e| ModelError::io(path, e))?;
    Ok(sniff::looks(&head))
}

fn open_folder(path: &Path) -> Result<(Format, Files), ModelError> {
    let names = names(path)?;
    let has = |name: &str| names.iter().any(|n| n == name);
    if has("adapter_config.json") && !has("config.json") {
        return Err(ModelError::unsupported(path, "adapter_config.json", ADAPTER));
    }
    if names.iter().any(|n| n.ends_with(".safetensors") || n.ends_with(".safetensors.index.json")) {
        return Ok((Format::Safetensors, safetensors::open_folder(path, &names)?));
    }
    match &gguf_candidates(&names)[..] {
        [] if is_torch(&names) => Err(ModelError::invalid(path, "folder", TORCH_ONLY)),
        [] if has(VOCABULARY) => Ok((Format::Safetensors, safetensors::open_vocabulary(path)?)),
        [] => Err(ModelError::invalid(path, "folder", NO_MODEL)),
        [one] => open_file(&path.join(one)),
        many => {
            let problem = format!("holds several models; give one of {}", many.join(", "));
            Err(ModelError::invalid(path, "folder", problem))
        }
    }
}

/// The GGUF files of a folder that may be meant: of a split set the first part, and no vision projectors.
fn gguf_candidates(names: &[String]) -> Vec<&str> {
    let later_part = |name: &str| {
        let part = name.strip_suffix(".gguf").and_then(|n| n.rsplit_once("-of-")).map(|(n, _)| n);
        part.and_then(|n| n.rsplit_once('-')).is_some_and(|(_, no)| no.len() == 5 && no != "00001")
    };
    names
        .iter()
        .filter(|n| n.ends_with(".gguf") && !n.contains("mmproj") && !later_part(n))
        .map(String::as_str)
        .collect()
}

fn is_torch(names: &[String]) -> bool {
    names.iter().any(|name| TORCH_ENDINGS.iter().any(|ending| name.ends_with(ending)))
}

/// The names of the files in a folder, sorted.
fn names(path: &Path) -> Result<Vec<String>, ModelError> {
    let io = |e| ModelError::io(path, e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io)? {
        let name: PathBuf = entry.map_err(io)?.file_name().into();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
