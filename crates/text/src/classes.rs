//! Sets of characters by Unicode property, for what `char` itself cannot tell.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// Punctuation (P).
pub(crate) static PUNCTUATION: LazyLock<CharSet> = LazyLock::new(|| CharSet::new(r"\p{P}"));
/// Symbols (S).
pub(crate) static SYMBOL: LazyLock<CharSet> = LazyLock::new(|| CharSet::new(r"\p{S}"));
/// Marks of all kinds (M).
pub(crate) static MARK: LazyLock<CharSet> = LazyLock::new(|| CharSet::new(r"\p{M}"));
/// Marks that take no space (Mn).
pub(crate) static NONSPACING: LazyLock<CharSet> = LazyLock::new(|| CharSet::new(r"\p{Mn}"));
/// Control, format and private use (Cc, Cf, Co).
pub(crate) static CONTROL: LazyLock<CharSet> = LazyLock::new(|| CharSet::new(r"[\p{Cc}\p{Cf}\p{Co}]"));
/// Decimal digits (Nd).
pub(crate) static DIGIT: LazyLock<CharSet> = LazyLock::new(|| CharSet::new(r"\p{Nd}"));
/// What words are made of (`\w`).
pub(crate) static WORD: LazyLock<CharSet> = LazyLock::new(|| CharSet::new(r"\w"));

/// What Python prints as it is in a quoted text, besides the space.
pub(crate) static PRINTABLE: LazyLock<CharSet> = LazyLock::new(|| CharSet::new(r"[^\p{C}\p{Z}]"));

/// Letters (L), as a bit of [`Classes`].
pub(crate) const LETTERS: u8 = 1;
/// Numbers (N).
pub(crate) const NUMBERS: u8 = 1 << 1;
/// White space.
pub(crate) const SPACES: u8 = 1 << 2;
/// Marks (M).
pub(crate) const MARKS: u8 = 1 << 3;
/// What may stand before lower case: all letters that are not lower case, and marks.
pub(crate) const CASED_UPPER: u8 = 1 << 4;
/// What may stand after upper case: all letters that are not upper case, and marks.
pub(crate) const CASED_LOWER: u8 = 1 << 5;
/// All letters but a to z.
pub(crate) const ASCII_UPPER: u8 = 1 << 6;
/// All letters but A to Z.
pub(crate) const ASCII_LOWER: u8 = 1 << 7;

const CLASSES: [(u8, &str); 8] = [
    (LETTERS, r"\p{L}"),
    (NUMBERS, r"\p{N}"),
    (SPACES, r"\s"),
    (MARKS, r"\p{M}"),
    (CASED_UPPER, r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"),
    (CASED_LOWER, r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"),
    (ASCII_UPPER, r"[\p{L}&&[^a-z]]"),
    (ASCII_LOWER, r"[\p{L}&&[^A-Z]]"),
];

/// The classes of every character, one bit for each. In blocks of 256 of which most are the same.
pub(crate) struct Classes {
    blocks: Vec<[u8; 256]>,
    index: Vec<u16>,
}

impl Classes {
    /// The one table there is.
    pub(crate) fn get() -> &'static Classes {
        static TABLE: LazyLock<Classes> = LazyLock::new(Classes::new);
        &TABLE
    }

    fn new() -> Classes {
        let mut all = vec![0u8; char::MAX as usize + 1];
        for (bit, class) in CLASSES {
            for (first, last) in CharSet::new(class).0 {
                all[first as usize..=last as usize].iter_mut().for_each(|bits| *bits |= bit);
            }
        }
        let mut seen = HashMap::new();
        let mut blocks = Vec::new();
        let index = all.as_chunks::<256>().0.iter().map(|block| {
            *seen.entry(*block).or_insert_with(|| {
                blocks.push(*block);
                blocks.len() as u16 - 1
            })
        });
        let index = index.collect();
        Classes { blocks, index }
    }

    /// The classes of `c`.
    pub(crate) fn of(&self, c: char) -> u8 {
        self.blocks[usize::from(self.index[c as usize >> 8])][c as usize & 0xFF]
    }

    /// The classes of an ASCII character: those are in the first block.
    #[inline]
    pub(crate) fn ascii(&self, byte: u8) -> u8 {
        self.blocks[0][usize::from(byte)]
    }
}

/// Sorted ranges of characters.
pub(crate) struct CharSet(Vec<(char, char)>);

impl CharSet {
    fn new(class: &str) -> CharSet {
        let hir = regex_syntax::parse(class).expect("a fixed pattern, tried by the tests below");
        match hir.kind() {
            HirKind::Class(Class::Unicode(class)) => CharSet(class.iter().map(|r| (r.start(), r.end())).collect()),
            other => unreachable!("{class} is a class, not {other:?}"),
        }
    }

    /// Whether `c` is in it.
    pub(crate) fn has(&self, c: char) -> bool {
        let after = self.0.partition_point(|r| r.0 <= c);
        after > 0 && c <= self.0[after - 1].1
    }
}

/// Ideographs that BERT takes for words of their own.
pub(crate) fn chinese(c: char) -> bool {
    // 2B920 where Unicode's block begins at 2B820: the reference implementation has it so, and vocabularies follow it.
    matches!(c, '\u{4E00}'..='\u{9FFF}' | '\u{3400}'..='\u{4DBF}' | '\u{20000}'..='\u{2A6DF}' | '\u{2A700}'..='\u{2B73F}'
        | '\u{2B740}'..='\u{2B81F}' | '\u{2B920}'..='\u{2CEAF}' | '\u{F900}'..='\u{FAFF}' | '\u{2F800}'..='\u{2FA1F}')
}

/// Lower case where that is one character, else `c` itself.
pub(crate) fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_know_their_characters() {
        let check = |set: &CharSet, yes: &str, no: &str| {
            assert!(yes.chars().all(|c| set.has(c)), "{yes:?}");
            assert!(!no.chars().any(|c| set.has(c)), "{no:?}");
        };
        check(&PUNCTUATION, "!,“…】", "a$+ 1");
        check(&SYMBOL, "$+<^€", "!a ");
        check(&MARK, "\u{301}\u{903}", "a ");
        check(&NONSPACING, "\u{301}", "\u{903}a");
        check(&CONTROL, "\u{1}\u{AD}\u{E000}", "a ");
        check(&DIGIT, "09٣", "½Ⅷa");
        check(&WORD, "aé_9", " -!");
        check(&PRINTABLE, "aé~😀", " \u{a0}\u{ad}\u{7f}\u{e000}");
    }

    #[test]
    fn classes_are_those_of_the_sets() {
        let classes = Classes::get();
        for (bit, class) in CLASSES {
            let set = CharSet::new(class);
            (0..=0x10_FFFF).filter_map(char::from_u32).for_each(|c| {
                assert_eq!(classes.of(c) & bit != 0, set.has(c), "{class} {c:?}");
            });
        }
        assert_eq!(classes.ascii(b'a'), classes.of('a'));
    }

    #[test]
    fn lower_case_never_grows() {
        assert_eq!("AÉİΣß".chars().map(lower).collect::<String>(), "aéİσß");
    }
}
