//! Light Markdown for a terminal: nothing is taken from the text, some of it only looks different. So what is copied is the
//! text as the model wrote it, and what only looks like Markdown does no harm.

use super::{BOLD, CODE, RESET};

/// Shows text as it comes: `**bold**`, `code` and fenced blocks; all but a block end with the line. Control characters are
/// shown, not obeyed.
pub(crate) struct Markdown {
    colours: bool,
    bold: bool,
    /// Inline code, or the line that ends a block.
    code: bool,
    block: bool,
    /// Backticks at the beginning of the line, as long as there is nothing else.
    ticks: Option<usize>,
    /// The two characters before; a pair of stars counts as one, `\0`.
    before: [char; 2],
    style: &'static str,
}

impl Markdown {
    /// With colours or without.
    pub(crate) fn new(colours: bool) -> Markdown {
        let (bold, code, block, ticks, before, style) = (false, false, false, Some(0), ['\n'; 2], "");
        Markdown { colours, bold, code, block, ticks, before, style }
    }

    /// What to write to the terminal for `text`.
    pub(crate) fn show(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            // Marks look like what they enclose.
            let before = if c == '\n' { "" } else { self.look() };
            self.turn(c);
            self.wear(if before.is_empty() { self.look() } else { before }, &mut out);
            out.push(visible(c));
        }
        out
    }

    /// What to write at the end.
    pub(crate) fn end(&mut self) -> String {
        let mut out = String::new();
        self.wear("", &mut out);
        *self = Markdown::new(self.colours);
        out
    }

    fn look(&self) -> &'static str {
        match () {
            () if self.block || self.code => CODE,
            () if self.bold => BOLD,
            () => "",
        }
    }

    fn wear(&mut self, style: &'static str, out: &mut String) {
        if self.colours && style != self.style {
            out.push_str(if self.style.is_empty() { "" } else { RESET });
            out.push_str(style);
            self.style = style;
        }
    }

    fn turn(&mut self, c: char) {
        let [first, last] = self.before;
        self.before = [last, c];
        let ticks = self.ticks.filter(|ticks| c == '`' || (c.is_whitespace() && *ticks == 0));
        self.ticks = ticks.map(|ticks| ticks + usize::from(c == '`'));
        match c {
            '\n' => (self.bold, self.code, self.ticks) = (false, false, Some(0)),
            '`' if self.ticks == Some(3) => {
                self.block = !self.block;
                self.code = !self.block;
            }
            '`' if !self.block => self.code = !self.code,
            '*' if last == '*' && !self.code && !self.block => {
                // Between letters or digits it is a power; before a space it is a list or a product.
                self.bold = if self.bold { first.is_whitespace() } else { !first.is_alphanumeric() };
                self.before[1] = '\0';
            }
            c if c.is_whitespace() && last == '\0' => self.bold = false,
            _ => {}
        }
    }
}

/// A control character as the sign for it, so that a model cannot command the terminal.
pub(crate) fn visible(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        '\0'..'\x20' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{FFFD}'),
        c if c.is_control() => '\u{FFFD}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` has `<` for code, `[` for bold and `>` for plain.
    fn check(text: &str, expected: &str) {
        let mut markdown = Markdown::new(true);
        let shown = markdown.show(text) + &markdown.end();
        assert_eq!(shown.replace(CODE, "<").replace(BOLD, "[").replace(RESET, ">"), expected, "{text}");
        let mut markdown = Markdown::new(true);
        let pieces: String = text.chars().map(|c| markdown.show(c.encode_utf8(&mut [0; 4]))).collect();
        assert_eq!(pieces + &markdown.end(), shown, "{text}, by characters");
        assert_eq!(Markdown::new(false).show(text), text);
    }

    #[test]
    fn bold_and_code_look_so_and_end_with_the_line() {
        check("a `b` c", "a <`b`> c");
        check("a **b c** d", "a *[*b c**> d");
        check("a **b\nc", "a *[*b>\nc");
        check("a `**b`", "a <`**b`>");
        check("a `b\nc", "a <`b>\nc");
    }

    #[test]
    fn blocks_go_on_over_lines() {
        check("```rust\nlet a = b**c;\n```\nd", "<```rust\nlet a = b**c;\n```>\nd");
    }

    #[test]
    fn what_is_no_markdown_is_plain() {
        check("2**3**4", "2**3**4");
        check("a * b", "a * b");
    }

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(Markdown::new(false).show("a\x1b[2J\u{9b}b\n\t"), "a␛[2J\u{FFFD}b\n\t");
    }
}
