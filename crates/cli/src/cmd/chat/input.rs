//! Where a conversation's lines come from: an editor with history at a terminal, else a pipe.

use std::io::{self, IsTerminal, StdinLock};
use std::path::PathBuf;

use anyhow::Context as _;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Behavior, CompletionType, Config, Editor, Helper};

use super::commands::COMMANDS;
use crate::cmd::sampling;
use crate::terminal::{BOLD, colours, styled};

/// A line, or why there is none.
pub(super) enum Read {
    Line(String),
    /// Ctrl-C: nothing of it counts.
    Interrupted,
    /// Ctrl-D, or the end of the pipe.
    End,
}

/// The source of lines.
pub(super) enum Input {
    Editor(Box<Editor<Words, DefaultHistory>>, Option<PathBuf>),
    Pipe(io::Lines<StdinLock<'static>>),
}

impl Input {
    /// An editor, with the history of earlier conversations.
    pub(super) fn editor() -> anyhow::Result<Input> {
        // Answers may go to a file: what is typed stays at the terminal.
        let behavior = if io::stdout().is_terminal() { Behavior::Stdio } else { Behavior::PreferTerm };
        let config = Config::builder().max_history_size(1000)?.completion_type(CompletionType::List).behavior(behavior);
        let mut editor = Editor::with_config(config.build())?;
        editor.set_helper(Some(Words { files: FilenameCompleter::new() }));
        let history = history_file();
        if let Some(file) = &history {
            let _ = editor.load_history(file);
        }
        Ok(Input::Editor(Box::new(editor), history))
    }

    /// Lines of stdin.
    pub(super) fn pipe() -> Input {
        Input::Pipe(io::stdin().lines())
    }

    /// Whether a person types.
    pub(super) fn is_person(&self) -> bool {
        matches!(self, Input::Editor(..))
    }

    /// A message, remembered for the next time. `initial` stands there to be changed.
    pub(super) fn message(&mut self, initial: &str) -> anyhow::Result<Read> {
        let read = self.line("> ", initial)?;
        if let Read::Line(message) = &read {
            self.remember(message)?;
        }
        Ok(read)
    }

    /// A message of the lines up to `/end`.
    pub(super) fn lines(&mut self) -> anyhow::Result<Read> {
        let mut lines = Vec::new();
        loop {
            match self.line("… ", "")? {
                Read::Line(line) if line.trim() == "/end" => break,
                Read::Line(line) => lines.push(line),
                Read::Interrupted => return Ok(Read::Interrupted),
                Read::End => break,
            }
        }
        let message = lines.join("\n");
        self.remember(&message)?;
        Ok(Read::Line(message))
    }

    /// A line, and the next one as long as lines end with a backslash.
    pub(super) fn line(&mut self, prompt: &str, initial: &str) -> anyhow::Result<Read> {
        match self {
            Input::Editor(editor, _) => edited(editor, prompt, initial),
            Input::Pipe(lines) => piped(lines),
        }
    }

    /// Puts a message into the history, at once: a terminal may be closed at any time.
    fn remember(&mut self, message: &str) -> anyhow::Result<()> {
        let Input::Editor(editor, file) = self else { return Ok(()) };
        if message.trim().is_empty() || !editor.add_history_entry(message)? {
            return Ok(());
        }
        if let Some(name) = file
            && let Err(e) = editor.append_history(name)
        {
            eprintln!("warning: cannot write {}: {e}", name.display());
            *file = None;
        }
        Ok(())
    }
}

fn edited(editor: &mut Editor<Words, DefaultHistory>, prompt: &str, initial: &str) -> anyhow::Result<Read> {
    let prompt = (prompt.to_owned(), styled(prompt, BOLD, colours(&io::stdout())));
    match editor.readline_with_initial(&prompt, (initial, "")) {
        Ok(lines) => Ok(Read::Line(lines.replace("\\\n", "\n"))),
        Err(ReadlineError::Interrupted) => Ok(Read::Interrupted),
        Err(ReadlineError::Eof) => Ok(Read::End),
        Err(e) => Err(e.into()),
    }
}

fn piped(lines: &mut io::Lines<StdinLock<'static>>) -> anyhow::Result<Read> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.context("reading stdin")?);
        if !text.ends_with('\\') {
            return Ok(Read::Line(text));
        }
        text.pop();
        text.push('\n');
    }
    Ok(if text.is_empty() { Read::End } else { Read::Line(text) })
}

/// What Tab completes: commands, the names of settings, files.
pub(super) struct Words {
    files: FilenameCompleter,
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &rustyline::Context) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..at];
        match typed.split_once(' ') {
            None if typed.is_empty() => Ok((0, Vec::new())),
            None => Ok((0, matching(COMMANDS.iter().map(|entry| entry.names[0]), typed))),
            Some(("/set", name)) => Ok((at - name.len(), matching(sampling::names().into_iter(), name))),
            Some(("/save" | "/load" | "/tools", _)) => self.files.complete_path(line, at),
            Some(_) => Ok((at, Vec::new())),
        }
    }
}

/// The `words` that begin with what is typed.
fn matching<'a>(words: impl Iterator<Item = &'a str>, typed: &str) -> Vec<Pair> {
    let pair = |word: &str| Pair { display: word.to_owned(), replacement: format!("{word} ") };
    words.filter(|word| word.starts_with(typed)).map(pair).collect()
}

impl Helper for Words {}
impl Validator for Words {
    /// A line that ends with a backslash goes on in the next one.
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let goes_on = context.input().ends_with('\\');
        Ok(if goes_on { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}
impl Highlighter for Words {}
impl Hinter for Words {
    type Hint = String;
}

/// Where the history is kept: the user's state folder.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(Into::into);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let folder: PathBuf = state.or_else(home)?.join("whinchat");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("chat_history"))
}
