//! The frame that most dialects share: prose, reasoning and calls, each between tags. A table says which tags lead where.

use std::sync::Arc;

use super::code::Code;
use super::output::Output;
use super::parser::Machine;
use super::tools::Tools;

/// The tags of a dialect. None may be the beginning of another in the same list.
#[derive(Debug)]
pub(super) struct Tags {
    /// In prose.
    pub text: &'static [(&'static str, To)],
    /// In reasoning.
    pub reasoning: &'static [(&'static str, To)],
    /// Tags in Markdown's code are quoted, not meant. Only where tags are written with common characters.
    pub quoted: bool,
}

/// Where a tag leads.
#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    /// To prose; the tag itself says nothing.
    Text,
    /// To reasoning, if nothing but white space came before.
    FirstReasoning,
    /// To reasoning, wherever it stands.
    Reasoning,
    /// To a call, which begins after the tag.
    Call(fn(&Arc<Tools>) -> Box<dyn Body>),
    /// To a call that the tag is a part of, if tools are offered and nothing but white space came before.
    FirstCall(fn(&Arc<Tools>) -> Box<dyn Body>),
}

/// Reads what stands in a call's tags: one call or several. Like a [`Machine`], it never takes back what it has read.
pub(super) trait Body: std::fmt::Debug + Send {
    /// Reads on. It returns at the latest at the end of each call.
    fn read(&mut self, text: &str, output: &mut Output) -> Progress;

    /// The text ends here: whether all that was begun is whole.
    fn finish(&mut self, output: &mut Output) -> bool;
}

/// How far reading came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// So many bytes are read, and there is more to come. None are if more text must be seen first.
    On(usize),
    /// It ends after so many bytes.
    End(usize),
    /// The byte at this place does not belong.
    Wrong(usize),
}

impl Progress {
    /// The same of a text that begins so many bytes earlier.
    pub(super) fn after(self, bytes: usize) -> Progress {
        match self {
            Progress::On(read) => Progress::On(bytes + read),
            Progress::End(read) => Progress::End(bytes + read),
            Progress::Wrong(read) => Progress::Wrong(bytes + read),
        }
    }
}

#[derive(Debug)]
pub(super) struct Frame {
    tags: &'static Tags,
    tools: Arc<Tools>,
    place: Place,
    /// At the end of what was read.
    code: Code,
    /// A tag was the last that came: white space is dropped.
    after_tag: bool,
    /// White space that is dropped if a tag follows.
    space: String,
    /// What was read of a call since the last that is given.
    raw: String,
}

#[derive(Debug)]
enum Place {
    /// Nothing but white space came.
    Start,
    Text,
    Reasoning,
    Call(Box<dyn Body>),
}

impl Frame {
    /// A parser of the answer to a prompt that ends with `tail`: where that ends with a tag, the answer begins after it.
    pub(super) fn new(tags: &'static Tags, tail: &str, tools: Arc<Tools>) -> Frame {
        let (code, space, raw) = (Code::default(), String::new(), String::new());
        let mut frame = Frame { tags, tools, place: Place::Start, code, after_tag: false, space, raw };
        let leads = |(tag, to): &&(&str, To)| !matches!(to, To::FirstCall(_)) && tail.trim_end().ends_with(tag);
        if let Some((_, to)) = tags.text.iter().find(leads) {
            frame.enter("", *to);
        }
        frame
    }

