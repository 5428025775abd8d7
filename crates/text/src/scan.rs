//! The words of well-known pre-tokenizers, cut by hand: what their patterns say, without an engine for patterns.

use crate::classes::{ASCII_LOWER, ASCII_UPPER, CASED_LOWER, CASED_UPPER, Classes, LETTERS, MARKS, NUMBERS, SPACES};

/// How a known pattern cuts text. Each piece depends on what follows its beginning alone, and every character belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// Words, numbers, marks and spaces.
    Words(Words),
    /// Before each `▁` that follows something else.
    Escaped,
}

/// The alternatives of a pattern, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// `'s`, `'ll` … as pieces of their own.
    contractions: Contractions,
    letters: Letters,
    /// Most digits of a piece; 0 for any number of them, with a space before.
    digits: usize,
    /// Classes that are no marks.
    no_marks: u8,
    /// What marks take along that follows them.
    tail: &'static [u8],
    spaces: Spaces,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contractions {
    None,
    /// As they are written.
    Exact,
    /// In ASCII letters of both cases.
    Ascii,
    /// In all that folds to them: `ſ` is an `s`.
    Folded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letters {
    /// Of these classes, with a space before.
    Spaced(u8),
    /// Of these classes, with one character before that is neither letter, number nor line end.
    Led(u8),
    /// The same, upper case before lower case, with a contraction after.
    Cased { upper: u8, lower: u8, tail: Contractions },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spaces {
    /// All but the last before something else.
    Plain,
    /// The same, but up to the last line end if there is one.
    Lines,
    /// The same, but all of them at the end of the text.
    Ends,
}

/// A way to write something in a pattern, and what it means.
type Table<T> = &'static [(&'static str, T)];

const CONTRACTIONS: Table<Contractions> = &[
    ("'s|'t|'re|'ve|'m|'ll|'d", Contractions::Exact),
    ("(?i:'s|'t|'re|'ve|'m|'ll|'d)", Contractions::Folded),
    ("'(?i:[sdmt]|ll|ve|re)", Contractions::Folded),
    ("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", Contractions::Ascii),
];

macro_rules! cased {
    ($upper:literal, $lower:literal, $tail:literal) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[",
            $upper,
            "]*[",
            $lower,
            "]+",
            $tail,
            r"|[^\r\n\p{L}\p{N}]?[",
            $upper,
            "]+[",
            $lower,
            "]*",
            $tail
        )
    };
}
macro_rules! unicode {
    ($tail:literal) => {
        cased!(r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}", $tail)
    };
}
macro_rules! ascii {
    ($tail:literal) => {
        cased!(r"\p{L}&&[^a-z]", r"\p{L}&&[^A-Z]", $tail)
    };
}

const fn unicode(tail: Contractions) -> Letters {
    Letters::Cased { upper: CASED_UPPER, lower: CASED_LOWER, tail }
}

const fn ascii(tail: Contractions) -> Letters {
    Letters::Cased { upper: ASCII_UPPER, lower: ASCII_LOWER, tail }
}

