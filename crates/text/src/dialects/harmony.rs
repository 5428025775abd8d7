//! gpt-oss' format, harmony: messages in channels, `<|channel|>analysis<|message|>…<|end|>`.
//!
//! Source: the harmony response format that OpenAI publishes with gpt-oss.

use serde_json::json;

use super::frame::{self, Progress, Tag, unfinished};
use super::json::JsonValue;
use super::output::Output;
use super::parser::Machine;

const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
/// What ends a message.
const ENDS: [&str; 3] = ["<|end|>", "<|call|>", "<|return|>"];
/// All of them.
pub(super) const MARKERS: &[&str] = &[START, CHANNEL, MESSAGE, "<|constrain|>", "<|end|>", "<|call|>", "<|return|>"];
/// Begins the answer proper.
const FINAL: &str = "<|channel|>final<|message|>";
/// Longest header.
const LONGEST: usize = 512;

#[derive(Debug)]
pub(super) struct Harmony {
    place: Place,
    /// The header of the message that is read.
    header: String,
    /// What was read of a call that is not given yet.
    raw: String,
    /// What the last message with text in it was, for the line between two of a kind.
    last: Option<Kind>,
    /// This message has text.
    begun: bool,
}

#[derive(Debug)]
enum Place {
    /// At the beginning of the answer, after the prompt's `<|start|>assistant`.
    First,
    Header,
    Message(Kind),
    /// Before the arguments of a call.
    Call,
    Arguments(JsonValue),
    /// Python is called with code as it is.
    Code(String),
    /// After a message, or after a call's arguments.
    Between,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
}

impl Harmony {
    /// A parser of the answer to a prompt that ends with `tail`: if that ends within a message of the assistant, the
    /// answer goes on there.
    pub(super) fn new(tail: &str) -> Harmony {
        let (header, raw) = (String::new(), String::new());
        let mut harmony = Harmony { place: Place::First, header, raw, last: None, begun: false };
        let mut said = tail.rsplit_once("<|start|>assistant").map_or("", |(_, said)| said);
        let mut output = Output::new(true, true);
        while let Some(read) = harmony.read(said, &mut output) {
            said = &said[read..];
        }
        harmony
    }

    /// The answer begins with a header, unless the model forgot it.
    fn first(&mut self, text: &str) -> Option<usize> {
        let begins = |tag: Tag| [CHANNEL, START, MESSAGE, " to="].iter().any(|begin| frame::begins(text, begin) == tag);
        self.place = match () {
            () if begins(Tag::Yes) => Place::Header,
            () if begins(Tag::Begun) => return None,
            () => Place::Message(Kind::Text),
        };
        Some(0)
    }

    fn header(&mut self, text: &str, output: &mut Output) -> Option<usize> {
        let found = text.find(MESSAGE);
        let certain = found.unwrap_or_else(|| unfinished(text, std::iter::once(MESSAGE)));
        let room = text.floor_char_boundary(LONGEST - self.header.len());
        self.header.push_str(&text[..certain.min(room)]);
        self.begun = false;
        if certain > room {
            self.raw = std::mem::take(&mut self.header);
            return self.abandon(room, output);
        }
        let Some(at) = found else { return (certain > 0).then_some(certain) };
        self.raw = std::mem::take(&mut self.header) + MESSAGE;
        self.place = match (recipient(&self.raw), channel(&self.raw)) {
            (Some(_), _) => Place::Call,
            (None, "analysis") => Place::Message(Kind::Reasoning),
            (None, _) => Place::Message(Kind::Text),
        };
        Some(at + MESSAGE.len())
    }

    /// Prose up to a marker.
    fn prose(&mut self, text: &str, kind: Kind, output: &mut Output) -> Option<usize> {
        let (at, marker) = next(text, MARKERS);
        self.show(&text[..at], kind, output);
        match marker {
            None => return (at > 0).then_some(at),
            Some(marker) => self.leave(marker),
        }
        Some(at + marker.map_or(0, str::len))
    }

    fn show(&mut self, text: &str, kind: Kind, output: &mut Output) {
        if text.is_empty() {
            return;
        }
        let line = if !self.begun && self.last == Some(kind) { "\n\n" } else { "" };
        (self.begun, self.last) = (true, Some(kind));
        match kind {
            Kind::Text => output.text(&format!("{line}{text}")),
            Kind::Reasoning => output.reasoning(&format!("{line}{text}")),
        }
    }

    /// What a marker leads to.
    fn leave(&mut self, marker: &str) {
        match marker {
            START | CHANNEL => {
                self.header = if marker == CHANNEL { CHANNEL.to_owned() } else { String::new() };
                self.place = Place::Header;
            }
            _ if ENDS.contains(&marker) => self.place = Place::Between,
            _ => {}
        }
    }