    fn exits(&self) -> &'static [(&'static str, To)] {
        match self.place {
            Place::Start | Place::Text => self.tags.text,
            Place::Reasoning => self.tags.reasoning,
            Place::Call(_) => &[],
        }
    }

    fn prose(&mut self, text: &str, output: &mut Output) -> Option<usize> {
        if let Some((at, tag, to)) = self.next_tag(text) {
            self.give(&text[..at], output);
            let read = if matches!(to, To::FirstCall(_)) { 0 } else { tag.len() };
            self.enter(&text[at..at + read], to);
            return Some(at + read);
        }
        let certain = unfinished(text, self.exits().iter().map(|(tag, _)| *tag));
        self.give(&text[..certain], output);
        (certain > 0).then_some(certain)
    }

    /// The first tag that is meant as one.
    fn next_tag(&self, text: &str) -> Option<(usize, &'static str, To)> {
        let found = |(tag, to): &(&'static str, To)| {
            let meant = |at: &usize| match to {
                To::FirstReasoning => self.is_first(&text[..*at]),
                To::FirstCall(_) => self.is_first(&text[..*at]) && !self.tools.is_empty(),
                _ => !(self.tags.quoted && self.quotes() && self.code.after(&text[..*at]).quotes()),
            };
            let at = text.match_indices(tag).map(|(at, _)| at).find(meant)?;
            Some((at, *tag, *to))
        };
        self.exits().iter().filter_map(found).min_by_key(|(at, _, _)| *at)
    }

    fn is_first(&self, before: &str) -> bool {
        matches!(self.place, Place::Start) && before.trim().is_empty()
    }

    /// Reasoning ends at its tag, in code or not: it often breaks off in the middle of a thought.
    fn quotes(&self) -> bool {
        !matches!(self.place, Place::Reasoning)
    }

    fn enter(&mut self, tag: &str, to: To) {
        self.raw = std::mem::take(&mut self.space) + tag;
        (self.code, self.after_tag) = (Code::default(), true);
        self.place = match to {
            To::Text => Place::Text,
            To::FirstReasoning | To::Reasoning => Place::Reasoning,
            To::Call(body) | To::FirstCall(body) => Place::Call(body(&self.tools)),
        };
    }

    /// Gives prose or reasoning, but for white space at its end.
    fn give(&mut self, text: &str, output: &mut Output) {
        self.code = self.code.after(text);
        let text = if self.after_tag { text.trim_start() } else { text };
        let end = text.trim_end().len();
        if end > 0 {
            if matches!(self.place, Place::Start) {
                self.place = Place::Text;
            }
            self.after_tag = false;
            let space = std::mem::take(&mut self.space);
            self.show(&space, output);
            self.show(&text[..end], output);
        }
        self.space.push_str(&text[end..]);
    }

    fn show(&self, text: &str, output: &mut Output) {
        if matches!(self.place, Place::Reasoning) { output.reasoning(text) } else { output.text(text) }
    }

    fn call(&mut self, text: &str, output: &mut Output) -> Option<usize> {
        let Place::Call(body) = &mut self.place else { return None };
        let progress = body.read(text, output);
        let (Progress::On(read) | Progress::End(read) | Progress::Wrong(read)) = progress;
        self.raw.push_str(&text[..read]);
        if output.settled() {
            self.raw.clear();
        }
        match progress {
            Progress::On(0) => return None,
            Progress::On(_) => {}
            Progress::End(_) => {
                self.place = Place::Text;
                self.raw.clear();
            }
            Progress::Wrong(_) => self.abandon(output),
        }
        Some(read)
    }

    /// What was read of a call becomes text.
    fn abandon(&mut self, output: &mut Output) {
        output.abandon();
        (self.place, self.after_tag) = (Place::Text, false);
        let raw = std::mem::take(&mut self.raw);
        self.give(&raw, output);
    }
}

impl Machine for Frame {
    fn read(&mut self, text: &str, output: &mut Output) -> Option<usize> {
        match self.place {
            Place::Call(_) => self.call(text, output),
            _ => self.prose(text, output),
        }
    }

    fn finish(&mut self, text: &str, output: &mut Output) {
        if let Place::Call(body) = &mut self.place {
            if body.finish(output) {
                return;
            }
            self.abandon(output);
        }
        self.give(text, output);
        let space = std::mem::take(&mut self.space);
        self.show(&space, output);
    }

    fn reasoning_ends(&self) -> Vec<&'static str> {
        let Place::Reasoning = self.place else { return Vec::new() };
        self.tags.reasoning.iter().filter(|(_, to)| matches!(to, To::Text)).map(|(tag, _)| *tag).collect()
    }
}

/// Where what may be the beginning of one of `tags` stands at the end of `text`; its length if nothing may.
pub(super) fn unfinished<'a>(text: &str, tags: impl Iterator<Item = &'a str> + Clone) -> usize {
    let longest = tags.clone().map(str::len).max().unwrap_or(0);
    let from = text.ceil_char_boundary(text.len().saturating_sub(longest));
    let mut ends = text[from..].char_indices().map(|(at, _)| from + at);
    ends.find(|at| tags.clone().any(|tag| tag.starts_with(&text[*at..]))).unwrap_or(text.len())
}

/// What a text that must begin with a tag begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// The tag.
    Yes,
    /// What may become the tag; so may no text at all.
    Begun,
    /// Something else.
    No,
}

/// Whether `text` begins with `tag`.
pub(super) fn begins(text: &str, tag: &str) -> Tag {
    match () {
        () if text.starts_with(tag) => Tag::Yes,
        () if tag.starts_with(text) => Tag::Begun,
        () => Tag::No,
    }
}
