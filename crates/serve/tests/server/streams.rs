//! What streams say: the same as whole answers, event by event.

use serde_json::{Value, json};

use crate::client::Client;
use crate::support::{Server, Setup, chat, completion, gate, matches, with};

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

/// All events of a stream, which must end in `[DONE]`.
async fn events(server: &Server, path: &str, body: &Value) -> Vec<Value> {
    let mut client = Client::connect(server.address).await;
    client.send("POST", path, body.to_string().as_bytes()).await;
    let head = client.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")), "{body}");
    assert_eq!(head.header("content-encoding"), None);
    let mut events = Vec::new();
    loop {
        let data = client.event().await.expect("a stream ends in [DONE]");
        if data == "[DONE]" {
            break;
        }
        events.push(serde_json::from_str(&data).expect("events are JSON"));
    }
    assert_eq!(client.chunk().await, None, "nothing follows [DONE]");
    events
}

/// Streams put together are the whole answer.
#[tokio::test]
async fn streams_equal_answers() {
    let server = Server::start().await;
    let cases = [
        (CHAT, chat("hi", json!({}))),
        (CHAT, chat("hi", json!({ "stop": "ST", "n": 3 }))),
        (CHAT, chat("hi", json!({ "stop": "P" }))),
        (CHAT, chat("hi", json!({ "max_tokens": 4, "logprobs": true, "top_logprobs": 1 }))),
        (
            CHAT,
            chat("hi", json!({ "ignore_eos": true, "max_tokens": 40, "stop": ["é.ab", "vwxyz!"], "logprobs": true })),
        ),
        (TEXT, completion("x", json!({ "max_tokens": 50 }))),
        (TEXT, completion("x", json!({ "max_tokens": 3, "logprobs": 2 }))),
        (TEXT, completion("x", json!({ "temperature": 3, "seed": 5, "n": 2, "ignore_eos": true, "logprobs": 1 }))),
        (TEXT, json!({ "prompt": ["X", "a"], "echo": true, "stop": ["f"] })),
        (TEXT, json!({ "prompt": ["X", "a"], "echo": true, "logprobs": 2, "stop": ["f"] })),
    ];
    for (path, body) in cases {
        // Neither finds what the other has computed: then they say the same.
        let salted = |salt: &str| with(body.clone(), json!({ "cache_salt": format!("{salt} {body}") }));
        let whole = server.post(path, &salted("whole")).await.json();
        let body = with(salted("stream"), json!({ "stream": true, "stream_options": { "include_usage": true } }));
        let events = events(&server, path, &body).await;
        assert_eq!(events.last().map(|event| &event["usage"]), Some(&whole["usage"]), "{body}");
        for choice in whole["choices"].as_array().expect("choices") {
            assert_eq!(join(&events, &choice["index"]), flat(choice), "{body}: {events:#?}");
        }
    }
}

#[tokio::test]
async fn chunks_have_their_shape() {
    let server = Server::start().await;
    let chunk = |delta: Value, reason: Value| {
        json!({ "id": "~chatcmpl-", "object": "chat.completion.chunk", "model": "tiny", "system_fingerprint": "~whinchat",
                "choices": [{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason }] })
    };
    let expected = [
        chunk(json!({ "role": "assistant", "content": "" }), Value::Null),
        chunk(json!({ "content": "P" }), Value::Null),
        chunk(json!({ "content": "Q" }), Value::Null),
        chunk(json!({}), json!("length")),
    ];
    let body = chat("hi", json!({ "stream": true, "max_tokens": 2 }));
    let found = events(&server, CHAT, &body).await;
    assert!(found.iter().all(|event| event["id"] == found[0]["id"] && event.get("usage").is_none()), "{found:#?}");
    assert!(matches(&json!(expected), &json!(found)), "{found:#?}");

    let body = with(body, json!({ "stream_options": { "include_usage": true } }));
    let found = events(&server, CHAT, &body).await;
    let (last, others) = found.split_last().expect("events");
    assert!(others.iter().all(|event| event["usage"] == Value::Null && event.get("usage").is_some()), "{found:#?}");
    let usage = json!({ "prompt_tokens": 21, "completion_tokens": 2, "total_tokens": 23 });
    assert!(matches(&json!({ "choices": [], "usage": usage }), last), "{last:#}");
}

/// Each event is there before the next token is computed: nobody collects or compresses them.
#[tokio::test]
async fn events_come_one_by_one() {
    let (step, gate) = gate();
    let server = Server::with(Setup { gate: Some(gate), ..Setup::default() }).await;
    let mut client = Client::connect(server.address).await;
    let body = completion("a", json!({ "stream": true, "max_tokens": 5 })).to_string();
    client.send("POST", TEXT, body.as_bytes()).await;
    for text in ["b", "c", "d", "e", "f"] {
        step.send(()).expect("the model waits for it");
        if text == "b" {
            assert_eq!(client.head().await.status, 200);
        }
        let event: Value = serde_json::from_str(&client.event().await.expect("an event")).expect("JSON");
        assert_eq!(event["choices"][0]["text"], text);
    }
}

/// Text, end and tokens of a choice, from its events.
fn join(events: &[Value], index: &Value) -> (String, String, Vec<Value>) {
    let mut all = (String::new(), String::new(), Vec::new());
    for choice in events.iter().flat_map(|event| event["choices"].as_array()).flatten() {
        if &choice["index"] == index {
            let (text, reason, tokens) = flat(choice);
            all.0 += &text;
            all.1 += &reason;
            all.2.extend(tokens);
        }
    }
    all
}

/// Text, end and tokens of a choice, whole or part, of any endpoint.
fn flat(choice: &Value) -> (String, String, Vec<Value>) {
    let text = ["/text", "/message/content", "/delta/content"].iter().find_map(|path| choice.pointer(path)?.as_str());
    let logprobs = &choice["logprobs"];
    let tokens = match (&logprobs["content"], &logprobs["tokens"]) {
        (Value::Array(content), _) => content.clone(),
        (_, Value::Array(tokens)) => {
            let field = |name: &str, i: usize| logprobs[name][i].clone();
            let names = ["token_logprobs", "top_logprobs", "text_offset"];
            let entry = |(i, token): (usize, &Value)| json!([token, names.map(|name| field(name, i))]);
            tokens.iter().enumerate().map(entry).collect()
        }
        _ => Vec::new(),
    };
    (text.unwrap_or_default().to_owned(), choice["finish_reason"].as_str().unwrap_or_default().to_owned(), tokens)
}
