//! Where an answer is shown: text and calls of tools on stdout; reasoning on stderr, for people only.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;
use whinchat::ToolCall;

use super::{CODE, DIM, Markdown, colours, styled, visible};

/// Shows an answer as it comes.
pub(crate) struct Screen {
    out: io::StdoutLock<'static>,
    terminal: bool,
    /// How text looks at a terminal; `None` shows it as it is.
    markdown: Option<Markdown>,
    /// What the line that the cursor stands in is of.
    line: Line,
    /// Nothing was written to stdout, or the last of it ended its line.
    ended: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Line {
    Empty,
    Text,
    Reasoning,
}

impl Screen {
    /// A chat's: Markdown is shown where stdout is a terminal, and every answer is a line, be it empty.
    pub(crate) fn chat() -> Screen {
        let mut screen = Screen::plain();
        screen.markdown = screen.terminal.then(|| Markdown::new(colours(&screen.out)));
        screen.ended = false;
        screen
    }

    /// Shows text as it is.
    pub(crate) fn plain() -> Screen {
        let out = io::stdout();
        let terminal = out.is_terminal();
        Screen { out: out.lock(), terminal, markdown: None, line: Line::Empty, ended: true }
    }

    /// Shows text.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.leave(Line::Reasoning)?;
        self.ended = text.ends_with('\n');
        self.line = if self.ended && self.terminal { Line::Empty } else { Line::Text };
        let shown = self.markdown.as_mut().map(|markdown| markdown.show(text));
        self.out.write_all(shown.as_deref().unwrap_or(text).as_bytes())?;
        self.out.flush()
    }

    /// Shows what the model thinks.
    pub(crate) fn reasoning(&mut self, text: &str) -> io::Result<()> {
        let mut err = io::stderr();
        if !err.is_terminal() {
            return Ok(());
        }
        self.leave(Line::Text)?;
        self.line = Line::Reasoning;
        let text: String = text.chars().map(visible).collect();
        err.write_all(styled(&text, DIM, colours(&err)).as_bytes())
    }

    /// Shows a call of a tool, a line of its own.
    pub(crate) fn call(&mut self, call: &ToolCall) -> io::Result<()> {
        self.leave(Line::Reasoning)?;
        self.leave(Line::Text)?;
        self.ended = true;
        if !self.terminal {
            return writeln!(self.out, "{}", tagged(call));
        }
        let shown: String = call_line(call).chars().map(visible).collect();
        writeln!(self.out, "{}", styled(&shown, CODE, colours(&io::stdout())))
    }

    /// Ends the line if it is of that kind.
    fn leave(&mut self, line: Line) -> io::Result<()> {
        if self.line != line {
            return Ok(());
        }
        self.line = Line::Empty;
        match line {
            Line::Empty => Ok(()),
            Line::Text => {
                let end = self.markdown.as_mut().map(Markdown::end).unwrap_or_default();
                self.ended = true;
                writeln!(self.out, "{end}")
            }
            Line::Reasoning => writeln!(io::stderr()),
        }
    }

    /// Ends the answer, and its line.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.leave(Line::Reasoning)?;
        let end = self.markdown.as_mut().map(Markdown::end).unwrap_or_default();
        let newline = if self.ended { "" } else { "\n" };
        write!(self.out, "{end}{newline}")?;
        self.out.flush()
    }
}

/// A call as text: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`.
pub(crate) fn tagged(call: &ToolCall) -> String {
    let name = Value::from(call.name.as_str());
    format!("<tool_call>{{\"name\": {name}, \"arguments\": {}}}</tool_call>", call.arguments)
}

/// A call as people read it: `→ get_weather(city: "Oslo")`.
pub(crate) fn call_line(call: &ToolCall) -> String {
    let arguments = match serde_json::from_str(&call.arguments) {
        Ok(Value::Object(arguments)) => {
            arguments.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ")
        }
        _ => call.arguments.clone(),
    };
    format!("→ {}({arguments})", call.name)
}
