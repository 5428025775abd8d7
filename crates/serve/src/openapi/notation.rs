//! A short notation for the shape of JSON, and the JSON Schema that it stands for.
//!
//! `string`, `boolean`, `integer`, `number`, `object`, `binary`, `null` and `any` are types, `integer(1..128)` and `number(0..)` have
//! bounds, `'word'` is this text, `true` and `false` are these values. `T[]` is an array, `{ name: T, other?: T }` an object that may
//! have more than these, `{ [name]: T }` one of whatever names; `T | U` is either. A name with a capital letter is a schema of the
//! document.

use serde_json::{Map, Value, json};

/// The schema that a text stands for.
///
/// # Errors
/// If it is not in the notation.
pub(super) fn schema(text: &str) -> Result<Value, String> {
    let mut reader = Reader { rest: text };
    let found = reader.union().map_err(|what| format!("{text}: {what}"))?;
    if reader.next().is_empty() { Ok(found) } else { Err(format!("{text}: {} is left over", reader.rest)) }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn union(&mut self) -> Result<Value, String> {
        let mut options = vec![self.repeated()?];
        while self.takes("|") {
            options.push(self.repeated()?);
        }
        Ok(either(options))
    }

    fn repeated(&mut self) -> Result<Value, String> {
        let mut item = self.single()?;
        while self.takes("[]") {
            item = json!({ "type": "array", "items": item });
        }
        Ok(item)
    }

    fn single(&mut self) -> Result<Value, String> {
        if self.takes("(") {
            let inner = self.union()?;
            return self.expect(")").map(|()| inner);
        }
        if self.takes("{") {
            return self.object();
        }
        if self.takes("'") {
            let (word, rest) = self.rest.split_once('\'').ok_or("a text does not end")?;
            self.rest = rest;
            return Ok(json!({ "const": word }));
        }
        match self.word() {
            "any" => Ok(json!({})),
            "binary" => Ok(json!({ "type": "string", "format": "binary" })),
            word @ ("true" | "false") => Ok(json!({ "const": word == "true" })),
            word @ ("string" | "boolean" | "object" | "null") => Ok(json!({ "type": word })),
            word @ ("integer" | "number") => self.bounded(word),
            name if name.starts_with(|letter: char| letter.is_ascii_uppercase()) => Ok(reference(name)),
            other => Err(format!("`{other}` is no type")),
        }
    }

    /// A number, within bounds if there are some.
    fn bounded(&mut self, kind: &str) -> Result<Value, String> {
        let mut schema = json!({ "type": kind });
        if !self.takes("(") {
            return Ok(schema);
        }
        let (bounds, rest) = self.rest.split_once(')').ok_or("bounds do not end")?;
        self.rest = rest;
        let (low, high) = bounds.split_once("..").ok_or("bounds are LOW..HIGH")?;
        for (keyword, bound) in [("minimum", low), ("maximum", high)] {
            if !bound.is_empty() {
                schema[keyword] = serde_json::from_str(bound).map_err(|_| format!("`{bound}` is no number"))?;
            }
        }
        Ok(schema)
    }

    /// What follows an opening brace.
    fn object(&mut self) -> Result<Value, String> {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        while !self.takes("}") {
            if self.takes("[") {
                self.word();
                self.expect("]")?;
                self.expect(":")?;
                let values = self.union()?;
                return self.expect("}").map(|()| json!({ "type": "object", "additionalProperties": values }));
            }
            let name = self.word();
            if !self.takes("?") {
                required.push(name);
            }
            self.expect(":")?;
            properties.insert(name.to_owned(), self.union()?);
            if !self.takes(",") && !self.next().starts_with('}') {
                return Err(format!("a comma is missing behind {name}"));
            }
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        Ok(schema)
    }

    fn next(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn word(&mut self) -> &'a str {
        let rest = self.next();
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        self.rest = &rest[end..];
        &rest[..end]
    }

    fn takes(&mut self, sign: &str) -> bool {
        let rest = self.next().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) { Ok(()) } else { Err(format!("{sign} is missing before `{}`", self.rest)) }
    }
}

/// A schema of the document, by its name.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// One of these, as short as JSON Schema can say it.
fn either(mut options: Vec<Value>) -> Value {
    if options.contains(&json!({})) {
        return json!({});
    }
    if options.len() == 1 {
        return options.swap_remove(0);
    }
    let null = json!({ "type": "null" });
    if options.iter().all(|option| option.get("const").is_some() || *option == null) {
        return json!({ "enum": options.iter().map(|option| &option["const"]).collect::<Vec<_>>() });
    }
    merged(&options).unwrap_or_else(|| json!({ "anyOf": options }))
}

/// One schema for options of different types, whose keywords do not disturb each other.
fn merged(options: &[Value]) -> Option<Value> {
    let kinds: Vec<&str> = options.iter().map(|option| option["type"].as_str()).collect::<Option<_>>()?;
    // Both have bounds.
    let numbers = kinds.contains(&"integer") && kinds.contains(&"number");
    if numbers || kinds.iter().any(|kind| kinds.iter().filter(|other| *other == kind).count() > 1) {
        return None;
    }
    let mut all: Map<String, Value> = options
        .iter()
        .filter_map(Value::as_object)
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    all.insert("type".to_owned(), json!(kinds));
    Some(Value::Object(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_schemas() {
        let check = |text: &str, wanted: Value| assert_eq!(schema(text).expect(text), wanted, "{text}");
        check("string", json!({ "type": "string" }));
        check("any | null", json!({}));
        check("integer(1..128)", json!({ "type": "integer", "minimum": 1, "maximum": 128 }));
        check("number(-2..)", json!({ "type": "number", "minimum": -2 }));
        check("'a' | 'b'", json!({ "enum": ["a", "b"] }));
        check("'a' | null", json!({ "enum": ["a", null] }));
        check("true", json!({ "const": true }));
        check("integer(0..) | null", json!({ "type": ["integer", "null"], "minimum": 0 }));
        check("string | string[]", json!({ "type": ["string", "array"], "items": { "type": "string" } }));
        check("integer[][]", json!({ "type": "array", "items": { "type": "array", "items": { "type": "integer" } } }));
        check("Usage | null", json!({ "anyOf": [{ "$ref": "#/components/schemas/Usage" }, { "type": "null" }] }));
        check("(string | null)[]", json!({ "type": "array", "items": { "type": ["string", "null"] } }));
        check("{ [id]: number }", json!({ "type": "object", "additionalProperties": { "type": "number" } }));
        check(
            "{ a: string, b?: integer }",
            json!({ "type": "object", "properties": { "a": { "type": "string" }, "b": { "type": "integer" } }, "required": ["a"] }),
        );
        check(
            "integer | number(0..1)",
            json!({ "anyOf": [{ "type": "integer" }, { "type": "number", "minimum": 0, "maximum": 1 }] }),
        );
    }

    #[test]
    fn what_is_no_notation_is_refused() {
        for (text, part) in [
            ("text", "`text` is no type"),
            ("", "`` is no type"),
            ("'a", "does not end"),
            ("integer(1)", "LOW..HIGH"),
            ("integer(a..)", "`a` is no number"),
            ("{ a: string b: string }", "a comma is missing behind a"),
            ("{ a string }", ": is missing"),
            ("(string", ") is missing"),
            ("string string", "is left over"),
        ] {
            let problem = schema(text).expect_err(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }
}
