//! The tokenizer of a checkpoint: GGUF keys as plain data for `text`, or the files beside safetensors.

use std::path::{Path, PathBuf};

use model::{Checkpoint, List, Metadata, TokenizerFiles, Value};
use text::{GgufVocab, TokenKind, Tokenizer, TokenizerError};

use crate::Error;

/// Makes the tokenizer of `checkpoint`.
///
/// # Errors
/// If it has none, or one that cannot be used.
pub fn tokenizer(checkpoint: &Checkpoint) -> Result<Tokenizer, Error> {
    let path = checkpoint.path();
    let (made, path) = match checkpoint.tokenizer()? {
        TokenizerFiles::Gguf(metadata) => (Tokenizer::from_gguf(gguf_vocab(metadata)), path.to_owned()),
        TokenizerFiles::Json { tokenizer, config } => {
            (Tokenizer::from_json(&tokenizer, config.as_ref()), tokenizer_file(path, FILE))
        }
        TokenizerFiles::Model { tokenizer, config } => {
            (Tokenizer::from_model(&tokenizer, config.as_ref()), tokenizer_file(path, MODEL))
        }
        TokenizerFiles::Absent => {
            let problem = "is missing; put the model's own beside the weights".into();
            (Err(TokenizerError { field: FILE.into(), problem }), path.to_owned())
        }
    };
    made.map_err(|source| broken(path, source))
}

/// Makes the tokenizer of a file that has nothing else in it: a tokenizer.json, or a `tokenizer.model` or `.tiktoken` of
/// SentencePiece or tiktoken. `None` if its name says that it is none of them.
///
/// # Errors
/// If it cannot be read or used.
pub fn tokenizer_of_file(path: &Path) -> Option<Result<Tokenizer, Error>> {
    let name = path.file_name()?.to_str()?;
    let json = name.ends_with(".json");
    if !path.is_file() || !json && !name.contains(".model") && !name.ends_with(".tiktoken") {
        return None;
    }
    let read = std::fs::read(path).map_err(|source| Error::Io { what: format!("reading {}", path.display()), source });
    Some(read.and_then(|bytes| {
        let made = if json { Tokenizer::from_json(&bytes, None) } else { Tokenizer::from_model(&bytes, None) };
        made.map_err(|source| broken(path.to_owned(), source))
    }))
}

fn broken(path: PathBuf, mut source: TokenizerError) -> Error {
    if !source.problem.contains("; ") {
        source.problem.push_str("; take another copy of the tokenizer");
    }
    Error::Tokenizer { path, source }
}

const FILE: &str = "tokenizer.json";
const MODEL: &str = "tokenizer.model";

/// A side file of a model that is a folder, or of one that is a file.
fn tokenizer_file(model: &Path, name: &str) -> PathBuf {
    if model.is_dir() { model.join(name) } else { model.with_file_name(name) }
}

fn gguf_vocab(metadata: &Metadata) -> GgufVocab {
    let text = |key: &str| match metadata.get(key) {
        Some(Value::Str(s)) => Some(s.clone()),
        _ => None,
    };
    let keys = || metadata.iter().filter_map(|(k, v)| Some((k.strip_prefix("tokenizer.ggml.")?, v)));
    GgufVocab {
        model: text("tokenizer.ggml.model").unwrap_or_default(),
        pre: text("tokenizer.ggml.pre"),
        tokens: bytes(metadata, "tokenizer.ggml.tokens"),
        scores: floats(metadata, "tokenizer.ggml.scores"),
        kinds: ints(metadata, "tokenizer.ggml.token_type").into_iter().map(TokenKind::from_number).collect(),
        merges: bytes(metadata, "tokenizer.ggml.merges"),
        special: keys().filter_map(special_id).collect(),
        flags: keys()
            .filter_map(|(k, v)| match v {
                Value::Bool(b) => Some((k.to_owned(), *b)),
                _ => None,
            })
            .collect(),
        charsmap: ints(metadata, "tokenizer.ggml.precompiled_charsmap").into_iter().map(|b| b as u8).collect(),
        names: ["general.name", "general.architecture"].into_iter().filter_map(text).collect(),
    }
}

fn special_id((key, value): (&str, &Value)) -> Option<(String, u32)> {
    let name = key.strip_suffix("_token_id")?;
    match value {
        Value::Int(id) => Some((name.to_owned(), u32::try_from(*id).ok()?)),
        _ => None,
    }
}

fn bytes(metadata: &Metadata, key: &str) -> Vec<Vec<u8>> {
    match metadata.get(key) {
        Some(Value::List(List::Bytes(list))) => list.iter().map(<[u8]>::to_vec).collect(),
        _ => Vec::new(),
    }
}

fn floats(metadata: &Metadata, key: &str) -> Vec<f32> {
    match metadata.get(key) {
        Some(Value::List(List::Float(list))) => list.iter().map(|x| *x as f32).collect(),
        _ => Vec::new(),
    }
}

fn ints(metadata: &Metadata, key: &str) -> Vec<i64> {
    match metadata.get(key) {
        Some(Value::List(List::Int(list))) => list.clone(),
        _ => Vec::new(),
    }
}
