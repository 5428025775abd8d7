//! Reasoning and calls of tools, whole and streamed.

use serde_json::{Value, json};
use text::Dialect;

use crate::client::Client;
use crate::model::Reciting;
use crate::support::{Server, Setup, chat, loaded, matches, with};

const CHAT: &str = "/v1/chat/completions";

/// A server whose model says `text`, in the dialect of Hermes.
pub(crate) async fn reciting(text: &'static str) -> Server {
    let server = Server::with(Setup { loaded: false, ..Setup::default() }).await;
    let executor = Reciting { text, said: 0, logits: Vec::new() };
    server.app.add(loaded("reciting", Dialect::named("hermes").expect("a dialect"), executor, (8, 4096)).1);
    server
}

/// Asks whole and as a stream; both must say `expected`.
async fn check(text: &'static str, more: Value, expected: Value) {
    let server = reciting(text).await;
    let body = chat("hi", more);
    let whole = server.post(CHAT, &body).await.json();
    assert!(matches(&expected, &whole["choices"][0]), "{text}:\n{whole:#}\ndoes not have\n{expected:#}");
    let streamed = streamed(&server, &with(body, json!({ "stream": true }))).await;
    assert!(matches(&expected, &streamed), "{text}:\n{streamed:#}\ndoes not have\n{expected:#}");
}

/// A stream's first choice, put together as clients do.
async fn streamed(server: &Server, body: &Value) -> Value {
    let mut client = Client::connect(server.address).await;
    client.send("POST", CHAT, body.to_string().as_bytes()).await;
    assert_eq!(client.head().await.status, 200);
    let (mut content, mut reasoning, mut calls, mut reason) = (String::new(), String::new(), Vec::new(), Value::Null);
    while let Some(event) = client.event().await.filter(|event| event != "[DONE]") {
        let event: Value = serde_json::from_str(&event).expect("JSON");
        let choice = &event["choices"][0];
        content += choice["delta"]["content"].as_str().unwrap_or_default();
        reasoning += choice["delta"]["reasoning_content"].as_str().unwrap_or_default();
        choice["delta"]["tool_calls"].as_array().into_iter().flatten().for_each(|call| add(&mut calls, call));
        reason = choice["finish_reason"].clone();
    }
    let mut message = json!({ "role": "assistant", "content": content });
    if content.is_empty() && !calls.is_empty() {
        message["content"] = Value::Null;
    }
    if !reasoning.is_empty() {
        message["reasoning_content"] = reasoning.into();
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    json!({ "index": 0, "message": message, "finish_reason": reason })
}

fn add(calls: &mut Vec<Value>, delta: &Value) {
    let index = delta["index"].as_u64().expect("an index") as usize;
    if calls.len() == index {
        calls.push(json!({ "id": delta["id"], "type": delta["type"], "function": delta["function"] }));
        return;
    }
    assert!(delta.get("id").is_none() && delta["function"].get("name").is_none(), "said once: {delta}");
    let known = calls[index]["function"]["arguments"].as_str().expect("a text").to_owned();
    calls[index]["function"]["arguments"] = (known + delta["function"]["arguments"].as_str().expect("a text")).into();
}

fn call(name: &str, arguments: &str) -> Value {
    json!({ "id": "~call-", "type": "function", "function": { "name": name, "arguments": arguments } })
}

pub(crate) const ONE: &str = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": [1, \"}\"]}}\n</tool_call>";
pub(crate) const TWO: &str = "<think>\nhm\n</think>\n\nSure.<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n\
                   <tool_call>{\"name\": \"g\", \"arguments\": {\"y\": 2}}</tool_call>";

#[tokio::test]
async fn answers_are_separated_into_their_parts() {
    let stop = |message: Value| json!({ "message": message, "finish_reason": "stop" });
    let calls = |message: Value| json!({ "message": message, "finish_reason": "tool_calls" });
    check("Hello.", json!({}), stop(json!({ "content": "Hello." }))).await;
    check("<think>hm</think>Yes.", json!({}), stop(json!({ "content": "Yes.", "reasoning_content": "hm" }))).await;
    check(ONE, json!({}), calls(json!({ "content": null, "tool_calls": [call("f", "{\"x\": [1, \"}\"]}")] }))).await;
    let two = json!({ "content": "Sure.", "reasoning_content": "hm", "tool_calls": [call("f", "{}"), call("g", "{\"y\": 2}")] });
    check(TWO, json!({}), calls(two)).await;
    let first = json!({ "content": "~Sure.", "tool_calls": [call("f", "{}")] });
    check(TWO, json!({ "parallel_tool_calls": false }), calls(first)).await;
    // What is no call is content, as the model wrote it.
    check("<tool_call>f(1)</tool_call>", json!({}), stop(json!({ "content": "~<tool_call>f(1)" }))).await;
    check("a <tool_call> b", json!({}), stop(json!({ "content": "~<tool_call>" }))).await;
}

/// A completion has no conversation: what the model writes is its text.
#[tokio::test]
async fn completions_are_text() {
    let server = reciting(ONE).await;
    let body = json!({ "prompt": "x", "max_tokens": 200 });
    server
        .check("/v1/completions", &body, 200, &json!({ "choices": [{ "text": ONE, "finish_reason": "stop" }] }))
        .await;
}
