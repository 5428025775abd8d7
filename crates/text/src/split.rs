//! Splits text by a pattern in bounded time, whatever the text.
//!
//! The patterns of tokenizers are alternations whose only lookaround is `\s…(?!\S)`. Those run on an automaton, in linear
//! time, the lookahead done by hand; any other pattern goes to a backtracking engine with a limit.

use std::ops::Range;

use fancy_regex::RegexBuilder;
use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

use crate::classes::{DIGIT, WORD};
use crate::scan::Scan;

/// Steps the backtracking engine may take for one match; then the rest of the text stays in one piece.
const BACKTRACK_LIMIT: usize = 5_000_000;
/// Bytes that a compiled pattern may take.
const SIZE_LIMIT: usize = 16 << 20;
/// Patterns with more groups and classes than this are refused: engines go down into them one by one.
const NEST_LIMIT: usize = 200;

/// A compiled pattern.
#[derive(Debug)]
pub(crate) enum Splitter {
    /// An alternation on an automaton.
    Linear(Box<Linear>),
    /// Anything else.
    Backtracking(Box<fancy_regex::Regex>),
    /// A fixed text.
    Literal(String),
    /// Runs of digits in groups of three from their right end.
    Groups(Digits),
}

/// Which digits a run is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Digits {
    /// 0 to 9.
    Ascii,
    /// Every number character (N).
    Numbers,
    /// Decimal digits (Nd).
    Decimal,
    /// Decimal digits, in runs that no word character follows.
    Words,
}

/// The alternatives in order, and per alternative with a lookahead those after it.
#[derive(Debug)]
pub(crate) struct Linear {
    /// The same cuts by hand.
    scan: Option<Scan>,
    all: Regex,
    lookaheads: Vec<Option<Lookahead>>,
}

/// `\s{least,}(?!\S)`: what matched gives back its last character if no space follows.
#[derive(Debug)]
struct Lookahead {
    least: usize,
    after: Option<Regex>,
}

impl Splitter {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// In words, if it is no pattern or too large.
    pub(crate) fn new(pattern: &str) -> Result<Splitter, String> {
        let shown: String = pattern.chars().take(60).collect();
        match pattern {
            r"(?=(\d{3})+(?!\d))" => return Ok(Splitter::Groups(Digits::Decimal)),
            r"\d{1,3}(?=(?:\d{3})*\b)" => return Ok(Splitter::Groups(Digits::Words)),
            _ => {}
        }
        if pattern.chars().filter(|c| "([".contains(*c)).count() > NEST_LIMIT {
            return Err(format!("the pattern {shown:?} … has more than {NEST_LIMIT} groups and classes"));
        }
        match linear(pattern) {
            Some(linear) => Ok(Splitter::Linear(Box::new(linear))),
            None => RegexBuilder::new(pattern)
                .backtrack_limit(BACKTRACK_LIMIT)
                .delegate_size_limit(SIZE_LIMIT)
                .delegate_dfa_size_limit(SIZE_LIMIT)
                .build()
                .map(|r| Splitter::Backtracking(Box::new(r)))
                .map_err(|e| format!("the pattern {shown:?} is not valid: {e}")),
        }
    }

    /// The same cuts by hand, if the pattern is a known one.
    pub(crate) fn scan(&self) -> Option<Scan> {
        match self {
            Splitter::Linear(linear) => linear.scan,
            Splitter::Backtracking(regex) => Scan::of(regex.as_str()),
            Splitter::Literal(_) | Splitter::Groups(_) => None,
        }
    }

    /// Cuts `text` into what matches (true) and what lies between (false), in order, nothing empty.
    pub(crate) fn cut(&self, text: &str) -> Vec<(Range<usize>, bool)> {
        let mut cuts = Cuts::default();
        match self {
            Splitter::Linear(linear) => linear.cut(text, &mut cuts),
            Splitter::Backtracking(regex) => {
                regex.find_iter(text).map_while(Result::ok).for_each(|m| cuts.add(m.range()));
            }
            Splitter::Literal(literal) if literal.is_empty() => {}
            Splitter::Literal(literal) => {
                text.match_indices(literal.as_str()).for_each(|(at, m)| cuts.add(at..at + m.len()));
            }
            Splitter::Groups(digits) => groups(text, *digits, &mut cuts),
        }
        cuts.rest(text.len())
    }
}

