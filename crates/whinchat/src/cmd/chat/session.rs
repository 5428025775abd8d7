//! A chat as it goes: lines in, answers out. Every mistake is a line on stderr, and the chat goes on.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use serde_json::{Map, Value, json};
use text::{Segments, ToolCall};
use tokio::runtime::Runtime;
use whinchat::Model;

use super::answer::{Answer, call_line};
use super::conversation::Conversation;
use super::input::{Input, Read};
use super::{commands, files};
use crate::cmd::sampling::SamplingArgs;
use crate::terminal::{BOLD, DIM, colours, is_broken_pipe, styled, whole_message};

/// Calls of tools in a row without a word of the person.
const CALLS_IN_A_ROW: usize = 16;

/// A conversation and what it runs on.
pub(super) struct Session {
    pub(super) model: Model,
    pub(super) sampling: SamplingArgs,
    /// For the model's template.
    pub(super) variables: Map<String, Value>,
    pub(super) conversation: Conversation,
    pub(super) input: Input,
    /// Waits for the next piece and for Ctrl-C at once.
    pub(super) runtime: Runtime,
    pub(super) timings: bool,
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
        self.sampling = self.sampling.with(name.trim(), value.trim()).map_err(anyhow::Error::msg)?;
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
    fn check(&self, conversation: &Conversation) -> anyhow::Result<()> {
        if conversation.tools.is_some() && !self.model.template_mentions("tools") {
            bail!("the model's chat template has no place for tools; take a model that was made to call them");
        }
        let messages = match conversation.len() {
            0 => conversation.with(json!({ "role": "user", "content": "hello" })),
            _ => conversation.messages(),
        };
        let tools = conversation.tools.as_ref();
        Ok(self.model.render_chat_with(&Value::Array(messages), tools, &self.variables).map(drop)?)
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

    fn save(&self, name: &str) -> anyhow::Result<()> {
        ensure!(!name.is_empty(), "say into which file: /save FILE");
        files::write_conversation(&files::path(name), &self.conversation)?;
        eprintln!("saved {} messages to {name}", self.conversation.messages().len());
        Ok(())
    }

    fn load(&mut self, name: &str) -> anyhow::Result<()> {
        ensure!(!name.is_empty(), "say from which file: /load FILE");
        let loaded = files::read_conversation(&files::path(name))?;
        self.check(&loaded)?;
        self.conversation = loaded;
        eprintln!("loaded {} messages", self.conversation.messages().len());
        Ok(())
    }

    /// Adds a message and the model's answer.
    fn ask(&mut self, message: &str) -> anyhow::Result<()> {
        if message.trim().is_empty() {
            return Ok(());
        }
        let before = self.conversation.clone();
        self.conversation.ask(message.trim());
        self.exchange(before)
    }

    /// Answers, and answers again what tools give, until there is nothing more to do. Without an answer the conversation is
    /// as `before`.
    fn exchange(&mut self, before: Conversation) -> anyhow::Result<()> {
        let mut before = Some(before);
        for _ in 0..CALLS_IN_A_ROW {
            let calls = match self.answer() {
                Ok(Some(calls)) => calls,
                Ok(None) => {
                    before.into_iter().for_each(|before| self.conversation = before);
                    return Ok(());
                }
                Err(e) => {
                    before.into_iter().for_each(|before| self.conversation = before);
                    return Err(e);
                }
            };
            before = None;
            if !self.results(&calls)? {
                return Ok(());
            }
        }
        eprintln!("the model called {CALLS_IN_A_ROW} times in a row; what next?");
        Ok(())
    }

    /// Lets the model answer and gives its calls; none if it was stopped before it said anything.
    fn answer(&mut self) -> anyhow::Result<Option<Vec<ToolCall>>> {
        let options = self.sampling.chat_options(&self.model);
        let rendered = self.conversation.render(&self.model, options.max_tokens, &self.variables)?;
        if rendered.left_out > 0 {
            let exchanges = if rendered.left_out == 1 { "exchange is" } else { "exchanges are" };
            self.note(&format!("the context is full: the first {} {exchanges} left out", rendered.left_out));
        }
        let segments = Segments::after(&rendered.prompt);
        let stream = self.model.stream(&rendered.prompt, &options)?;
        let answer = Answer::receive(stream, segments, &self.runtime, self.input.is_person())?;
        self.close(&answer);
        if answer.ended.is_none() && answer.is_empty() {
            return Ok(None);
        }
        let calls: Vec<ToolCall> = answer.calls.iter().map_while(|call| ToolCall::parse(call).ok()).collect();
        let whole = calls.len() == answer.calls.len();
        let structured = whole && self.model.template_mentions("tool_calls");
        self.conversation.answered(&answer, &calls, structured);
        Ok(Some(if whole { calls } else { Vec::new() }))
    }

    /// What is said after an answer, to a person.
    fn close(&self, answer: &Answer) {
        let context = self.model.context();
        if self.timings {
            self.note(&answer.timings(context));
        }
        if self.input.is_person() {
            answer.cut(context).iter().for_each(|why| self.note(why));
            let bad = answer.calls.iter().find_map(|call| ToolCall::parse(call).err());
            bad.iter().for_each(|why| self.note(&format!("a call that cannot be read: {why}")));
        }
    }

    fn note(&self, text: &str) {
        eprintln!("{}", styled(&format!("({text})"), DIM, colours(&io::stderr())));
    }

    /// Asks for what the called tools give; false if nothing was given. In a pipe the next lines are the results, if there
    /// are tools.
    fn results(&mut self, calls: &[ToolCall]) -> anyhow::Result<bool> {
        if !self.input.is_person() && self.conversation.tools.is_none() {
            return Ok(false);
        }
        let mut given = false;
        for (i, call) in calls.iter().enumerate() {
            if self.input.is_person() {
                let of = if calls.len() > 1 { call_line(call) } else { call.name.clone() };
                eprintln!(
                    "{}",
                    styled(&format!("what does {of} give? (an empty line skips)"), DIM, colours(&io::stderr()))
                );
            }
            match self.input.line("= ", "")? {
                Read::Line(line) if !line.trim().is_empty() => {
                    self.conversation.result(i, call, line.trim());
                    given = true;
                }
                Read::Line(_) => {}
                Read::Interrupted | Read::End => return Ok(false),
            }
        }
        Ok(given)
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
