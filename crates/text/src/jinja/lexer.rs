//! A template's source in tokens, cut and trimmed as Jinja2 does with `trim_blocks` and `lstrip_blocks`.

use std::sync::Arc;

use super::JinjaError;

/// A token, and the line it stands in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub line: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Text outside of tags.
    Data(Arc<str>),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(Arc<str>),
    Text(Arc<str>),
    Integer(i128),
    Float(f64),
    Operator(&'static str),
    End,
}

/// Operators, the longer before their beginnings.
const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";",
];

/// Cuts a source into tokens.
///
/// # Errors
/// If a tag, comment or text is not closed, or a character belongs nowhere.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, JinjaError> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    // One line break at the end is not part of the template.
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer { source, at: 0, line: 1, line_starts: true, tokens: Vec::new() };
    lexer.run()?;
    lexer.push(Kind::End);
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    /// Nothing stands before in this line.
    line_starts: bool,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn push(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, line: self.line });
    }

    fn advance(&mut self, bytes: usize) {
        let read = &self.source[self.at..self.at + bytes];
        self.line += read.matches('\n').count();
        if let Some(last) = read.chars().next_back() {
            self.line_starts = last == '\n';
        }
        self.at += bytes;
    }

    fn error(&self, problem: impl Into<String>) -> JinjaError {
        JinjaError::new(problem).at(self.line)
    }

    fn run(&mut self) -> Result<(), JinjaError> {
        while let Some(at) = self.next_tag() {
            let text = &self.rest()[..at];
            let tag = &self.rest()[at..];
            let kept = self.kept(text, tag);
            self.data(kept);
            self.advance(at);
            match &tag[..2] {
                "{#" => self.comment()?,
                "{%" => self.block()?,
                _ => self.variable()?,
            }
        }
        let rest = self.rest();
        self.data(rest);
        self.advance(rest.len());
        Ok(())
    }

    fn next_tag(&self) -> Option<usize> {
        let rest = self.rest();
        let found = |(at, _): &(usize, &str)| matches!(rest.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#'));
        rest.match_indices('{').find(found).map(|(at, _)| at)
    }

    /// What is left of the text before a tag.
    fn kept<'t>(&self, text: &'t str, tag: &str) -> &'t str {
        match tag.as_bytes().get(2) {
            Some(b'-') => text.trim_end_matches(is_space),
            Some(b'+') => text,
            _ if tag.starts_with("{{") => text,
            _ => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                let alone = (line > 0 || self.line_starts) && text[line..].chars().all(is_space);
                if alone { &text[..line] } else { text }
            }
        }
    }

    fn data(&mut self, text: &str) {
        if !text.is_empty() {
            self.push(Kind::Data(text.into()));
        }
    }

    fn comment(&mut self) -> Result<(), JinjaError> {
        let begin = 2 + usize::from(matches!(self.rest().as_bytes().get(2), Some(b'-' | b'+')));
        let body = &self.rest()[begin..];
        let Some(end) = body.find("#}") else { return Err(self.error("a comment is not closed")) };
        let (trims, keeps) = (body[..end].ends_with('-'), body[..end].ends_with('+'));
        self.advance(begin + end + 2);
        self.after_block(trims, keeps);
        Ok(())
    }

    /// What is dropped after a block or a comment: a line break, or all white space.
    fn after_block(&mut self, trims: bool, keeps: bool) {
        let rest = self.rest();
        let dropped = match () {
            () if trims => rest.len() - rest.trim_start_matches(is_space).len(),
            () => usize::from(!keeps && rest.starts_with('\n')),
        };
        self.advance(dropped);
    }

    fn block(&mut self) -> Result<(), JinjaError> {
        if let Some(begin) = raw_tag(self.rest(), "raw") {
            return self.raw(begin);
        }
        self.open(Kind::BlockBegin);
        let (trims, keeps) = self.code("%}")?;
        self.push(Kind::BlockEnd);
        self.after_block(trims, keeps);
        Ok(())
    }

    fn variable(&mut self) -> Result<(), JinjaError> {
        self.open(Kind::VariableBegin);
        let (trims, _) = self.code("}}")?;
        self.push(Kind::VariableEnd);
        self.after_block(trims, true);
        Ok(())
    }

    fn open(&mut self, kind: Kind) {
        self.push(kind);
        let sign = matches!(self.rest().as_bytes().get(2), Some(b'-' | b'+'));
        self.advance(2 + usize::from(sign));
    }

    /// Text as it is, up to `{% endraw %}`.
    fn raw(&mut self, begin: usize) -> Result<(), JinjaError> {
        let trims = self.rest()[..begin].ends_with("-%}");
        self.advance(begin);
        if trims {
            self.after_block(true, false);
        }
        let rest = self.rest();
        let ends = rest.match_indices("{%").find_map(|(at, _)| Some((at, raw_tag(&rest[at..], "endraw")?)));
        let Some((at, len)) = ends else { return Err(self.error("{% raw %} is not closed")) };
        let kept = self.kept(&rest[..at], &rest[at..]);
        self.data(kept);
        self.advance(at);
        let tag = &self.rest()[..len];
        let (trims, keeps) = (tag.ends_with("-%}"), tag.ends_with("+%}"));
        self.advance(len);
        self.after_block(trims, keeps);
        Ok(())
    }

    /// The tokens up to `end`; whether it has a minus or a plus.
    fn code(&mut self, end: &str) -> Result<(bool, bool), JinjaError> {
        let mut open = Vec::new();
        loop {
            let rest = self.rest();
            let space = rest.len() - rest.trim_start_matches(is_space).len();
            self.advance(space);
            let rest = self.rest();
            if open.is_empty() {
                let sign = rest.strip_prefix(['-', '+']).filter(|after| after.starts_with(end));
                if let Some(after) = sign.or(Some(rest).filter(|rest| rest.starts_with(end))) {
                    let signs = (sign.is_some() && rest.starts_with('-'), sign.is_some() && rest.starts_with('+'));
                    self.advance(rest.len() - after.len() + end.len());
                    return Ok(signs);
                }
            }
            self.token(&mut open)?;
        }
    }

    fn token(&mut self, open: &mut Vec<char>) -> Result<(), JinjaError> {
        let rest = self.rest();
        match rest.chars().next() {
            None => Err(self.error("a tag is not closed")),
            Some(quote @ ('"' | '\'')) => self.text(quote),
            Some(c) if c.is_ascii_digit() => self.number(),
            Some(c) if c.is_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                self.push(Kind::Name(rest[..end].into()));
                self.advance(end);
                Ok(())
            }
            Some(c) => {
                let Some(operator) = OPERATORS.iter().find(|operator| rest.starts_with(**operator)) else {
                    return Err(self.error(format!("{c:?} belongs nowhere")));
                };
                match c {
                    '(' => open.push(')'),
                    '[' => open.push(']'),
                    '{' => open.push('}'),
                    ')' | ']' | '}' if open.pop() != Some(c) => {
                        return Err(self.error(format!("{c:?} closes nothing")));
                    }
                    _ => {}
                }
                self.push(Kind::Operator(operator));
                self.advance(operator.len());
                Ok(())
            }
        }
    }

    fn number(&mut self) -> Result<(), JinjaError> {
        let rest = self.rest();
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').len();
        let mut end = digits(rest);
        let whole = end;
        // `a.0.1` are two items, not a fraction.
        let after_point = matches!(self.tokens.last(), Some(Token { kind: Kind::Operator("."), .. }));
        if !after_point && rest[end..].starts_with('.') && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            end += 1 + digits(&rest[end + 1..]);
        }
        if let Some(power) = rest[end..].strip_prefix(['e', 'E']).filter(|_| !after_point) {
            let sign = usize::from(power.starts_with(['+', '-']));
            if power[sign..].starts_with(|c: char| c.is_ascii_digit()) {
                end += 1 + sign + digits(&power[sign..]);
            }
        }
        let text = rest[..end].replace('_', "");
        let kind = match end == whole {
            true => text.parse().ok().map(Kind::Integer),
            false => text.parse().ok().map(Kind::Float),
        };
        let Some(kind) = kind else { return Err(self.error(format!("the number {text} is too large"))) };
        self.push(kind);
        self.advance(end);
        Ok(())
    }

    fn text(&mut self, quote: char) -> Result<(), JinjaError> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == quote && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end else { return Err(self.error("a text is not closed")) };
        self.push(Kind::Text(unescaped(&rest[1..end]).into()));
        self.advance(end + 1);
        Ok(())
    }
}

