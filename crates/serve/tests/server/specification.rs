//! Answers have what OpenAI's own specification says they have.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::Client;
use crate::support::{Server, chat, completion, with};

const SPECIFICATION: &str = "../shared/assets/specs/openai-openapi.json";

#[tokio::test]
async fn answers_fit_the_specification() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(SPECIFICATION);
    let Ok(text) = std::fs::read(path) else {
        eprintln!("skipped: {SPECIFICATION} is absent");
        return;
    };
    let root: Value = serde_json::from_slice(&text).expect("the specification is JSON");
    let server = Server::start().await;
    let logprobs = json!({ "logprobs": true, "top_logprobs": 2, "n": 2 });
    let cases = [
        ("/v1/chat/completions", chat("hi", json!({})), "CreateChatCompletionResponse"),
        ("/v1/chat/completions", chat("hi", logprobs.clone()), "CreateChatCompletionResponse"),
        ("/v1/completions", completion("X", json!({})), "CreateCompletionResponse"),
        ("/v1/completions", completion("x", json!({ "logprobs": 2 })), "CreateCompletionResponse"),
        ("/v1/responses", json!({ "input": "hi" }), "Response"),
        ("/v1/responses", json!({ "input": "hi", "max_output_tokens": 2, "top_logprobs": 2 }), "Response"),
        ("/v1/responses", json!({ "input": "hi", "background": true }), "Response"),
        ("/v1/responses", json!({}), "ErrorResponse"),
        ("/v1/embeddings", json!({ "input": ["hi", "x"] }), "CreateEmbeddingResponse"),
        ("/v1/embeddings", json!({}), "ErrorResponse"),
        ("/v1/completions", json!({}), "ErrorResponse"),
        ("/v1/completions", json!({ "prompt": "x", "n": 0 }), "ErrorResponse"),
    ];
    for (path, body, schema) in cases {
        fits(&root, schema, &server.post(path, &body).await.json());
    }
    let mut client = Client::connect(server.address).await;
    client.send("POST", "/v1/responses", json!({ "input": "hi", "stream": true }).to_string().as_bytes()).await;
    client.head().await;
    while let Some((_, event)) = client.named_event().await {
        fits(&root, "ResponseStreamEvent", &serde_json::from_str(&event).expect("JSON"));
    }
    fits(&root, "ListModelsResponse", &server.get("/v1/models").await.json());
    fits(&root, "Model", &server.get("/v1/models/tiny").await.json());
    for more in [json!({}), logprobs, json!({ "stream_options": { "include_usage": true } })] {
        let body = with(chat("hi", json!({ "stream": true })), more);
        let mut client = Client::connect(server.address).await;
        client.send("POST", "/v1/chat/completions", body.to_string().as_bytes()).await;
        client.head().await;
        while let Some(event) = client.event().await.filter(|event| event != "[DONE]") {
            // The specification's prose wants a null here; its schema has forgotten it.
            let event = event.replace(",\"usage\":null", "");
            fits(&root, "CreateChatCompletionStreamResponse", &serde_json::from_str(&event).expect("JSON"));
        }
    }
}

/// Whether `value` is what the specification calls `name`; true where the specification is absent.
#[cfg(feature = "batches")]
pub(crate) fn check_named(name: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(SPECIFICATION);
    if let Ok(text) = std::fs::read(path) {
        fits(&serde_json::from_slice(&text).expect("the specification is JSON"), name, value);
    }
}

fn fits(root: &Value, name: &str, value: &Value) {
    let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
    if let Err(problem) = check(root, &schema, value) {
        panic!("{name}: {problem}\n{value:#}");
    }
}

/// The part of JSON Schema that the specification uses for answers.
fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return check(root, root.pointer(&reference[1..]).ok_or(reference)?, value);
    }
    if value.is_null() && schema["nullable"] == true {
        return Ok(());
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Value::Array(options) = &schema[keyword] {
            let problems: Vec<_> = options.iter().filter_map(|option| check(root, option, value).err()).collect();
            return if problems.len() < options.len() { Ok(()) } else { Err(problems.join(" or ")) };
        }
    }
    check_type(schema, value)?;
    if let Value::Array(allowed) = &schema["enum"] {
        allowed.contains(value).then_some(()).ok_or_else(|| format!("{value} is none of {allowed:?}"))?;
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        value.get(name).ok_or_else(|| format!("{name} is missing"))?;
    }
    check_parts(root, schema, value)
}

fn check_type(schema: &Value, value: &Value) -> Result<(), String> {
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => true,
    };
    fits.then_some(()).ok_or_else(|| format!("{value} is not of type {}", schema["type"]))
}

fn check_parts(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    for (name, value) in value.as_object().into_iter().flatten() {
        let part =
            schema["properties"].get(name).or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()));
        part.map_or(Ok(()), |part| check(root, part, value)).map_err(|problem| format!("{name}: {problem}"))?;
    }
    for item in value.as_array().into_iter().flatten().filter(|_| schema["items"].is_object()) {
        check(root, &schema["items"], item)?;
    }
    Ok(())
}
