//! Arguments that a format writes one by one, given as the JSON object they are.

use std::sync::Arc;

use serde_json::Value;

use super::output::Output;
use super::tools::{Tools, Types};

/// Writes the arguments of one call.
#[derive(Debug)]
pub(super) struct Arguments {
    tools: Arc<Tools>,
    tool: String,
    /// Arguments so far.
    count: usize,
    types: Types,
    /// The value of the open argument, unless it is given as it comes.
    value: String,
}

impl Arguments {
    /// Begins a call.
    pub(super) fn begin(tools: &Arc<Tools>, tool: &str, output: &mut Output) -> Arguments {
        output.begin(tool);
        output.arguments("{");
        let (types, value) = (Types::default(), String::new());
        Arguments { tools: tools.clone(), tool: tool.to_owned(), count: 0, types, value }
    }

    /// Begins an argument.
    pub(super) fn key(&mut self, key: &str, output: &mut Output) {
        let before = if self.count > 0 { ", " } else { "" };
        self.count += 1;
        self.types = self.tools.types(&self.tool, key);
        let quote = if self.types.only_text() { "\"" } else { "" };
        output.arguments(&format!("{before}{}: {quote}", Value::from(key)));
    }

    /// More of its value.
    pub(super) fn value(&mut self, text: &str, output: &mut Output) {
        if self.types.only_text() {
            let quoted = Value::from(text).to_string();
            output.arguments(&quoted[1..quoted.len() - 1]);
        } else {
            self.value.push_str(text);
        }
    }

    /// Ends its value: without a schema that says what it is, it is JSON if it reads as JSON.
    pub(super) fn end_value(&mut self, output: &mut Output) {
        let value = std::mem::take(&mut self.value);
        if self.types.only_text() {
            output.arguments("\"");
        } else {
            output.arguments(&self.types.json(&value));
        }
    }

    /// Ends the call.
    pub(super) fn end(self, output: &mut Output) {
        output.arguments("}");
        output.end();
    }
}