/// Matches and gaps as they are found.
#[derive(Default)]
struct Cuts {
    cuts: Vec<(Range<usize>, bool)>,
    end: usize,
}

impl Cuts {
    fn add(&mut self, found: Range<usize>) {
        if found.start > self.end {
            self.cuts.push((self.end..found.start, false));
        }
        self.end = found.end;
        if !found.is_empty() {
            self.cuts.push((found, true));
        }
    }

    fn rest(mut self, end: usize) -> Vec<(Range<usize>, bool)> {
        if end > self.end {
            self.cuts.push((self.end..end, false));
        }
        self.cuts
    }
}

impl Linear {
    fn cut(&self, text: &str, cuts: &mut Cuts) {
        let mut at = 0;
        while let Some(found) = self.all.search(&Input::new(text).range(at..)) {
            let range = self.looked_ahead(text, found.pattern().as_usize(), found.range());
            let end = range.as_ref().map_or(found.start(), |r| r.end);
            if let Some(range) = range {
                cuts.add(range);
            }
            // Nothing consumed: go on from the next character.
            at = match text[end..].chars().next() {
                Some(c) if end == found.start() => end + c.len_utf8(),
                None if end == found.start() => return,
                _ => end,
            };
        }
    }

    /// What is left of a match when its lookahead has been done; `None` if nothing matches there.
    fn looked_ahead(&self, text: &str, alternative: usize, found: Range<usize>) -> Option<Range<usize>> {
        let Some(Some(lookahead)) = self.lookaheads.get(alternative) else { return Some(found) };
        if text[found.end..].chars().next().is_none_or(char::is_whitespace) {
            return Some(found);
        }
        if text[found.clone()].chars().count() > lookahead.least {
            let last = text[found.clone()].chars().next_back().map_or(0, char::len_utf8);
            return Some(found.start..found.end - last);
        }
        let input = Input::new(text).range(found.start..).anchored(Anchored::Yes);
        lookahead.after.as_ref()?.search(&input).map(|m| m.range())
    }
}

/// The pattern on an automaton, if it has no lookaround other than the one known.
fn linear(pattern: &str) -> Option<Linear> {
    let alternatives = alternatives(pattern)?;
    let spaces = |a: &str| a.strip_suffix(r"(?!\S)").and_then(spaces).is_some();
    let plain: Vec<&str> = alternatives.iter().map(|a| if spaces(a) { &a[..a.len() - 6] } else { a }).collect();
    let regex = |alternatives: &[&str]| {
        let size = Regex::config().nfa_size_limit(Some(SIZE_LIMIT)).onepass_size_limit(Some(SIZE_LIMIT));
        Regex::builder().configure(size).build_many(alternatives).ok()
    };
    let mut lookaheads = Vec::new();
    for (i, alternative) in alternatives.iter().enumerate() {
        lookaheads.push(match alternative.strip_suffix(r"(?!\S)").and_then(self::spaces) {
            // What comes after is tried where the lookahead fails; another lookahead among it would need the same care,
            // which only one character of space can need, and then it fails too.
            Some(least) => {
                let after: Vec<&str> = alternatives[i + 1..].iter().copied().filter(|a| !spaces(a)).collect();
                Some(Lookahead { least, after: if after.is_empty() { None } else { Some(regex(&after)?) } })
            }
            None => None,
        });
    }
    Some(Linear { scan: Scan::of(pattern), all: regex(&plain)?, lookaheads })
}

/// How few characters `\s` with a quantifier takes.
fn spaces(pattern: &str) -> Option<usize> {
    match pattern.strip_prefix(r"\s")? {
        "+" => Some(1),
        braces => braces.strip_prefix('{')?.strip_suffix('}')?.split(',').next()?.parse().ok(),
    }
}

