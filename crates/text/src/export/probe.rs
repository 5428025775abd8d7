//! Texts on which tokenizers differ if they differ at all.

use unicode_normalization::UnicodeNormalization;

use super::refused;
use crate::classes::{MARK, NONSPACING};
use crate::{EncodeOptions, TokenKind, Tokenizer, TokenizerError};

/// One or more of every kind of character that patterns tell apart, with spaces between …
const KINDS: &str = concat!(
    "a z s t re ve m ll d B S T RE LL é ß µ É Ж Ω ǅ 中 文 あ カ 한 ㄱ ا ת ไ म े e\u{301} \u{301} 1 2 7 345 89012 ٣ ² Ⅷ ' ' ’ ",
    ". , ! ? : ; - _ / \\ ( ) [ ] { } \" # $ % & * + < = > @ ^ ` | ~ 。 ， 「 … — £ € × © 😀 👍🏽 \u{1} <sentinel:1> IMGIMGAZ",
);
/// … and those of space, the ones that matter most more often.
const SPACES: &[&str] =
    &[" ", " ", " ", "  ", "\n", "\n", "\r\n", "\r", "\t", "\u{A0}", "\u{3000}", "\u{200D}", "\u{FEFF}"];
const STEPS: usize = 16_000;
/// So many pieces of a vocabulary are tried.
const PIECES: usize = 20_000;

/// Which characters are tried: llama.cpp's patterns tell upper from lower case in ASCII only and leave marks out, so a model
/// whose own pattern does more is told from the others by what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// All.
    All,
    /// No capitals but ASCII's.
    NoCapitals,
    /// No case but ASCII's, and no marks.
    NoCase,
    /// No syllables of Hangul and no spacing marks: where accents are taken away llama.cpp keeps the first letter of the former and
    /// nothing of the latter.
    NoSigns,
    /// None that belong to the character before: crate tokenizers drops them where its map of characters knows that one alone,
    /// SentencePiece and llama.cpp do not.
    NoExtenders,
}

impl Level {
    pub(super) const ORDER: [Level; 3] = [Level::All, Level::NoCapitals, Level::NoCase];

    fn has(self, c: char) -> bool {
        let capital = c.is_uppercase() || c == 'ǅ';
        match self {
            _ if c.is_ascii() => true,
            Level::All => true,
            Level::NoCapitals => !capital,
            Level::NoCase => !capital && !c.is_lowercase() && !MARK.has(c),
            Level::NoSigns => !('가'..='힣').contains(&c) && (!MARK.has(c) || NONSPACING.has(c)),
            Level::NoExtenders => !MARK.has(c) && !matches!(c, '\u{200D}' | '🏻'..='🏿'),
        }
    }
}

/// Kinds of characters in random order.
pub(super) fn characters(level: Level) -> String {
    let kinds: Vec<&str> = KINDS.split(' ').chain(SPACES.iter().copied()).collect();
    let mut random = Random(1);
    (0..STEPS).flat_map(|_| kinds[random.below(kinds.len())].chars()).filter(|&c| level.has(c)).collect()
}

/// How a vocabulary is tried.
pub(super) struct Probe {
    pub(super) level: Level,
    /// Only composed text.
    pub(super) composed: bool,
    /// Added tokens too. With SentencePiece both sides have their own ways with spaces around them.
    pub(super) added: bool,
}

impl Probe {
    /// Whether both tokenizers give the same ids, of kinds of characters and of the pieces of the vocabulary.
    ///
    /// # Errors
    /// If they do not.
    pub(super) fn check(&self, original: &Tokenizer, made: &Tokenizer) -> Result<(), TokenizerError> {
        let mut text = characters(self.level) + &self.pieces(original);
        if self.composed {
            text = text.nfc().filter(|&c| self.level.has(c)).collect();
        }
        for special in [true, false] {
            let options = EncodeOptions { add_special: special, parse_special: special };
            // By lines, so that a difference is told with little around it; and at once, for what goes on across lines.
            let mut parts = text.split_inclusive('\n').chain([text.as_str()]);
            if let Some(part) = parts.find(|part| original.encode(part, options) != made.encode(part, options)) {
                let start: String = part.chars().take(60).collect();
                return Err(refused("tokenizer.json", &format!("the ids of {start:?} would be others in GGUF")));
            }
        }
        Ok(())
    }

    /// Pieces of a vocabulary, with or without a space between.
    fn pieces(&self, tokenizer: &Tokenizer) -> String {
        let mut random = Random(2);
        let mut text = String::new();
        for i in 0..PIECES.min(4 * tokenizer.vocab()) {
            let id = random.below(tokenizer.vocab()) as u32;
            if self.added || matches!(tokenizer.kind(id), TokenKind::Normal | TokenKind::Byte) {
                let piece = String::from_utf8_lossy(tokenizer.vocab.bytes(id)).replace('\u{FFFD}', "\n");
                text.extend(piece.chars().filter(|&c| self.level.has(c)));
            }
            text.push_str(["", "", " ", "\n"][random.below(4)]);
            if i % 100 == 99 {
                text.push('\n');
            }
        }
        text
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}
