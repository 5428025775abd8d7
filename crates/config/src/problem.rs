//! What is wrong with what an operator said: where, what was expected, and what was perhaps meant.

use std::fmt;

use crate::tree::Place;

/// Where a value comes from, the weakest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The profile of this name.
    Profile(&'static str),
    /// This line and column of the file.
    File {
        /// The file's name, as it was given.
        name: String,
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
    },
    /// The environment variable of this name.
    Variable(&'static str),
    /// The flag of this name.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Profile(name) => write!(f, "profile {name}"),
            // What is wrong with a whole file has no line.
            Origin::File { name, line: 0, .. } => f.write_str(name),
            Origin::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was said.
    pub origin: Origin,
    /// The setting's key, or what stands there instead.
    pub key: String,
    /// What is wrong, and what was expected.
    pub why: String,
    /// The line of the file, with a mark below what is meant, if it is there and no secret.
    shown: Option<String>,
}

/// Everything that is wrong; at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    pub(crate) fn new(origin: Origin, key: impl Into<String>, why: impl Into<String>) -> Problem {
        Problem { origin, key: key.into(), why: why.into(), shown: None }
    }

    /// At a place in a file.
    pub(crate) fn in_file(file: &File, place: Place, key: impl Into<String>, why: impl Into<String>) -> Problem {
        Problem { shown: file.marked(place), ..Problem::new(file.origin(place), key, why) }
    }

    /// Without the line of the file.
    pub(crate) fn hidden(self) -> Problem {
        Problem { shown: None, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { origin, key, why, shown } = self;
        match key.as_str() {
            "" => write!(f, "{origin}: {why}")?,
            key => write!(f, "{origin}: {key}: {why}")?,
        }
        shown.iter().try_for_each(|shown| write!(f, "\n{shown}"))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if at > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A file that was read.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its name, as it was given.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a str,
}

impl File<'_> {
    pub(crate) fn origin(&self, place: Place) -> Origin {
        Origin::File { name: self.name.to_owned(), line: place.line, column: place.column }
    }

    /// The line of a place with a mark below it.
    fn marked(&self, place: Place) -> Option<String> {
        const LONGEST: usize = 100;
        let line = self.text.lines().nth(place.line.checked_sub(1)?)?;
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let line: String = line.chars().take(LONGEST).map(printable).collect();
        let before = place.column.checked_sub(1)?;
        let width = line.chars().count().saturating_sub(before).min(place.width).max(1);
        let (number, marks) = (place.line.to_string(), "^".repeat(width));
        let (space, indent) = (" ".repeat(number.len()), " ".repeat(before.min(LONGEST)));
        Some(format!("  {number} | {line}\n  {space} | {indent}{marks}"))
    }
}

/// The name that was perhaps meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |known: &'a str| {
        let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
        (distance <= known.len().max(name.len()).div_ceil(3)).then_some((distance, known))
    };
    known.into_iter().filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}
