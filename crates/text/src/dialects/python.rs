//! Calls written as Python: `[f(a="b", c=[1, None]), g()]`.

use std::sync::Arc;

use super::frame::{Body, Progress, Tag, begins};
use super::headed::is_name;
use super::json_calls::JsonCalls;
use super::output::Output;
use super::python_values::calls;
use super::tools::Tools;

/// Reads a list of calls, then `close` if it is there. Some models write an array of JSON instead.
#[derive(Debug)]
pub(super) struct PythonCalls {
    close: &'static str,
    only: Option<Arc<Tools>>,
    /// The list so far.
    text: String,
    depth: usize,
    /// The quote of the string that is open, and whether a backslash was the last that came.
    quote: Option<(u8, bool)>,
    at: At,
}

#[derive(Debug)]
enum At {
    Begin,
    /// After the list's bracket.
    First,
    List,
    /// After the list.
    Close,
    Json(JsonCalls),
}

impl PythonCalls {
    pub(super) fn new(close: &'static str) -> PythonCalls {
        PythonCalls { close, only: None, text: String::new(), depth: 0, quote: None, at: At::Begin }
    }

    /// A list that stands without a marker: only of these tools.
    pub(super) fn only(tools: &Arc<Tools>) -> PythonCalls {
        PythonCalls { only: Some(tools.clone()), ..PythonCalls::new("") }
    }

    fn begin(&mut self, text: &str, output: &mut Output) -> Progress {
        let first = text.trim_start().chars().next();
        match (&self.at, first) {
            (_, None) => Progress::On(0),
            (At::Begin, Some('[')) => {
                self.at = At::First;
                let at = text.len() - text.trim_start().len();
                self.depth = 1;
                self.text.push('[');
                Progress::On(at + 1)
            }
            (At::First, Some('{')) | (At::Begin, Some('{')) => {
                // Of what was read, the array's bracket belongs to the JSON.
                let only = self.only.as_ref();
                let mut json = only.map_or_else(|| JsonCalls::new(self.close), JsonCalls::only);
                json.read(&self.text, output);
                self.at = At::Json(json);
                Progress::On(0)
            }
            (At::First, Some(_)) => self.first_name(text),
            _ => Progress::Wrong(0),
        }
    }

    /// A list without a marker is only held back if it begins with a call.
    fn first_name(&mut self, text: &str) -> Progress {
        let name: String = text.trim_start().chars().take_while(|c| is_name(&c.to_string())).collect();
        let whole = text.trim_start().len() > name.len();
        let fits = match &self.only {
            None => true,
            Some(tools) if whole => tools.has(&name) && text.trim_start()[name.len()..].starts_with('('),
            Some(tools) if tools.begins(&name) => return Progress::On(0),
            Some(_) => false,
        };
        if !fits {
            return Progress::Wrong(0);
        }
        self.at = At::List;
        Progress::On(0)
    }

    fn list(&mut self, text: &str, output: &mut Output) -> Progress {
        for (at, byte) in text.bytes().enumerate() {
            self.byte(byte);
            if self.depth == 0 {
                self.text.push_str(&text[..=at]);
                self.at = At::Close;
                return if self.give(output) { Progress::On(at + 1) } else { Progress::Wrong(at + 1) };
            }
        }
        self.text.push_str(text);
        Progress::On(text.len())
    }

    fn byte(&mut self, byte: u8) {
        self.quote = match (self.quote, byte) {
            (Some((quote, false)), b'\\') => Some((quote, true)),
            (Some((quote, true)), _) => Some((quote, false)),
            (Some((quote, false)), byte) if quote == byte => None,
            (None, b'"' | b'\'') => Some((byte, false)),
            (quote, _) => quote,
        };
        match byte {
            b'(' | b'[' | b'{' if self.quote.is_none() => self.depth += 1,
            b')' | b']' | b'}' if self.quote.is_none() => self.depth -= 1,
            _ => {}
        }
    }

    fn give(&mut self, output: &mut Output) -> bool {
        let Some(calls) = calls(&self.text) else { return false };
        for (name, arguments) in &calls {
            output.begin(name);
            output.arguments(&serde_json::Value::Object(arguments.clone()).to_string());
            output.end();
        }
        true
    }
}

impl Body for PythonCalls {
    fn read(&mut self, text: &str, output: &mut Output) -> Progress {
        match &mut self.at {
            At::Begin | At::First => match self.begin(text, output) {
                Progress::On(0) if matches!(self.at, At::Json(_) | At::List) => self.read(text, output),
                other => other,
            },
            At::List => self.list(text, output),
            At::Json(calls) => calls.read(text, output),
            At::Close => {
                let space = text.len() - text.trim_start().len();
                match begins(&text[space..], self.close) {
                    Tag::Yes => Progress::End(space + self.close.len()),
                    Tag::Begun => Progress::On(space),
                    Tag::No => Progress::End(space),
                }
            }
        }
    }

    fn finish(&mut self, output: &mut Output) -> bool {
        match &mut self.at {
            At::Json(calls) => calls.finish(output),
            at => matches!(at, At::Close),
        }
    }
}