const WORDS: Table<Letters> = &[
    (r" ?\p{L}+", Letters::Spaced(LETTERS)),
    (r"[^\r\n\p{L}\p{N}]?\p{L}+", Letters::Led(LETTERS)),
    (r"[^\r\n\p{L}\p{N}]?+\p{L}++", Letters::Led(LETTERS)),
    (r"[^\r\n\p{L}\p{N}]?+\p{L}+", Letters::Led(LETTERS)),
    (r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+", Letters::Led(LETTERS | MARKS)),
    (unicode!(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"), unicode(Contractions::Folded)),
    (unicode!(r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?"), unicode(Contractions::Ascii)),
    (unicode!(""), unicode(Contractions::None)),
    (ascii!(r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?"), ascii(Contractions::Ascii)),
    (ascii!(""), ascii(Contractions::None)),
];

const DIGITS: Table<usize> =
    &[(r" ?\p{N}+", 0), (r"\p{N}{1,3}", 3), (r"\p{N}{1,3}+", 3), (r"\p{N}", 1), (r"\p{N}+", usize::MAX)];

const WORDLESS: u8 = SPACES | LETTERS | NUMBERS;

const OTHERS: Table<(u8, &[u8])> = &[
    (r" ?[^\s\p{L}\p{N}]+", (WORDLESS, b"")),
    (r" ?[^\s\p{L}\p{N}]+[\r\n]*", (WORDLESS, b"\r\n")),
    (r" ?[^\s\p{L}\p{N}]++[\r\n]*+", (WORDLESS, b"\r\n")),
    (r" ?[^\s\p{L}\p{N}]++[\r\n]*", (WORDLESS, b"\r\n")),
    (r" ?[^\s\p{L}\p{N}]+[\r\n/]*", (WORDLESS, b"\r\n/")),
    (r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", (WORDLESS | MARKS, b"\r\n")),
];

const SPACES_BETWEEN: Table<Spaces> = &[
    // What matches nothing is cut off as well: the last space comes out the same.
    (r"\s+(?!\S)", Spaces::Plain),
    (r"\s+(?!\S)|\s+", Spaces::Plain),
    (r"\s*[\r\n]+|\s+(?!\S)|\s+", Spaces::Lines),
    (r"\s*[\r\n]|\s+(?!\S)|\s+", Spaces::Lines),
    (r"\s++$|\s*[\r\n]|\s+(?!\S)|\s", Spaces::Ends),
    (r"\s++$|\s*[\r\n]|\s+(?!\S)|\s+", Spaces::Ends),
];

/// The pattern of [`Scan::Escaped`].
pub(crate) const ESCAPED: &str = "▁*[^▁]+|▁+";

impl Scan {
    /// What `pattern` says, if it is a known one.
    pub(crate) fn of(pattern: &str) -> Option<Scan> {
        if pattern == ESCAPED {
            return Some(Scan::Escaped);
        }
        let mut rest = pattern;
        let contractions = take(&mut rest, CONTRACTIONS).unwrap_or(Contractions::None);
        let letters = take(&mut rest, WORDS)?;
        let digits = take(&mut rest, DIGITS)?;
        let (no_marks, tail) = take(&mut rest, OTHERS)?;
        let (_, spaces) = *SPACES_BETWEEN.iter().find(|(written, _)| *written == rest)?;
        // A mark is a character of some piece.
        let total = no_marks & MARKS == 0 || letters == Letters::Led(LETTERS | MARKS);
        total.then_some(Scan::Words(Words { contractions, letters, digits, no_marks, tail, spaces }))
    }

    /// Ready to cut `text`.
    pub(crate) fn scanner(self, text: &str) -> Scanner<'_> {
        Scanner { scan: self, text, classes: Classes::get() }
    }
}

/// The meaning of what a pattern goes on with, up to the next alternative.
fn take<T: Copy>(rest: &mut &str, table: Table<T>) -> Option<T> {
    table.iter().find_map(|(written, means)| {
        *rest = rest.strip_prefix(written)?.strip_prefix('|')?;
        Some(*means)
    })
}

/// Cuts one text.
pub(crate) struct Scanner<'a> {
    scan: Scan,
    text: &'a str,
    classes: &'static Classes,
}

impl Scanner<'_> {
    /// Where the piece ends that begins at `at`, a boundary of characters before the end of the text.
    pub(crate) fn end(&self, at: usize) -> usize {
        match &self.scan {
            Scan::Words(words) => self.word(words, at),
            Scan::Escaped => self.escaped(at),
        }
    }

    fn escaped(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        let word = rest.trim_start_matches('▁');
        let marks = rest.len() - word.len();
        at + word.find('▁').map_or(rest.len(), |end| marks + end)
    }

    fn word(&self, words: &Words, at: usize) -> usize {
        let first = self.text.as_bytes()[at];
        if first == b'\''
            && let Some(end) = self.contraction(at, words.contractions)
        {
            return end;
        }
        let (class, len) = self.class(at);
        let past_space = at + usize::from(first == b' ');
        let letters = match words.letters {
            Letters::Spaced(letters) => after(past_space, self.run(past_space, letters)),
            Letters::Led(letters) if class & letters != 0 => Some(self.run(at + len, letters)),
            Letters::Led(letters) if leads(first, class) => after(at + len, self.run(at + len, letters)),
            Letters::Led(_) => None,
            Letters::Cased { upper, lower, tail } => self.cased(at, (upper, lower), tail),
        };
        letters
            .or_else(|| match words.digits {
                0 => after(past_space, self.run(past_space, NUMBERS)),
                most => after(at, self.run_of(at, NUMBERS, most)),
            })
            .or_else(|| {
                let end = after(past_space, self.run_without(past_space, words.no_marks))?;
                let tail = self.text.as_bytes()[end..].iter().take_while(|byte| words.tail.contains(byte));
                Some(end + tail.count())
            })
            .unwrap_or_else(|| self.spaces(at, words.spaces))
    }

    /// Upper case, then lower case, either of which may be missing: as the alternatives have it, one with lower case first.
    fn cased(&self, at: usize, (upper, lower): (u8, u8), tail: Contractions) -> Option<usize> {
        let (class, len) = self.class(at);
        let leads = leads(self.text.as_bytes()[at], class);
        let starts = || leads.then_some(at + len).into_iter().chain([at]);
        let end = starts()
            .find_map(|from| self.to_lower(from, upper, lower))
            .or_else(|| starts().find_map(|from| after(from, self.run(from, upper))))?;
        Some(self.contraction(end, tail).unwrap_or(end))
    }

    /// Where any upper case and at least one lower case from `from` on end. What is of both classes may be either.
    fn to_lower(&self, from: usize, upper: u8, lower: u8) -> Option<usize> {
        let (mut at, mut last) = (from, None);
        loop {
            let (class, len) = self.class(at);
            if class & upper == 0 {
                break;
            }
            at += len;
            if class & lower != 0 {
                last = Some(at);
            }
        }
        after(at, self.run(at, lower)).or(last)
    }

    fn contraction(&self, at: usize, contractions: Contractions) -> Option<usize> {
        let rest = self.text.as_bytes()[at..].strip_prefix(b"'")?;
        let folded = |at: usize| match (rest.get(at), contractions) {
            (Some(&byte), Contractions::Exact) => byte,
            (Some(&byte), _) => byte.to_ascii_lowercase(),
            (None, _) => 0,
        };
        match (contractions, folded(0), folded(1)) {
            (Contractions::None, ..) => None,
            (_, b's' | b't' | b'm' | b'd', _) => Some(at + 2),
            (_, b'r' | b'v', b'e') | (_, b'l', b'l') => Some(at + 3),
            (Contractions::Folded, ..) if rest.starts_with("ſ".as_bytes()) => Some(at + 3),
            _ => None,
        }
    }

    fn spaces(&self, at: usize, spaces: Spaces) -> usize {
        let (mut end, mut last, mut line) = (at, at, None);
        loop {
            let (class, len) = self.class(end);
            if class & SPACES == 0 {
                break;
            }
            last = end;
            end += len;
            if matches!(self.text.as_bytes()[last], b'\r' | b'\n') {
                line = Some(end);
            }
        }
        let all = end == self.text.len();
        match (spaces, line) {
            (Spaces::Lines, Some(line)) => line,
            (Spaces::Ends, Some(line)) if !all => line,
            _ if all || last == at => end,
            _ => last,
        }
    }

    fn run(&self, mut at: usize, classes: u8) -> usize {
        loop {
            let (class, len) = self.class(at);
            if class & classes == 0 {
                return at;
            }
            at += len;
        }
    }

    fn run_of(&self, mut at: usize, classes: u8, most: usize) -> usize {
        for _ in 0..most {
            let (class, len) = self.class(at);
            if class & classes == 0 {
                break;
            }
            at += len;
        }
        at
    }

    fn run_without(&self, mut at: usize, classes: u8) -> usize {
        loop {
            let (class, len) = self.class(at);
            if class & classes != 0 || len == 0 {
                return at;
            }
            at += len;
        }
    }

    /// The classes and the length of the character at `at`; nothing at the end.
    #[inline]
    fn class(&self, at: usize) -> (u8, usize) {
        match self.text.as_bytes().get(at) {
            None => (0, 0),
            Some(&byte) if byte < 0x80 => (self.classes.ascii(byte), 1),
            Some(_) => {
                let c = self.text[at..].chars().next().unwrap_or_default();
                (self.classes.of(c), c.len_utf8())
            }
        }
    }
}

/// Whether a character may stand before a word as a part of it.
fn leads(first: u8, class: u8) -> bool {
    class & (LETTERS | NUMBERS) == 0 && !matches!(first, b'\r' | b'\n')
}

fn after(from: usize, end: usize) -> Option<usize> {
    (end > from).then_some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::split::Splitter;

    /// Patterns as tokenizer.json and tiktoken have them, besides those of GGUF's names.
    const PATTERNS: &[&str] = &[
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        concat!(
            unicode!(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"),
            r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ESCAPED,
    ];

    fn patterns() -> Vec<String> {
        let named = crate::pre::rows().flat_map(|(_, rules)| rules).filter_map(|rule| match rule {
            crate::pre::Rule::Pattern(pattern) => Scan::of(pattern).map(|_| (*pattern).to_owned()),
            crate::pre::Rule::Groups(_) => None,
        });
        named.chain(PATTERNS.iter().map(|pattern| (*pattern).to_owned())).collect()
    }

    fn check(pattern: &str, text: &str) {
        let scanner = Scan::of(pattern).unwrap_or_else(|| panic!("{pattern} is known")).scanner(text);
        let (mut at, mut cuts) = (0, Vec::new());
        while at < text.len() {
            let end = scanner.end(at);
            assert!(end > at, "{pattern} {text:?} {at}");
            cuts.push(&text[at..end]);
            at = end;
        }
        let expected = Splitter::new(pattern).expect("a pattern").cut(text);
        let expected: Vec<&str> = expected.into_iter().map(|(range, _)| &text[range]).collect();
        assert_eq!(cuts, expected, "{pattern}\n{text:?}");
    }

    #[test]
    fn patterns_are_known() {
        let known = patterns();
        assert!(known.len() >= 12, "{}", known.len());
        for unknown in [
            "",
            r"\p{L}+",
            r" ?\p{L}+| ?\p{N}+",
            r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s+(?!\S)",
        ] {
            assert_eq!(Scan::of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn cuts_as_the_patterns_say() {
        let texts = [
            "",
            " ",
            "I'll  be 42 12345!!\r\n\n x \t\ta 'S'sſ'ſ it'LL'Ve'",
            "\u{301}A ªAAA ªªaB ǅx HelloWORLD don'T\u{301}x",
            "  \n \n  x\u{a0}\u{a0}y\u{3000}",
            "a\n\n  ",
            "▁▁a▁b▁▁",
            "½³٣ //\r\n/ <|x|>",
        ];
        for pattern in patterns() {
            texts.iter().for_each(|text| check(&pattern, text));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn cuts_anything_as_the_patterns_say(
            text in "(the|A|Zz|é|É|e\u{301}|\u{301}|ª|ǅ|ʰ|1|٣|½|-|/|'|'s|'LL|'ſ| |  |\t|\r|\n|\u{a0}|\u{3000}|▁|我|[ -~]|\\PC){0,24}"
        ) {
            for pattern in patterns() {
                check(&pattern, &text);
            }
        }
    }
}
