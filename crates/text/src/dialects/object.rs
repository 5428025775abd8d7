//! A call written as a JSON object: `{"name": …, "arguments": {…}}` in its variants, read as its text comes.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::frame::Progress;
use super::json::JsonValue;
use super::output::Output;
use super::tools::Tools;

/// Names that a call's name goes by.
const NAMES: [&str; 3] = ["name", "tool_name", "function"];
/// Names that a call's arguments go by.
const ARGUMENTS: [&str; 3] = ["arguments", "parameters", "args"];
/// What else may stand in a call.
const OTHERS: [&str; 3] = ["id", "type", "tool_call_id"];

/// Reads one call. Fields may come in any order and be unknown; `{"function": {…}}` may be around them. Arguments may be
/// an object, an object as JSON in a string, null or absent.
#[derive(Debug)]
pub(super) struct CallObject {
    at: At,
    /// Objects that are open.
    open: usize,
    name: Option<String>,
    /// Arguments that came before the name, or not as an object.
    arguments: Option<String>,
    /// The arguments were given as they came.
    streamed: bool,
    /// The key or value that is read, and its text.
    value: JsonValue,
    text: String,
    /// Only calls of these tools, and no field that is unknown: what has no marker must look like a call.
    only: Option<Arc<Tools>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Object,
    FirstKey,
    Key,
    InKey,
    Colon,
    Value(Field),
    InValue(Field),
    Comma,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Arguments,
    /// Arguments that are given as they come.
    Streamed,
    Other,
}

impl CallObject {
    pub(super) fn new(only: Option<Arc<Tools>>) -> CallObject {
        let (value, text) = (JsonValue::default(), String::new());
        CallObject { at: At::Object, open: 0, name: None, arguments: None, streamed: false, value, text, only }
    }

    /// Reads on; reads all of `text` unless the call ends or is wrong.
    pub(super) fn read(&mut self, text: &str, output: &mut Output) -> Progress {
        let mut at = 0;
        while let Some(byte) = text.as_bytes().get(at) {
            let progress = match self.at {
                At::InKey | At::InValue(_) => self.inside(&text[at..], output),
                _ => self.between(*byte, output),
            };
            match progress {
                Progress::On(read) => at += read,
                Progress::End(read) => return Progress::End(at + read),
                Progress::Wrong(read) => return Progress::Wrong(at + read),
            }
        }
        Progress::On(at)
    }

    /// Reads a byte between keys and values.
    fn between(&mut self, byte: u8, output: &mut Output) -> Progress {
        let (next, read) = match (self.at, byte) {
            (at, b' ' | b'\t' | b'\n' | b'\r') => (at, 1),
            (At::Object | At::Value(Field::Name), b'{') => {
                self.open += 1;
                (At::FirstKey, 1)
            }
            (At::FirstKey | At::Key, b'"') => (At::InKey, 0),
            (At::Colon, b':') => (At::Value(self.field()), 1),
            (At::Value(Field::Arguments), b'{') if self.name.is_some() => {
                self.begin(output);
                (At::InValue(Field::Streamed), 0)
            }
            (At::Value(field), _) => (At::InValue(field), 0),
            (At::Comma, b',') => (At::Key, 1),
            (At::FirstKey | At::Comma, b'}') if self.open > 1 => {
                self.open -= 1;
                (At::Comma, 1)
            }
            (At::FirstKey | At::Comma, b'}') if self.end(output) => return Progress::End(1),
            _ => return Progress::Wrong(0),
        };
        self.at = next;
        Progress::On(read)
    }

    /// What the key that was read stands for. Of two fields of a kind the first counts.
    fn field(&mut self) -> Field {
        let key = unquoted(&std::mem::take(&mut self.text)).unwrap_or_default();
        let key = key.as_str();
        match () {
            () if NAMES.contains(&key) && self.name.is_none() => Field::Name,
            () if ARGUMENTS.contains(&key) && self.arguments.is_none() && !self.streamed => Field::Arguments,
            () => Field::Other,
        }
    }

    fn inside(&mut self, text: &str, output: &mut Output) -> Progress {
        let progress = self.value.read(text, &mut self.text);
        if self.at == At::InValue(Field::Streamed) {
            output.arguments(&std::mem::take(&mut self.text));
        }
        let Progress::End(read) = progress else { return progress };
        self.value = JsonValue::default();
        if self.ended() { Progress::On(read) } else { Progress::Wrong(read) }
    }

    /// Takes the key or value that was read; whether it can be.
    fn ended(&mut self) -> bool {
        match std::mem::replace(&mut self.at, At::Comma) {
            At::InKey => {
                self.at = At::Colon;
                self.knows(&self.text)
            }
            At::InValue(Field::Name) => {
                let only = &self.only;
                let fits = |name: &String| !name.is_empty() && only.as_ref().is_none_or(|tools| tools.has(name));
                self.name = unquoted(&std::mem::take(&mut self.text)).filter(fits);
                self.name.is_some()
            }
            At::InValue(Field::Arguments) => {
                self.arguments = object(&std::mem::take(&mut self.text));
                self.arguments.is_some()
            }
            _ => {
                self.text.clear();
                true
            }
        }
    }

    fn knows(&self, key: &str) -> bool {
        let key = unquoted(key).unwrap_or_default();
        let known = [NAMES, ARGUMENTS, OTHERS].concat().contains(&key.as_str());
        self.only.is_none() || known
    }

    fn begin(&mut self, output: &mut Output) {
        self.streamed = true;
        output.begin(self.name.as_deref().unwrap_or_default());
    }

    /// The object ends; whether it is a call.
    fn end(&mut self, output: &mut Output) -> bool {
        let Some(name) = &self.name else { return false };
        if !self.streamed {
            output.begin(name);
            output.arguments(self.arguments.as_deref().unwrap_or("{}"));
        }
        output.end();
        true
    }
}

fn unquoted(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// Arguments as an object: an object, one in a string, or nothing.
fn object(json: &str) -> Option<String> {
    let text = match serde_json::from_str(json).ok()? {
        Value::Object(_) => json.to_owned(),
        Value::Null => "{}".to_owned(),
        Value::String(text) if text.trim().is_empty() => "{}".to_owned(),
        Value::String(text) => text,
        _ => return None,
    };
    serde_json::from_str::<Map<String, Value>>(&text).ok()?;
    Some(text)
}
