//! The table of fields is what the server does: each field is sent, and each that OpenAI's specification has is in the table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};
use serve::known::{self, Field, Request, Use};

use crate::client::Answer;
use crate::sessions::Shelf;
use crate::specification;
use crate::support::Server;

/// Values of every type; each field takes some of them at most.
fn probes() -> [Value; 8] {
    [json!(-7.25), json!("?"), json!(true), json!([{}]), json!({ "?": 0 }), json!(7), json!(false), json!(null)]
}

/// A request that is answered, or refused for another reason than its fields; and the path to where the fields are.
fn base(endpoint: &str) -> Option<(Value, &'static str)> {
    let messages = json!([{ "role": "user", "content": "hi" }]);
    let chat = json!({ "messages": messages, "dry_multiplier": 0, "chat_template_kwargs": {} });
    Some(match endpoint {
        "POST /v1/chat/completions" | "POST /apply_template" => (chat, ""),
        "POST /v1/completions" => (json!({ "prompt": "x", "dry_multiplier": 0 }), ""),
        "POST /v1/responses" => (json!({ "input": "hi", "dry_multiplier": 0 }), ""),
        "POST /v1/responses/input_tokens" | "POST /v1/embeddings" | "POST /api/embed" => (json!({ "input": "hi" }), ""),
        "POST /v1/messages" => {
            let thinking = json!({ "type": "disabled" });
            (json!({ "messages": messages, "max_tokens": 4, "dry_multiplier": 0, "thinking": thinking }), "")
        }
        "POST /v1/messages/count_tokens" => (json!({ "messages": messages, "thinking": { "type": "disabled" } }), ""),
        "POST /api/chat" => (json!({ "messages": messages, "stream": false }), ""),
        "POST /api/chat, in `messages`" => (json!({ "messages": messages, "stream": false }), "/messages/0"),
        "POST /api/generate" => (json!({ "prompt": "hi", "stream": false }), ""),
        "POST /api/chat and POST /api/generate, in `options`" => {
            (json!({ "messages": messages, "stream": false, "options": { "dry_multiplier": 0 } }), "/options")
        }
        "POST /api/embeddings" => (json!({ "prompt": "hi" }), ""),
        "POST /api/show" => (json!({}), ""),
        "POST /tokenize" => (json!({ "messages": messages }), ""),
        "POST /detokenize" => (json!({ "tokens": [65] }), ""),
        "POST /v1/rerank" => (json!({ "query": "q", "documents": ["a"] }), ""),
        "POST /v1/score" => (json!({ "queries": ["q"], "documents": ["a"] }), ""),
        "POST /v1/sessions" => (json!({ "name": "s", "messages": messages }), ""),
        // They need files that are kept, models that can be loaded and faults that are allowed: the tests of these send their fields.
        "POST /v1/batches"
        | "POST /admin/models"
        | "PATCH /admin/models/NAME"
        | "POST /v1/load_lora_adapter"
        | "POST /v1/unload_lora_adapter"
        | "POST /admin/faults"
        | "POST /admin/releases"
        | "POST /admin/releases/ID/COMMAND"
        | "POST /v1/feedback" => return None,
        // They need --admin and somebody who knows plans: their own tests send their fields.
        other if other.contains(" /plan/") || other.contains(" /memory/") => return None,
        other => {
            assert!(other.contains(", in the address") || other.ends_with(", a form"), "{other} is not sent");
            return None;
        }
    })
}

/// The path of an endpoint.
fn path(request: &Request) -> &'static str {
    request.endpoint.split([' ', ',']).nth(1).expect("a method and a path")
}

/// A request with a value in a field.
fn placed((body, at): &(Value, &str), name: &str, value: Value) -> Value {
    let mut body = body.clone();
    if name.starts_with("stream_options") {
        body["stream"] = true.into();
    }
    let mut place = body.pointer_mut(at).expect("where the fields are");
    let mut name = name;
    if let Some((outer, inner)) = name.split_once('.') {
        (place, name) = (&mut place[outer], inner);
        if !place.is_object() {
            *place = json!({});
        }
    }
    place[name] = value;
    body
}

/// Whether an answer is an error that names a field.
fn names(answer: &Answer, name: &str) -> bool {
    if answer.head.status != 400 {
        return false;
    }
    let body = answer.json();
    if let Some(param) = body["error"].get("param") {
        // OpenAI's errors say which.
        return param.as_str().is_some_and(|param| param.split(['.', '[']).any(|part| part == name_within(name)));
    }
    let message = body["error"]["message"].as_str().or(body["error"].as_str()).unwrap_or_default();
    let mut words = message.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.any(|word| word == name_within(name))
}

