//! Jinja as chat templates use it: what Python's Jinja2 gives in the sandbox of transformers, with every text knowing who wrote
//! it, and with bounds on time, memory and depth.
//!
//! A library renders text without knowing where its parts are from, and cannot bound the memory that a template takes. Both
//! are needed here: what users write must not become a control token, and templates come with models from anywhere.

mod ast;
mod eval;
mod expressions;
mod filters;
mod functions;
mod given;
mod json;
mod lexer;
mod lists;
mod loops;
mod machine;
mod methods;
mod numbers;
mod parser;
mod printf;
mod repr;
mod slices;
mod tests;
mod text;
mod text_methods;
mod time;
mod value;

use std::sync::Arc;

use ast::Statement;
use machine::Machine;
pub(crate) use text::Origin;
use text::{Budget, Text};
use value::Value;

/// What a rendering may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Steps.
    pub steps: u64,
    /// Bytes to write, in all texts and lists.
    pub bytes: usize,
    /// For each byte of what is rendered, so many more.
    pub times: usize,
}

/// A thousand steps for each of ten thousand messages.
pub(crate) const LIMITS: Limits = Limits { steps: 10_000_000, bytes: 64 << 20, times: 64 };
/// Longest template.
const LONGEST_SOURCE: usize = 1 << 20;

/// What is wrong with a template, or with what it renders.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}{}", line.map_or(String::new(), |line| format!(" (line {line})")))]
pub(crate) struct JinjaError {
    /// What is wrong.
    problem: String,
    /// Where in the template.
    line: Option<usize>,
    /// It took too much time or memory.
    pub exhausted: bool,
}

impl JinjaError {
    fn new(problem: impl Into<String>) -> JinjaError {
        JinjaError { problem: problem.into(), line: None, exhausted: false }
    }

    fn exhausted(problem: &str) -> JinjaError {
        JinjaError { exhausted: true, ..JinjaError::new(problem) }
    }

    /// The innermost place counts.
    fn at(mut self, line: usize) -> JinjaError {
        self.line.get_or_insert(line);
        self
    }
}

/// A template that can be rendered. Shared between threads.
#[derive(Clone, Debug)]
pub(crate) struct Jinja {
    statements: Arc<[Statement]>,
}

/// A variable's value and who wrote it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Variable<'a> {
    /// What others wrote.
    Data(&'a serde_json::Value),
    /// A text that is as good as the template's own.
    Template(&'a str),
}

/// What a template wrote: the text, and the end and origin of each of its parts.
pub(crate) type Written = (String, Vec<(usize, Origin)>);

impl Jinja {
    /// Parses a template.
    ///
    /// # Errors
    /// If it is not valid Jinja, or larger than any template needs to be.
    pub(crate) fn new(source: &str) -> Result<Jinja, JinjaError> {
        if source.len() > LONGEST_SOURCE {
            return Err(JinjaError::new(format!("it is longer than {LONGEST_SOURCE} bytes")));
        }
        Ok(Jinja { statements: parser::parse(source)?.into() })
    }

    /// Renders it. `now` is the time for `strftime_now`, in seconds since 1970.
    ///
    /// # Errors
    /// If the template refuses what it is given, fails, or takes too much time or memory.
    pub(crate) fn render(
        &self,
        variables: &[(&str, Variable<'_>)],
        now: Option<i64>,
        limits: Limits,
    ) -> Result<Written, JinjaError> {
        let data = variables.iter().map(|(_, variable)| match variable {
            Variable::Data(json) => weight(json),
            Variable::Template(text) => text.len(),
        });
        let bytes = limits.bytes.saturating_add(data.sum::<usize>().saturating_mul(limits.times));
        let budget = Budget::new(limits.steps, bytes);
        let value = |(name, variable): &(&str, Variable<'_>)| {
            let value = match variable {
                Variable::Data(json) => Value::of_json(json, &budget)?,
                Variable::Template(text) => Value::Text(Text::new((*text).into(), Origin::Template)),
            };
            Ok((Arc::from(*name), value))
        };
        let names = variables.iter().map(value).collect::<Result<Vec<_>, JinjaError>>()?;
        let mut machine = Machine::new(&budget, names, now);
        machine.run(&self.statements)?;
        machine.finish()
    }
}

/// About how many bytes a value takes.
fn weight(json: &serde_json::Value) -> usize {
    64 + match json {
        serde_json::Value::String(text) => text.len(),
        serde_json::Value::Array(items) => items.iter().map(weight).sum(),
        serde_json::Value::Object(map) => map.iter().map(|(key, value)| 64 + key.len() + weight(value)).sum(),
        _ => 0,
    }
}
