//! SentencePiece's normalization for unigram vocabularies, as llama.cpp does it: on bytes, longest mapping first.

use crate::charsmap::Charsmap;
use crate::trie::Trie;

/// How text is normalized.
#[derive(Debug, Default)]
pub(crate) struct UgmNormalizer {
    /// What becomes what.
    pub charsmap: Charsmap,
    /// Pieces that stay as they are written.
    pub user_defined: Trie,
    /// A space before the text.
    pub add_space: bool,
    /// Several spaces become one, those at the ends go.
    pub merge_spaces: bool,
}

const SPACE: &[u8] = "▁".as_bytes();

impl UgmNormalizer {
    /// Normalized bytes: spaces escaped. A piece that begins like a user-defined one may cut a character.
    pub(crate) fn apply(&self, text: &str) -> Vec<u8> {
        let text = text.as_bytes();
        let mut out = Vec::with_capacity(text.len() * 3);
        let mut prepended = false;
        let mut in_word = false;
        let mut at = 0;
        while at < text.len() {
            let (consumed, mapped) = self.next(&text[at..]);
            for &byte in mapped {
                if byte == b' ' {
                    in_word = false;
                    if !self.merge_spaces {
                        out.extend(SPACE);
                    }
                    continue;
                }
                if !in_word {
                    in_word = true;
                    if self.add_space && !prepended || self.merge_spaces {
                        out.extend(SPACE);
                        prepended = true;
                    }
                }
                out.push(byte);
            }
            at += consumed;
        }
        out
    }

    /// How many bytes are taken from `text` and what they become.
    fn next<'a>(&'a self, text: &'a [u8]) -> (usize, &'a [u8]) {
        // However little of a user-defined piece is there: what begins like one is left alone.
        let user_defined = self.user_defined.depth(text);
        if user_defined > 0 {
            return (user_defined, &text[..user_defined]);
        }
        if let Some(mapped) = self.charsmap.longest(text) {
            return mapped;
        }
        match character(text) {
            Some(len) => (len, &text[..len]),
            None => (1, "\u{FFFD}".as_bytes()),
        }
    }
}

/// The length of the character that `text` begins with, if it begins with a whole one.
fn character(text: &[u8]) -> Option<usize> {
    (1..=text.len().min(4)).find(|len| std::str::from_utf8(&text[..*len]).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_are_escaped_and_merged() {
        let check = |n: &UgmNormalizer, text: &str, expected: &str| {
            assert_eq!(String::from_utf8_lossy(&n.apply(text)), expected, "{text:?}");
        };
        let merge = UgmNormalizer { add_space: true, merge_spaces: true, ..UgmNormalizer::default() };
        check(&merge, "  a  b ", "▁a▁b");
        let keep = UgmNormalizer { add_space: true, ..UgmNormalizer::default() };
        check(&keep, "a  b ", "▁a▁▁b▁");
    }

    #[test]
    fn what_begins_like_a_user_defined_piece_stays() {
        let mut normalizer = UgmNormalizer::default();
        normalizer.user_defined.insert("é!".as_bytes(), 0);
        assert_eq!(normalizer.apply("é"), "é".as_bytes());
        assert_eq!(normalizer.apply("è"), [0xC3, 0xEF, 0xBF, 0xBD]);
    }
}