/// The name of a field in what it is in.
fn name_within(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

async fn check(server: &Server, request: &Request, base: &(Value, &str), field: &Field) {
    let send = async |value: Value| server.post(path(request), &placed(base, field.name, value)).await;
    let usual = server.post(path(request), &base.0).await;
    let what = format!("{}: {}", request.endpoint, field.name);
    assert_ne!((usual.head.status, names(&usual, field.name)), (400, true), "{what}: {}", usual.json());
    let mut named = false;
    for value in probes() {
        let answer = send(value.clone()).await;
        match field.usage {
            Use::Ignored => assert_eq!(answer.head.status, usual.head.status, "{what} {value}: {}", answer.json()),
            Use::Honoured => named |= names(&answer, field.name),
            Use::Refused(_) => {
                let refused = names(&answer, field.name) && String::from_utf8_lossy(&answer.body).contains("supported");
                assert!(refused || answer.head.status == usual.head.status, "{what} {value}: {}", answer.json());
                named |= refused;
            }
        }
        if named {
            return;
        }
    }
    assert!(matches!(field.usage, Use::Ignored), "{what} takes everything");
}

#[tokio::test]
async fn every_field_is_honoured_refused_or_ignored_as_the_table_says() {
    let server = Server::start().await;
    server.app.keep_sessions(Shelf::default());
    let mut sent = 0;
    for request in known::requests() {
        let Some(base) = base(request.endpoint) else { continue };
        for field in request.fields() {
            check(&server, request, &base, field).await;
            sent += 1;
        }
    }
    assert!(sent > 300, "only {sent} fields were sent");
}

#[test]
fn names_are_told_once() {
    for request in known::requests() {
        let mut seen = BTreeSet::new();
        for field in request.fields() {
            assert!(seen.insert(field.name), "{}: {} is there twice", request.endpoint, field.name);
        }
    }
}

#[test]
fn the_page_of_fields_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/fields.md");
    let page = known::page();
    if std::env::var_os("WHINCHAT_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/fields.md differs from what the code says: run `cargo xtask docs`");
}

/// Requests of the specification, and the endpoints that they go to.
const SPECIFIED: [(&str, &str); 7] = [
    ("CreateChatCompletionRequest", "POST /v1/chat/completions"),
    ("CreateCompletionRequest", "POST /v1/completions"),
    ("CreateResponse", "POST /v1/responses"),
    ("TokenCountsBody", "POST /v1/responses/input_tokens"),
    ("CreateEmbeddingRequest", "POST /v1/embeddings"),
    ("CreateFileRequest", "POST /v1/files, a form"),
    ("CreateBatchRequest", "POST /v1/batches"),
];

/// Addresses of the specification, and the endpoints that answer them.
const ADDRESSES: [(&str, &str); 4] = [
    ("/files", "GET /v1/files, in the address"),
    ("/batches", "GET /v1/batches, in the address"),
    ("/responses/{response_id}", "GET /v1/responses/ID, in the address"),
    ("/responses/{response_id}/input_items", "GET /v1/responses/ID/input_items, in the address"),
];

/// Fields whose own fields are in the table too.
const OPENED: [&str; 5] = ["stream_options", "text", "reasoning", "expires_after", "output_expires_after"];

#[test]
fn every_field_of_the_specification_is_in_the_table() {
    let Some(root) = specification::root() else { return };
    let tables: BTreeMap<&str, &Request> = known::requests().map(|request| (request.endpoint, request)).collect();
    let listed = |endpoint: &str, name: &str| {
        let found = tables[endpoint].fields().any(|field| field.name == name);
        assert!(found, "{endpoint}: the specification has {name}, and the table has not");
    };
    for (schema, endpoint) in SPECIFIED {
        let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
        let fields = properties(&root, &schema);
        assert!(fields.len() > 2, "{schema} is not found");
        for (name, inner) in &fields {
            listed(endpoint, name);
            if OPENED.contains(&name.as_str()) {
                let inner = properties(&root, inner);
                assert!(!inner.is_empty(), "{name} has no fields");
                inner.keys().for_each(|inner| listed(endpoint, &format!("{name}.{inner}")));
            }
        }
    }
    for (path, endpoint) in ADDRESSES {
        let parameters = root["paths"][path]["get"]["parameters"].as_array().expect("parameters");
        let asked = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let asked: Vec<&str> = asked.filter_map(|parameter| parameter["name"].as_str()).collect();
        assert!(asked.len() > 1, "{path}: {asked:?}");
        asked.into_iter().for_each(|name| listed(endpoint, name));
    }
}

/// The fields of a schema, through references and alternatives.
fn properties(root: &Value, schema: &Value) -> Map<String, Value> {
    if let Some(reference) = schema["$ref"].as_str() {
        return properties(root, root.pointer(&reference[1..]).expect("what is referred to"));
    }
    let mut all = schema["properties"].as_object().cloned().unwrap_or_default();
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for part in schema[keyword].as_array().into_iter().flatten() {
            all.extend(properties(root, part));
        }
    }
    all
}
