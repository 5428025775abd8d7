//! Byte-level BPE (GPT-2 and its descendants) as GGUF's `gpt2` vocabulary.

use serde_json::Value;

use super::probe::Level;
use super::{Source, recognise, refused};
use crate::normalize::Normalizer;
use crate::pretokenize::Pretokenizer;
use crate::{GgufVocab, TokenizerError};

/// Parts of a BPE model that would change its ids and that GGUF cannot say.
const UNSAYABLE: [&str; 2] = ["continuing_subword_prefix", "end_of_word_suffix"];

impl Source<'_> {
    pub(super) fn byte_level(&self) -> Result<(GgufVocab, Level), TokenizerError> {
        // llama.cpp has no normalization of such text: of text that is composed already, as nearly all is, NFC changes nothing.
        if !self.normalizers.iter().all(|n| matches!(n, Normalizer::Nfc)) {
            return Err(refused("normalizer", "a byte-level vocabulary in GGUF has none but NFC"));
        }
        for name in UNSAYABLE {
            let field = self.model.field(name);
            if !field.text_if_any()?.unwrap_or_default().is_empty() {
                return Err(refused(&field.path, "a GGUF vocabulary has no such thing"));
            }
        }
        let steps = &self.pretokenizers[..self.pretokenizers.len() - 1];
        if steps.iter().any(|step| matches!(step, Pretokenizer::PrefixSpace)) {
            return Err(refused("pre_tokenizer.add_prefix_space", "a byte-level vocabulary in GGUF has none"));
        }
        let whole = self.model.field("ignore_merges").bool_or(false)?;
        let (pre, level) = recognise::name(steps, whole)?;
        Ok((GgufVocab { pre: Some(pre.into()), merges: self.merges()?, ..self.common("gpt2")? }, level))
    }

    /// Two pieces with a space between, best first.
    fn merges(&self) -> Result<Vec<Vec<u8>>, TokenizerError> {
        let mut merges = Vec::new();
        for merge in self.model.field("merges").items()? {
            match merge.value {
                Value::String(line) if line.starts_with("#version") => {}
                Value::String(line) => merges.push(line.clone().into_bytes()),
                Value::Array(pair) => match pair.as_slice() {
                    [Value::String(left), Value::String(right)] => merges.push(format!("{left} {right}").into_bytes()),
                    _ => return Err(merge.error("is not two pieces")),
                },
                _ => return Err(merge.error("is not two pieces")),
            }
        }
        Ok(merges)
    }
}
