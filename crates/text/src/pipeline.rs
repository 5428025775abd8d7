//! Text to ids in five steps: added tokens, normalization, added tokens again, pieces, the model.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use crate::added::{AddedTokens, Fragment, Special};
use crate::alphabet;
use crate::bpe::Bpe;
use crate::normalize::Normalizer;
use crate::pretokenize::{Piece, Pretokenizer};
use crate::spm::Spm;
use crate::ugm::UgmNormalizer;
use crate::unigram::Unigram;
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
    WordLevel(HashMap<Box<str>, u32>, Option<u32>),
}

/// Pieces longer than this are not remembered.
const CACHED_PIECE: usize = 64;
/// So many pieces are remembered during one call.
const CACHED_PIECES: usize = 1 << 16;

impl Pipeline {
    /// Appends the ids of `text`; special tokens written in it are recognised only where `special` says so.
    pub(crate) fn encode(&self, text: &str, special: Special<'_>, out: &mut Vec<u32>) {
        let mut cache = Cache::default();
        for fragment in self.added.cut(text, special) {
            match fragment {
                Fragment::Token(id) => out.push(id),
                Fragment::Text(part) => {
                    let offset = part.as_ptr() as usize - text.as_ptr() as usize;
                    let special = special.within(offset..offset + part.len());
                    self.encode_text(part, offset == 0, special, &mut cache, out);
                }
            }
        }
    }

    fn encode_text(&self, text: &str, first: bool, special: Special<'_>, cache: &mut Cache, out: &mut Vec<u32>) {
        let text = self.normalizers.iter().fold(Cow::Borrowed(text), |text, step| step.apply(text));
        let fragments = match &self.normalized {
            Some(added) => added.cut(&text, special),
            None if text.is_empty() => Vec::new(),
            None => vec![Fragment::Text(&text)],
        };
        for fragment in fragments {
            match fragment {
                Fragment::Token(id) => out.push(id),
                Fragment::Text(part) => {
                    let first = first && std::ptr::eq(part.as_ptr(), text.as_ptr());
                    for piece in self.pieces(part, first) {
                        self.encode_piece(&piece.text, cache, out);
                    }
                }
            }
        }
    }

    fn pieces<'a>(&self, text: &'a str, first: bool) -> Vec<Piece<'a>> {
        self.pretokenizers.iter().fold(vec![Piece { text: text.into(), first }], |pieces, step| {
            let mut cut = Vec::with_capacity(pieces.len());
            pieces.into_iter().for_each(|piece| step.apply(piece, &mut cut));
            cut
        })
    }

    fn encode_piece(&self, piece: &str, cache: &mut Cache, out: &mut Vec<u32>) {
        if piece.len() > CACHED_PIECE {
            return self.encode_new(piece, out);
        }
        if let Some(ids) = cache.pieces.get(piece) {
            return out.extend_from_slice(&cache.ids[ids.clone()]);
        }
        let before = out.len();
        self.encode_new(piece, out);
        if cache.pieces.len() < CACHED_PIECES {
            let start = cache.ids.len();
            cache.ids.extend_from_slice(&out[before..]);
            cache.pieces.insert(piece.into(), start..cache.ids.len());
        }
    }

    fn encode_new(&self, piece: &str, out: &mut Vec<u32>) {
        if self.byte_level {
            self.model.encode(&alphabet::encode(piece), out);
        } else {
            self.model.encode(piece, out);
        }
    }
}

/// Pieces met during one call and their ids.
#[derive(Default)]
struct Cache {
    pieces: HashMap<Box<str>, Range<usize>>,
    ids: Vec<u32>,
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
