//! The files beside the weights: tokenizer, chat template.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::{Checkpoint, Format};
use crate::{Metadata, ModelError};

/// No side file is larger: the largest tokenizer.json are some 40 MB.
const MAX_BYTES: u64 = 1 << 29;

/// The key of the most tokens that a text may have, in GGUF.
pub(crate) const LONGEST_TEXT: &str = "whinchat.max_text_tokens";

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
        config: Option<Json>,
    },
    /// The bytes of tokenizer.model (SentencePiece's or tiktoken's), where there is no tokenizer.json, and, where there is
    /// one, tokenizer_config.json.
    Model {
        /// tokenizer.model.
        tokenizer: Vec<u8>,
        /// tokenizer_config.json.
        config: Option<Json>,
    },
    /// None.
    Absent,
}

impl Checkpoint {
    /// What there is to make a tokenizer of.
    ///
    /// # Errors
    /// If a side file is there and cannot be read.
    pub fn tokenizer(&self) -> Result<TokenizerFiles<'_>, ModelError> {
        if self.format() == Format::Gguf {
            let there = self.metadata().get("tokenizer.ggml.model").is_some();
            return Ok(if there { TokenizerFiles::Gguf(self.metadata()) } else { TokenizerFiles::Absent });
        }
        Ok(match self.side_bytes("tokenizer.json")? {
            Some(tokenizer) => TokenizerFiles::Json { tokenizer, config: self.side_json("tokenizer_config.json")? },
            None => match self.side_bytes("tokenizer.model")? {
                Some(tokenizer) => {
                    TokenizerFiles::Model { tokenizer, config: self.side_json("tokenizer_config.json")? }
                }
                None => TokenizerFiles::Absent,
            },
        })
    }

    /// The model's own chat template (Jinja): `tokenizer.chat_template`, or the first there is of chat_template.jinja,
    /// tokenizer_config.json and chat_template.json.
    ///
    /// # Errors
    /// If a side file is there and cannot be read.
    pub fn chat_template(&self) -> Result<Option<String>, ModelError> {
        if self.format() == Format::Gguf {
            return self.metadata().read("tokenizer.chat_template");
        }
        if let Some(bytes) = self.side_bytes("chat_template.jinja")? {
            let text = String::from_utf8(bytes);
            return text.map(Some).map_err(|_| self.side_invalid("chat_template.jinja", "file", "is not UTF-8"));
        }
        for name in ["tokenizer_config.json", "chat_template.json"] {
            let json = self.side_json(name)?;
            if let Some(template) = json.as_ref().and_then(|json| json.get("chat_template")) {
                return Ok(default_template(template).map(str::to_owned));
            }
        }
        Ok(None)
    }

    /// The prompt that ranks a document, with `{query}` and `{document}` in it, if the files have one: llama.cpp's
    /// `tokenizer.chat_template.rerank`.
    ///
    /// # Errors
    /// If it is no text.
    pub fn pair_template(&self) -> Result<Option<String>, ModelError> {
        self.metadata().read("tokenizer.chat_template.rerank")
    }

    /// The tokens whose logits say how well a document answers, if the files say: sentence-transformers' 1_LogitScore/config.json. The
    /// second, if there is one, speaks against the document.
    ///
    /// # Errors
    /// If the side file is there and cannot be read.
    pub fn score_tokens(&self) -> Result<Option<(u32, Option<u32>)>, ModelError> {
        let json = self.side_json("1_LogitScore/config.json")?.unwrap_or_default();
        let token = |name: &str| json.get(name).and_then(Json::as_u64).and_then(|id| u32::try_from(id).ok());
        Ok(token("true_token_id").map(|yes| (yes, token("false_token_id"))))
    }

    /// What the numbers of its head are called, if the files say: `ARCHITECTURE.classifier.output_labels`, or config.json's `id2label`.
    ///
    /// # Errors
    /// If the names are no texts.
    pub fn labels(&self) -> Result<Vec<String>, ModelError> {
        if self.format() == Format::Gguf {
            let Some(arch) = self.metadata().read::<&str>("general.architecture")? else { return Ok(Vec::new()) };
            return Ok(self.metadata().read(&format!("{arch}.classifier.output_labels"))?.unwrap_or_default());
        }
        let Some(names) = self.metadata().read::<&Metadata>("id2label")? else { return Ok(Vec::new()) };
        let named = (0..).map_while(|label| names.read(&label.to_string()).transpose());
        named.collect()
    }

    /// How its makers pool rows into one vector, if they say: `ARCHITECTURE.pooling_type`, or sentence-transformers'
    /// 1_Pooling/config.json.
    ///
    /// # Errors
    /// If a side file is there and cannot be read.
    pub fn pooling(&self) -> Result<Option<PoolingType>, ModelError> {
        if self.format() == Format::Gguf {
            let Some(arch) = self.metadata().read::<&str>("general.architecture")? else { return Ok(None) };
            return Ok(match self.metadata().read::<u32>(&format!("{arch}.pooling_type"))? {
                Some(1) => Some(PoolingType::Mean),
                Some(2) => Some(PoolingType::First),
                Some(3) => Some(PoolingType::Last),
                _ => None,
            });
        }
        let json = self.side_json("1_Pooling/config.json")?.unwrap_or_default();
        let modes = [
            ("pooling_mode_mean_tokens", PoolingType::Mean),
            ("pooling_mode_cls_token", PoolingType::First),
            ("pooling_mode_lasttoken", PoolingType::Last),
        ];
        Ok(modes.into_iter().find(|(key, _)| json.get(key).is_some_and(|on| on == true)).map(|(_, mode)| mode))
    }

    /// The most tokens that its makers let a text have, if they say: `max_seq_length` in sentence-transformers' sentence_bert_config.json,
    /// `whinchat.max_text_tokens` in GGUF, which `convert` writes.
    ///
    /// # Errors
    /// If a side file is there and cannot be read, or the key is no number.
    pub fn longest_text(&self) -> Result<Option<usize>, ModelError> {
        if self.format() == Format::Gguf {
            return Ok(self.metadata().read::<usize>(LONGEST_TEXT)?.filter(|&most| most > 0));
        }
        let json = self.side_json("sentence_bert_config.json")?.unwrap_or_default();
        let most = json.get("max_seq_length").and_then(Json::as_u64).and_then(|most| usize::try_from(most).ok());
        Ok(most.filter(|&most| most > 0))
    }

    /// A JSON file beside the weights.
    pub(super) fn side_json(&self, name: &str) -> Result<Option<Json>, ModelError> {
        let Some(bytes) = self.side_bytes(name)? else { return Ok(None) };
        let json = serde_json::from_slice(&bytes);
        json.map(Some).map_err(|e| self.side_invalid(name, "file", &format!("is not sound JSON: {e}; fetch it again")))
    }

    pub(super) fn side_path(&self, name: &str) -> PathBuf {
        self.folder.as_deref().unwrap_or(self.path()).join(name)
    }

    fn side_invalid(&self, name: &str, field: &str, problem: &str) -> ModelError {
        ModelError::invalid(&self.side_path(name), field, problem)
    }

    fn side_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, ModelError> {
        self.folder.as_ref().map_or(Ok(None), |folder| read_optional(&folder.join(name)))
    }
}

