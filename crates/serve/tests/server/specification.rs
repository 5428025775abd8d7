//! Answers have what OpenAI's own specification says they have.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::Client;
use crate::support::{Server, chat, completion, with};
use crate::tools::reciting;

const SPECIFICATION: &str = "../shared/assets/specs/openai-openapi.json";

/// The specification, where it is there.
pub(crate) fn root() -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(SPECIFICATION);
    let Ok(text) = std::fs::read(path) else {
        eprintln!("skipped: {SPECIFICATION} is absent");
        return None;
    };
    Some(serde_json::from_slice(&text).expect("the specification is JSON"))
}

#[tokio::test]
async fn answers_fit_the_specification() {
    let Some(root) = root() else { return };
    let server = Server::start().await;
    let logprobs = json!({ "logprobs": true, "top_logprobs": 2, "n": 2 });
    let cases = [
        ("/v1/chat/completions", chat("hi", json!({})), "CreateChatCompletionResponse"),
        ("/v1/chat/completions", chat("hi", logprobs), "CreateChatCompletionResponse"),
        ("/v1/completions", completion("X", json!({})), "CreateCompletionResponse"),
        ("/v1/completions", completion("x", json!({ "logprobs": 2 })), "CreateCompletionResponse"),
        ("/v1/responses", json!({ "input": "hi" }), "Response"),
        ("/v1/responses", json!({ "input": "hi", "max_output_tokens": 2, "top_logprobs": 2 }), "Response"),
        ("/v1/responses", json!({ "input": "hi", "background": true, "metadata": { "a": "b" } }), "Response"),
        (
            "/v1/responses",
            json!({ "input": "hi", "instructions": "be brief", "store": false, "user": "me" }),
            "Response",
        ),
        ("/v1/responses", json!({ "input": "hi", "reasoning": { "effort": "low" }, "text": {} }), "Response"),
        ("/v1/responses/input_tokens", json!({ "input": "hi" }), "TokenCountsResource"),
        ("/v1/embeddings", json!({ "input": ["hi", "x"] }), "CreateEmbeddingResponse"),
    ];
    for (path, body, schema) in cases {
        let answer = server.post(path, &body).await;
        assert_eq!(answer.head.status, 200, "{path} {body}: {}", answer.json());
        fits(&root, schema, &answer.json());
    }
    fits(&root, "ListModelsResponse", &server.get("/v1/models").await.json());
    fits(&root, "Model", &server.get("/v1/models/tiny").await.json());
}

#[tokio::test]
async fn errors_fit_the_specification() {
    let Some(root) = root() else { return };
    let server = Server::start().await;
    let paths =
        ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/responses/input_tokens"];
    for path in paths.into_iter().chain(["/v1/responses/x/cancel", "/v1/files", "/v1/batches", "/v1/nothing"]) {
        let answer = server.post(path, &json!({})).await;
        assert!(answer.head.status >= 400, "{path}: {}", answer.json());
        fits(&root, "ErrorResponse", &answer.json());
    }
    for path in ["/v1/models/none", "/v1/responses/none", "/v1/responses/none/input_items", "/v1/completions"] {
        fits(&root, "ErrorResponse", &server.get(path).await.json());
    }
}

/// The events of a stream, each as JSON.
async fn events(server: &Server, path: &str, body: &Value) -> Vec<Value> {
    let mut client = Client::connect(server.address).await;
    client.send("POST", path, with(body.clone(), json!({ "stream": true })).to_string().as_bytes()).await;
    let answer = String::from_utf8(client.answer().await.body).expect("text");
    let data = answer.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

#[tokio::test]
async fn streams_fit_the_specification() {
    let Some(root) = root() else { return };
    let server = Server::start().await;
    let thinking = reciting("<think>hm</think>Yes.").await;
    let calling = reciting("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>").await;
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } });
    let function = json!({ "type": "function", "name": "f", "parameters": { "type": "object" }, "strict": null });
    let usage = json!({ "stream_options": { "include_usage": true } });
    let logprobs = json!({ "logprobs": true, "top_logprobs": 2, "n": 2 });
    let (chats, texts, responses) = ("/v1/chat/completions", "/v1/completions", "/v1/responses");
    let cases = [
        (&server, chats, chat("hi", json!({}))),
        (&server, chats, chat("hi", logprobs)),
        (&server, chats, chat("hi", usage.clone())),
        (&thinking, chats, chat("hi", json!({}))),
        (&calling, chats, chat("hi", json!({ "tools": [tool] }))),
        (&server, texts, completion("X", json!({ "logprobs": 2 }))),
        (&server, texts, completion("X", usage)),
        (&server, responses, json!({ "input": "hi" })),
        (&server, responses, json!({ "input": "hi", "max_output_tokens": 2, "top_logprobs": 2 })),
        (&server, responses, json!({ "input": "hi", "background": true })),
        (&server, responses, json!({ "input": "#" })),
        (&thinking, responses, json!({ "input": "hi" })),
        (&calling, responses, json!({ "input": "hi", "tools": [function] })),
    ];
    for (server, path, body) in cases {
        let schema = match path {
            "/v1/chat/completions" => "CreateChatCompletionStreamResponse",
            "/v1/completions" => "CreateCompletionResponse",
            _ => "ResponseStreamEvent",
        };
        let events = events(server, path, &body).await;
        assert!(events.len() > 2, "{path} {body}: {events:?}");
        events.into_iter().for_each(|event| fits(&root, schema, &without_nulls(event)));
        // The same whole, of which a stream must say nothing else.
        let whole = json!({ "background": false, "stream_options": null });
        let whole = server.post(path, &with(body, whole)).await.json();
        let schema = match path {
            "/v1/chat/completions" => "CreateChatCompletionResponse",
            "/v1/completions" => "CreateCompletionResponse",
            _ => "Response",
        };
        fits(&root, if whole["error"]["message"].is_string() { "ErrorResponse" } else { schema }, &whole);
    }
}

