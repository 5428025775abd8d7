//! Cutting text into the pieces that a model encodes one by one.

use std::borrow::Cow;
use std::ops::Range;

use crate::alphabet;
use crate::classes::{CONTROL, MARK, PUNCTUATION, SYMBOL, chinese, lower};
use crate::scan::ESCAPED;
use crate::split::Splitter;

/// A piece of text; `first` if it begins where the whole text begins.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    /// What it says.
    pub text: Cow<'a, str>,
    /// Whether it is the beginning of the whole text.
    pub first: bool,
}

/// One step.
#[derive(Debug)]
pub(crate) enum Pretokenizer {
    /// Cuts at a pattern.
    Split {
        /// The pattern.
        pattern: Splitter,
        /// Where what matches goes.
        behavior: Behavior,
        /// What does not match is what matches.
        invert: bool,
    },
    /// Cuts at characters.
    Chars(CharTest, Behavior),
    /// Pieces of so many characters.
    Fixed(usize),
    /// A space before each piece that has none.
    PrefixSpace,
    /// Bytes as the byte-level alphabet writes them.
    ByteLevel,
    /// Spaces become `replacement`, which may be put before a piece and may begin a new one.
    Metaspace {
        /// For a space.
        replacement: char,
        /// Before which pieces it is put.
        prepend: Prepend,
        /// Whether each begins a piece.
        split: bool,
    },
    /// BERT's normalization and words as llama.cpp does both: lower case, accents stripped.
    Wordpiece {
        /// Lower case.
        lowercase: bool,
        /// Only base characters.
        accents: bool,
    },
}

/// Which characters are cut at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CharTest {
    /// White space.
    Space,
    /// Number characters.
    Number,
    /// Punctuation, ASCII symbols among it.
    Punctuation,
    /// This one.
    Is(char),
}

/// Before which pieces Metaspace puts its character.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Prepend {
    /// Each.
    Always,
    /// The one at the beginning of the whole text.
    First,
    /// None.
    Never,
}

/// Where what matches goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Behavior {
    /// Away.
    Removed,
    /// A piece of its own.
    Isolated,
    /// The end of the piece before.
    MergedWithPrevious,
    /// The beginning of the piece after.
    MergedWithNext,
    /// A piece of its own together with its neighbours that match.
    Contiguous,
}

impl Pretokenizer {
    /// A cut before each `▁` that follows something else, if no vocabulary piece reaches across such a place: then no merge
    /// does, and words can be merged (and remembered) one by one.
    pub(crate) fn spaced<'a>(mut pieces: impl Iterator<Item = &'a str>) -> Option<Pretokenizer> {
        if pieces.any(|piece| piece.trim_start_matches('▁').contains('▁')) {
            return None;
        }
        let pattern = Splitter::new(ESCAPED).ok()?;
        Some(Pretokenizer::Split { pattern, behavior: Behavior::Isolated, invert: false })
    }

    /// The pieces of a piece, nothing empty.
    pub(crate) fn apply<'a>(&self, piece: Piece<'a>, out: &mut Vec<Piece<'a>>) {
        match self {
            Pretokenizer::Split { pattern, behavior, invert } => {
                let cuts =
                    pattern.cut(&piece.text).into_iter().map(|(range, found)| (range, found != *invert)).collect();
                slice(piece, behavior.pieces(cuts), out);
            }
            Pretokenizer::Chars(test, behavior) => {
                let cuts = piece.text.char_indices().map(|(at, c)| (at..at + c.len_utf8(), test.holds(c)));
                let cuts = merge_gaps(cuts);
                slice(piece, behavior.pieces(cuts), out);
            }
            Pretokenizer::Fixed(length) => {
                let starts: Vec<usize> =
                    piece.text.char_indices().map(|(at, _)| at).step_by((*length).max(1)).collect();
                let ends = starts.iter().skip(1).copied().chain([piece.text.len()]);
                let ranges = starts.iter().copied().zip(ends).map(|(a, b)| a..b).collect();
                slice(piece, ranges, out);
            }
            Pretokenizer::PrefixSpace if piece.text.starts_with(' ') => out.push(piece),
            Pretokenizer::PrefixSpace => out.push(Piece { text: format!(" {}", piece.text).into(), ..piece }),
            Pretokenizer::ByteLevel => out.push(Piece { text: alphabet::encode(&piece.text).into(), ..piece }),
            Pretokenizer::Metaspace { replacement, prepend, split } => {
                metaspace(&piece, *replacement, *prepend, *split, out);
            }
            Pretokenizer::Wordpiece { lowercase, accents } => {
                words(&piece.text, *lowercase, *accents)
                    .into_iter()
                    .for_each(|w| out.push(Piece { text: w.into(), first: false }));
            }
        }
    }
}

impl CharTest {
    fn holds(self, c: char) -> bool {
        match self {
            CharTest::Space => c.is_whitespace(),
            CharTest::Number => c.is_numeric(),
            CharTest::Punctuation => c.is_ascii_punctuation() || PUNCTUATION.has(c),
            CharTest::Is(delimiter) => c == delimiter,
        }
    }
}

