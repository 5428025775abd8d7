//! Sets of characters by Unicode property, for what `char` itself cannot tell.

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
    fn lower_case_never_grows() {
        assert_eq!("AÉİΣß".chars().map(lower).collect::<String>(), "aéİσß");
    }
}
