//! A chat as it goes: lines in, answers out. Every mistake is a line on stderr, and the chat goes on.

use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use whinchat::{Adapter, Model};

use super::conversation::Conversation;
use super::input::{Input, Read};
use super::{commands, files};
use crate::cmd::sampling::SamplingArgs;
use crate::terminal::{BOLD, DIM, colours, is_broken_pipe, styled, whole_message};

/// A conversation and what it runs on.
pub(super) struct Session {
    pub(super) model: Model,
    pub(super) adapter: Option<Arc<Adapter>>,
    pub(super) sampling: SamplingArgs,
    /// For the model's template.
    pub(super) variables: Map<String, Value>,
    pub(super) conversation: Conversation,
    pub(super) input: Input,
    /// Waits for the next piece and for Ctrl-C at once.
    pub(super) runtime: Runtime,
    pub(super) timings: bool,
    /// Files that the conversation was saved to or loaded from.
    pub(super) files: HashSet<PathBuf>,
}

/// Whether the chat goes on.
#[derive(PartialEq)]
enum Go {
    On,
    Quit,
}

impl Session {
    /// With a person at a terminal, until they leave.
    pub(super) fn converse(&mut self) -> anyhow::Result<()> {
        eprintln!("{}: /help says what can be done", self.model.name());
        loop {
            match self.input.message("")? {
                Read::Line(line) => match self.take(&line) {
                    Ok(Go::On) => {}
                    Ok(Go::Quit) => return Ok(()),
                    Err(e) => complain(e)?,
                },
                Read::Interrupted => eprintln!("(Ctrl-D or /quit leaves)"),
                Read::End => return Ok(()),
            }
        }
    }

    /// Without a terminal: each line of stdin is a message or a command.
    pub(super) fn answer_lines(&mut self) -> anyhow::Result<()> {
        let mut failed = 0;
        while let Read::Line(line) = self.input.message("")? {
            match self.take(&line) {
                Ok(Go::On) => {}
                Ok(Go::Quit) => break,
                Err(e) => {
                    complain(e)?;
                    failed += 1;
                }
            }
        }
        ensure!(failed == 0, "{failed} of the lines could not be done");
        Ok(())
    }

    /// Prints the answer to a message, and nothing else.
    pub(super) fn answer_once(&mut self, message: &str) -> anyhow::Result<()> {
        ensure!(!message.trim().is_empty(), "the message is empty");
        self.conversation.ask(message);
        self.answer().map(drop)
    }

    fn take(&mut self, line: &str) -> anyhow::Result<Go> {
        if line.starts_with('/') {
            let (command, argument) = commands::parse(line).map_err(anyhow::Error::msg)?;
            return self.obey(command, argument);
        }
        self.ask(line)?;
        Ok(Go::On)
    }

    fn obey(&mut self, command: &str, argument: &str) -> anyhow::Result<Go> {
        match command {
            "/quit" => return Ok(Go::Quit),
            "/help" => eprintln!("{}", commands::help()),
            "/clear" => self.conversation.clear(),
            "/undo" => drop(self.conversation.undo().context("there is nothing to undo")?),
            "/regenerate" => self.regenerate()?,
            "/edit" => self.edit(argument)?,
            "/multi" => {
                if let Read::Line(message) = self.input.lines()? {
                    self.ask(&message)?;
                }
            }
            "/system" => self.system(argument)?,
            "/set" => self.set(argument)?,
            "/tools" => self.tools(argument)?,
            "/timings" => {
                self.timings = !self.timings;
                eprintln!("timings are {}", if self.timings { "shown" } else { "hidden" });
            }
            "/copy" => self.copy()?,
            "/save" => self.save(argument)?,
            _ => self.load(argument)?,
        }
        Ok(Go::On)
    }

    fn regenerate(&mut self) -> anyhow::Result<()> {
        let before = self.conversation.clone();
        ensure!(self.conversation.reopen(), "there is nothing to answer again");
        self.exchange(before)
    }

    /// Changes the last message, in the editor if `text` does not say to what.
    fn edit(&mut self, text: &str) -> anyhow::Result<()> {
        let before = self.conversation.clone();
        let asked = self.conversation.undo().context("there is no message to edit")?;
        let edited = match text {
            "" if self.input.is_person() => self.input.message(&asked)?,
            "" => Read::Interrupted,
            text => Read::Line(text.to_owned()),
        };
        match edited {
            Read::Line(text) if !text.trim().is_empty() => {
                self.conversation.ask(text.trim());
                self.exchange(before)
            }
            _ => {
                self.conversation = before;
                bail!("nothing was changed; write the message behind /edit, or change the old one and press Enter")
            }
        }
    }

