//! Functionary's messages: `>>>all` and text, or `>>>name` and arguments.

use serde_json::json;

use super::frame::{Body, Progress};
use super::headed::is_name;
use super::json::JsonValue;
use super::output::Output;

/// Longest name.
const LONGEST: usize = 128;

/// Reads what follows `>>>`.
#[derive(Debug)]
pub(super) enum FunctionaryCall {
    Name,
    /// Before the arguments of a tool.
    Named(String),
    Arguments(JsonValue),
    /// Python is called with code as it is.
    Code(String),
    Whole,
}

impl FunctionaryCall {
    fn name(&mut self, text: &str) -> Progress {
        let end = text.find('\n').unwrap_or(text.len());
        let name = &text[..end];
        if end > LONGEST || !name.is_empty() && !is_name(name) || end < text.len() && name.is_empty() {
            return Progress::Wrong(0);
        }
        if end == text.len() {
            return Progress::On(0);
        }
        if name == "all" {
            return Progress::End(end + 1);
        }
        *self = FunctionaryCall::Named(name.to_owned());
        Progress::On(end + 1)
    }
}

impl Body for FunctionaryCall {
    fn read(&mut self, text: &str, output: &mut Output) -> Progress {
        match self {
            FunctionaryCall::Name => self.name(text),
            FunctionaryCall::Named(name) => match text.trim_start().chars().next() {
                None => Progress::On(0),
                Some('{') => {
                    output.begin(name);
                    *self = FunctionaryCall::Arguments(JsonValue::default());
                    let space = text.len() - text.trim_start().len();
                    self.read(&text[space..], output).after(space)
                }
                Some(_) if name == "python" => {
                    *self = FunctionaryCall::Code(String::new());
                    self.read(text, output)
                }
                Some(_) => Progress::Wrong(0),
            },
            FunctionaryCall::Arguments(value) => {
                let mut arguments = String::new();
                let progress = value.read(text, &mut arguments);
                output.arguments(&arguments);
                if matches!(progress, Progress::End(_)) {
                    output.end();
                    *self = FunctionaryCall::Whole;
                }
                progress
            }
            FunctionaryCall::Code(code) => {
                code.push_str(text);
                Progress::On(text.len())
            }
            FunctionaryCall::Whole => Progress::End(0),
        }
    }

    fn finish(&mut self, output: &mut Output) -> bool {
        let (name, arguments) = match self {
            FunctionaryCall::Whole => return true,
            FunctionaryCall::Named(name) => (name.as_str(), json!({})),
            FunctionaryCall::Code(code) => ("python", json!({ "code": code })),
            FunctionaryCall::Name | FunctionaryCall::Arguments(_) => return false,
        };
        output.begin(name);
        output.arguments(&arguments.to_string());
        output.end();
        true
    }
}