/// The alternatives at the top of `pattern`; `None` if it has what an automaton cannot do: lookaround, back references,
/// possessive quantifiers.
fn alternatives(pattern: &str) -> Option<Vec<&str>> {
    let (mut found, mut start, mut depth, mut class) = (Vec::new(), 0, 0u32, 0u32);
    let mut chars = pattern.char_indices();
    let mut before = ' ';
    while let Some((at, c)) = chars.next() {
        let rest = &pattern[at..];
        match c {
            '\\' => {
                let escaped = chars.next()?.1;
                if escaped.is_ascii_digit() || "kgGKXRHhZzAe".contains(escaped) {
                    return None;
                }
                if "pPxu".contains(escaped) && chars.as_str().starts_with('{') {
                    chars.find(|(_, c)| *c == '}')?;
                }
            }
            '[' => class += 1,
            ']' => class = class.saturating_sub(1),
            _ if class > 0 => {}
            '(' if rest.starts_with(r"(?!\S)")
                && rest[6..].starts_with(['|', ')']) | (rest.len() == 6)
                && depth == 0 =>
            {
                spaces(&pattern[start..at])?;
                chars.nth(4)?;
            }
            '(' if ["(?=", "(?!", "(?<", "(?>", "(?(", "(?P", "(?#"].iter().any(|p| rest.starts_with(p)) => {
                return None;
            }
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            '+' if "?*+}".contains(before) => return None,
            '|' if depth == 0 => {
                found.push(&pattern[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        before = if c == '\\' { ' ' } else { c };
    }
    found.push(&pattern[start..]);
    Some(found)
}

fn groups(text: &str, digits: Digits, cuts: &mut Cuts) {
    let digit = |c: char| match digits {
        Digits::Ascii => c.is_ascii_digit(),
        Digits::Numbers => c.is_numeric(),
        Digits::Decimal | Digits::Words => DIGIT.has(c),
    };
    let mut run: Vec<usize> = Vec::new();
    let ends = text.char_indices().map(|(at, c)| (at, Some(c))).chain([(text.len(), None)]);
    for (at, c) in ends {
        if c.is_some_and(digit) {
            run.push(at);
            continue;
        }
        if !(digits == Digits::Words && c.is_some_and(|c| WORD.has(c))) {
            run.push(at);
            let odd = (run.len() - 1) % 3;
            let starts = if odd == 0 { 0 } else { odd };
            if odd > 0 {
                cuts.add(run[0]..run[odd]);
            }
            run[starts..].windows(4).step_by(3).for_each(|w| cuts.add(w[0]..w[3]));
        }
        run.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    const JAIS2: &str = r"\p{L}+|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}";

    fn check(pattern: &str, text: &str, expected: &[&str]) {
        let cuts = Splitter::new(pattern).expect("valid").cut(text);
        assert_eq!(cuts.iter().map(|(r, _)| &text[r.clone()]).collect::<Vec<_>>(), expected, "{pattern}");
    }

    #[test]
    fn cuts_as_the_pattern_says() {
        check(GPT2, "I'll  be 42!!\n\n x ", &["I", "'ll", " ", " be", " 42", "!!", "\n\n", " x", " "]);
        check(GPT2, "a   ", &["a", "   "]);
        check(r"\p{L}+|\s+(?!\S)", "a  b c", &["a", " ", " ", "b", " ", "c"]);
        check(JAIS2, "a       b", &["a", "    ", "  ", " ", "b"]);
        check(r"(?=(\d{3})+(?!\d))", "a1234567b", &["a", "1", "234", "567", "b"]);
        check(r"\d{1,3}(?=(?:\d{3})*\b)", "12345 123a", &["12", "345", " 123a"]);
        check(r"a++|b(?=c)", "aabcb", &["aa", "b", "cb"]);
        check(r"[[:alpha:]|]+|x", "a|b(x", &["a|b", "(", "x"]);
        check("", "abc", &["a", "b", "c"]);
    }

    #[test]
    fn known_patterns_run_on_an_automaton() {
        for pattern in [GPT2, JAIS2] {
            assert!(matches!(Splitter::new(pattern), Ok(Splitter::Linear(_))), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(Splitter::new("(").is_err());
        assert!(Splitter::new("[a").is_err());
        assert!(Splitter::new(&("(".repeat(9999) + &")".repeat(9999))).is_err());
        assert!(Splitter::new(r"(?:(?:\p{L}{1000}){1000}){1000}").is_err());
    }

    #[test]
    fn long_runs_take_no_longer_than_their_length() {
        for pattern in [GPT2, JAIS2, r"\s*[\r\n]+|\s+(?!\S)|\s+", r"\s*+[\r\n]+|\s+(?!\S)|\s+"] {
            for unit in [" ", "a", "\n", "1", "!"] {
                let text = unit.repeat(200_000) + "x";
                let cuts = Splitter::new(pattern).expect("valid").cut(&text);
                assert_eq!(cuts.iter().map(|c| c.0.len()).sum::<usize>(), text.len(), "{pattern} {unit:?}");
            }
        }
    }
}
