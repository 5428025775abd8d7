//! Grammars of arguments that are written one by one: as Python's keyword arguments, as elements, or as Gemma has them.

use serde_json::{Map, Value, json};

use super::forms::Markers;
use super::tools::Types;
use crate::ConstraintError;
use crate::constraint::{quoted, with_options};

/// How arguments are written: before a name and after it, after a value, and between two arguments.
pub(super) struct Each {
    pub key: [&'static str; 2],
    pub end: &'static str,
    pub between: &'static str,
    pub notation: Notation,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// As JSON; names as identifiers.
    Json,
    /// Texts as they are, up to what comes after the value; others as JSON.
    Raw,
    /// Texts within `<|"|>`, names bare, at every depth.
    Gemma,
}

/// Around Gemma's texts.
const QUOTE: &str = "<|\"|>";
/// How deep schemas are followed; below, anything may come.
const DEEPEST: usize = 12;
/// Demands on a text that only a text in JSON can be held to.
const TEXT_DEMANDS: [&str; 4] = ["pattern", "format", "minLength", "maxLength"];
/// Demands on a list or an object that Gemma's cannot be held to.
const DEMANDS: [&str; 8] = [
    "uniqueItems",
    "contains",
    "prefixItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "dependentRequired",
];

/// Writes the rules of one grammar.
pub(super) struct Writer<'a> {
    pub markers: Markers<'a>,
    /// The schema that references point into.
    pub root: &'a Value,
    pub rules: String,
    /// Rules so far, for their names.
    pub count: usize,
}

