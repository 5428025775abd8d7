//! What stands behind the question mark of an address: texts by name, read like the fields of a body.

use std::ops::RangeInclusive;

use answer::{Kind, Problem};
use axum::extract;
use axum::http::Uri;

use super::fields::{Fields, wrong_type};

/// The names and texts of an address.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads an address. What is no pair of names and texts is no question at all.
    pub(crate) fn of(uri: &Uri) -> Query {
        Query(extract::Query::try_from_uri(uri).map_or(Vec::new(), |extract::Query(pairs)| pairs))
    }

    /// The text of a name, if it has one.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|text| !text.is_empty())
    }

    /// The same, where an empty text is one too.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// A whole number within a range.
    ///
    /// # Errors
    /// If it is something else.
    pub(crate) fn integer(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let value = text.parse::<i64>().map_err(|_| wrong_type(name, "an integer", &text.into()))?;
        let map = serde_json::Map::from_iter([(name.to_owned(), value.into())]);
        Fields::new(&map).integer(name, range)
    }

    /// A whole number that must be there and may be 0.
    ///
    /// # Errors
    /// If it is not, or something else.
    pub(crate) fn count(&self, name: &str) -> Result<usize, Problem> {
        let missing = || Problem::of(Kind::Missing, name, format!("{name} is missing."));
        self.maybe_count(name)?.ok_or_else(missing)
    }

    /// A whole number that may be 0.
    ///
    /// # Errors
    /// If it is something else.
    pub(crate) fn maybe_count(&self, name: &str) -> Result<Option<usize>, Problem> {
        Ok(self.integer(name, 0..=i64::MAX)?.map(|value| usize::try_from(value).unwrap_or(usize::MAX)))
    }

    /// True or false.
    ///
    /// # Errors
    /// If it is something else.
    pub(crate) fn bool(&self, name: &str) -> Result<bool, Problem> {
        Ok(self.word(name, &["false", "true"])? == Some(1))
    }

    /// Which of these words it is.
    ///
    /// # Errors
    /// If it is none of them.
    pub(crate) fn word(&self, name: &str, words: &[&str]) -> Result<Option<usize>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong = || {
            let message = format!("{name} must be {}, but it is `{text}`.", words.join(" or "));
            Problem::of(Kind::InvalidValue, name, message)
        };
        words.iter().position(|word| *word == text).map(Some).ok_or_else(wrong)
    }
}
