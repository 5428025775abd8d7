//! `whinchat chat`: a conversation in the terminal.

use std::io::{IsTerminal, Write};

use anyhow::Context as _;
use clap::Args;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use whinchat::{GenerateOptions, Model, Piece, TextStream};

use super::LoadArgs;
use super::sampling::SamplingArgs;

const HELP: &str = "\
/clear   forget the conversation        /undo   forget the last exchange
/retry   answer the last message again  /quit   leave (or Ctrl-D)
Ctrl-C stops an answer. A line that ends with \\ goes on in the next one.";

/// Chat in the terminal: line editing, history, Ctrl-C stops the answer and not the program.
#[derive(Args)]
pub(crate) struct Chat {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// What the model is told before the conversation.
    #[arg(long, short, value_name = "TEXT")]
    system: Option<String>,
}

/// A conversation and what it runs on.
struct Conversation {
    model: Model,
    options: GenerateOptions,
    system: Option<String>,
    messages: Vec<Value>,
    /// Waits for the next piece and for Ctrl-C at once.
    runtime: Runtime,
}

impl Chat {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let model = self.load.load(1)?;
        let options = GenerateOptions { templated: true, ..self.sampling.options(&model) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut chat = Conversation { model, options, system: self.system, messages: Vec::new(), runtime };
        chat.clear();
        chat.model.render_chat(&json!([{ "role": "user", "content": "hello" }]))?;
        if !std::io::stdin().is_terminal() {
            return chat.answer_lines();
        }
        chat.converse()
    }
}

impl Conversation {
    /// Reads messages with an editor until the end of input.
    fn converse(&mut self) -> anyhow::Result<()> {
        eprintln!("{}: /help says what can be done", self.model.name());
        let mut editor = DefaultEditor::new()?;
        let history = history_file();
        if let Some(file) = &history {
            let _ = editor.load_history(file);
        }
        loop {
            match read_message(&mut editor) {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => {
                    editor.add_history_entry(&line)?;
                    if !self.take(line.trim())? {
                        break;
                    }
                }
                Err(ReadlineError::Interrupted) => eprintln!("(Ctrl-D or /quit leaves)"),
                Err(ReadlineError::Eof) => break,
                Err(e) => return Err(e.into()),
            }
        }
        if let Some(file) = &history {
            editor.save_history(file).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }

    /// Without a terminal: each line of stdin is a message.
    fn answer_lines(&mut self) -> anyhow::Result<()> {
        for line in std::io::stdin().lines() {
            self.take(line?.trim())?;
        }
        Ok(())
    }

    /// Takes a message or a command; false ends the conversation.
    fn take(&mut self, line: &str) -> anyhow::Result<bool> {
        match line {
            "" => {}
            "/quit" | "/exit" => return Ok(false),
            "/help" => eprintln!("{HELP}"),
            "/clear" => self.clear(),
            "/undo" => drop(self.take_back()),
            "/retry" => match self.take_back() {
                Some(message) => self.exchange(&message)?,
                None => eprintln!("there is nothing to answer again"),
            },
            command if command.starts_with('/') => eprintln!("{command}? /help says what can be done"),
            message => self.exchange(message)?,
        }
        Ok(true)
    }

    fn clear(&mut self) {
        self.messages.clear();
        self.messages.extend(self.system.iter().map(|text| json!({ "role": "system", "content": text })));
    }

    /// Removes the last exchange and returns what was asked.
    fn take_back(&mut self) -> Option<String> {
        let at = self.messages.iter().rposition(|m| m["role"] == "user")?;
        let asked = self.messages[at]["content"].as_str().map(str::to_owned);
        self.messages.truncate(at);
        asked
    }

    /// Adds a message and the model's answer; takes the message back if there is none.
    fn exchange(&mut self, message: &str) -> anyhow::Result<()> {
        self.messages.push(json!({ "role": "user", "content": message }));
        match self.answer() {
            Ok(answer) => self.messages.push(json!({ "role": "assistant", "content": answer })),
            Err(e) => {
                self.messages.pop();
                match e.downcast_ref::<whinchat::Error>() {
                    Some(_) if std::io::stdin().is_terminal() => eprintln!("error: {e:#}"),
                    _ => return Err(e),
                }
            }
        }
        Ok(())
    }

    /// Prints the answer as it comes; Ctrl-C ends it and what there is of it counts.
    fn answer(&self) -> anyhow::Result<String> {
        let prompt = self.model.render_chat(&Value::Array(self.messages.clone()))?;
        let mut pieces = self.model.stream(&prompt, &self.options)?;
        let mut out = std::io::stdout().lock();
        let mut answer = String::new();
        while let Some(piece) = self.runtime.block_on(next_or_ctrl_c(&mut pieces)) {
            if let Piece::Text(text) = piece? {
                out.write_all(text.as_bytes())?;
                out.flush()?;
                answer.push_str(&text);
            }
        }
        writeln!(out)?;
        Ok(answer)
    }
}

/// The next piece; none at the end of the answer and at Ctrl-C. Without a terminal Ctrl-C ends the program as ever.
async fn next_or_ctrl_c(pieces: &mut TextStream) -> Option<Result<Piece, whinchat::Error>> {
    if !std::io::stdin().is_terminal() {
        return pieces.next().await;
    }
    tokio::select! {
        piece = pieces.next() => piece,
        _ = tokio::signal::ctrl_c() => None,
    }
}

/// A message: a line, and the next one as long as lines end with a backslash.
fn read_message(editor: &mut DefaultEditor) -> Result<String, ReadlineError> {
    let mut message = editor.readline("> ")?;
    while message.ends_with('\\') {
        message.pop();
        message.push('\n');
        message.push_str(&editor.readline("… ")?);
    }
    Ok(message)
}

/// Where the history is kept: the user's state folder.
fn history_file() -> Option<std::path::PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(Into::into);
    let home = || std::env::var_os("HOME").map(|home| std::path::PathBuf::from(home).join(".local/state"));
    let folder = state.or_else(home)?.join("whinchat");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("chat_history"))
}
