//! The tools that a request offers: their names, and the types that their parameters may have.

use std::collections::HashMap;

use serde_json::Value;

/// The tools offered, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Tools(HashMap<String, HashMap<String, Types>>);

/// Which types of JSON a parameter may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Types(Option<Vec<String>>);

impl Tools {
    pub(super) fn new(tools: Option<&Value>) -> Tools {
        let tools = tools.and_then(Value::as_array).into_iter().flatten();
        let tool = |tool: &Value| {
            let function = tool.get("function").filter(|f| f.is_object()).unwrap_or(tool);
            let properties = function.pointer("/parameters/properties").and_then(Value::as_object);
            let types = properties.into_iter().flatten().map(|(name, schema)| (name.clone(), Types::of(schema)));
            Some((function.get("name")?.as_str()?.to_owned(), types.collect()))
        };
        Tools(tools.filter_map(tool).collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether the name of any begins so.
    pub(super) fn begins(&self, name: &str) -> bool {
        self.0.keys().any(|own| own.starts_with(name))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The types of a parameter; all if it is not known.
    pub(super) fn types(&self, tool: &str, parameter: &str) -> Types {
        self.0.get(tool).and_then(|parameters| parameters.get(parameter)).cloned().unwrap_or_default()
    }
}

impl Types {
    /// Those that a schema allows.
    pub(super) fn of(schema: &Value) -> Types {
        let mut types = Vec::new();
        // A schema that says nothing of types allows all; so does one alternative that says nothing.
        if collect(schema, &mut types) { Types(Some(types)) } else { Types(None) }
    }

    /// Whether only texts are allowed.
    pub(super) fn only_text(&self) -> bool {
        self.0.as_ref().is_some_and(|types| types.iter().all(|t| t == "string"))
    }

    /// Whether a text is allowed.
    pub(super) fn may_be_text(&self) -> bool {
        self.0.as_ref().is_none_or(|types| types.iter().any(|t| t == "string"))
    }

    /// The JSON of a value that a format writes without quotes: what it reads as, if that is allowed, else a text.
    pub(super) fn json(&self, text: &str) -> String {
        let read = match text.trim() {
            "True" => Ok(Value::Bool(true)),
            "False" => Ok(Value::Bool(false)),
            "None" => Ok(Value::Null),
            other => serde_json::from_str(other),
        };
        match read {
            Ok(value) if self.allows(&value) => match value {
                Value::Bool(_) | Value::Null => value.to_string(),
                _ => text.trim().to_owned(),
            },
            _ => Value::from(text).to_string(),
        }
    }

    fn allows(&self, value: &Value) -> bool {
        let names: &[&str] = match value {
            Value::String(_) => return false,
            Value::Null => &["null"],
            Value::Bool(_) => &["boolean"],
            Value::Number(_) => &["number", "integer"],
            Value::Array(_) => &["array"],
            Value::Object(_) => &["object"],
        };
        self.0.as_ref().is_none_or(|types| types.iter().any(|t| names.contains(&t.as_str())))
    }
}

/// Adds the types that a schema allows; whether it restricts them at all.
fn collect(schema: &Value, types: &mut Vec<String>) -> bool {
    let alternatives = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)?.as_array());
    match (schema.get("type"), schema.get("enum").or_else(|| schema.get("const")), alternatives) {
        (Some(Value::String(name)), _, _) => types.push(name.clone()),
        (Some(Value::Array(names)), _, _) => types.extend(names.iter().filter_map(|n| Some(n.as_str()?.to_owned()))),
        (_, Some(Value::Array(values)), _) if values.iter().all(Value::is_string) => types.push("string".into()),
        (_, Some(Value::String(_)), _) => types.push("string".into()),
        (_, _, Some(alternatives)) => return alternatives.iter().all(|schema| collect(schema, types)),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn untyped_values_read_as_their_schema_says() {
        let check = |schema: Value, text: &str, expected: &str| {
            let tools = json!([{"function": {"name": "f", "parameters": {"properties": {"x": schema}}}}]);
            assert_eq!(Tools::new(Some(&tools)).types("f", "x").json(text), expected, "{schema} {text}");
        };
        check(json!({"type": "string"}), "5", "\"5\"");
        check(json!({"type": "integer"}), "5", "5");
        check(json!({"type": "integer"}), "five", "\"five\"");
        check(json!({"type": ["string", "null"]}), "null", "null");
        check(json!({"type": ["string", "null"]}), "5", "\"5\"");
        check(json!({"anyOf": [{"type": "boolean"}, {"type": "string"}]}), "True", "true");
        check(json!({"anyOf": [{"type": "boolean"}, {}]}), "5", "5");
        check(json!({"enum": ["1", "2"]}), "1", "\"1\"");
        check(json!({}), "[1, \"a\"]", "[1, \"a\"]");
        check(json!({}), "\"a\"", "\"\\\"a\\\"\"");
        check(json!({}), "None", "null");
        check(json!({"type": "string"}), "a\n\"b\"", "\"a\\n\\\"b\\\"\"");
    }
}
