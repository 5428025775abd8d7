//! Calls written as a header with the name, and arguments as a JSON object.

use super::frame::{Body, Progress, Tag, begins};
use super::json::JsonValue;
use super::output::Output;

/// How a family writes calls.
#[derive(Debug)]
pub(super) struct Heading {
    /// Before each call; empty if the call begins at once and is alone.
    pub open: &'static str,
    /// The name in the header, all that stands before the arguments; `None` if it is not a header.
    pub name: fn(&str) -> Option<&str>,
    /// After the arguments of a call, if the family writes anything there.
    pub end: &'static str,
    /// After all calls.
    pub close: &'static str,
}

/// Longest header.
const LONGEST: usize = 256;

#[derive(Debug)]
pub(super) struct HeadedCalls {
    heading: &'static Heading,
    at: At,
}

#[derive(Debug)]
enum At {
    /// Before the tag of the first call.
    Open,
    Header,
    Arguments(JsonValue),
    /// After arguments.
    End,
    /// After a call.
    After,
}

impl HeadedCalls {
    pub(super) fn new(heading: &'static Heading) -> HeadedCalls {
        HeadedCalls { heading, at: if heading.open.is_empty() { At::Header } else { At::Open } }
    }

    fn next(&mut self, text: &str, output: &mut Output) -> Progress {
        let Heading { open, end, close, .. } = *self.heading;
        let space = text.len() - text.trim_start().len();
        match &mut self.at {
            At::Header => self.header(text, output),
            At::Arguments(value) => {
                let mut arguments = String::new();
                let progress = value.read(text, &mut arguments);
                output.arguments(&arguments);
                let Progress::End(read) = progress else { return progress };
                output.end();
                self.at = At::End;
                Progress::On(read)
            }
            _ if space > 0 => Progress::On(space),
            At::Open => self.tag(text, open, At::Header, Progress::Wrong(0)),
            // Arguments may stand in Markdown's code.
            At::End if text.starts_with('`') && !end.is_empty() => Progress::On(1),
            At::End => {
                if begins(text, end) == Tag::No {
                    self.at = At::After;
                }
                self.tag(text, end, At::After, Progress::On(0))
            }
            At::After if open.is_empty() => Progress::End(0),
            At::After => match begins(text, close) {
                Tag::Yes => Progress::End(close.len()),
                Tag::Begun => Progress::On(0),
                Tag::No => self.tag(text, open, At::Header, Progress::End(0)),
            },
        }
    }

    fn tag(&mut self, text: &str, tag: &str, next: At, other: Progress) -> Progress {
        match begins(text, tag) {
            Tag::Yes => self.at = next,
            Tag::Begun => return Progress::On(0),
            Tag::No => return other,
        }
        Progress::On(tag.len())
    }

    fn header(&mut self, text: &str, output: &mut Output) -> Progress {
        let Some(at) = text.find('{') else {
            return if text.len() > LONGEST { Progress::Wrong(0) } else { Progress::On(0) };
        };
        let Some(name) = (self.heading.name)(&text[..at]).filter(|name| at <= LONGEST && is_name(name)) else {
            return Progress::Wrong(0);
        };
        output.begin(name);
        self.at = At::Arguments(JsonValue::default());
        Progress::On(at)
    }
}

/// Whether a tool may be called that.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    name.starts_with(|c: char| c.is_alphanumeric() || c == '_') && name.chars().all(fits)
}

impl Body for HeadedCalls {
    fn read(&mut self, text: &str, output: &mut Output) -> Progress {
        let mut at = 0;
        loop {
            let before = std::mem::discriminant(&self.at);
            let calls = matches!(self.at, At::Arguments(_));
            match self.next(&text[at..], output) {
                Progress::On(0) if before == std::mem::discriminant(&self.at) => return Progress::On(at),
                Progress::On(read) => at += read,
                Progress::End(read) => return Progress::End(at + read),
                Progress::Wrong(read) => return Progress::Wrong(at + read),
            }
            // A call is over: let it be given before anything else is read.
            if calls && !matches!(self.at, At::Arguments(_)) {
                return Progress::On(at);
            }
        }
    }

    fn finish(&mut self, _: &mut Output) -> bool {
        matches!(self.at, At::End | At::After)
    }
}
