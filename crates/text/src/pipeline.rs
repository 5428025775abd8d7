//! Text to ids in five steps: added tokens, normalization, added tokens again, pieces, the model.

use std::borrow::Cow;

use crate::added::{AddedTokens, Fragment, Special};
use crate::alphabet;
use crate::bpe::Bpe;
use crate::normalize::Normalizer;
use crate::pretokenize::{Behavior, Piece, Pretokenizer};
use crate::scan::Scan;
use crate::spm::Spm;
use crate::ugm::UgmNormalizer;
use crate::unigram::Unigram;
use crate::vocab::Pieces;
use crate::wordpiece::WordPiece;

/// Everything between a text and its ids.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Tokens found in the text as it is.
    pub added: AddedTokens,
    /// What is done to the text between them.
    pub normalizers: Vec<Normalizer>,
    /// Tokens found in the normalized text.
    pub normalized: Option<AddedTokens>,
    /// How it is cut.
    pub pretokenizers: Vec<Pretokenizer>,
    /// Whether the model reads the byte-level alphabet.
    pub byte_level: bool,
    /// What makes ids of pieces.
    pub model: Model,
}

/// What makes ids of pieces.
#[derive(Debug)]
pub(crate) enum Model {
    /// Ranked merges.
    Bpe(Bpe),
    /// Scored merges.
    Spm(Spm),
    /// Longest beginnings.
    WordPiece(WordPiece),
    /// Best total score.
    Unigram(Unigram),
    /// The same with SentencePiece's own normalization before it.
    Ugm(UgmNormalizer, Unigram),
    /// Whole words.
    WordLevel(Pieces, Option<u32>),
}

impl Pipeline {
    /// Appends the ids of `text`; special tokens written in it are recognised only where `special` says so. `words` makes
    /// ids of normalized text between tokens, and hears whether it begins where the whole text begins.
    pub(crate) fn encode(
        &self,
        text: &str,
        special: Special<'_>,
        out: &mut Vec<u32>,
        words: &mut impl FnMut(&str, bool, &mut Vec<u32>),
    ) {
        for fragment in self.added.cut(text, special) {
            match fragment {
                Fragment::Token(id) => out.push(id),
                Fragment::Text(part) => {
                    let offset = part.as_ptr() as usize - text.as_ptr() as usize;
                    let special = special.within(offset..offset + part.len());
                    self.encode_text((part, offset == 0), special, out, words);
                }
            }
        }
    }

    /// As [`Pipeline::encode`], one step after the other: what the fast path is measured by.
    pub(crate) fn encode_plainly(&self, text: &str, special: Special<'_>, out: &mut Vec<u32>) {
        self.encode(text, special, out, &mut |part, first, out| {
            self.pieces(part, first).iter().for_each(|piece| self.encode_piece(&piece.text, out));
        });
    }

    fn encode_text(
        &self,
        (text, first): (&str, bool),
        special: Special<'_>,
        out: &mut Vec<u32>,
        words: &mut impl FnMut(&str, bool, &mut Vec<u32>),
    ) {
        let text = self.normalizers.iter().fold(Cow::Borrowed(text), |text, step| step.apply(text));
        let fragments = match &self.normalized {
            Some(added) => added.cut(&text, special),
            None if text.is_empty() => Vec::new(),
            None => vec![Fragment::Text(&text)],
        };
        for fragment in fragments {
            match fragment {
                Fragment::Token(id) => out.push(id),
                Fragment::Text(part) => words(part, first && std::ptr::eq(part.as_ptr(), text.as_ptr()), out),
            }
        }
    }

    /// What the model encodes one by one.
    pub(crate) fn pieces<'a>(&self, text: &'a str, first: bool) -> Vec<Piece<'a>> {
        self.pretokenizers.iter().fold(vec![Piece { text: text.into(), first }], |pieces, step| {
            let mut cut = Vec::with_capacity(pieces.len());
            pieces.into_iter().for_each(|piece| step.apply(piece, &mut cut));
            cut
        })
    }

    /// How text is cut, if that is a known way and all of it.
    pub(crate) fn scan(&self) -> Option<Scan> {
        match self.pretokenizers.as_slice() {
            [Pretokenizer::Split { pattern, behavior: Behavior::Isolated, invert: false }] => pattern.scan(),
            _ => None,
        }
    }

    /// Appends the ids of a piece.
    pub(crate) fn encode_piece(&self, piece: &str, out: &mut Vec<u32>) {
        if self.byte_level {
            self.model.encode(&alphabet::encode(piece), out);
        } else {
            self.model.encode(piece, out);
        }
    }
}

impl Model {
    fn encode(&self, piece: &str, out: &mut Vec<u32>) {
        match self {
            Model::Bpe(model) => model.encode(piece, out),
            Model::Spm(model) => model.encode(piece, out),
            Model::WordPiece(model) => model.encode(piece, out),
            Model::Unigram(model) => model.encode(piece.as_bytes(), out),
            Model::Ugm(normalizer, model) => model.encode(&normalizer.apply(piece), out),
            Model::WordLevel(words, unknown) => out.extend(words.get(piece).copied().or(*unknown)),
        }
    }
}