/// What Python's regular expressions call space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The length of `{% name %}` at the beginning of `text`.
fn raw_tag(text: &str, name: &str) -> Option<usize> {
    let inside = text.strip_prefix("{%")?;
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside).trim_start_matches(is_space);
    let after = inside.strip_prefix(name)?.trim_start_matches(is_space);
    let after = after.strip_prefix(['-', '+']).unwrap_or(after).strip_prefix("%}")?;
    Some(text.len() - after.len())
}

/// A text as Python reads its escapes; those it does not know stay.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (c, len) = escape(&rest[at + 1..]);
        out.extend(c);
        if c.is_none() && !rest[at + 1..].starts_with('\n') {
            out.push('\\');
        }
        rest = &rest[at + 1 + len..];
    }
    out + rest
}

/// The character of what follows a backslash, and its length; none if it stands for itself or for nothing.
fn escape(text: &str) -> (Option<char>, usize) {
    let code = |digits: usize, radix: u32| {
        let number = text.get(1..1 + digits).and_then(|number| u32::from_str_radix(number, radix).ok());
        number.and_then(char::from_u32).map_or((None, 0), |c| (Some(c), 1 + digits))
    };
    match text.chars().next() {
        Some('\n') => (None, 1),
        Some(c @ ('\\' | '\'' | '"')) => (Some(c), 1),
        Some('a') => (Some('\x07'), 1),
        Some('b') => (Some('\x08'), 1),
        Some('f') => (Some('\x0c'), 1),
        Some('n') => (Some('\n'), 1),
        Some('r') => (Some('\r'), 1),
        Some('t') => (Some('\t'), 1),
        Some('v') => (Some('\x0b'), 1),
        Some('x') => code(2, 16),
        Some('u') => code(4, 16),
        Some('U') => code(8, 16),
        Some('0'..='7') => {
            let len = text.chars().take(3).take_while(|c| c.is_digit(8)).count();
            let number = u32::from_str_radix(&text[..len], 8).ok().and_then(char::from_u32);
            (number, if number.is_some() { len } else { 0 })
        }
        _ => (None, 0),
    }
}