    fn call(&mut self, text: &str, output: &mut Output) -> Option<usize> {
        let body = text.trim_start();
        let name = recipient(&self.raw).unwrap_or_default().to_owned();
        let (at, marker) = next(body, &ENDS);
        self.place = match body.chars().next() {
            None => return None,
            Some('{') => {
                output.begin(&name);
                Place::Arguments(JsonValue::default())
            }
            Some(_) if at == 0 && marker.is_none() => return None,
            Some(_) if at == 0 => {
                given(output, &name, "{}");
                Place::Between
            }
            Some(_) if name == "python" => Place::Code(String::new()),
            Some(_) => return self.abandon(0, output),
        };
        Some(text.len() - body.len())
    }

    fn arguments(&mut self, text: &str, output: &mut Output) -> Option<usize> {
        let Place::Arguments(value) = &mut self.place else { return None };
        let mut arguments = String::new();
        let progress = value.read(text, &mut arguments);
        output.arguments(&arguments);
        match progress {
            Progress::On(read) => {
                self.raw.push_str(&text[..read]);
                (read > 0).then_some(read)
            }
            Progress::End(read) => {
                output.end();
                self.place = Place::Between;
                Some(read)
            }
            Progress::Wrong(read) => {
                self.raw.push_str(&text[..read]);
                self.abandon(read, output)
            }
        }
    }

    /// A call is malformed: what was read of it is text.
    fn abandon(&mut self, read: usize, output: &mut Output) -> Option<usize> {
        let raw = std::mem::take(&mut self.raw);
        let raw = if output.is_given() { "" } else { &raw };
        output.abandon();
        self.place = Place::Message(Kind::Text);
        self.show(raw, Kind::Text, output);
        Some(read)
    }

    fn code(&mut self, text: &str, output: &mut Output) -> Option<usize> {
        let Place::Code(code) = &mut self.place else { return None };
        let (at, marker) = next(text, &ENDS);
        code.push_str(&text[..at]);
        if marker.is_none() {
            return (at > 0).then_some(at);
        }
        given(output, "python", &json!({ "code": code }).to_string());
        self.place = Place::Between;
        Some(at)
    }

    /// Nothing but markers is expected; what is not is text.
    fn between(&mut self, text: &str) -> Option<usize> {
        let body = text.trim_start();
        let space = text.len() - body.len();
        let (at, marker) = next(body, MARKERS);
        match marker {
            Some(marker) if at == 0 => {
                self.leave(marker);
                return Some(space + marker.len());
            }
            _ if at == 0 => return (space > 0).then_some(space),
            _ => {}
        }
        self.begun = false;
        self.place = Place::Message(Kind::Text);
        Some(space)
    }
}

impl Machine for Harmony {
    fn read(&mut self, text: &str, output: &mut Output) -> Option<usize> {
        match self.place {
            Place::First => self.first(text),
            Place::Header => self.header(text, output),
            Place::Message(kind) => self.prose(text, kind, output),
            Place::Call => self.call(text, output),
            Place::Arguments(_) => self.arguments(text, output),
            Place::Code(_) => self.code(text, output),
            Place::Between => self.between(text),
        }
    }

    fn finish(&mut self, text: &str, output: &mut Output) {
        match &mut self.place {
            Place::Message(kind) => {
                let kind = *kind;
                self.show(text, kind, output);
            }
            Place::First => self.show(text, Kind::Text, output),
            Place::Call if text.trim().is_empty() => {
                given(output, recipient(&self.raw).unwrap_or_default(), "{}");
            }
            Place::Call | Place::Arguments(_) => {
                self.abandon(0, output);
                self.show(text, Kind::Text, output);
            }
            Place::Code(code) => {
                code.push_str(text);
                let arguments = json!({ "code": code }).to_string();
                given(output, "python", &arguments);
            }
            // A header that breaks off says nothing.
            Place::Header | Place::Between => {}
        }
    }

    /// Whatever channels come first: the answer is what is in the last one.
    fn reasoning_ends(&self) -> Vec<&'static str> {
        match self.place {
            Place::First | Place::Header | Place::Between | Place::Message(Kind::Reasoning) => vec![FINAL],
            _ => Vec::new(),
        }
    }
}

/// A whole call.
fn given(output: &mut Output, name: &str, arguments: &str) {
    output.begin(name);
    output.arguments(arguments);
    output.end();
}

/// Where the first of `markers` stands and which it is; without one, where one may begin.
fn next(text: &str, markers: &[&'static str]) -> (usize, Option<&'static str>) {
    let found = markers.iter().filter_map(|marker| Some((text.find(marker)?, Some(*marker))));
    found.min().unwrap_or_else(|| (unfinished(text, markers.iter().copied()), None))
}

/// Whom a message is to: the tool, without the namespace of the request's own.
fn recipient(header: &str) -> Option<&str> {
    let (_, name) = header.split_once("to=")?;
    let name = name.split(|c: char| c.is_whitespace() || c == '<').next()?;
    let name = name.strip_prefix("functions.").unwrap_or(name);
    (!name.is_empty()).then_some(name)
}

fn channel(header: &str) -> &str {
    let name = header.split_once(CHANNEL).map_or("", |(_, name)| name.trim_start());
    name.split(|c: char| c.is_whitespace() || c == '<').next().unwrap_or_default()
}
