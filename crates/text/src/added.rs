//! Tokens found in the text as written, before anything else is done to it.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, Input, MatchKind};

use crate::ChatPrompt;
use crate::classes::WORD;

/// A token to look for.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddedToken {
    /// Its id.
    pub id: u32,
    /// How it is written.
    pub text: String,
    /// Recognised only if asked for.
    pub special: bool,
    /// White space before it goes.
    pub lstrip: bool,
    /// White space after it goes.
    pub rstrip: bool,
    /// Not inside a word.
    pub single_word: bool,
}

/// A stretch of text, or a token found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fragment<'a> {
    /// Text to encode.
    Text(&'a str),
    /// A token.
    Token(u32),
}

/// Where special tokens are recognised.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Special<'a> {
    /// Nowhere.
    None,
    /// Everywhere.
    All,
    /// Where the template wrote them in the prompt that is cut.
    In(&'a ChatPrompt),
}

impl Special<'_> {
    /// Whether a token that stands in a range of bytes is one.
    fn takes(self, token: &AddedToken, range: Range<usize>) -> bool {
        match self {
            Special::None => !token.special,
            Special::All => true,
            Special::In(prompt) => prompt.is_control(range) || !(token.special || prompt.is_marker(&token.text)),
        }
    }

    /// The same for a part of the text, which is special as a whole or not at all once it is moved.
    pub(crate) fn within(self, range: Range<usize>) -> Self {
        match self {
            Special::In(prompt) if prompt.is_template(&range) => Special::All,
            Special::In(_) => Special::None,
            other => other,
        }
    }
}

/// Which of two overlapping tokens is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    /// The one further left, of two at the same place the longer (tokenizer.json).
    Leftmost,
    /// The longer (GGUF).
    Longest,
}

/// The tokens to look for.
#[derive(Debug)]
pub(crate) struct AddedTokens {
    tokens: Vec<AddedToken>,
    search: Option<AhoCorasick>,
    order: Order,
}

impl AddedTokens {
    /// Prepares a search for `tokens` (those without text are ignored).
    ///
    /// # Errors
    /// If they are too many.
    pub(crate) fn new(mut tokens: Vec<AddedToken>, order: Order) -> Result<AddedTokens, String> {
        tokens.retain(|t| !t.text.is_empty());
        if order == Order::Longest {
            tokens.sort_by_key(|t| std::cmp::Reverse(t.text.len()));
        }
        let kind = if order == Order::Longest { MatchKind::Standard } else { MatchKind::LeftmostLongest };
        let search = (!tokens.is_empty())
            .then(|| AhoCorasickBuilder::new().match_kind(kind).build(tokens.iter().map(|t| &t.text)))
            .transpose()
            .map_err(|e| e.to_string())?;
        Ok(AddedTokens { tokens, search, order })
    }

    /// Cuts `text` at the tokens found; special ones only where `special` says so.
    pub(crate) fn cut<'a>(&self, text: &'a str, special: Special<'_>) -> Vec<Fragment<'a>> {
        match (&self.search, self.order) {
            _ if text.is_empty() => Vec::new(),
            (None, _) => vec![Fragment::Text(text)],
            (Some(search), Order::Leftmost) => self.leftmost(search, text, special),
            (Some(search), Order::Longest) => self.longest(search, text, special),
        }
    }

    fn leftmost<'a>(&self, search: &AhoCorasick, text: &'a str, special: Special<'_>) -> Vec<Fragment<'a>> {
        let mut fragments = Vec::new();
        let (mut done, mut from) = (0, 0);
        while let Some(found) = search.find(Input::new(text).range(from..)) {
            let token = &self.tokens[found.pattern().as_usize()];
            let (before, after) = (&text[..found.start()], &text[found.end()..]);
            let in_word = token.single_word
                && (before.chars().next_back().is_some_and(|c| WORD.has(c))
                    || after.chars().next().is_some_and(|c| WORD.has(c)));
            from = found.end();
            if in_word || !special.takes(token, found.range()) {
                // Where some are recognised and others not, what is none must not hide what begins within it.
                if matches!(special, Special::In(_)) {
                    from = text.ceil_char_boundary(found.start() + 1);
                }
                continue;
            }
            let start = if token.lstrip { before.trim_end().len() } else { before.len() }.max(done);
            if start > done {
                fragments.push(Fragment::Text(&text[done..start]));
            }
            fragments.push(Fragment::Token(token.id));
            done = if token.rstrip { text.len() - after.trim_start().len() } else { found.end() };
        }
        if done < text.len() {
            fragments.push(Fragment::Text(&text[done..]));
        }
        fragments
    }