/// How rows become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolingType {
    /// The mean of all.
    Mean,
    /// The first.
    First,
    /// The last.
    Last,
}

/// A template, or the one called "default" of a list with names.
fn default_template(template: &Json) -> Option<&str> {
    let Json::Array(named) = template else { return template.as_str() };
    let default = named.iter().find(|t| t.get("name").is_some_and(|n| n == "default"));
    default.or(named.first())?.get("template")?.as_str()
}

/// The content of a small file; `None` if there is none.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, ModelError> {
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(ModelError::io(path, e)),
    };
    if !found.is_file() {
        return Err(ModelError::invalid(path, "file", "is not a regular file"));
    }
    if found.len() > MAX_BYTES {
        let problem = format!("has {} bytes, more than any model's; it is not what its name says", found.len());
        return Err(ModelError::invalid(path, "file", problem));
    }
    std::fs::read(path).map(Some).map_err(|e| ModelError::io(path, e))
}

/// A name for people: the last part of a path without the ending of a model file, or the model's id where the path is in
/// a Hugging Face cache (`models--ORG--NAME/snapshots/REVISION`).
pub(super) fn name(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    if let Some(id) = parts.iter().rev().find_map(|part| part.strip_prefix("models--"))
        && path.extension().is_none()
    {
        return id.replace("--", "/");
    }
    let last = path.file_name().map(ToOwned::to_owned);
    let last = last.or_else(|| path.canonicalize().ok()?.file_name().map(ToOwned::to_owned));
    let name = last.map_or("model".to_string(), |n| n.to_string_lossy().into_owned());
    let stem = name.strip_suffix(".gguf").or(name.strip_suffix(".safetensors"));
    stem.map(str::to_owned).unwrap_or(name)
}
