//! Whether a value is one that a setting can have; if not, where it is wrong and what is expected there.

use garde::Validate;
use serde_json::{Value, json};
use serde_path_to_error::{Segment, deserialize};

use crate::setting::{has_type, properties};
use crate::{Config, Setting};

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The keys and indices from the setting to the part that is wrong.
    pub(crate) at: Vec<String>,
    /// What is expected there.
    pub(crate) why: String,
}

/// Whether `setting` can have this value: every setting alone is a configuration.
pub(crate) fn check(setting: &Setting, value: &Value) -> Result<(), Wrong> {
    let alone = setting.path.rsplit('.').fold(value.clone(), |value, key| json!({ key: value }));
    let depth = setting.path.split('.').count();
    let config: Config = deserialize(&alone).map_err(|error| {
        let keys = error.path().iter().filter_map(key).skip(depth).collect::<Vec<_>>();
        wrong(setting, keys, &error.inner().to_string())
    })?;
    let Err(report) = config.validate() else { return Ok(()) };
    let Some((path, error)) = report.iter().next() else { return Ok(()) };
    let text = path.to_string().replace('[', ".").replace(']', "");
    let keys = text.split('.').filter(|key| !key.is_empty()).skip(depth).map(str::to_owned).collect();
    Err(wrong(setting, keys, error.message()))
}

fn key(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// By the schema of the part that is wrong, where that says it; else in the words of who found it.
fn wrong(setting: &Setting, at: Vec<String>, said: &str) -> Wrong {
    let part = at.iter().fold(&setting.schema, |schema, key| match &schema["items"] {
        Value::Null => &schema["properties"][key],
        items => items,
    });
    let own = said.starts_with("expected ").then_some(said);
    let missing = said.strip_prefix("missing field ").map(|name| format!("it needs {}", name.replace('`', "")));
    let why = own.map(str::to_owned).or(missing).unwrap_or_else(|| format!("expected {}", form(part)));
    Wrong { at, why }
}

/// What a value of this schema looks like, in words.
pub(crate) fn form(schema: &Value) -> String {
    if let Some(words) = schema["x-expected"].as_str() {
        return words.to_owned();
    }
    let names: Vec<&str> = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match names.split_last() {
        Some((last, [])) => return (*last).to_owned(),
        Some((last, others)) => return format!("{} or {last}", others.join(", ")),
        None => {}
    }
    match schema {
        _ if has_type(schema, "boolean") => "true or false".to_owned(),
        _ if has_type(schema, "integer") => format!("a whole number{}", range(schema)),
        _ if has_type(schema, "number") => format!("a number{}", range(schema)),
        _ if has_type(schema, "array") && !properties(&schema["items"]).is_empty() => "a list of blocks".to_owned(),
        _ if has_type(schema, "array") && schema["minItems"] == 1 => "a list with one value at least".to_owned(),
        _ if has_type(schema, "array") => "a list".to_owned(),
        _ if !properties(schema).is_empty() => format!("a block with {}", names_of(schema)),
        _ if schema["minLength"].as_u64().is_some_and(|least| least > 0) => "text that is not empty".to_owned(),
        _ => "text".to_owned(),
    }
}

/// The keys of an object.
pub(crate) fn names_of(schema: &Value) -> String {
    properties(schema).keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn range(schema: &Value) -> String {
    match (&schema["minimum"], &schema["maximum"]) {
        (Value::Null, Value::Null) => String::new(),
        (least, Value::Null) => format!(" from {least}"),
        (Value::Null, most) => format!(" up to {most}"),
        (least, most) => format!(" from {least} to {most}"),
    }
}