    /// Token by token, the longest first, each in all the text that is left. One pass over the text first finds out which
    /// tokens are there at all.
    fn longest<'a>(&self, search: &AhoCorasick, text: &'a str, special: Special<'_>) -> Vec<Fragment<'a>> {
        // This search knows how to skip what cannot be a token; the next one reads every byte.
        if search.find(text).is_none() {
            return vec![Fragment::Text(text)];
        }
        let mut there = vec![false; self.tokens.len()];
        search.find_overlapping_iter(text).for_each(|found| there[found.pattern().as_usize()] = true);
        let mut fragments = vec![Fragment::Text(text)];
        for (token, _) in self.tokens.iter().zip(there).filter(|(_, there)| *there) {
            let is = |at: usize| special.takes(token, at..at + token.text.len());
            let mut cut = Vec::with_capacity(fragments.len());
            for fragment in fragments {
                match fragment {
                    Fragment::Text(part) => {
                        let offset = part.as_ptr() as usize - text.as_ptr() as usize;
                        token.cut(part, |at| is(offset + at), &mut cut);
                    }
                    token => cut.push(token),
                }
            }
            fragments = cut;
        }
        fragments
    }
}

impl AddedToken {
    /// Cuts `text` where the token stands, if it is one there.
    fn cut<'a>(&self, text: &'a str, is: impl Fn(usize) -> bool, out: &mut Vec<Fragment<'a>>) {
        // What C calls space: this is where llama.cpp strips.
        let space = |c: char| matches!(c, ' ' | '\t'..='\r');
        let (mut done, mut from) = (0, 0);
        while let Some(at) = text[from..].find(&self.text).map(|at| from + at) {
            if !is(at) {
                from = text.ceil_char_boundary(at + 1);
                continue;
            }
            let before = &text[done..at];
            let before = if self.lstrip { before.trim_end_matches(space) } else { before };
            if !before.is_empty() {
                out.push(Fragment::Text(before));
            }
            out.push(Fragment::Token(self.id));
            done = at + self.text.len();
            if self.rstrip {
                done = text.len() - text[done..].trim_start_matches(space).len();
            }
            from = done;
        }
        if done < text.len() {
            out.push(Fragment::Text(&text[done..]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jinja::Origin;

    fn token(id: u32, text: &str) -> AddedToken {
        AddedToken { id, text: text.into(), ..AddedToken::default() }
    }

    fn check(tokens: &[AddedToken], order: Order, text: &str, special: bool, expected: &str) {
        let tokens = AddedTokens::new(tokens.to_vec(), order).expect("few");
        let special = if special { Special::All } else { Special::None };
        let found: Vec<String> = (tokens.cut(text, special).iter())
            .map(|f| match f {
                Fragment::Text(t) => format!("{t:?}"),
                Fragment::Token(id) => id.to_string(),
            })
            .collect();
        assert_eq!(found.join(" "), expected, "{text:?}");
    }

    #[test]
    fn overlapping_tokens() {
        let tokens = [token(1, "abc"), token(2, "cdefg"), token(3, "ab")];
        check(&tokens, Order::Leftmost, "xabcdefg", true, r#""x" 1 "defg""#);
        check(&tokens, Order::Longest, "xabcdefg", true, r#""x" 3 2"#);
    }

    #[test]
    fn specials_and_strips() {
        let tokens = [
            AddedToken { special: true, ..token(1, "<s>") },
            AddedToken { lstrip: true, rstrip: true, ..token(2, "<m>") },
            token(3, "<u>"),
        ];
        for order in [Order::Leftmost, Order::Longest] {
            check(&tokens, order, "a <m>\n b<s><u>", true, r#""a" 2 "b" 1 3"#);
            check(&tokens, order, "a <m>\n b<s><u>", false, r#""a" 2 "b<s>" 3"#);
            check(&tokens, order, "", true, "");
        }
    }

    #[test]
    fn special_where_they_may_be() {
        let tokens =
            [AddedToken { special: true, ..token(1, "<s>") }, AddedToken { special: true, ..token(2, "<s><s>") }];
        for order in [Order::Leftmost, Order::Longest] {
            let tokens = AddedTokens::new(tokens.to_vec(), order).expect("few");
            let parts = vec![(4, Origin::Data), (10, Origin::Template)];
            let prompt = ChatPrompt::new(("a<s><s><s>".into(), parts), "".into());
            let fragments = tokens.cut(prompt.text(), Special::In(&prompt));
            assert_eq!(fragments, [Fragment::Text("a<s>"), Fragment::Token(2)], "{order:?}");
        }
    }

    #[test]
    fn whole_words_only() {
        let word = [AddedToken { single_word: true, ..token(1, "is") }];
        check(&word, Order::Leftmost, "this is", true, r#""this " 1"#);
    }
}