impl Writer<'_> {
    /// The arguments that fit an object's schema, in its order. What is not required may be left out.
    pub(super) fn arguments(
        &mut self,
        each: &Each,
        (schema, path): (&Value, &str),
        depth: usize,
    ) -> Result<String, ConstraintError> {
        let schema = self.resolved(schema).clone();
        refuse(&schema, path, &["anyOf", "oneOf", "allOf", "not", "if", "$ref"])?;
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        if let Some(name) = required.iter().find(|name| !properties.contains_key(**name)) {
            return Err(unsupported(path, format!("the required `{name}` has no schema among the properties")));
        }
        let mut parts = Vec::new();
        for (name, schema) in properties.clone() {
            let path = format!("{path}.properties.{name}");
            let needed = required.contains(&name.as_str());
            parts.push((self.argument(each, &name, (&schema, &path), depth)?, needed));
        }
        Ok(self.sequence(&parts, each.between))
    }

    /// Some of the parts, in order: all that are needed.
    fn sequence(&mut self, parts: &[(String, bool)], between: &str) -> String {
        let between = if between.is_empty() { String::new() } else { self.lark(between) + " " };
        // What follows a part that was written.
        let mut tails = vec![String::new()];
        for (part, needed) in parts.iter().skip(1).rev() {
            let last = tails.last().map_or("", String::as_str);
            let next = if *needed { format!("{between}{part} {last}") } else { format!("({between}{part})? {last}") };
            let tail = self.rule("", &next);
            tails.push(tail);
        }
        tails.reverse();
        let first = parts.iter().position(|(_, needed)| *needed);
        let begun = parts.iter().zip(&tails).take(first.map_or(parts.len(), |first| first + 1));
        let ways: Vec<String> = begun.map(|((part, _), tail)| format!("{part} {tail}")).collect();
        match (ways.is_empty(), first) {
            (true, _) => String::new(),
            (false, None) => format!("({})?", ways.join(" | ")),
            (false, Some(_)) => format!("({})", ways.join(" | ")),
        }
    }

    /// The name of a rule for one argument.
    fn argument(
        &mut self,
        each: &Each,
        name: &str,
        (schema, path): (&Value, &str),
        depth: usize,
    ) -> Result<String, ConstraintError> {
        let identifier = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.is_empty();
        if each.notation != Notation::Raw && !identifier {
            return Err(unsupported(path, "such a name cannot be written in the calls of this model's dialect".into()));
        }
        let begin = self.lark(&[each.key[0], name, each.key[1]].concat());
        let rest = match each.notation {
            Notation::Json => format!("{} {}", self.json(schema, path)?, self.lark(each.end)),
            Notation::Raw => self.raw(schema, path, each.end)?,
            Notation::Gemma => format!("{} {}", self.gemma(schema, path, depth)?, self.lark(each.end)),
        };
        Ok(self.rule("", &format!("{begin} {rest}")))
    }

    /// A value up to `end`: any text where the schema allows texts, since what reads as something else is allowed too then.
    fn raw(&mut self, schema: &Value, path: &str, end: &str) -> Result<String, ConstraintError> {
        let resolved = self.resolved(schema);
        let written = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let Some(values) = fixed(resolved) {
            let values: Vec<String> = values.iter().map(|value| self.lark(&written(value))).collect();
            return Ok(format!("({}) {}", values.join(" | "), self.lark(end)));
        }
        if !Types::of(resolved).may_be_text() {
            return Ok(format!("{} {}", self.json(schema, path)?, self.lark(end)));
        }
        refuse(resolved, path, &TEXT_DEMANDS)?;
        Ok(self.text_up_to(end))
    }

    /// Any text, then `end`, which does not stand in it.
    pub(super) fn text_up_to(&mut self, end: &str) -> String {
        let end = self.lark(end);
        // A control token cannot stand in a text.
        if end.starts_with("<[") { format!("TEXT {end}") } else { self.rule("[lazy]", &format!("TEXT {end}")) }
    }

    fn gemma(&mut self, schema: &Value, path: &str, depth: usize) -> Result<String, ConstraintError> {
        let schema = self.resolved(schema).clone();
        if depth > DEEPEST {
            return Ok(self.anything());
        }
        if let Some(values) = fixed(&schema) {
            let values: Vec<String> = values.iter().map(|value| self.gemma_value(value)).collect();
            return Ok(format!("({})", values.join(" | ")));
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(ways) = schema.get(key).and_then(Value::as_array) {
                let one = |(i, way): (usize, &Value)| self.gemma(way, &format!("{path}.{key}[{i}]"), depth + 1);
                let ways = ways.iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()?;
                return Ok(format!("({})", ways.join(" | ")));
            }
        }
        refuse(&schema, path, &["allOf", "not", "if"])?;
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ if schema.get("properties").is_some() => vec!["object"],
            _ => return Ok(self.anything()),
        };
        let ways = types.iter().map(|one| self.gemma_typed(&schema, (one, path), depth));
        let ways = ways.collect::<Result<Vec<_>, _>>()?;
        Ok(format!("({})", ways.join(" | ")))
    }

    fn gemma_typed(
        &mut self,
        schema: &Value,
        (kind, path): (&str, &str),
        depth: usize,
    ) -> Result<String, ConstraintError> {
        match kind {
            "string" => {
                refuse(schema, path, &TEXT_DEMANDS)?;
                Ok(self.gemma_text())
            }
            "array" => {
                refuse(schema, path, &DEMANDS)?;
                let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
                if least > 1 {
                    return Err(unsupported(&format!("{path}.minItems"), "only 0 and 1 are supported here".into()));
                }
                let any = json!({});
                let item = self.gemma(schema.get("items").unwrap_or(&any), &format!("{path}.items"), depth + 1)?;
                let item = self.rule("", &item);
                let several = format!("{item} (\",\" {item})*");
                Ok(if least == 0 { format!("\"[\" ({several})? \"]\"") } else { format!("\"[\" {several} \"]\"") })
            }
            "object" if schema.get("properties").is_some() => {
                refuse(schema, path, &DEMANDS)?;
                Ok(format!("\"{{\" {} \"}}\"", self.arguments(&GEMMA, (schema, path), depth + 1)?))
            }
            "object" => {
                self.anything();
                Ok("any_object".into())
            }
            other => {
                let mut schema = schema.clone();
                schema["type"] = other.into();
                self.json(&schema, path)
            }
        }
    }

    /// A text in Gemma's quotes.
    fn gemma_text(&mut self) -> String {
        let text = self.text_up_to(QUOTE);
        format!("{} {text}", self.lark(QUOTE))
    }

    fn gemma_value(&mut self, value: &Value) -> String {
        match value {
            Value::String(text) => self.lark(&[QUOTE, text, QUOTE].concat()),
            other => quoted(&other.to_string()),
        }
    }

    /// Any value as Gemma writes it.
    fn anything(&mut self) -> String {
        if !self.rules.contains("\nany: ") {
            let text = self.gemma_text();
            self.rules += &format!(
                "\nany: {text} | any_scalar | \"[\" (any (\",\" any)*)? \"]\" | any_object\n\
                 any_scalar: %json {{\"type\": [\"number\", \"boolean\", \"null\"]}}\n\
                 any_object: \"{{\" (any_entry (\",\" any_entry)*)? \"}}\"\n\
                 any_entry: /[A-Za-z_][A-Za-z0-9_]*/ \":\" any\n"
            );
        }
        "any".into()
    }

    fn json(&mut self, schema: &Value, path: &str) -> Result<String, ConstraintError> {
        let mut schema = schema.clone();
        if let Some(map) = schema.as_object_mut() {
            for key in ["$defs", "definitions"] {
                if let Some(definitions) = self.root.get(key) {
                    map.entry(key).or_insert_with(|| definitions.clone());
                }
            }
        }
        let schema = with_options(&schema).map_err(|e| ConstraintError::new(path, e.message))?;
        Ok(format!("%json {schema}"))
    }

    /// Adds a rule, and gives its name.
    fn rule(&mut self, attributes: &str, body: &str) -> String {
        self.count += 1;
        let name = format!("part_{}", self.count);
        self.rules += &format!("{name}{attributes}: {body}\n");
        name
    }

    fn lark(&self, text: &str) -> String {
        super::forms::lark(text, self.markers)
    }

    /// What a schema refers to within the root, if it does.
    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let mut found = schema;
        for _ in 0..DEEPEST {
            let reference = found.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
            match reference.and_then(|pointer| self.root.pointer(pointer)) {
                Some(next) => found = next,
                None => break,
            }
        }
        found
    }
}

/// Gemma's objects, at every depth.
pub(super) const GEMMA: Each = Each { key: ["", ":"], end: "", between: ",", notation: Notation::Gemma };

/// The values that a schema lists.
fn fixed(schema: &Value) -> Option<Vec<Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(vec![value.clone()]),
        (None, Some(Value::Array(values))) if !values.is_empty() => Some(values.clone()),
        _ => None,
    }
}

fn refuse(schema: &Value, path: &str, keywords: &[&str]) -> Result<(), ConstraintError> {
    let Some(keyword) = keywords.iter().find(|keyword| schema.get(**keyword).is_some()) else { return Ok(()) };
    let message = format!("the keyword `{keyword}` is not supported in the calls of this model's dialect");
    Err(unsupported(&format!("{path}.{keyword}"), message))
}

fn unsupported(path: &str, message: String) -> ConstraintError {
    ConstraintError { path: path.to_owned(), message, unsupported: true }
}
