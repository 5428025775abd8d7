//! Mistral's calls: an array of JSON, or a name and arguments with `[ARGS]` between.

use super::frame::{Body, Progress};
use super::headed::{HeadedCalls, Heading};
use super::json_calls::JsonCalls;
use super::output::Output;

const HEADING: Heading = Heading {
    open: "",
    // `name[ARGS]`, `name[CALL_ID]id[ARGS]`, or the name alone.
    name: |header| header.split('[').next().map(str::trim),
    end: "",
    close: "",
};

/// Reads what follows `[TOOL_CALLS]`.
#[derive(Debug)]
pub(super) enum MistralCalls {
    Begin,
    Json(JsonCalls),
    Headed(HeadedCalls),
}

impl Body for MistralCalls {
    fn read(&mut self, text: &str, output: &mut Output) -> Progress {
        match self {
            MistralCalls::Begin => {
                let space = text.len() - text.trim_start().len();
                match text[space..].chars().next() {
                    None => return Progress::On(space),
                    Some('[' | '{') => *self = MistralCalls::Json(JsonCalls::new("")),
                    Some(_) => *self = MistralCalls::Headed(HeadedCalls::new(&HEADING)),
                }
                self.read(&text[space..], output).after(space)
            }
            MistralCalls::Json(calls) => calls.read(text, output),
            MistralCalls::Headed(calls) => calls.read(text, output),
        }
    }

    fn finish(&mut self, output: &mut Output) -> bool {
        match self {
            MistralCalls::Begin => false,
            MistralCalls::Json(calls) => calls.finish(output),
            MistralCalls::Headed(calls) => calls.finish(output),
        }
    }
}