    fn system(&mut self, text: &str) -> anyhow::Result<()> {
        if text.is_empty() {
            eprintln!(
                "{}",
                self.conversation.system.as_deref().unwrap_or("there is no system message; /system TEXT sets one")
            );
            return Ok(());
        }
        let mut with = self.conversation.clone();
        with.system = (text != "off").then(|| text.to_owned());
        self.check(&with)?;
        self.conversation = with;
        Ok(())
    }

    /// Lists the settings, or sets one: `NAME VALUE`, `NAME=VALUE`, `NAME` alone for the model's.
    fn set(&mut self, argument: &str) -> anyhow::Result<()> {
        if argument.is_empty() {
            return self.list_settings();
        }
        let (name, value) = argument.split_once([' ', '=']).unwrap_or((argument, ""));
        let sampling = self.sampling.with(name.trim(), value.trim()).map_err(anyhow::Error::msg)?;
        sampling.check(&self.model)?;
        self.sampling = sampling;
        let name = name.trim().trim_start_matches('-').replace('_', "-");
        for setting in self.sampling.list(&self.model).iter().filter(|setting| setting.name == name) {
            let value = if setting.value.is_empty() { "not set" } else { &setting.value };
            eprintln!("{name}: {value}{}", if setting.given { "" } else { " (not given)" });
        }
        Ok(())
    }

    fn list_settings(&self) -> anyhow::Result<()> {
        let colours = colours(&io::stderr());
        for setting in self.sampling.list(&self.model) {
            let value = if setting.value.is_empty() { "-" } else { &setting.value };
            let value = format!("{value:<10}");
            let value = if setting.given { styled(&value, BOLD, colours) } else { value };
            eprintln!("{:<20}{value} {}", setting.name, styled(&setting.help, DIM, colours));
        }
        Ok(())
    }

    fn tools(&mut self, argument: &str) -> anyhow::Result<()> {
        match argument {
            "" => match &self.conversation.tools {
                None => eprintln!("there are no tools; /tools FILE reads OpenAI's list of them"),
                Some(tools) => eprintln!("{}", files::names(tools).join(", ")),
            },
            "off" => self.conversation.tools = None,
            file => {
                let mut with = self.conversation.clone();
                with.tools = Some(files::read_tools(&files::path(file))?);
                self.check(&with)?;
                self.conversation = with;
            }
        }
        Ok(())
    }

    /// Whether the model's template takes a conversation.
    pub(super) fn check(&self, conversation: &Conversation) -> anyhow::Result<()> {
        if conversation.tools.is_some() && !self.model.template_mentions("tools") {
            bail!("the model's chat template has no place for tools; take a model that was made to call them");
        }
        let messages = match conversation.len() {
            0 => conversation.with(json!({ "role": "user", "content": "hello" })),
            _ => conversation.messages(),
        };
        Ok(self.model.render(&conversation.chat(messages, &self.variables)).map(drop)?)
    }

    /// Asks the terminal to copy the last answer (OSC 52).
    fn copy(&self) -> anyhow::Result<()> {
        let answer = self.conversation.last_answer().context("there is no answer to copy")?;
        ensure!(io::stdout().is_terminal(), "only a terminal can copy");
        let code = base64::engine::general_purpose::STANDARD.encode(answer);
        let mut out = io::stdout().lock();
        write!(out, "\x1b]52;c;{code}\x07")?;
        out.flush()?;
        eprintln!("copied {} characters, if this terminal allows it", answer.chars().count());
        Ok(())
    }

    /// A file that is there already is replaced only if it is this chat's: saved or loaded before.
    fn save(&mut self, name: &str) -> anyhow::Result<()> {
        ensure!(!name.is_empty(), "say into which file: /save FILE");
        let path = files::path(name);
        let own = self.files.contains(&path);
        ensure!(own || !path.exists(), "{name} is there already; take another name, or remove it first");
        files::write_conversation(&path, &self.conversation)?;
        self.files.insert(path);
        eprintln!("saved {} messages to {name}", self.conversation.messages().len());
        Ok(())
    }

    fn load(&mut self, name: &str) -> anyhow::Result<()> {
        ensure!(!name.is_empty(), "say from which file: /load FILE");
        let path = files::path(name);
        let mut loaded = files::read_conversation(&path)?;
        loaded.tools = loaded.tools.or_else(|| self.conversation.tools.clone());
        self.check(&loaded)?;
        self.conversation = loaded;
        self.files.insert(path);
        eprintln!("loaded {} messages", self.conversation.messages().len());
        Ok(())
    }
}

/// Says what went wrong; that nobody reads the answers any more ends the chat.
fn complain(error: anyhow::Error) -> anyhow::Result<()> {
    if is_broken_pipe(&error) {
        return Err(error);
    }
    eprintln!("error: {}", whole_message(&error));
    Ok(())
}
