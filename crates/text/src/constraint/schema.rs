//! JSON schemas: how they are compiled, and where in one a keyword stands that is not supported.

use llguidance::JsonCompileOptions;
use serde_json::{Map, Value};

use super::ConstraintError;

/// Keywords whose values are schemas by name.
const MAPS: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Keywords whose values are no schemas, whatever they look like.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];

/// The schema with the options that it is compiled by; a stranger's own are dropped.
///
/// # Errors
/// If it is neither an object nor `true`.
pub(crate) fn with_options(schema: &Value) -> Result<Value, ConstraintError> {
    let mut schema = match schema {
        Value::Bool(true) => Value::Object(Map::new()),
        Value::Object(_) => schema.clone(),
        _ => return Err(ConstraintError::new("", "a schema is an object; one that allows anything is {}")),
    };
    let options = JsonCompileOptions {
        // White space without end is valid JSON, but no answer: a space or two, or a new line that is indented.
        whitespace_pattern: Some(r"\x20{1,2}|\r?\n[\x20\x09]{0,32}".into()),
        ..JsonCompileOptions::default()
    };
    options.apply_to(&mut schema);
    Ok(schema)
}

/// Where the first schema stands that has this keyword (and value, if one is given), as a path that ends with it.
pub(super) fn find(schema: &Value, keyword: &str, value: Option<&str>) -> Option<String> {
    let object = schema.as_object()?;
    if object.get(keyword).is_some_and(|found| value.is_none_or(|value| found == value)) {
        return Some(format!(".{keyword}"));
    }
    object.iter().filter(|(key, _)| !DATA.contains(&key.as_str())).find_map(|(key, below)| {
        let path = if MAPS.contains(&key.as_str()) {
            below.as_object()?.iter().find_map(|(name, one)| Some(format!(".{name}{}", find(one, keyword, value)?)))
        } else if let Value::Array(items) = below {
            let mut items = items.iter().enumerate();
            items.find_map(|(i, item)| Some(format!("[{i}]{}", find(item, keyword, value)?)))
        } else {
            find(below, keyword, value)
        };
        Some(format!(".{key}{}", path?))
    })
}
