//! SentencePiece's BPE (Llama 2, Mistral, Gemma) as GGUF's `llama` vocabulary: merges become scores of what they make.

use std::collections::HashMap;

use serde_json::Value;

use super::{Source, refused};
use crate::normalize::Normalizer;
use crate::pretokenize::{Prepend, Pretokenizer};
use crate::split::Splitter;
use crate::vocab::byte_piece;
use crate::{GgufVocab, TokenKind, TokenizerError};

impl Source<'_> {
    pub(super) fn sentencepiece(&self) -> Result<GgufVocab, TokenizerError> {
        if !self.model.field("byte_fallback").bool_or(false)? {
            return Err(refused(
                "pre_tokenizer",
                "only byte-level BPE and BPE with byte_fallback can be written to GGUF",
            ));
        }
        let add_space = self.adds_space()?;
        let mut vocab = self.common("llama")?;
        for (id, piece) in vocab.tokens.iter_mut().enumerate() {
            let text = String::from_utf8_lossy(piece).into_owned();
            if byte_piece(&text).is_some() {
                vocab.kinds[id] = TokenKind::Byte;
            } else if Some(text.as_str()) == self.model.field("unk_token").text_if_any()? {
                vocab.kinds[id] = TokenKind::Unknown;
            } else if vocab.kinds[id] == TokenKind::UserDefined {
                *piece = text.replace('▁', " ").into_bytes();
            }
        }
        vocab.scores = self.scores()?;
        vocab.flags.push(("add_space_prefix".into(), add_space));
        Ok(vocab)
    }

    /// Whether a space goes before a text, if the steps do that and make `▁` of spaces and nothing else.
    fn adds_space(&self) -> Result<bool, TokenizerError> {
        let (mut add_space, mut escaped) = (false, false);
        for step in &self.normalizers {
            match step {
                Normalizer::Prepend(prefix) if prefix == "▁" => add_space = true,
                Normalizer::Replace(Splitter::Literal(from), to) if from == " " && to == "▁" => escaped = true,
                _ => return Err(refused("normalizer", "a SentencePiece vocabulary in GGUF has none but of spaces")),
            }
        }
        for step in &self.pretokenizers {
            match step {
                Pretokenizer::Metaspace { replacement: '▁', prepend, .. } => {
                    (add_space, escaped) = (add_space || *prepend != Prepend::Never, true);
                }
                // Gemma's, of which nothing is left to split.
                Pretokenizer::Split { pattern: Splitter::Literal(space), .. } if space == " " && escaped => {}
                _ => return Err(refused("pre_tokenizer", "a SentencePiece vocabulary in GGUF has none but of spaces")),
            }
        }
        if escaped { Ok(add_space) } else { Err(refused("normalizer", "does not write spaces as ▁")) }
    }

    /// What is merged first has the highest score; what no merge makes has none.
    fn scores(&self) -> Result<Vec<f32>, TokenizerError> {
        let mut ranks: HashMap<String, usize> = HashMap::new();
        for (rank, merge) in self.model.field("merges").items()?.into_iter().enumerate() {
            let made = match merge.value {
                Value::String(line) => line.replacen(' ', "", 1),
                Value::Array(pair) => pair.iter().filter_map(Value::as_str).collect(),
                _ => return Err(merge.error("is not two pieces")),
            };
            ranks.entry(made).or_insert(rank);
        }
        let last = ranks.len();
        let score = |id| {
            let rank = self.original.piece(id).and_then(|piece| ranks.get(piece)).copied().unwrap_or(last);
            -(rank as f32)
        };
        Ok((0..self.original.vocab() as u32).map(score).collect())
    }
}
