//! Key-value metadata: GGUF's own, or config.json under the same interface.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::{FromValue, ModelError, Texts};

/// A metadata value. GGUF's integer types are widened; config.json's numbers become `Int` or `Float`, `null` is absent.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// true or false.
    Bool(bool),
    /// Any integer.
    Int(i128),
    /// Any floating point number.
    Float(f64),
    /// Text.
    Str(String),
    /// A list.
    List(List),
    /// A nested object (config.json only).
    Map(Metadata),
}

/// A list of values of one kind, kept flat: vocabularies are long.
#[derive(Clone, Debug, PartialEq)]
pub enum List {
    /// Integers and booleans.
    Int(Vec<i64>),
    /// Floating point numbers.
    Float(Vec<f64>),
    /// Texts; GGUF does not promise UTF-8 (token pieces), so bytes.
    Bytes(Texts),
    /// Anything else (lists of lists, objects, integers beyond `i64`).
    Mixed(Vec<Value>),
}

impl List {
    /// How many elements it has.
    pub fn len(&self) -> usize {
        match self {
            List::Int(v) => v.len(),
            List::Float(v) => v.len(),
            List::Bytes(v) => v.len(),
            List::Mixed(v) => v.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Ordered keys with values. Knows the file it is from, so that what it refuses can be found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
    index: HashMap<String, usize>,
    nulls: Vec<String>,
    origin: Origin,
}

/// The file, and for a nested object the keys that lead to it, each followed by a dot.
#[derive(Clone, Debug, Default, PartialEq)]
struct Origin {
    path: Option<Arc<Path>>,
    prefix: String,
}

impl Metadata {
    /// No keys yet, of the file `path`.
    pub fn of(path: &Path) -> Metadata {
        let origin = Origin { path: Some(path.into()), prefix: String::new() };
        Metadata { origin, ..Metadata::default() }
    }

    /// The object of a JSON file.
    ///
    /// # Errors
    /// If `json` is not an object.
    pub fn from_json(path: &Path, json: serde_json::Value) -> Result<Metadata, ModelError> {
        let mut metadata = Metadata::of(path);
        match json {
            serde_json::Value::Object(object) => metadata.fill(object),
            _ => return Err(ModelError::invalid(path, "file", "must hold a JSON object, {...}")),
        }
        Ok(metadata)
    }

    /// Sets an entry: appends it, or replaces the value of a key that is there.
    pub fn insert(&mut self, key: String, value: Value) {
        match self.index.get(&key) {
            Some(&at) => self.entries[at].1 = value,
            None => {
                self.index.insert(key.clone(), self.entries.len());
                self.entries.push((key, value));
            }
        }
    }

    /// All entries in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.index.get(key).map(|&at| &self.entries[at].1)
    }

    /// Whether a config.json has `key` and says null.
    pub fn is_null(&self, key: &str) -> bool {
        self.nulls.iter().any(|null| null == key)
    }

    /// The value of `key` as a `T` (see [`FromValue`] for the types), `None` where it is absent.
    ///
    /// # Errors
    /// If it is there and is not a `T`.
    pub fn read<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match T::from_value(value) {
            Some(t) => Ok(Some(t)),
            None => Err(self.invalid(key, format!("must be {}, not {}", T::WHAT, describe(value)))),
        }
    }

    /// The value of `key` as a `T`.
    ///
    /// # Errors
    /// If it is absent or is not a `T`.
    pub fn require<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<T, ModelError> {
        self.read(key)?.ok_or_else(|| {
            self.invalid(key, format!("is missing and must be {}; take a complete copy of the model", T::WHAT))
        })
    }

    /// That the value of `key` is wrong.
    pub fn invalid(&self, key: &str, problem: impl Into<String>) -> ModelError {
        ModelError::invalid(self.path(), self.field(key), problem)
    }

    /// That the value of `key` asks for something that Whinchat does not have.
    pub fn unsupported(&self, key: &str, problem: impl Into<String>) -> ModelError {
        ModelError::unsupported(self.path(), self.field(key), problem)
    }

    fn path(&self) -> &Path {
        self.origin.path.as_deref().unwrap_or(Path::new("metadata"))
    }

    fn field(&self, key: &str) -> String {
        format!("{}{key}", self.origin.prefix)
    }

    fn fill(&mut self, object: serde_json::Map<String, serde_json::Value>) {
        for (key, json) in object {
            match self.value(&key, json) {
                Some(value) => self.insert(key, value),
                None => self.nulls.push(key),
            }
        }
    }

    fn value(&self, key: &str, json: serde_json::Value) -> Option<Value> {
        use serde_json::Value as Json;
        Some(match json {
            Json::Null => return None,
            Json::Bool(b) => Value::Bool(b),
            Json::String(s) => Value::Str(s),
            Json::Number(n) => number(&n),
            Json::Array(items) => Value::List(list(items.into_iter().filter_map(|j| self.value(key, j)).collect())),
            Json::Object(object) => {
                let prefix = format!("{}{key}.", self.origin.prefix);
                let origin = Origin { path: self.origin.path.clone(), prefix };
                let mut nested = Metadata { origin, ..Metadata::default() };
                nested.fill(object);
                Value::Map(nested)
            }
        })
    }
}

fn number(n: &serde_json::Number) -> Value {
    let int = n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
    int.map_or_else(|| Value::Float(n.as_f64().unwrap_or(f64::NAN)), Value::Int)
}

/// The flattest list that holds `values`.
fn list(values: Vec<Value>) -> List {
    fn all<T, L: FromIterator<T>>(values: &[Value], one: impl Fn(&Value) -> Option<T>) -> Option<L> {
        values.iter().map(one).collect()
    }
    let int = |v: &Value| match v {
        Value::Int(i) => i64::try_from(*i).ok(),
        Value::Bool(b) => Some((*b).into()),
        _ => None,
    };
    let bytes = |v: &Value| match v {
        Value::Str(s) => Some(s.clone()),
        _ => None,
    };
    if let Some(ints) = all(&values, int) {
        List::Int(ints)
    } else if let Some(floats) = all(&values, |v| f64::from_value(v)) {
        List::Float(floats)
    } else if let Some(texts) = all(&values, bytes) {
        List::Bytes(texts)
    } else {
        List::Mixed(values)
    }
}

/// A value in a few words, for errors.
fn describe(value: &Value) -> String {
    match value {
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => format!("{f:?}"),
        Value::Str(s) => format!("\"{}\"", s.chars().take(60).collect::<String>()),
        Value::List(list) => format!("a list of {} values", list.len()),
        Value::Map(_) => "an object".to_string(),
    }
}
