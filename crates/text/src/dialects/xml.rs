//! Calls written as elements: a function, and in it an element for each parameter.

use std::sync::Arc;

use super::arguments::Arguments;
use super::frame::{Body, Progress, Tag, begins, unfinished};
use super::headed::is_name;
use super::output::Output;
use super::tools::Tools;

/// How a family writes the elements.
#[derive(Debug)]
pub(super) struct Elements {
    /// Before a function's name and after it. Without one before, the name begins at once; without one after, it ends with
    /// its line or at the next tag.
    pub name: (&'static str, &'static str),
    /// Before a parameter's name and after it.
    pub key: (&'static str, &'static str),
    /// Before its value, and after it.
    pub value: (&'static str, &'static str),
    /// After a function's parameters.
    pub end: &'static str,
    /// After all functions; empty if there is one and its end is the end of all.
    pub close: &'static str,
    /// A value stands on lines of its own: the first and the last line break are not part of it.
    pub lines: bool,
}

/// Longest name of a function or a parameter.
const LONGEST_NAME: usize = 256;

#[derive(Debug)]
pub(super) struct XmlCalls {
    elements: &'static Elements,
    tools: Arc<Tools>,
    call: Option<Arguments>,
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before a function.
    Function,
    Name,
    /// Before a parameter.
    Parameter,
    Key,
    /// Before a value's tag.
    Before,
    /// At a value's first line break.
    Break,
    Value,
    /// After a function.
    After,
}

impl XmlCalls {
    /// Reads what follows a tag around functions.
    pub(super) fn new(elements: &'static Elements, tools: &Arc<Tools>) -> XmlCalls {
        let at = if elements.name.0.is_empty() { At::Name } else { At::Function };
        XmlCalls { elements, tools: tools.clone(), call: None, at }
    }

    /// Reads what follows the tag before a function's name.
    pub(super) fn named(elements: &'static Elements, tools: &Arc<Tools>) -> XmlCalls {
        XmlCalls { at: At::Name, ..XmlCalls::new(elements, tools) }
    }

    fn next(&mut self, text: &str, output: &mut Output) -> Progress {
        match self.at {
            At::Function => self.tags(text, &[(self.elements.name.0, At::Name)], Progress::Wrong(0)),
            At::Name => self.name(text, output),
            At::Parameter => self.parameter(text, output),
            At::Key => self.key(text, output),
            At::Before => self.tags(text, &[(self.elements.value.0, At::Break)], Progress::Wrong(0)),
            At::Break => self.line_break(text),
            At::Value => self.value(text, output),
            At::After => self.after(text),
        }
    }

    /// White space, then one of `tags`, each with what follows it; `other` if something else comes.
    fn tags(&mut self, text: &str, tags: &[(&'static str, At)], other: Progress) -> Progress {
        let space = text.len() - text.trim_start().len();
        if space > 0 {
            return Progress::On(space);
        }
        for (tag, next) in tags {
            if begins(text, tag) == Tag::Yes {
                self.at = *next;
                return Progress::On(tag.len());
            }
        }
        let begun = tags.iter().any(|(tag, _)| begins(text, tag) == Tag::Begun);
        if begun { Progress::On(0) } else { other }
    }

    fn name(&mut self, text: &str, output: &mut Output) -> Progress {
        let end = self.elements.name.1;
        if end.is_empty() && text.starts_with(char::is_whitespace) {
            return Progress::On(text.len() - text.trim_start().len());
        }
        let found = match end {
            "" => text.find(['\n', '<']).map(|at| (at, at)),
            end => text.find(end).map(|at| (at, at + end.len())),
        };
        let Some((at, after)) = found else { return bounded(text, end) };
        let name = text[..at].trim();
        if at > LONGEST_NAME || !is_name(name) {
            return Progress::Wrong(0);
        }
        self.call = Some(Arguments::begin(&self.tools, name, output));
        self.at = At::Parameter;
        Progress::On(after)
    }

    fn parameter(&mut self, text: &str, output: &mut Output) -> Progress {
        let (key, end) = (self.elements.key.0, self.elements.end);
        let progress = self.tags(text, &[(key, At::Key), (end, At::After)], Progress::Wrong(0));
        if self.at == At::After
            && let Some(call) = self.call.take()
        {
            call.end(output);
        }
        progress
    }

    fn key(&mut self, text: &str, output: &mut Output) -> Progress {
        let end = self.elements.key.1;
        let Some(at) = text.find(end) else { return bounded(text, end) };
        let key = text[..at].trim();
        if key.is_empty() || at > LONGEST_NAME || key.contains(['\n', '<']) {
            return Progress::Wrong(0);
        }
        if let Some(call) = &mut self.call {
            call.key(key, output);
        }
        self.at = if self.elements.value.0.is_empty() { At::Break } else { At::Before };
        Progress::On(at + end.len())
    }

    fn line_break(&mut self, text: &str) -> Progress {
        if text.is_empty() {
            return Progress::On(0);
        }
        self.at = At::Value;
        Progress::On(usize::from(self.elements.lines && text.starts_with('\n')))
    }

    fn value(&mut self, text: &str, output: &mut Output) -> Progress {
        let end = self.elements.value.1;
        let found = text.find(end);
        let value = &text[..found.unwrap_or_else(|| unfinished(text, std::iter::once(end)))];
        // The last line break is not part of the value, and which one is the last is not known before the end.
        let value = if self.elements.lines { value.strip_suffix('\n').unwrap_or(value) } else { value };
        let Some(call) = &mut self.call else { return Progress::Wrong(0) };
        call.value(value, output);
        let Some(at) = found else { return Progress::On(value.len()) };
        call.end_value(output);
        self.at = At::Parameter;
        Progress::On(at + end.len())
    }

    /// Another function, or the end; the tag of the end may be missing.
    fn after(&mut self, text: &str) -> Progress {
        let (name, close) = (self.elements.name.0, self.elements.close);
        if close.is_empty() {
            return Progress::End(0);
        }
        let space = text.len() - text.trim_start().len();
        match begins(&text[space..], close) {
            Tag::Yes => Progress::End(space + close.len()),
            Tag::Begun => Progress::On(space),
            Tag::No => self.tags(text, &[(name, At::Name)], Progress::End(0)),
        }
    }
}

/// A name before `end`, which has not come yet.
fn bounded(text: &str, end: &str) -> Progress {
    if text.len() > LONGEST_NAME + end.len() { Progress::Wrong(0) } else { Progress::On(0) }
}

impl Body for XmlCalls {
    fn read(&mut self, text: &str, output: &mut Output) -> Progress {
        let mut at = 0;
        loop {
            let (before, calling) = (self.at, self.call.is_some());
            match self.next(&text[at..], output) {
                Progress::On(0) if before == self.at => return Progress::On(at),
                Progress::On(read) => at += read,
                Progress::End(read) => return Progress::End(at + read),
                Progress::Wrong(read) => return Progress::Wrong(at + read),
            }
            // A call is over: let it be given before anything else is read.
            if calling && self.call.is_none() {
                return Progress::On(at);
            }
        }
    }

    fn finish(&mut self, _: &mut Output) -> bool {
        self.at == At::After
    }
}
