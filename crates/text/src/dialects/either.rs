//! Calls as JSON or in a family's own form, told apart by how they begin.

use std::sync::Arc;

use super::frame::{Body, Progress};
use super::json_calls::JsonCalls;
use super::output::Output;
use super::tools::Tools;

/// Makes a body that reads a family's own form.
type Make = fn(&Arc<Tools>) -> Box<dyn Body>;

/// Reads JSON up to a tag if it begins with a bracket, else the family's own form.
#[derive(Debug)]
pub(super) enum EitherCalls {
    Begin { close: &'static str, other: Make, tools: Arc<Tools> },
    Json(JsonCalls),
    Other(Box<dyn Body>),
}

impl EitherCalls {
    pub(super) fn new(close: &'static str, other: Make, tools: &Arc<Tools>) -> EitherCalls {
        EitherCalls::Begin { close, other, tools: tools.clone() }
    }
}

impl Body for EitherCalls {
    fn read(&mut self, text: &str, output: &mut Output) -> Progress {
        match self {
            EitherCalls::Begin { close, other, tools } => {
                let space = text.len() - text.trim_start().len();
                *self = match text[space..].chars().next() {
                    None => return Progress::On(space),
                    Some('[' | '{') => EitherCalls::Json(JsonCalls::new(close)),
                    Some(_) => EitherCalls::Other(other(tools)),
                };
                self.read(&text[space..], output).after(space)
            }
            EitherCalls::Json(calls) => calls.read(text, output),
            EitherCalls::Other(calls) => calls.read(text, output),
        }
    }

    fn finish(&mut self, output: &mut Output) -> bool {
        match self {
            EitherCalls::Begin { .. } => false,
            EitherCalls::Json(calls) => calls.finish(output),
            EitherCalls::Other(calls) => calls.finish(output),
        }
    }
}
