//! SentencePiece's unigram vocabularies (T5, XLM-RoBERTa) as GGUF's `t5`.

use super::{Source, refused};
use crate::normalize::Normalizer;
use crate::pretokenize::{Prepend, Pretokenizer};
use crate::{GgufVocab, TokenKind, TokenizerError};

impl Source<'_> {
    pub(super) fn unigram(&self) -> Result<GgufVocab, TokenizerError> {
        let mut vocab = self.common("t5")?;
        let unknown = self.model.field("unk_id");
        if !unknown.is_null() {
            let id = unknown.id()?;
            vocab.kinds[id as usize] = TokenKind::Unknown;
            vocab.special.retain(|(role, _)| role != "unknown");
            vocab.special.push(("unknown".into(), id));
        }
        vocab.scores = vec![0.0; vocab.tokens.len()];
        for (id, entry) in self.model.field("vocab").items()?.iter().enumerate() {
            let score = entry.items()?.get(1).and_then(|score| score.value.as_f64());
            vocab.scores[id] = score.ok_or_else(|| entry.error("has no score"))? as f32;
        }
        for step in &self.normalizers {
            match step {
                Normalizer::Precompiled(map) if vocab.charsmap.is_empty() => vocab.charsmap = map.bytes(),
                // Runs of spaces become one, as `remove_extra_whitespaces` says too.
                Normalizer::Replace(..) | Normalizer::Strip { .. } => {}
                _ => {
                    return Err(refused(
                        "normalizer",
                        "a unigram vocabulary in GGUF has one map of characters at most",
                    ));
                }
            }
        }
        let spaced =
            |step: &Pretokenizer| matches!(step, Pretokenizer::Metaspace { prepend, .. } if *prepend != Prepend::Never);
        let add_space = self.pretokenizers.iter().any(spaced);
        vocab.flags.push(("add_space_prefix".into(), add_space));
        vocab.flags.push(("remove_extra_whitespaces".into(), true));
        Ok(vocab)
    }
}
