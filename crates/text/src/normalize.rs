//! What is done to text before it is cut into pieces.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_segmentation::UnicodeSegmentation;

use crate::alphabet;
use crate::charsmap::Charsmap;
use crate::classes::{CONTROL, MARK, NONSPACING, chinese};
use crate::split::Splitter;

/// One step.
#[derive(Debug)]
pub(crate) enum Normalizer {
    /// Canonical composition.
    Nfc,
    /// Canonical decomposition.
    Nfd,
    /// Compatibility composition.
    Nfkc,
    /// Compatibility decomposition.
    Nfkd,
    /// Lower case.
    Lowercase,
    /// Marks go.
    StripAccents,
    /// White space at the ends goes.
    Strip {
        /// At the beginning.
        left: bool,
        /// At the end.
        right: bool,
    },
    /// Text for pattern.
    Replace(Splitter, String),
    /// Text before every text that is not empty.
    Prepend(String),
    /// Control characters go, exotic spaces become spaces.
    Nmt,
    /// BERT's.
    Bert(Bert),
    /// SentencePiece's map, by grapheme.
    Precompiled(Charsmap),
    /// Bytes as the byte-level alphabet writes them.
    ByteLevel,
}

/// What BERT's normalizer does.
#[derive(Debug)]
pub(crate) struct Bert {
    /// Control characters go, white space becomes spaces.
    pub clean: bool,
    /// Spaces around ideographs.
    pub chinese: bool,
    /// Decompose, nonspacing marks go.
    pub accents: bool,
    /// Lower case.
    pub lowercase: bool,
}

impl Normalizer {
    /// The text after this step.
    pub(crate) fn apply<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        match self {
            Normalizer::Nfc | Normalizer::Nfd | Normalizer::Lowercase | Normalizer::ByteLevel if text.is_empty() => {
                text
            }
            Normalizer::Nfc if is_nfc_quick(text.chars()) == IsNormalized::Yes => text,
            Normalizer::Nfc => text.nfc().collect(),
            Normalizer::Nfd => text.nfd().collect(),
            Normalizer::Nfkc => text.nfkc().collect(),
            Normalizer::Nfkd => text.nfkd().collect(),
            Normalizer::Lowercase => lowercase(&text).into(),
            Normalizer::StripAccents => text.chars().filter(|c| !MARK.has(*c)).collect(),
            Normalizer::Strip { left, right } => strip(&text, *left, *right).to_owned().into(),
            Normalizer::Replace(pattern, with) => replace(&text, pattern, with).into(),
            Normalizer::Prepend(_) if text.is_empty() => text,
            Normalizer::Prepend(prefix) => format!("{prefix}{text}").into(),
            Normalizer::Nmt => text.chars().filter_map(nmt).collect(),
            Normalizer::Bert(bert) => bert.apply(&text).into(),
            Normalizer::Precompiled(map) => precompiled(&text, map).into(),
            Normalizer::ByteLevel => alphabet::encode(&text).into(),
        }
    }
}

fn lowercase(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

fn strip(text: &str, left: bool, right: bool) -> &str {
    let text = if left { text.trim_start() } else { text };
    if right { text.trim_end() } else { text }
}

fn replace(text: &str, pattern: &Splitter, with: &str) -> String {
    pattern.cut(text).into_iter().map(|(range, found)| if found { with } else { &text[range] }).collect()
}

fn nmt(c: char) -> Option<char> {
    match c {
        '\u{1}'..='\u{8}' | '\u{B}' | '\u{E}'..='\u{1F}' | '\u{7F}' | '\u{8F}' | '\u{9F}' => None,
        '\t'
        | '\n'
        | '\u{C}'
        | '\r'
        | '\u{1680}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2581}'
        | '\u{FEFF}'
        | '\u{FFFD}' => Some(' '),
        c => Some(c),
    }
}

/// Whole graphemes of fewer than six bytes first, then characters: as the reference implementation does it.
fn precompiled(text: &str, map: &Charsmap) -> String {
    let mut out = String::with_capacity(text.len());
    for grapheme in text.graphemes(true) {
        match map.shortest(grapheme.as_bytes()).filter(|_| grapheme.len() < 6) {
            Some(mapped) => out.push_str(&String::from_utf8_lossy(mapped)),
            None => {
                for c in grapheme.chars() {
                    match map.shortest(c.encode_utf8(&mut [0; 4]).as_bytes()) {
                        Some(mapped) => out.push_str(&String::from_utf8_lossy(mapped)),
                        None => out.push(c),
                    }
                }
            }
        }
    }
    out
}

impl Bert {
    fn apply(&self, text: &str) -> String {
        let mut out = text.to_owned();
        if self.clean {
            let gone = |c: char| matches!(c, '\0' | '\u{FFFD}') || !matches!(c, '\t' | '\n' | '\r') && CONTROL.has(c);
            out = out.chars().filter(|c| !gone(*c)).map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        }
        if self.chinese {
            out = out.chars().fold(String::with_capacity(out.len()), |mut out, c| {
                if chinese(c) {
                    out.extend([' ', c, ' ']);
                } else {
                    out.push(c);
                }
                out
            });
        }
        if self.accents {
            out = out.nfd().filter(|c| !NONSPACING.has(*c)).collect();
        }
        if self.lowercase { lowercase(&out) } else { out }
    }
}