/// The specification's prose wants these nulls in streams; its schemas have forgotten them.
fn without_nulls(mut event: Value) -> Value {
    if let Some(fields) = event.as_object_mut().filter(|fields| fields.get("usage").is_some_and(Value::is_null)) {
        fields.remove("usage");
    }
    for choice in event.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten() {
        if choice["text"].is_string() && choice["finish_reason"].is_null() {
            choice["finish_reason"] = "stop".into();
        }
    }
    event
}

#[tokio::test]
async fn lists_of_items_fit_the_specification() {
    let Some(root) = root() else { return };
    let server = Server::start().await;
    let part = json!({ "type": "output_text", "text": "b", "annotations": [] });
    let items = json!([
        { "role": "user", "content": "a" },
        { "type": "reasoning", "content": [{ "type": "reasoning_text", "text": "hm" }] },
        { "role": "assistant", "content": [part] },
        { "role": "assistant", "content": "b" },
        { "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "c", "output": "8" },
        { "role": "developer", "content": [{ "type": "input_text", "text": "a" }] },
        { "role": "system", "content": [{ "type": "text", "text": "a" }] },
    ]);
    let response = server.post("/v1/responses", &json!({ "input": items })).await.json();
    let path = format!("/v1/responses/{}/input_items", response["id"].as_str().expect("a name"));
    let kinds = async |query: &str| {
        let list = server.get(&format!("{path}{query}")).await.json();
        fits(&root, "ResponseItemList", &list);
        assert!(list["data"].as_array().is_some_and(|items| items.is_empty() || items[0]["id"] == list["first_id"]));
        let kind = |item: &Value| item["role"].as_str().or(item["type"].as_str()).expect("a kind").to_owned();
        (list["data"].as_array().expect("items").iter().map(kind).collect::<Vec<_>>(), list)
    };
    let (all, list) = kinds("?order=asc").await;
    let wanted =
        ["user", "reasoning", "assistant", "assistant", "function_call", "function_call_output", "developer", "system"];
    assert_eq!((all, &list["has_more"]), (wanted.map(str::to_owned).to_vec(), &json!(false)));
    let (last, list) = kinds("?limit=2").await;
    assert_eq!((last, &list["has_more"]), (vec!["system".to_owned(), "developer".to_owned()], &json!(true)));
    let after = list["last_id"].as_str().expect("a name");
    assert_eq!(kinds(&format!("?limit=1&after={after}")).await.0, ["function_call_output"]);
    let first = kinds("?order=asc&limit=1").await.1;
    assert!(kinds(&format!("?after={}", first["last_id"].as_str().expect("a name"))).await.0.is_empty());
    for (query, param) in [("?limit=0", "limit"), ("?limit=x", "limit"), ("?order=up", "order"), ("?after=x", "after")]
    {
        let answer = server.get(&format!("{path}{query}")).await;
        assert_eq!((answer.head.status, answer.json()["error"]["param"].as_str()), (400, Some(param)), "{query}");
    }
}

/// Whether `value` is what the specification calls `name`; true where the specification is absent.
#[cfg(feature = "batches")]
pub(crate) fn check_named(name: &str, value: &Value) {
    if let Some(root) = root() {
        fits(&root, name, value);
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
            if problems.len() == options.len() {
                return Err(problems.join(" or "));
            }
        }
    }
    check_type(schema, value)?;
    check_value(schema, value)?;
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check(root, part, value)?;
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

fn check_value(schema: &Value, value: &Value) -> Result<(), String> {
    if let Value::Array(allowed) = &schema["enum"] {
        allowed.contains(value).then_some(()).ok_or_else(|| format!("{value} is none of {allowed:?}"))?;
    }
    let (size, number) = (value.as_array().map(|items| items.len() as f64), value.as_f64());
    let bounds =
        [("minimum", number, 1.0), ("maximum", number, -1.0), ("minItems", size, 1.0), ("maxItems", size, -1.0)];
    for (keyword, found, sign) in bounds {
        let (Some(found), Some(bound)) = (found, schema[keyword].as_f64()) else { continue };
        (found * sign >= bound * sign)
            .then_some(())
            .ok_or_else(|| format!("{keyword} is {bound}, and it is {found}"))?;
    }
    match schema.get("const") {
        Some(only) if only != value => Err(format!("{value} is not {only}")),
        _ => Ok(()),
    }
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