impl Behavior {
    fn pieces(self, cuts: Vec<(Range<usize>, bool)>) -> Vec<Range<usize>> {
        let joins = |before: bool, found: bool| match self {
            Behavior::Removed | Behavior::Isolated => false,
            Behavior::Contiguous => before == found,
            Behavior::MergedWithPrevious => found && !before,
            Behavior::MergedWithNext => before && !found,
        };
        let mut pieces: Vec<Range<usize>> = Vec::with_capacity(cuts.len());
        let mut before = None;
        for (range, found) in cuts {
            match pieces.last_mut() {
                Some(last) if before.is_some_and(|b| joins(b, found)) => last.end = range.end,
                _ if found && self == Behavior::Removed => {}
                _ => pieces.push(range),
            }
            before = Some(found);
        }
        pieces
    }
}

/// Runs of characters that do not match as one.
fn merge_gaps(cuts: impl Iterator<Item = (Range<usize>, bool)>) -> Vec<(Range<usize>, bool)> {
    let mut merged: Vec<(Range<usize>, bool)> = Vec::new();
    for (range, found) in cuts {
        match merged.last_mut() {
            Some((last, false)) if !found => last.end = range.end,
            _ => merged.push((range, found)),
        }
    }
    merged
}

fn slice<'a>(piece: Piece<'a>, ranges: Vec<Range<usize>>, out: &mut Vec<Piece<'a>>) {
    for range in ranges.into_iter().filter(|r| !r.is_empty()) {
        let first = piece.first && range.start == 0;
        let text = match &piece.text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[range]),
            Cow::Owned(text) => Cow::Owned(text[range].to_owned()),
        };
        out.push(Piece { text, first });
    }
}

fn metaspace<'a>(piece: &Piece<'a>, replacement: char, prepend: Prepend, split: bool, out: &mut Vec<Piece<'a>>) {
    let mut text = piece.text.replace(' ', replacement.encode_utf8(&mut [0; 4]));
    let wanted = prepend == Prepend::Always || prepend == Prepend::First && piece.first;
    if wanted && !text.starts_with(replacement) && !text.is_empty() {
        text.insert(0, replacement);
    }
    if !split {
        return out.push(Piece { text: text.into(), first: piece.first });
    }
    let found = text.char_indices().map(|(at, c)| (at..at + c.len_utf8(), c == replacement));
    let ranges = Behavior::MergedWithNext.pieces(merge_gaps(found));
    slice(Piece { text: text.into(), first: piece.first }, ranges, out);
}

/// The words of `text`: ideographs and punctuation stand alone, control characters are gone.
fn words(text: &str, lowercase: bool, accents: bool) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in text.chars().map(|c| if accents { base(c) } else { c }) {
        if c.is_whitespace() {
            words.push(String::new());
        } else if matches!(c, '\0' | '\u{FFFD}') || CONTROL.has(c) || accents && MARK.has(c) {
            continue;
        } else {
            let alone = PUNCTUATION.has(c) || c < '\x7F' && SYMBOL.has(c) || chinese(c);
            let c = if lowercase { lower(c) } else { c };
            if alone {
                words.extend([c.to_string(), String::new()]);
            } else if let Some(word) = words.last_mut() {
                word.push(c);
            }
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

/// The first character of the canonical decomposition. (Of a Hangul syllable too: so llama.cpp has it.)
fn base(c: char) -> char {
    let mut first = None;
    unicode_normalization::char::decompose_canonical(c, |d| {
        first.get_or_insert(d);
    });
    first.unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(step: &Pretokenizer, text: &str, expected: &[&str]) {
        let mut out = Vec::new();
        step.apply(Piece { text: text.into(), first: true }, &mut out);
        assert_eq!(out.iter().map(|p| p.text.as_ref()).collect::<Vec<_>>(), expected, "{step:?} {text:?}");
    }

    #[test]
    fn cuts_by_behavior() {
        let dash = |behavior| Pretokenizer::Chars(CharTest::Is('-'), behavior);
        check(&dash(Behavior::Removed), "the-final--count", &["the", "final", "count"]);
        check(&dash(Behavior::Isolated), "the-final--count", &["the", "-", "final", "-", "-", "count"]);
        check(&dash(Behavior::MergedWithPrevious), "the-final--count", &["the-", "final-", "-", "count"]);
        check(&dash(Behavior::MergedWithNext), "the-final--count", &["the", "-final", "-", "-count"]);
        check(&dash(Behavior::Contiguous), "the-final--count", &["the", "-", "final", "--", "count"]);
    }

    #[test]
    fn metaspace_marks_words() {
        let step = |prepend, split| Pretokenizer::Metaspace { replacement: '▁', prepend, split };
        check(&step(Prepend::Always, true), "a  bc", &["▁a", "▁", "▁bc"]);
        check(&step(Prepend::Always, false), " a b", &["▁a▁b"]);
        check(&step(Prepend::Never, true), "a b", &["a", "▁b"]);
    }

    #[test]
    fn words_are_cut_where_no_piece_reaches_across() {
        let step = Pretokenizer::spaced(["▁a", "▁▁", "a"].into_iter()).expect("none reaches across");
        check(&step, "▁▁ab▁a▁", &["▁▁ab", "▁a", "▁"]);
        assert!(Pretokenizer::spaced(["a▁b"].into_iter()).is_none());
    }

    #[test]
    fn other_steps() {
        check(&Pretokenizer::Fixed(2), "añbcd", &["añ", "bc", "d"]);
        check(&Pretokenizer::PrefixSpace, "a", &[" a"]);
        check(&Pretokenizer::ByteLevel, " é", &["ĠÃ©"]);
        let wpm = Pretokenizer::Wordpiece { lowercase: true, accents: true };
        check(&wpm, "Héllo,\tWorld +1 我们", &["hello", ",", "world", "+", "1", "我", "们"]);
    }
}
