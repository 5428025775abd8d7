//! `decoder` of a tokenizer.json, as far as one piece alone tells its bytes.

use super::field::{Field, Fields};
use crate::vocab::byte_piece;
use crate::{TokenizerError, alphabet};

/// How pieces become bytes.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    byte_level: bool,
    byte_fallback: bool,
    /// What is put for what.
    replaced: Vec<(String, String)>,
    /// Pieces without it begin a word (WordPiece).
    prefix: Option<String>,
    /// Stands for the space after a word (BPE of old).
    suffix: Option<String>,
}

impl Decoder {
    /// From the field; what works on whole texts (`Strip`, `Fuse`) is no matter of single pieces.
    pub(super) fn new(field: &Field) -> Result<Decoder, TokenizerError> {
        let mut decoder = Decoder::default();
        if field.is_null() {
            decoder.replaced.push(("▁".into(), " ".into()));
        } else {
            decoder.add(&field.as_fields()?)?;
        }
        Ok(decoder)
    }

    fn add(&mut self, step: &Fields) -> Result<(), TokenizerError> {
        match step.kind() {
            Some("ByteLevel") => self.byte_level = true,
            Some("ByteFallback") => self.byte_fallback = true,
            Some("Fuse" | "Strip" | "CTC") => {}
            Some("WordPiece") => self.prefix = Some(step.field("prefix").text_if_any()?.unwrap_or("##").to_owned()),
            Some("BPEDecoder") => self.suffix = Some(step.field("suffix").text_if_any()?.unwrap_or("</w>").to_owned()),
            Some("Metaspace") => self.replaced.push((step.field("replacement").char()?.into(), " ".into())),
            Some("Replace") => {
                // A pattern works across pieces; only a fixed text can be told from one.
                if let Some(text) = step.fields("pattern")?.field("String").text_if_any()? {
                    self.replaced.push((text.to_owned(), step.field("content").text()?.to_owned()));
                }
            }
            Some("Sequence") => {
                for step in step.field("decoders").items()? {
                    let step = step.as_fields()?;
                    if step.kind() == Some("Sequence") {
                        return Err(step.error("is a sequence in a sequence"));
                    }
                    self.add(&step)?;
                }
            }
            Some(kind) => return Err(step.field("type").error(format!("{kind:?} is not supported"))),
            None => return Err(step.error("has no type")),
        }
        Ok(())
    }

    /// Whether a space is put before every word, the first too.
    pub(super) fn spaces_words(&self) -> bool {
        self.prefix.is_some()
    }

    /// The bytes that `piece` stands for.
    pub(super) fn bytes(&self, piece: &str) -> Vec<u8> {
        if self.byte_level {
            return alphabet::decode(piece).unwrap_or_else(|| piece.into());
        }
        if let Some(byte) = byte_piece(piece).filter(|_| self.byte_fallback) {
            return vec![byte];
        }
        let mut text = piece.to_owned();
        for (from, to) in self.replaced.iter().filter(|(from, _)| !from.is_empty()) {
            text = text.replace(from, to);
        }
        if let Some(prefix) = &self.prefix {
            text = text.strip_prefix(prefix.as_str()).map_or_else(|| format!(" {text}"), str::to_owned);
        }
        match self.suffix.as_deref().filter(|s| !s.is_empty()) {
            Some(suffix) => text.replace(suffix, " ").into(),
            None => text.into(),
        }
    }
}
