//! WordPiece (BERT) as GGUF's `bert` vocabulary: what begins a word is marked there, not what continues one.

use super::probe::Level;
use super::{Source, refused};
use crate::normalize::{Bert, Normalizer};
use crate::{GgufVocab, TokenKind, TokenizerError};

impl Source<'_> {
    pub(super) fn wordpiece(&self) -> Result<(GgufVocab, Level), TokenizerError> {
        let [Normalizer::Bert(Bert { clean: true, chinese: true, accents, lowercase })] = self.normalizers[..] else {
            return Err(refused("normalizer", "a WordPiece vocabulary in GGUF has BERT's"));
        };
        let ([begin], [end]) = self.around_text() else {
            return Err(refused(
                "post_processor",
                "a WordPiece vocabulary in GGUF puts one token before a text and one after",
            ));
        };
        let prefix = self.model.field("continuing_subword_prefix").text_if_any()?.unwrap_or("##");
        let mut vocab = self.pieces("bert");
        let marked = |piece: &[u8]| match piece.strip_prefix(prefix.as_bytes()) {
            Some(rest) if !rest.is_empty() => rest.to_vec(),
            _ => ["▁".as_bytes(), piece].concat(),
        };
        for (piece, _) in vocab.tokens.iter_mut().zip(&vocab.kinds).filter(|(_, kind)| **kind == TokenKind::Normal) {
            *piece = marked(piece);
        }
        let unknown = self.model.field("unk_token").text_if_any()?.unwrap_or("[UNK]");
        let named = |piece: Option<&str>| piece.and_then(|piece| self.original.id(piece));
        let roles = [
            ("bos", Some(*begin)),
            ("eos", Some(*end)),
            ("seperator", Some(*end)),
            ("unknown", named(Some(unknown))),
            ("padding", named(self.config.padding())),
            ("mask", named(self.config.mask())),
        ];
        vocab.special = roles.into_iter().filter_map(|(role, id)| Some((role.into(), id?))).collect();
        vocab.flags = vec![("normalizer.lowercase".into(), lowercase), ("normalizer.strip_accents".into(), accents)];
        Ok((vocab, if accents { Level::NoSigns } else { Level::All }))
    }
}
