//! What Llama writes after `<|python_tag|>`: JSON, a call of a tool it was trained with, or Python to be run.

use serde_json::json;

use super::frame::{Body, Progress};
use super::json_calls::JsonCalls;
use super::output::Output;
use super::python_values::call;

#[derive(Debug)]
pub(super) enum LlamaCalls {
    Begin,
    Json(JsonCalls),
    Code(String),
}

impl Body for LlamaCalls {
    fn read(&mut self, text: &str, output: &mut Output) -> Progress {
        match self {
            LlamaCalls::Begin => {
                match text.trim_start().chars().next() {
                    None => return Progress::On(0),
                    Some('{' | '[') => *self = LlamaCalls::Json(JsonCalls::new("")),
                    Some(_) => *self = LlamaCalls::Code(String::new()),
                }
                self.read(text, output)
            }
            LlamaCalls::Json(calls) => calls.read(text, output),
            LlamaCalls::Code(code) => {
                code.push_str(text);
                Progress::On(text.len())
            }
        }
    }

    /// `name.call(query="…")` is a call of that tool; all else is code for Python.
    fn finish(&mut self, output: &mut Output) -> bool {
        match self {
            LlamaCalls::Begin => false,
            LlamaCalls::Json(calls) => calls.finish(output),
            LlamaCalls::Code(code) => {
                let called = call(code).filter(|(_, rest)| rest.trim().is_empty()).map(|(call, _)| call);
                let called = called.and_then(|(name, map)| Some((name.strip_suffix(".call")?.to_owned(), map)));
                let (name, arguments) = match called {
                    Some((name, map)) => (name, serde_json::Value::Object(map)),
                    None => ("python".to_owned(), json!({ "code": code.trim() })),
                };
                output.begin(&name);
                output.arguments(&arguments.to_string());
                output.end();
                true
            }
        }
    }
}
