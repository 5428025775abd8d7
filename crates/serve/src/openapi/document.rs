//! The document: OpenAPI 3.1.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::operation::{Answer, BODY, ENTERING, KEYS, LIMITS, Operation};
use super::request::{body, form, parameters, shape};
use super::table;
use crate::keys::Need;
use crate::{Kind, Problem, wire};

const ABOUT: &str = "Language models over HTTP: the APIs of OpenAI, Anthropic and Ollama, and the server's own. Bodies are read as JSON \
                     whatever their content type; null is as good as nothing, and fields that are not named here are ignored. A key is \
                     wanted where the server was started with keys. Faults on purpose may have other statuses than those that are named here.";

/// Everything that this build answers; `whole`: that any build does.
pub fn document(whole: bool) -> Value {
    let (mut paths, mut tags) = (Map::new(), Vec::new());
    for group in table::groups().filter(|group| whole || group.built) {
        tags.push(json!({ "name": group.name, "description": group.about }));
        for operation in group.operations {
            let described = described(operation, group.name);
            paths.entry(plain(operation.path)).or_insert_with(|| json!({}))[operation.method] = described;
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Whinchat", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": { "schemas": schemas(), "securitySchemes": ways() },
    })
}

/// `docs/openapi.json`: what any build answers.
pub fn page() -> String {
    format!("{:#}\n", document(true))
}

/// How a key is shown.
fn ways() -> Value {
    json!({
        "bearer": { "type": "http", "scheme": "bearer" },
        "password": { "type": "http", "scheme": "basic" },
        "x-api-key": { "type": "apiKey", "in": "header", "name": "x-api-key" },
    })
}

fn schemas() -> Map<String, Value> {
    let shapes = table::groups().flat_map(|group| group.shapes).map(|(name, text)| ((*name).to_owned(), shape(text)));
    let requests = table::groups().flat_map(|group| group.parts).map(|(name, part)| ((*name).to_owned(), body(part)));
    shapes.chain(requests).collect()
}

/// A path as OpenAPI has it.
fn plain(path: &str) -> String {
    path.replace("{*", "{")
}

fn described(operation: &Operation, tag: &str) -> Value {
    let need = Need::of(operation.path);
    let mut said = json!({
        "operationId": id(operation),
        "tags": [tag],
        "summary": operation.summary,
        "x-whinchat-roles": need.roles(),
        "security": if need == Need::Nothing { json!([]) } else { json!([{}, { "bearer": [] }, { "password": [] }, { "x-api-key": [] }]) },
    });
    let parameters: Vec<Value> =
        in_path(operation.path).chain(operation.query.into_iter().flat_map(parameters)).collect();
    if !parameters.is_empty() {
        said["parameters"] = parameters.into();
    }
    if let Some(request) = operation.body {
        said["requestBody"] = match request.endpoint.ends_with(", a form") {
            true => json!({ "required": true, "content": { "multipart/form-data": { "schema": form(request) } } }),
            false => {
                let example: Value = serde_json::from_str(operation.example).unwrap_or_default();
                json!({ "required": true, "content": { "application/json": { "schema": body(request), "example": example } } })
            }
        };
    }
    said["responses"] = responses(operation, need);
    said
}

/// The method and the words of the path.
fn id(operation: &Operation) -> String {
    let words = operation
        .path
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-')
        .filter(|word| !word.is_empty());
    let words: Vec<&str> = std::iter::once(operation.method).chain(words).collect();
    if words.len() == 1 { format!("{}_page", operation.method) } else { words.join("_") }
}

/// The parts of a path that are data.
fn in_path(path: &str) -> impl Iterator<Item = Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| {
        json!({ "name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
    })
}

fn responses(operation: &Operation, need: Need) -> Value {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for Answer(status, media, text) in operation.answers {
        let response = all.entry(status.to_string()).or_insert_with(|| json!({ "description": reason(*status) }));
        match *media {
            "" => {}
            "application/json" => response["content"][media] = json!({ "schema": shape(text) }),
            "text/event-stream" => response["content"][media] = json!({ "schema": event(text, operation.path) }),
            "application/x-ndjson" => response["content"][media] = json!({ "schema": line(text) }),
            _ => response["content"][media] = json!({ "schema": { "type": "string" } }),
        }
    }
    for (status, codes) in problems(operation, need) {
        let response = all.entry(status.to_string()).or_insert_with(|| json!({ "description": codes.join(", ") }));
        let schema = shape(wire::problem_shape(operation.path));
        let schema = match response["content"]["application/json"].get("schema") {
            Some(answer) => json!({ "anyOf": [answer, schema] }),
            None => schema,
        };
        response["content"]["application/json"] = json!({ "schema": schema });
    }
    json!(all)
}

/// Whose streams end with an event that is no JSON.
const UNTIL_DONE: [&str; 2] = ["/v1/chat/completions", "/v1/completions"];

/// What an event of a stream is. OpenAPI 3.1 has no other place for it than the schema of the whole. What goes wrong behind the first event is
/// one too.
fn event(text: &str, path: &str) -> Value {
    let either = json!({ "anyOf": [shape(text), shape(wire::problem_shape(path))] });
    let data = json!({ "type": "string", "contentMediaType": "application/json", "contentSchema": either });
    let data = if UNTIL_DONE.contains(&path) { json!({ "anyOf": [{ "const": "[DONE]" }, data] }) } else { data };
    json!({
        "description": "Each event",
        "type": "object",
        "properties": {
            "event": { "type": "string" },
            "data": data,
        },
        "required": ["data"],
    })
}

/// What a line of a stream is.
fn line(text: &str) -> Value {
    json!({ "description": "Each line", "type": "string", "contentMediaType": "application/json", "contentSchema": shape(text) })
}

fn reason(status: u16) -> &'static str {
    match status {
        304 => "What the client has is still right",
        503 => "Not ready",
        _ => "The answer",
    }
}

/// The codes of all that an operation may refuse for, by status.
fn problems(operation: &Operation, need: Need) -> BTreeMap<u16, Vec<&'static str>> {
    let computes = need == Need::Use && operation.method.eq_ignore_ascii_case(Method::POST.as_str());
    let usual = [(ENTERING, true), (KEYS, need != Need::Nothing), (LIMITS, computes), (BODY, operation.body.is_some())];
    let kinds = usual.iter().filter(|(_, applies)| *applies).flat_map(|(kinds, _)| *kinds);
    let mut all: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for kind in kinds.chain(operation.problems.iter().copied().flatten()) {
        let codes = all.entry(status(operation.path, *kind)).or_default();
        let code = wire::code(*kind);
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    all
}

/// The status that a path has for a problem: what it would answer.
fn status(path: &str, kind: Kind) -> u16 {
    wire::problem(path, &Problem::new(kind, "")).status().as_u16()
}
