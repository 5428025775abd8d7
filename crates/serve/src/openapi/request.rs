//! Requests as JSON Schema, from the table of fields.

use serde_json::{Map, Value, json};

use super::notation;
use crate::known::{Field, Request, Use};

/// The body of a request: an object with its fields, each of which may be null.
pub(super) fn body(request: &Request) -> Value {
    let mut all = Map::new();
    for field in request.fields() {
        match field.name.split_once('.') {
            None => _ = all.insert(field.name.to_owned(), property(field, true)),
            Some((outer, inner)) => {
                let outer = all.entry(outer).or_insert_with(|| json!({ "type": ["object", "null"] }));
                outer["properties"][inner] = property(field, true);
            }
        }
    }
    object(all, request)
}

/// A form: texts and files, and what is in a field has its name in brackets.
pub(super) fn form(request: &Request) -> Value {
    let plain = request.fields().filter(|field| !request.fields().any(|other| is_within(other, field)));
    let named = |field: &Field| match field.name.split_once('.') {
        Some((outer, inner)) => (format!("{outer}[{inner}]"), property(field, false)),
        None => (field.name.to_owned(), property(field, false)),
    };
    object(plain.map(named).collect(), request)
}

fn is_within(inner: &Field, outer: &Field) -> bool {
    inner.name.split_once('.').is_some_and(|(name, _)| name == outer.name)
}

fn object(properties: Map<String, Value>, request: &Request) -> Value {
    let required: Vec<&str> = request.fields().filter(|field| field.is_required()).map(|field| field.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The fields of an address as parameters.
pub(super) fn parameters(request: &Request) -> impl Iterator<Item = Value> {
    request.fields().map(|field| {
        let mut schema = property(field, false);
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let mut parameter = json!({ "name": field.name, "in": "query", "schema": schema });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        if field.is_required() {
            parameter["required"] = true.into();
        }
        parameter
    })
}

/// What a field may be, and what becomes of it.
fn property(field: &Field, null: bool) -> Value {
    let (mut schema, word) = match field.usage {
        Use::Honoured if null && !field.is_required() => (shape(&format!("{} | null", field.shape)), "honoured"),
        Use::Honoured => (shape(field.shape), "honoured"),
        Use::Ignored => (json!({}), "ignored"),
        Use::Refused(is_nothing) => {
            let nothing = [json!(null), json!(false), json!(0), json!(""), json!([]), json!({})];
            let also = [json!(true), json!(1), json!(-1), json!("auto"), json!("none")];
            let taken: Vec<&Value> =
                nothing.iter().chain(&also).filter(|value| value.is_null() || is_nothing(value)).collect();
            (json!({ "enum": taken }), "refused")
        }
    };
    let note = if word == "honoured" { field.note.to_owned() } else { format!("{word}. {}", field.note) };
    if !note.is_empty() {
        schema["description"] = note.trim_end().into();
    }
    if word != "honoured" {
        schema["x-whinchat-use"] = word.into();
    }
    schema
}

/// What a text of the tables stands for. A test reads all of them.
pub(crate) fn shape(text: &str) -> Value {
    notation::schema(text).unwrap_or_else(|_| json!({}))
}
