//! An answer as it comes: to the screen, and into its parts.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use serde_json::Value;
use text::{Segment, Segments, ToolCall};
use tokio::runtime::Runtime;
use whinchat::{EndReason, Ended, Piece, TextStream};

use crate::terminal::{CODE, DIM, Markdown, colours, styled, visible};

/// What the model said.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) reasoning: String,
    /// What stands in its calls of tools.
    pub(super) calls: Vec<String>,
    /// How it ended; none if it was stopped.
    pub(super) ended: Option<Ended>,
    pub(super) timing: Timing,
}

/// How long it took.
#[derive(Clone, Copy, Default)]
pub(super) struct Timing {
    prompt_tokens: usize,
    tokens: usize,
    first: Duration,
    all: Duration,
}

impl Answer {
    /// Receives an answer and shows it. `stoppable`: Ctrl-C ends it, and what came of it counts; else Ctrl-C ends the program
    /// as ever.
    pub(super) fn receive(
        mut stream: TextStream,
        mut segments: Segments,
        runtime: &Runtime,
        stoppable: bool,
    ) -> anyhow::Result<Answer> {
        let started = Instant::now();
        let mut answer = Answer::default();
        let mut screen = Screen::new();
        while let Some(piece) = runtime.block_on(next(&mut stream, stoppable)) {
            match piece? {
                Piece::Text(text) => {
                    if answer.timing.first.is_zero() {
                        answer.timing.first = started.elapsed();
                    }
                    answer.take(segments.push(&text), &mut screen)?;
                }
                Piece::Ended(ended) => answer.ended = Some(ended),
            }
        }
        answer.take(segments.finish(), &mut screen)?;
        screen.end()?;
        let (prompt_tokens, tokens) = stream.tokens();
        answer.timing = Timing { prompt_tokens, tokens, all: started.elapsed(), ..answer.timing };
        Ok(answer)
    }

    fn take(&mut self, segments: Vec<Segment>, screen: &mut Screen) -> io::Result<()> {
        for segment in segments {
            screen.show(&segment)?;
            match segment {
                Segment::Text(text) => self.text.push_str(&text),
                Segment::Reasoning(text) => self.reasoning.push_str(&text),
                Segment::Call(text) => self.calls.push(text),
            }
        }
        Ok(())
    }

    /// Whether nothing came.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.reasoning.is_empty() && self.calls.is_empty()
    }

    /// The text and its calls as the model wrote them.
    pub(super) fn with_calls(&self) -> String {
        let text = Some(self.text.clone()).filter(|text| !text.is_empty());
        text.into_iter().chain(self.calls.iter().map(|call| tagged(call))).collect::<Vec<_>>().join("\n")
    }

    /// The line about speed.
    pub(super) fn timings(&self, context: usize) -> String {
        let Timing { prompt_tokens, tokens, first, all } = self.timing;
        let (first, rest) = (first.as_secs_f64(), all.saturating_sub(first).as_secs_f64());
        let rate =
            if tokens > 1 { format!(", {:.1} tok/s", (tokens - 1) as f64 / rest.max(1e-9)) } else { String::new() };
        let plural = if tokens == 1 { "" } else { "s" };
        format!(
            "{tokens} token{plural}{rate}, the first after {first:.2} s; context {} of {context}",
            prompt_tokens + tokens
        )
    }

    /// What to say if the answer was not ended by the model.
    pub(super) fn cut(&self, context: usize) -> Option<String> {
        let full = self.timing.prompt_tokens + self.timing.tokens >= context;
        match self.ended {
            None => Some("stopped; what came stays in the conversation".into()),
            Some(Ended { reason: EndReason::Length, .. }) if full => Some(format!(
                "the context of {context} tokens is full and the answer cut off; /undo, /clear or a larger --context"
            )),
            Some(Ended { reason: EndReason::Length, generated_tokens, .. }) => {
                Some(format!("cut off after {generated_tokens} tokens; /set max-tokens allows more"))
            }
            Some(_) => None,
        }
    }
}

/// The next piece; none at the end of the answer and, if `stoppable`, at Ctrl-C.
async fn next(stream: &mut TextStream, stoppable: bool) -> Option<Result<Piece, whinchat::Error>> {
    if !stoppable {
        return stream.next().await;
    }
    tokio::select! {
        piece = stream.next() => piece,
        _ = tokio::signal::ctrl_c() => None,
    }
}

fn tagged(call: &str) -> String {
    format!("<tool_call>{call}</tool_call>")
}

/// Where an answer is shown: text and calls on stdout; reasoning on stderr, for people only.
struct Screen {
    out: io::StdoutLock<'static>,
    terminal: bool,
    markdown: Markdown,
    /// What the line that the cursor stands in is of.
    line: Line,
    /// Nothing was written to stdout.
    silent: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Line {
    Empty,
    Text,
    Reasoning,
}

impl Screen {
    fn new() -> Screen {
        let out = io::stdout();
        let (terminal, markdown) = (out.is_terminal(), Markdown::new(colours(&out)));
        Screen { out: out.lock(), terminal, markdown, line: Line::Empty, silent: true }
    }

    fn show(&mut self, segment: &Segment) -> io::Result<()> {
        match segment {
            Segment::Text(text) => self.text(text)?,
            Segment::Reasoning(text) => self.reasoning(text)?,
            Segment::Call(text) => self.call(text)?,
        }
        self.out.flush()
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        self.silent = false;
        self.leave(Line::Reasoning)?;
        self.line = if text.ends_with('\n') && self.terminal { Line::Empty } else { Line::Text };
        let shown = if self.terminal { self.markdown.show(text) } else { text.to_owned() };
        self.out.write_all(shown.as_bytes())
    }

    fn reasoning(&mut self, text: &str) -> io::Result<()> {
        let mut err = io::stderr();
        if !err.is_terminal() {
            return Ok(());
        }
        self.leave(Line::Text)?;
        self.line = Line::Reasoning;
        let text: String = text.chars().map(visible).collect();
        err.write_all(styled(&text, DIM, colours(&err)).as_bytes())
    }

    fn call(&mut self, text: &str) -> io::Result<()> {
        self.leave(Line::Reasoning)?;
        self.leave(Line::Text)?;
        self.silent = false;
        if !self.terminal {
            return self.out.write_all((tagged(text) + "\n").as_bytes());
        }
        let shown = ToolCall::parse(text).map_or_else(|_| tagged(text), |call| call_line(&call));
        let shown: String = shown.chars().map(visible).collect();
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
            Line::Text => writeln!(self.out, "{}", self.markdown.end()),
            Line::Reasoning => writeln!(io::stderr()),
        }
    }

    fn end(mut self) -> io::Result<()> {
        self.leave(Line::Reasoning)?;
        self.leave(Line::Text)?;
        // In a pipe every answer is a line, be it empty.
        let end = if self.silent && !self.terminal { "\n" } else { &self.markdown.end() };
        self.out.write_all(end.as_bytes())?;
        self.out.flush()
    }
}

/// A call as people read it: `→ get_weather(city: "Oslo")`.
pub(super) fn call_line(call: &ToolCall) -> String {
    let argument = |(name, value): (&String, &Value)| format!("{name}: {value}");
    let arguments: Vec<String> = call.arguments.iter().map(argument).collect();
    format!("→ {}({})", call.name, arguments.join(", "))
}
