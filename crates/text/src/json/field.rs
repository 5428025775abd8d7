//! JSON values that know where they stand, so that an error can say it.

use serde_json::{Map, Value};

use super::check_id;
use crate::TokenizerError;

static NULL: Value = Value::Null;

/// A value and its path.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    /// From the top, with points between.
    pub path: String,
    /// What is there; null if nothing is.
    pub value: &'a Value,
}

/// An object and its path.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The whole document.
    pub(crate) fn root(value: &'a Value) -> Result<Fields<'a>, TokenizerError> {
        Field { path: String::new(), value }.as_fields()
    }

    /// The value of `name`, null if absent.
    pub(crate) fn field(&self, name: &str) -> Field<'a> {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Field { path, value: self.map.get(name).unwrap_or(&NULL) }
    }

    /// The object called `name`.
    pub(crate) fn fields(&self, name: &str) -> Result<Fields<'a>, TokenizerError> {
        self.field(name).as_fields()
    }

    /// Whether there is a `name` that is not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|v| !v.is_null())
    }

    /// `type`, if it says one.
    pub(crate) fn kind(&self) -> Option<&'a str> {
        self.map.get("type")?.as_str()
    }

    /// All that is in it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> + '_ {
        self.map.iter().map(|(name, value)| (name.as_str(), Field { path: format!("{}.{name}", self.path), value }))
    }

    /// An error about the object.
    pub(crate) fn error(&self, problem: impl Into<String>) -> TokenizerError {
        Field { path: self.path.clone(), value: &NULL }.error(problem)
    }
}

impl<'a> Field<'a> {
    /// Whether nothing is there.
    pub(crate) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// An error about the value.
    pub(crate) fn error(&self, problem: impl Into<String>) -> TokenizerError {
        let path = if self.path.is_empty() { "tokenizer.json" } else { &self.path };
        TokenizerError::new(path, problem)
    }

    /// As an object.
    pub(crate) fn as_fields(&self) -> Result<Fields<'a>, TokenizerError> {
        let map = self.value.as_object().ok_or_else(|| self.error("is not an object"))?;
        Ok(Fields { path: self.path.clone(), map })
    }

    /// The items of a list; none of null.
    pub(crate) fn items(&self) -> Result<Vec<Field<'a>>, TokenizerError> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => {
                let item = |(i, value)| Field { path: format!("{}[{i}]", self.path), value };
                Ok(items.iter().enumerate().map(item).collect())
            }
            _ => Err(self.error("is not a list")),
        }
    }

    /// As text.
    pub(crate) fn text(&self) -> Result<&'a str, TokenizerError> {
        self.value.as_str().ok_or_else(|| self.error("is not a text"))
    }

    /// As text, if anything is there.
    pub(crate) fn text_if_any(&self) -> Result<Option<&'a str>, TokenizerError> {
        if self.is_null() { Ok(None) } else { self.text().map(Some) }
    }

    /// As one character.
    pub(crate) fn char(&self) -> Result<char, TokenizerError> {
        let mut chars = self.text()?.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(c),
            _ => Err(self.error("is not one character")),
        }
    }

    /// As yes or no, `default` of nothing.
    pub(crate) fn bool_or(&self, default: bool) -> Result<bool, TokenizerError> {
        match self.value {
            Value::Null => Ok(default),
            Value::Bool(b) => Ok(*b),
            _ => Err(self.error("is neither true nor false")),
        }
    }

    /// As a count, `default` of nothing.
    pub(crate) fn count_or(&self, default: usize) -> Result<usize, TokenizerError> {
        match self.value {
            Value::Null => Ok(default),
            value => value.as_u64().map(|n| n as usize).ok_or_else(|| self.error("is not a count")),
        }
    }

    /// As a token id.
    pub(crate) fn id(&self) -> Result<u32, TokenizerError> {
        let id = self.value.as_u64().ok_or_else(|| self.error("is not a token id"))?;
        check_id(id, || self.path.clone())
    }
}
