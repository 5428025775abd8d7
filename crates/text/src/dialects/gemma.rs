//! Gemma 4's calls: `call:name{key:<|"|>text<|"|>,other:[1,true]}`.
//!
//! Source: the prompt format that Google publishes for Gemma 4.

use serde_json::{Map, Value};

use super::frame::{Body, Progress, unfinished};
use super::headed::is_name;
use super::output::Output;

/// After a call.
const CLOSE: &str = "<tool_call|>";
/// Around a text, which has nothing escaped in it.
const QUOTE: &str = "<|\"|>";
/// How deep values may be nested.
const DEEPEST: usize = 100;

/// Reads one call, given when it is whole.
#[derive(Debug, Default)]
pub(super) struct GemmaCall {
    text: String,
}

impl Body for GemmaCall {
    fn read(&mut self, text: &str, output: &mut Output) -> Progress {
        let found = text.find(CLOSE);
        let certain = found.unwrap_or_else(|| unfinished(text, std::iter::once(CLOSE)));
        self.text.push_str(&text[..certain]);
        match found {
            None => Progress::On(certain),
            Some(at) if self.finish(output) => Progress::End(at + CLOSE.len()),
            Some(at) => Progress::Wrong(at + CLOSE.len()),
        }
    }

    fn finish(&mut self, output: &mut Output) -> bool {
        let Some((name, arguments)) = call(&self.text) else { return false };
        output.begin(name);
        output.arguments(&Value::Object(arguments).to_string());
        output.end();
        true
    }
}

fn call(text: &str) -> Option<(&str, Map<String, Value>)> {
    let text = text.trim().strip_prefix("call:")?;
    let (name, _) = text.split_once('{')?;
    let mut reader = Reader { rest: &text[name.len()..], depth: 0 };
    let Value::Object(arguments) = reader.value()? else { return None };
    let name = name.trim();
    (reader.rest.trim().is_empty() && is_name(name)).then_some((name, arguments))
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, tag: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(tag)?;
        Some(())
    }

    fn items<T>(&mut self, end: &str, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut items = Vec::new();
        while self.take(end).is_none() {
            if !items.is_empty() {
                self.take(",")?;
            }
            items.push(item(self)?);
        }
        self.depth -= 1;
        Some(items)
    }

    fn value(&mut self) -> Option<Value> {
        if self.take("{").is_some() {
            let entry = |reader: &mut Self| {
                let key = reader.key()?;
                Some((key, reader.value()?))
            };
            return Some(Value::Object(self.items("}", entry)?.into_iter().collect()));
        }
        if self.take("[").is_some() {
            return Some(Value::Array(self.items("]", Reader::value)?));
        }
        match self.text() {
            Some(text) => Some(text.into()),
            None => {
                let word = self.until(&[',', '}', ']'])?.trim();
                Some(serde_json::from_str(word).unwrap_or_else(|_| word.into()))
            }
        }
    }

    fn key(&mut self) -> Option<String> {
        let key = match self.text() {
            Some(key) => key.to_owned(),
            None => self.until(&[':'])?.trim().trim_matches('"').to_owned(),
        };
        self.take(":")?;
        Some(key)
    }

    /// A text in its quotes.
    fn text(&mut self) -> Option<&'a str> {
        let (text, rest) = self.rest.trim_start().strip_prefix(QUOTE)?.split_once(QUOTE)?;
        self.rest = rest;
        Some(text)
    }

    /// What stands before one of `ends`; something must.
    fn until(&mut self, ends: &[char]) -> Option<&'a str> {
        let (word, rest) = self.rest.split_at(self.rest.find(ends)?);
        self.rest = rest;
        (!word.trim().is_empty()).then_some(word)
    }
}
