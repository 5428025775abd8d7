//! What is asked and what is answered, tools called in between.

use std::io;

use whinchat::{Ask, Input, ToolCall};

use super::answer::Said;
use super::conversation::Conversation;
use super::input::Read;
use super::session::Session;
use crate::terminal::{DIM, call_line, colours, styled};

/// Calls of tools in a row without a word of the person.
const CALLS_IN_A_ROW: usize = 16;

impl Session {
    /// Adds a message and the model's answer.
    pub(super) fn ask(&mut self, message: &str) -> anyhow::Result<()> {
        if message.trim().is_empty() {
            return Ok(());
        }
        let before = self.conversation.clone();
        self.conversation.ask(message.trim());
        self.exchange(before)
    }

    /// Answers, and answers again what tools give, until there is nothing more to do. Without an answer the conversation is
    /// as `before`.
    pub(super) fn exchange(&mut self, before: Conversation) -> anyhow::Result<()> {
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
    pub(super) fn answer(&mut self) -> anyhow::Result<Option<Vec<ToolCall>>> {
        let options = self.sampling.chat_options();
        let fitted = self.conversation.fit(&self.model, options.ending.max_tokens, &self.variables)?;
        if fitted.left_out > 0 {
            let exchanges = if fitted.left_out == 1 { "exchange is" } else { "exchanges are" };
            self.note(&format!("the context is full: the first {} {exchanges} left out", fitted.left_out));
        }
        let ask = Ask { adapter: self.adapter.clone(), ..options.ask(Input::Chat(fitted.chat)) };
        let generation = self.model.begin(&ask)?;
        let said = Said::receive(generation, &self.runtime, self.input.is_person())?;
        self.close(&said);
        if said.is_nothing() {
            return Ok(None);
        }
        let structured = self.model.template_mentions("tool_calls");
        self.conversation.answered(&said.answer, structured);
        Ok(Some(said.answer.calls))
    }

    /// What is said after an answer, to a person.
    fn close(&self, said: &Said) {
        let context = self.model.context();
        if self.timings {
            self.note(&said.timings(context));
        }
        if self.input.is_person() {
            said.cut(context).iter().for_each(|why| self.note(why));
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
