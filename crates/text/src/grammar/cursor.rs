//! A place in the text of a grammar: what stands there, and errors that say where it is.

use super::GrammarError;

/// The text and how far it is read.
pub(super) struct Cursor<'a> {
    source: &'a str,
    /// Bytes read.
    at: usize,
    /// Where lines end.
    ends: Vec<usize>,
}

impl<'a> Cursor<'a> {
    /// At the beginning.
    pub(super) fn new(source: &'a str) -> Cursor<'a> {
        Cursor { source, at: 0, ends: source.match_indices('\n').map(|(at, _)| at).collect() }
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    /// The line, from 1.
    pub(super) fn line(&self) -> usize {
        1 + self.ends.partition_point(|end| *end < self.at)
    }

    /// Skips blanks and comments, and the ends of lines too if `lines`.
    pub(super) fn space(&mut self, lines: bool) {
        loop {
            self.while_true(|c| c == ' ' || c == '\t' || lines && (c == '\r' || c == '\n'));
            if !self.rest().starts_with('#') {
                return;
            }
            self.while_true(|c| c != '\r' && c != '\n');
        }
    }

    /// Reads on as long as characters are wanted.
    pub(super) fn while_true(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Reads `sign` if it stands here.
    pub(super) fn take(&mut self, sign: &str) -> bool {
        let there = self.rest().starts_with(sign);
        self.at += if there { sign.len() } else { 0 };
        there
    }

    /// The error for what stands here.
    pub(super) fn unexpected(&self) -> GrammarError {
        let next = self.rest().chars().next().unwrap_or_default();
        self.error(format!("{next:?} is not expected here"))
    }

    /// An error in this line.
    pub(super) fn error(&self, message: impl Into<String>) -> GrammarError {
        GrammarError { line: self.line(), message: message.into() }
    }

    /// Reads a rule's name if one stands here.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        let name = self.while_true(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        (!name.is_empty()).then_some(name)
    }

    /// A character of a literal or a class, written out or escaped.
    pub(super) fn character(&mut self) -> Result<char, GrammarError> {
        match self.next()? {
            '\\' => self.escape(),
            plain => Ok(plain),
        }
    }

    fn escape(&mut self) -> Result<char, GrammarError> {
        match self.next()? {
            't' => Ok('\t'),
            'r' => Ok('\r'),
            'n' => Ok('\n'),
            same @ ('\\' | '"' | '[' | ']' | '-') => Ok(same),
            'x' => self.hex(2),
            'u' => self.hex(4),
            'U' => self.hex(8),
            other => {
                let all = r#"\t \r \n \\ \" \[ \] \- \xXX \uXXXX \UXXXXXXXX"#;
                Err(self.error(format!("\\{other} is no escape; there are {all}")))
            }
        }
    }

    fn next(&mut self) -> Result<char, GrammarError> {
        let next =
            self.rest().chars().next().ok_or_else(|| self.error("the grammar ends where a character is expected"))?;
        self.at += next.len_utf8();
        Ok(next)
    }

    fn hex(&mut self, digits: usize) -> Result<char, GrammarError> {
        let text = self.rest().get(..digits).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(text) = text else { return Err(self.error(format!("{digits} hexadecimal digits are expected"))) };
        self.at += digits;
        let code = u32::from_str_radix(text, 16).ok().and_then(char::from_u32);
        code.ok_or_else(|| self.error(format!("U+{text} is not a character")))
    }
}
