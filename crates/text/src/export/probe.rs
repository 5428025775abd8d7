//! Texts on which tokenizers differ if they differ at all.

use unicode_normalization::UnicodeNormalization;

use crate::{EncodeOptions, Tokenizer, TokenizerError};

/// One or more of every kind of character that patterns tell apart.
const KINDS: &[&str] = &[
    "a",
    "z",
    "s",
    "t",
    "re",
    "ve",
    "m",
    "ll",
    "d",
    "B",
    "S",
    "T",
    "RE",
    "LL",
    "é",
    "ß",
    "µ",
    "中",
    "文",
    "あ",
    "カ",
    "한",
    "ㄱ",
    "ا",
    "ת",
    "ไ",
    "म",
    "े",
    "e\u{301}",
    "1",
    "2",
    "7",
    "345",
    "89012",
    "٣",
    "²",
    "Ⅷ",
    "'",
    "'",
    "’",
    " ",
    " ",
    " ",
    "  ",
    "\n",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "\u{A0}",
    "\u{3000}",
    ".",
    ",",
    "!",
    "?",
    ":",
    ";",
    "-",
    "_",
    "/",
    "\\",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "#",
    "$",
    "%",
    "&",
    "*",
    "+",
    "<",
    "=",
    ">",
    "@",
    "^",
    "`",
    "|",
    "~",
    "。",
    "，",
    "「",
    "…",
    "—",
    "£",
    "€",
    "×",
    "©",
    "😀",
    "👍🏽",
    "\u{200D}",
    "\u{FEFF}",
    "\u{301}",
    "\u{1}",
    "<sentinel:1>",
    "IMGIMGAZ",
];
/// Those that only some patterns tell from lower case.
const UPPER: &[&str] = &["É", "Ж", "Ω", "ǅ"];
const STEPS: usize = 24_000;
/// So many pieces of a vocabulary are tried.
const PIECES: usize = 20_000;

/// Kinds of characters in random order.
pub(super) fn characters(upper: bool) -> String {
    let kinds: Vec<&str> = KINDS.iter().chain(UPPER.iter().filter(|_| upper)).copied().collect();
    let mut random = Random(1);
    (0..STEPS).map(|_| kinds[random.below(kinds.len())]).collect()
}

/// Whether both tokenizers give the same ids, of kinds of characters and of the pieces of the vocabulary.
///
/// # Errors
/// If they do not.
pub(super) fn check(original: &Tokenizer, made: &Tokenizer, normalized: bool) -> Result<(), TokenizerError> {
    let mut text = characters(true) + &pieces(original);
    if normalized {
        text = text.nfc().collect();
    }
    // By lines, so that a difference is told with little around it; and at once, for what goes on across lines.
    for part in text.split_inclusive('\n').chain([text.as_str()]) {
        for (add_special, parse_special) in [(true, true), (false, false)] {
            let options = EncodeOptions { add_special, parse_special };
            if original.encode(part, options) != made.encode(part, options) {
                let start: String = part.chars().take(60).collect();
                let problem =
                    format!("the ids of {start:?} would be others in GGUF; run the model from its safetensors files");
                return Err(TokenizerError::new("tokenizer.json", problem));
            }
        }
    }
    Ok(())
}

/// Pieces of a vocabulary, whole or cut, with or without a space between.
fn pieces(tokenizer: &Tokenizer) -> String {
    let mut random = Random(2);
    let mut text = String::new();
    for i in 0..PIECES.min(4 * tokenizer.vocab()) {
        let id = random.below(tokenizer.vocab()) as u32;
        text.push_str(&String::from_utf8_lossy(tokenizer.vocab.bytes(id)).replace('\u{FFFD}', "\n"));
        text.push_str(["", "", " ", "\n"][random.below(4)]);
        if i % 100 == 99 {
            text.push('\n');
        }
    }
    text
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
