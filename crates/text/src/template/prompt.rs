//! A rendered conversation, and which of its text the template wrote.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::jinja::{Origin, Written};

/// The text of a prompt. It knows which of its bytes the template wrote: only they can be control tokens
/// ([`crate::Tokenizer::encode_chat`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatPrompt {
    text: String,
    /// The end of each part, and who wrote it.
    parts: Vec<(usize, Origin)>,
    /// The template's source.
    source: Arc<str>,
}

impl ChatPrompt {
    pub(crate) fn new((text, parts): Written, source: Arc<str>) -> ChatPrompt {
        ChatPrompt { text, parts, source }
    }

    /// A text of which every byte counts as the template's: control tokens written in it are control tokens.
    pub fn trusted(text: impl Into<String>) -> ChatPrompt {
        let text = text.into();
        ChatPrompt { parts: vec![(text.len(), Origin::Template)], text, source: "".into() }
    }

    /// The prompt that [`ChatPrompt::parts`] and [`ChatPrompt::source`] describe; `None` if the parts are not ascending ends of
    /// characters, the last of them the text's end.
    pub fn of_parts(text: String, parts: &[(usize, bool)], source: impl Into<Arc<str>>) -> Option<ChatPrompt> {
        let ascending = parts.is_sorted_by(|a, b| a.0 < b.0) && parts.first().is_none_or(|first| first.0 > 0);
        let whole = parts.last().map_or(0, |last| last.0) == text.len();
        let origin = |template| if template { Origin::Template } else { Origin::Data };
        let ends = parts.iter().all(|(end, _)| text.is_char_boundary(*end));
        let parts = parts.iter().map(|(end, template)| (*end, origin(*template))).collect();
        (ascending && whole && ends).then(|| ChatPrompt { text, parts, source: source.into() })
    }

    /// The end of each part of the text, in bytes, and whether the template wrote it.
    pub fn parts(&self) -> Vec<(usize, bool)> {
        let mut parts: Vec<(usize, bool)> = Vec::with_capacity(self.parts.len());
        for &(end, origin) in &self.parts {
            let (end, before) = (end.min(self.text.len()), parts.last().map_or(0, |last| last.0));
            if end > before {
                parts.push((end, origin == Origin::Template));
            }
        }
        parts
    }

    /// The source of the template that wrote it; empty if none did.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Whether a control token at this place is one: the template wrote it, but for letters within it, which may be a role
    /// (`<|` + role + `|>`).
    pub(crate) fn is_control(&self, at: Range<usize>) -> bool {
        let (first, last) = (at.start, at.end.saturating_sub(1));
        let letters = |part: Range<usize>| self.text[part].chars().all(|c| c.is_alphanumeric() || c == '_');
        self.data(&at).all(|part| part.start > first && part.end <= last && letters(part))
    }

    /// Whether a token is one of the template's marks (`<tool_response>`), though the vocabulary does not call it special.
    /// White space and words that a vocabulary adds are text, whoever writes them.
    pub(crate) fn is_marker(&self, token: &str) -> bool {
        let brackets = token.starts_with('<') && token.ends_with('>') || token.starts_with('[') && token.ends_with(']');
        brackets && self.source.contains(token)
    }

    /// Whether the template wrote all of a range.
    pub(crate) fn is_template(&self, range: &Range<usize>) -> bool {
        self.data(range).next().is_none()
    }

    /// The parts of a range that others wrote.
    fn data(&self, range: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let first = self.parts.partition_point(|(end, _)| *end <= range.start);
        let mut start = range.start;
        let end = range.end;
        let parts = self.parts[first..].iter().map(move |(to, origin)| {
            let part = start.min(end)..(*to).min(end);
            start = *to;
            (part, *origin)
        });
        let within = parts.take_while(|(part, _)| !part.is_empty());
        within.filter(|(_, origin)| *origin == Origin::Data).map(|(part, _)| part)
    }

    /// Drops what follows `end`.
    pub(super) fn truncate(&mut self, end: usize) {
        self.text.truncate(end);
    }
}

impl fmt::Display for ChatPrompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
