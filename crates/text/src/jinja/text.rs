//! Text that knows who wrote it: the template, or those whose words it renders.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use super::JinjaError;

/// Who wrote a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The template's author.
    Template,
    /// Anybody else: what stands in messages, tools and variables.
    Data,
}

/// A text and where its parts are from. Texts are equal if they read the same.
#[derive(Clone, Debug)]
pub(super) struct Text {
    text: Arc<str>,
    origins: Origins,
}

#[derive(Clone, Debug)]
enum Origins {
    One(Origin),
    /// The end of each part, and where it is from.
    Many(Rc<[(usize, Origin)]>),
}

impl Text {
    pub(super) fn new(text: Arc<str>, origin: Origin) -> Text {
        Text { text, origins: Origins::One(origin) }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The parts within `range` that are from one origin each.
    pub(super) fn parts(&self, range: Range<usize>) -> impl Iterator<Item = (&str, Origin)> {
        let parts: &[(usize, Origin)] = match &self.origins {
            Origins::One(Origin::Template) => &[(usize::MAX, Origin::Template)],
            Origins::One(Origin::Data) => &[(usize::MAX, Origin::Data)],
            Origins::Many(parts) => parts,
        };
        let first = parts.partition_point(|(end, _)| *end <= range.start);
        let mut start = range.start;
        parts[first..].iter().map_while(move |(end, origin)| {
            let end = (*end).min(range.end);
            let part = (start < end).then(|| (&self.text[start..end], *origin));
            start = end;
            part
        })
    }
}

/// What is left to a rendering: steps to take and bytes to write.
#[derive(Debug)]
pub(super) struct Budget {
    steps: Cell<u64>,
    bytes: Cell<usize>,
}

impl Budget {
    pub(super) fn new(steps: u64, bytes: usize) -> Budget {
        Budget { steps: Cell::new(steps), bytes: Cell::new(bytes) }
    }

    /// Takes steps.
    ///
    /// # Errors
    /// If there are not so many left.
    pub(super) fn steps(&self, count: usize) -> Result<(), JinjaError> {
        let left = self.steps.get().checked_sub(count as u64);
        self.steps.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| JinjaError::exhausted("it runs too long"))
    }

    /// Takes the steps of going through so many bytes.
    pub(super) fn scan(&self, bytes: usize) -> Result<(), JinjaError> {
        self.steps(1 + bytes / 64)
    }

    /// Takes bytes.
    pub(super) fn bytes(&self, count: usize) -> Result<(), JinjaError> {
        let left = self.bytes.get().checked_sub(count);
        self.bytes.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(too_much)
    }

    /// Whether so many bytes may be written.
    ///
    /// # Errors
    /// If there are not so many left.
    pub(super) fn fits(&self, count: usize) -> Result<(), JinjaError> {
        if count <= self.bytes.get() { Ok(()) } else { Err(too_much()) }
    }
}

fn too_much() -> JinjaError {
    JinjaError::exhausted("it takes too much memory")
}

/// Puts a text together. What is more than the budget has is left out, and an error at the end.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    budget: &'a Budget,
    text: String,
    parts: Vec<(usize, Origin)>,
    error: Option<JinjaError>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(budget: &'a Budget) -> Writer<'a> {
        Writer { budget, text: String::new(), parts: Vec::new(), error: None }
    }

    /// Fills with a character.
    pub(super) fn fill(&mut self, fill: char, count: usize) {
        match self.budget.fits(count.saturating_mul(fill.len_utf8())) {
            Ok(()) => self.template(&std::iter::repeat_n(fill, count).collect::<String>()),
            Err(error) => self.error = Some(error),
        }
    }

    /// Another one on the same budget.
    pub(super) fn like(&self) -> Writer<'a> {
        Writer::new(self.budget)
    }

    /// Whether more is in vain.
    pub(super) fn is_full(&self) -> bool {
        self.error.is_some()
    }

    pub(super) fn push(&mut self, text: &str, origin: Origin) {
        if self.error.is_some() || text.is_empty() {
            return;
        }
        let taken = self.budget.bytes(text.len()).and_then(|()| self.budget.scan(text.len()));
        if let Err(error) = taken {
            self.error = Some(error);
            return;
        }
        self.text.push_str(text);
        match self.parts.last_mut() {
            Some((end, last)) if *last == origin => *end = self.text.len(),
            _ => self.parts.push((self.text.len(), origin)),
        }
    }

    /// Text of the template.
    pub(super) fn template(&mut self, text: &str) {
        self.push(text, Origin::Template);
    }

    pub(super) fn text(&mut self, text: &Text) {
        self.part(text, 0..text.as_str().len());
    }

    pub(super) fn part(&mut self, text: &Text, range: Range<usize>) {
        for (part, origin) in text.parts(range) {
            self.push(part, origin);
        }
    }

    /// A text with something done to each of its parts.
    pub(super) fn mapped(&mut self, text: &Text, map: impl Fn(&str) -> String) {
        for (part, origin) in text.parts(0..text.as_str().len()) {
            self.push(&map(part), origin);
        }
    }

    /// # Errors
    /// If it was more than the budget had.
    pub(super) fn finish(self) -> Result<Text, JinjaError> {
        let (text, parts) = self.into_parts()?;
        let origins = match parts.as_slice() {
            [] => Origins::One(Origin::Template),
            [(_, origin)] => Origins::One(*origin),
            _ => Origins::Many(parts.into()),
        };
        Ok(Text { text: text.into(), origins })
    }

    /// The text, and the end and origin of each of its parts.
    ///
    /// # Errors
    /// If it was more than the budget had.
    pub(super) fn into_parts(self) -> Result<(String, Vec<(usize, Origin)>), JinjaError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok((self.text, self.parts)),
        }
    }
}
