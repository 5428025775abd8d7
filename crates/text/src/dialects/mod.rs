//! Dialects: how each model family writes reasoning and tool calls, and the parsers that separate them from the answer.
//!
//! ```
//! use text::{CallOptions, Dialect, Part};
//!
//! let dialect = Dialect::named("hermes").unwrap();
//! let mut parser = dialect.parser("<|im_start|>assistant\n", &CallOptions::default());
//! let mut parts = parser.push("<think>\n2 + 2</think>4 <tool_c");
//! parts.extend(parser.finish());
//! assert_eq!(parts[0], Part::Reasoning("2 + 2".into()));
//! assert_eq!(parts[1], Part::Text("4".into()));
//! assert_eq!(parts[2], Part::Text(" <tool_c".into()));
//! ```

mod arguments;
mod code;
mod either;
mod forms;
mod frame;
mod functionary;
mod gemma;
mod harmony;
mod headed;
mod json;
mod json_calls;
mod llama;
mod object;
mod output;
mod parameters;
mod parser;
mod python;
mod python_values;
mod table;
mod tools;
mod xml;

use std::fmt;
use std::sync::Arc;

use crate::{Calls, ConstraintError, Tokenizer};
pub use parser::{CallOptions, Parser, Part, ToolDelta};
use table::{FAMILIES, Family};
use tools::Tools;

/// How a model family writes reasoning and tool calls.
#[derive(Clone, Copy)]
pub struct Dialect(&'static Family);

impl Dialect {
    /// The dialect of this name, in any case; `None` if there is none.
    pub fn named(name: &str) -> Option<Dialect> {
        let has = |family: &&Family| family.names.iter().any(|own| own.eq_ignore_ascii_case(name));
        FAMILIES.iter().find(has).map(Dialect)
    }

    /// The dialect that the source of a chat template is written for; `plain` if it is of no family that is known.
    pub fn of_template(source: &str) -> Dialect {
        let plain = FAMILIES.last().unwrap_or(&FAMILIES[0]);
        Dialect(FAMILIES.iter().find(|family| (family.recognise)(source)).unwrap_or(plain))
    }

    /// All names, one for each dialect.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FAMILIES.iter().map(|family| family.names[0])
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.names[0]
    }

    /// Special tokens that mean something to the parser: an answer is decoded with these as text.
    pub fn markers(self) -> &'static [&'static str] {
        self.0.markers
    }

    /// A constraint under which an answer is calls of `tools` (OpenAI's array; only `tool`, if it is given), and one call
    /// unless `parallel`, after `prompt` (its end, or all of it). The tokenizer tells which of the dialect's markers are
    /// control tokens. `None` if the dialect has no form of calls that a grammar can say.
    ///
    /// # Errors
    /// If a tool has no name or no schema that could be used; paths are relative to the tools.
    pub fn calls(
        self,
        tools: &serde_json::Value,
        (tool, parallel): (Option<&str>, bool),
        prompt: &str,
        tokenizer: &Tokenizer,
    ) -> Result<Option<Calls>, ConstraintError> {
        let form = forms::of(self, tokenizer);
        form.map(|form| form.calls(tools, (tool, parallel), prompt, (self.markers(), tokenizer))).transpose()
    }

    /// A parser of one answer. The end of its prompt (`prompt_tail`, or all of it) tells whether the answer begins within
    /// reasoning.
    pub fn parser(self, prompt_tail: &str, options: &CallOptions<'_>) -> Parser {
        let tools = Arc::new(Tools::new(options.tools));
        Parser::new((self.0.machine)(prompt_tail, tools), options)
    }
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dialect").field(&self.name()).finish()
    }
}

impl PartialEq for Dialect {
    fn eq(&self, other: &Dialect) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Dialect {}
