//! The tables hold together: every text of them is in the notation, and every name has something behind it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::operation::Answer;
use super::{document, notation, page, table};
use crate::known;

#[test]
fn every_shape_is_in_the_notation() {
    let answers = table::groups().flat_map(|group| group.operations).flat_map(|operation| operation.answers);
    let answered = answers.map(|Answer(_, _, text)| *text).filter(|text| !text.is_empty());
    let named = table::groups().flat_map(|group| group.shapes).map(|(_, text)| *text);
    let fields = known::requests().flat_map(known::Request::fields).map(|field| field.shape);
    let mut read = 0;
    for text in answered.chain(named).chain(fields) {
        notation::schema(text).unwrap_or_else(|problem| panic!("{problem}"));
        read += 1;
    }
    assert!(read > 400, "only {read} texts were read");
}

#[test]
fn every_name_has_a_schema_and_every_schema_a_use() {
    let document = document(true);
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    let known: BTreeSet<&str> =
        document["components"]["schemas"].as_object().expect("schemas").keys().map(String::as_str).collect();
    assert_eq!(known, used.into_iter().collect());
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next()));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn operations_are_told_once_and_whole() {
    let (mut places, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for operation in table::groups().flat_map(|group| group.operations) {
        let place = (operation.method, operation.path);
        assert!(places.insert(place), "{place:?} is there twice");
        assert!(!operation.answers.is_empty(), "{place:?} has no answer");
        assert!(!operation.summary.ends_with('.') && !operation.summary.is_empty(), "{place:?}: {}", operation.summary);
        let form = operation.body.is_none_or(|body| body.endpoint.ends_with(", a form"));
        let example = serde_json::from_str::<Value>(operation.example);
        assert!(form || example.is_ok_and(|example| example.is_object()), "{place:?} has no example");
    }
    let document = document(true);
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let id = operation["operationId"].as_str().expect("a name");
            assert!(ids.insert(id.to_owned()), "{id} is the name of two");
            let named: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            let wanted = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(named, wanted, "{method} {path}");
            assert!(operation["responses"]["400"].is_object(), "{method} {path} tells of no problem");
        }
    }
    assert_eq!(ids.len(), places.len());
}

#[test]
fn dialects_have_their_own_statuses_and_shapes() {
    let check = |path: &str, status: &str, shape: &str, code: &str| {
        let document = document(true);
        let response = &document["paths"][path]["post"]["responses"][status];
        let told = response["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
        assert!(told.ends_with(&format!("/{shape}")), "{path} {status}: {response:#}");
        assert!(
            response["description"].as_str().is_some_and(|codes| codes.contains(code)),
            "{path} {status}: {response:#}"
        );
    };
    check("/v1/chat/completions", "429", "Error", "queue_full");
    check("/v1/messages", "529", "AnthropicError", "queue_full");
    check("/v1/messages", "429", "AnthropicError", "rate_limit_exceeded");
    check("/api/chat", "503", "OllamaError", "queue_full");
    check("/api/chat", "404", "OllamaError", "model_not_found");
    check("/v1/responses", "504", "Error", "deadline_exceeded");
}

#[test]
fn the_page_is_the_document() {
    let read: Value = serde_json::from_str(&page()).expect("JSON");
    assert_eq!(read, document(true));
    assert_eq!(read["openapi"], "3.1.0");
}
