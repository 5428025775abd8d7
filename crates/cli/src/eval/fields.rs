//! Reads JSON objects field by field, strictly: what is not known is wrong, and an error names the field and what it must be.

use std::ops::RangeBounds;

use serde_json::{Map, Value};

/// What is wrong with a field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The field, from the outermost object on; empty for that object itself.
    pub(super) field: String,
    /// What is wrong and what would fix it; empty if it was said already.
    pub(super) message: String,
}

impl Wrong {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Wrong {
        Wrong { field: field.into(), message: message.into() }
    }

    /// Nothing to say: another has said it.
    pub(super) fn told() -> Wrong {
        Wrong::new("", "")
    }
}

/// An object whose fields are all known.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    /// The object at `path`, which may have these fields and no others.
    pub(super) fn of(value: &'a Value, path: impl Into<String>, known: &[&str]) -> Result<Fields<'a>, Wrong> {
        let path = path.into();
        let Value::Object(map) = value else { return Err(Wrong::new(path, must_be("an object", value))) };
        let fields = Fields { map, path };
        match map.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(fields),
            Some(name) => {
                let message = format!("is not known; take it out or name one of: {}", known.join(", "));
                Err(Wrong::new(fields.path_of(name), message))
            }
        }
    }

    /// The field, from the outermost object on.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.map.keys().map(String::as_str)
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name)
    }

    pub(super) fn required(&self, name: &str) -> Result<&'a Value, Wrong> {
        self.get(name).ok_or_else(|| self.wrong(name, "is missing; add it"))
    }

    /// A text with something in it.
    pub(super) fn text(&self, name: &str) -> Result<&'a str, Wrong> {
        let value = self.required(name)?;
        let text = value.as_str().filter(|text| !text.is_empty());
        text.ok_or_else(|| self.wrong(name, must_be("a string with something in it", value)))
    }

    pub(super) fn array(&self, name: &str) -> Result<Option<&'a [Value]>, Wrong> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let array = value.as_array().map(Vec::as_slice).filter(|array| !array.is_empty());
        array.map(Some).ok_or_else(|| self.wrong(name, must_be("a list with something in it", value)))
    }

    /// A text, or a list of texts, each with something in it.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, Wrong> {
        let value = self.required(name)?;
        let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let texts: Option<Vec<String>> = all.iter().map(text).collect();
        let what = "a string or a list of strings, each with something in it";
        texts.filter(|texts| !texts.is_empty()).ok_or_else(|| self.wrong(name, must_be(what, value)))
    }

    /// A whole number of at least `least`.
    pub(super) fn count(&self, name: &str, least: u64) -> Result<Option<u64>, Wrong> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let count = value.as_u64().filter(|count| *count >= least);
        count.map(Some).ok_or_else(|| self.wrong(name, must_be(&format!("a whole number of at least {least}"), value)))
    }

    /// A number within `range`, which `what` describes.
    pub(super) fn number(&self, name: &str, range: impl RangeBounds<f64>, what: &str) -> Result<Option<f64>, Wrong> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_f64().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| self.wrong(name, must_be(what, value)))
    }

    pub(super) fn wrong(&self, name: &str, message: impl Into<String>) -> Wrong {
        Wrong::new(self.path_of(name), message)
    }
}

/// The message for a value of the wrong kind; a long value is cut.
pub(super) fn must_be(what: &str, value: &Value) -> String {
    let is = value.to_string();
    let short = &is[..is.floor_char_boundary(40)];
    format!("must be {what}, but it is {short}{}", if short.len() < is.len() { "…" } else { "" })
}
