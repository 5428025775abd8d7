//! Calls written as JSON: an object, several, or an array of them.

use std::sync::Arc;

use super::frame::{Body, Progress, Tag, begins};
use super::object::CallObject;
use super::output::Output;
use super::tools::Tools;

/// Reads calls up to `close`; without one, up to the end of the first object or array. A `close` that is missing is not
/// missed: calls that are whole count.
#[derive(Debug)]
pub(super) struct JsonCalls {
    close: &'static str,
    only: Option<Arc<Tools>>,
    array: bool,
    /// Any call came.
    any: bool,
    at: At,
}

#[derive(Debug)]
enum At {
    /// Before a call.
    Before,
    Call(CallObject),
    /// After a call, in the array if there is one.
    After,
    /// After the array.
    Outside,
}

impl JsonCalls {
    pub(super) fn new(close: &'static str) -> JsonCalls {
        JsonCalls { close, only: None, array: false, any: false, at: At::Before }
    }

    /// Calls that stand without a marker: only of these tools.
    pub(super) fn only(tools: &Arc<Tools>) -> JsonCalls {
        JsonCalls { only: Some(tools.clone()), ..JsonCalls::new("") }
    }

    fn between(&mut self, text: &str) -> Progress {
        let first = text.as_bytes().first().copied().unwrap_or_default();
        self.at = match (&self.at, first) {
            (_, b' ' | b'\t' | b'\n' | b'\r') => return Progress::On(1),
            (At::Before, b'[') if !self.array && !self.any => {
                self.array = true;
                At::Before
            }
            (At::Before, b'{') => {
                self.at = At::Call(CallObject::new(self.only.clone()));
                return Progress::On(0);
            }
            (At::Before, b']') if self.array && !self.any => At::Outside,
            (At::After, b']') if self.array => At::Outside,
            (At::After, b',' | b';') => At::Before,
            (At::Before, _) => return Progress::Wrong(0),
            (At::After, _) if self.array => return Progress::Wrong(0),
            (At::After, b'{') => {
                self.at = At::Before;
                return Progress::On(0);
            }
            _ => return self.closing(text),
        };
        Progress::On(1)
    }

    fn closing(&self, text: &str) -> Progress {
        match begins(text, self.close) {
            Tag::Yes => Progress::End(self.close.len()),
            Tag::Begun => Progress::On(0),
            Tag::No => Progress::End(0),
        }
    }
}

impl Body for JsonCalls {
    fn read(&mut self, text: &str, output: &mut Output) -> Progress {
        let mut at = 0;
        while at < text.len() {
            let was_call = matches!(self.at, At::Call(_));
            let progress = match &mut self.at {
                At::Call(call) => call.read(&text[at..], output),
                _ => self.between(&text[at..]),
            };
            match progress {
                // A call is over: let it be given before anything else is read.
                Progress::End(read) if was_call => {
                    (self.any, self.at) = (true, At::After);
                    return Progress::On(at + read);
                }
                Progress::On(0) if !was_call && !matches!(self.at, At::Call(_) | At::Before) => break,
                Progress::On(read) => at += read,
                Progress::End(read) => return Progress::End(at + read),
                Progress::Wrong(read) => return Progress::Wrong(at + read),
            }
        }
        Progress::On(at)
    }

    fn finish(&mut self, _: &mut Output) -> bool {
        matches!(self.at, At::After | At::Outside)
    }
}
