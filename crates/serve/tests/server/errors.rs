//! What is refused, and in which words.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use serve::{Endpoint, parse_request_body};

use crate::client::{Client, fetch};
use crate::support::{Server, Setup, chat, completion, gate, matches, with};

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

/// The error's code, field and a part of its message.
fn error(code: &str, param: Value, message: &str) -> Value {
    json!({ "error": { "message": format!("~{message}"), "type": "invalid_request_error", "param": param, "code": code } })
}

/// Biases for so many tokens.
fn many(tokens: usize) -> Value {
    (0..tokens).map(|id| (id.to_string(), json!(1))).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test]
async fn fields_are_checked() {
    let server = Server::with(Setup { context: 64, ..Setup::default() }).await;
    let of = |more: Value| chat("hi", more);
    let wrong = |param: &str, message: &str| error("invalid_type", json!(param), message);
    let outside = |param: &str, message: &str| error("invalid_value", json!(param), message);
    let refused = |param: &str| error("unsupported_parameter", json!(param), "not supported");
    let say = |content: Value| json!({ "messages": [{ "role": "user", "content": content }] });
    let image = json!([{ "type": "text", "text": "see" }, { "type": "image_url", "image_url": { "url": "data:" } }]);
    let cases = [
        (CHAT, json!({}), error("missing_required_parameter", json!("messages"), "messages is missing")),
        (CHAT, json!([1]), error("invalid_type", Value::Null, "must be a JSON object, but it is an array")),
        (CHAT, json!({ "messages": "hi" }), wrong("messages", "must be an array, but it is a string")),
        (CHAT, json!({ "messages": [] }), outside("messages", "at least one")),
        (CHAT, json!({ "messages": [1] }), wrong("messages[0]", "must be an object")),
        (CHAT, of(json!({ "prediction": "hi" })), outside("prediction", "type: 'content'")),
        (CHAT, of(json!({ "prediction": { "type": "content", "content": [7] } })), outside("prediction", "'text'")),
        (
            CHAT,
            json!({ "messages": [{ "content": "hi" }] }),
            error("missing_required_parameter", json!("messages[0].role"), "messages[0].role is missing"),
        ),
        (CHAT, json!({ "messages": [{ "role": 1 }] }), wrong("messages[0].role", "must be a string")),
        (
            CHAT,
            say(Value::Null),
            error("missing_required_parameter", json!("messages[0].content"), "content is missing"),
        ),
        (CHAT, say(json!(3)), wrong("messages[0].content", "string or an array")),
        (CHAT, say(image), refused("messages[0].content[1]")),
        (CHAT, json!({ "messages": [{ "role": "nobody" }] }), outside("messages", "Nobody may not speak")),
        (CHAT, of(json!({ "model": 1 })), wrong("model", "must be a string, but it is 1")),
        (CHAT, of(json!({ "temperature": -0.1 })), outside("temperature", "at least 0, but it is -0.1")),
        (CHAT, of(json!({ "temperature": 1e300 })), outside("temperature", "at most 3.4028235e38, but it is 1e300")),
        (CHAT, of(json!({ "temperature": "hot" })), wrong("temperature", "must be a number, but it is a string")),
        (CHAT, of(json!({ "top_p": -0.1 })), outside("top_p", "at least 0 and at most 1, but it is -0.1")),
        (CHAT, of(json!({ "top_p": 1.5 })), outside("top_p", "at most 1")),
        (CHAT, of(json!({ "top_k": -2 })), outside("top_k", "at least -1")),
        (CHAT, of(json!({ "min_p": 2 })), outside("min_p", "at most 1")),
        (CHAT, of(json!({ "repetition_penalty": 0 })), outside("repetition_penalty", "more than 0")),
        (CHAT, of(json!({ "frequency_penalty": 3 })), outside("frequency_penalty", "at most 2")),
        (CHAT, of(json!({ "presence_penalty": -3 })), outside("presence_penalty", "at least -2")),
        (CHAT, of(json!({ "n": 0 })), outside("n", "at least 1 and at most 128")),
        (CHAT, of(json!({ "n": 129 })), outside("n", "at most 128")),
        (CHAT, of(json!({ "n": 1.5 })), wrong("n", "must be an integer")),
        (CHAT, of(json!({ "max_tokens": 0 })), outside("max_tokens", "at least 1")),
        (CHAT, of(json!({ "max_tokens": -2 })), outside("max_tokens", "at least 1")),
        (CHAT, of(json!({ "repeat_penalty": 0 })), outside("repeat_penalty", "more than 0")),
        (CHAT, of(json!({ "dry_multiplier": -1 })), outside("dry_multiplier", "at least 0")),
        (
            CHAT,
            of(json!({ "dry_multiplier": 1, "dry_sequence_breakers": ["x".repeat(41)] })),
            outside("dry_sequence_breakers", "longer than 40"),
        ),
        (CHAT, of(json!({ "xtc_probability": 1.5 })), outside("xtc_probability", "at most 1")),
        (CHAT, of(json!({ "allowed_token_ids": [4000] })), outside("allowed_token_ids", "token 4000 is not in")),
        (CHAT, of(json!({ "bad_words": [""] })), outside("bad_words", "has no tokens")),
        (CHAT, of(json!({ "prompt_logprobs": 21 })), outside("prompt_logprobs", "at most 20")),
        (CHAT, of(json!({ "prompt_logprobs": 1, "stream": true })), outside("prompt_logprobs", "set stream to false")),
        (CHAT, of(json!({ "documents": [{ "text": "a" }] })), refused("documents")),
        (CHAT, of(json!({ "min_tokens": 5, "max_tokens": 4 })), outside("min_tokens", "at most max_tokens (4)")),
        (CHAT, of(json!({ "seed": "x" })), wrong("seed", "must be an integer")),
        (CHAT, of(json!({ "stop": 3 })), wrong("stop", "string or an array of strings")),
        (CHAT, of(json!({ "stop": ["a", 3] })), wrong("stop[1]", "must be a string")),
        (CHAT, of(json!({ "stop": vec!["a"; 17] })), outside("stop", "at most 16 entries, but it has 17")),
        (CHAT, of(json!({ "logit_bias": many(4097) })), outside("logit_bias", "at most 4096 entries, but it has 4097")),
        (CHAT, of(json!({ "stop_token_ids": vec![1; 4097] })), outside("stop_token_ids", "at most 4096 entries")),
        (CHAT, of(json!({ "tools": vec![json!({}); 1025] })), outside("tools", "at most 1024 entries")),
        (CHAT, json!({ "messages": vec![json!({}); 8193] }), outside("messages", "at most 8192 entries")),
        (TEXT, json!({ "prompt": vec!["a"; 1025] }), outside("prompt", "at most 1024 entries")),
        (CHAT, of(json!({ "logprobs": 3 })), wrong("logprobs", "true or false, but it is 3")),
        (CHAT, of(json!({ "logprobs": true, "top_logprobs": 21 })), outside("top_logprobs", "at most 20")),
        (CHAT, of(json!({ "top_logprobs": 2 })), outside("top_logprobs", "needs logprobs")),
        (CHAT, of(json!({ "logit_bias": { "": 1 } })), outside("logit_bias", "has no tokens")),
        (
            CHAT,
            of(json!({ "logit_bias": [["x", 101]] })),
            outside("logit_bias", "logit_bias[0][1] must be at least -100 and at most 100"),
        ),
        (CHAT, of(json!({ "logit_bias": [7] })), wrong("logit_bias[0]", "a token id or a text")),
        (CHAT, of(json!({ "logit_bias": { "5": 101 } })), outside("logit_bias", "at most 100")),
        (CHAT, of(json!({ "logit_bias": { "4000": 1 } })), outside("logit_bias", "token 4000 is not in")),
        (CHAT, of(json!({ "stream": "yes" })), wrong("stream", "true or false")),
        (CHAT, of(json!({ "stream_options": {} })), outside("stream_options", "set stream to true")),
        (
            CHAT,
            of(json!({ "stream": true, "stream_options": { "include_usage": 1 } })),
            wrong("stream_options.include_usage", "true or false"),
        ),
        (
            CHAT,
            of(json!({ "response_format": { "type": "json_schema", "json_schema": {} } })),
            error("missing_required_parameter", json!("response_format.json_schema.schema"), "schema is missing"),
        ),
        (CHAT, of(json!({ "response_format": { "type": "xml" } })), refused("response_format")),
        (CHAT, of(json!({ "response_format": { "type": 1 } })), wrong("response_format.type", "must be a string")),
        (
            CHAT,
            of(
                json!({ "response_format": { "type": "json_schema", "json_schema": { "schema": { "items": { "not": {} } } } } }),
            ),
            refused("response_format.json_schema.schema.items.not"),
        ),
        (CHAT, of(json!({ "guided_json": "{" })), outside("guided_json", "not valid JSON")),
        (CHAT, of(json!({ "guided_choice": [] })), outside("guided_choice", "at least one")),
        (CHAT, of(json!({ "guided_choice": ["a", 1] })), wrong("guided_choice[1]", "must be a string")),
        (CHAT, of(json!({ "guided_regex": "(" })), outside("guided_regex", "guided_regex: ")),
        (CHAT, of(json!({ "grammar": "root ::= (" })), outside("grammar", "line 1: the group has no end")),
        (
            CHAT,
            of(json!({ "grammar": "root ::= \"a\"", "response_format": { "type": "json_object" } })),
            outside("grammar", "grammar contradicts response_format"),
        ),
        (
            CHAT,
            of(json!({ "structured_outputs": { "regex": "a", "choice": ["a"] } })),
            outside("structured_outputs.choice", "contradicts"),
        ),
        (CHAT, of(json!({ "modalities": ["text", "audio"] })), refused("modalities")),
        (CHAT, of(json!({ "audio": { "voice": "x" } })), refused("audio")),
        (CHAT, of(json!({ "guided_json": { "not": {} } })), refused("guided_json.not")),
        (
            CHAT,
            of(json!({ "tools": [{}], "tool_choice": "required" })),
            error("unsupported_parameter", json!("tool_choice"), "dialect (plain) has no grammar"),
        ),
        (CHAT, of(json!({ "tools": [{}], "tool_choice": "maybe" })), refused("tool_choice")),
        (CHAT, of(json!({ "continue_final_message": true })), outside("continue_final_message", "of the assistant")),
        (
            CHAT,
            of(json!({ "model": "huge" })),
            error("model_not_found", json!("model"), "`huge` does not exist. There is: tiny"),
        ),
        (CHAT, chat(&"x".repeat(64), json!({})), error("context_length_exceeded", Value::Null, "has 83 tokens")),
        (TEXT, json!({}), error("missing_required_parameter", json!("prompt"), "prompt is missing")),
        (TEXT, json!({ "prompt": 3 }), wrong("prompt", "must be a string")),
        (TEXT, json!({ "prompt": [] }), outside("prompt", "empty array")),
        (TEXT, json!({ "prompt": ["a", 3] }), wrong("prompt[1]", "must be a string or an array of token ids")),
        (TEXT, json!({ "prompt": [1, "a"] }), wrong("prompt[1]", "must be a token id")),
        (TEXT, json!({ "prompt": [-1] }), outside("prompt[0]", "at least 0")),
        (
            TEXT,
            json!({ "prompt": [[1], [9999]] }),
            outside("prompt[1]", "token 9999 is not in the model's vocabulary (0 to 259)"),
        ),
        (TEXT, json!({ "prompt": "" }), outside("prompt", "no tokens")),
        (TEXT, completion("x", json!({ "logprobs": 21 })), outside("logprobs", "at most 20")),
        (
            TEXT,
            completion("x", json!({ "suffix": "end" })),
            error("unsupported_parameter", json!("suffix"), "no tokens for a gap"),
        ),
        (TEXT, completion("x", json!({ "best_of": 3 })), refused("best_of")),
        (
            TEXT,
            completion(&"x".repeat(64), json!({})),
            error("context_length_exceeded", Value::Null, "context of 64 tokens"),
        ),
    ];
    for (path, body, expected) in cases {
        let status = if expected["error"]["code"] == "model_not_found" { 404 } else { 400 };
        server.check(path, &body, status, &expected).await;
    }
}

#[tokio::test]
async fn requests_are_checked() {
    let server = Server::start().await;
    let bad = |message| error("invalid_json", Value::Null, message);
    let cases: [(&str, &str, &[u8], u16, Value); 13] = [
        ("POST", CHAT, b"", 400, bad("The body is empty")),
        ("POST", CHAT, b"{\"messages\": [}", 400, bad("line 1 column 15")),
        ("POST", CHAT, b"\xff\xfe", 400, bad("not valid JSON")),
        ("POST", CHAT, b"{\"messages\": \"\\ud800\"}", 400, bad("not valid JSON")),
        ("GET", "/v1/nothing", b"", 404, error("unknown_url", Value::Null, "There is no GET /v1/nothing")),
        ("POST", "/chat/completions", b"{}", 404, error("unknown_url", Value::Null, "There is /v1/chat/completions")),
        ("GET", "/v1/v1/models/", b"", 404, error("unknown_url", Value::Null, "There is /v1/models")),
        ("POST", "/v2", b"{}", 404, error("unknown_url", Value::Null, "There is no POST /v2")),
        ("POST", "/", b"{}", 405, error("method_not_allowed", Value::Null, "does not take POST")),
        ("GET", CHAT, b"", 405, error("method_not_allowed", Value::Null, "does not take GET")),
        ("DELETE", "/v1/models", b"", 405, error("method_not_allowed", Value::Null, "does not take DELETE")),
        ("GET", "/v1/models/%ff", b"", 404, error("model_not_found", json!("model"), "UTF-8")),
        ("GET", "/v1/models/org/huge", b"", 404, error("model_not_found", json!("model"), "`org/huge`")),
    ];
    for (method, path, body, status, expected) in cases {
        let answer = fetch(server.address, method, path, body).await;
        let found = answer.json();
        assert_eq!(answer.head.status, status, "{method} {path}: {found}");
        assert!(matches(&expected, &found), "{method} {path}: {found:#}");
        assert_eq!(answer.head.header("allow").is_some(), status == 405);
        assert!(answer.head.header("x-request-id").is_some_and(|id| id.starts_with("req-")));
    }
}

#[tokio::test]
async fn compressed_bodies_are_refused_and_other_types_are_read_as_json() {
    let server = Server::start().await;
    let body = completion("X", json!({})).to_string();
    let cases = [
        ("content-encoding: gzip", 415),
        ("content-encoding: identity", 200),
        ("content-type: application/x-www-form-urlencoded", 200),
    ];
    for (header, status) in cases {
        let mut client = Client::connect(server.address).await;
        let length = body.len();
        let request =
            format!("POST {TEXT} HTTP/1.1\r\nhost: localhost\r\n{header}\r\ncontent-length: {length}\r\n\r\n{body}");
        client.write(request.as_bytes()).await;
        let answer = client.answer().await;
        assert_eq!(answer.head.status, status, "{header}");
        let code = json!("unsupported_encoding");
        assert_eq!(answer.json()["error"]["code"] == code, status == 415);
    }
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let server = Server::start().await;
    let answer = fetch(server.address, "POST", CHAT, &vec![b' '; (32 << 20) + 1]).await;
    assert_eq!((answer.head.status, &answer.json()["error"]["code"]), (413, &json!("request_too_large")));

    let mut polite = Client::connect(server.address).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 99999999999\r\n\r\n"
    );
    polite.write(head.as_bytes()).await;
    assert_eq!(polite.answer().await.head.status, 413);
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let (_closed, gate) = gate();
    let server = Server::with(Setup { queue: 1, gate: Some(gate), ..Setup::default() }).await;
    // Nobody passes the gate, so who is answered first is refused.
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (address, body) = (server.address, completion("X", json!({})).to_string());
        clients.spawn(async move { fetch(address, "POST", TEXT, body.as_bytes()).await });
    }
    let refused = clients.join_next().await.expect("eight clients").expect("no panic");
    assert_eq!((refused.head.status, refused.head.header("retry-after")), (429, Some("1")));
    let error = json!({ "error": { "code": "queue_full", "message": "~0 of 1 places in the queue are free" } });
    assert!(matches(&error, &refused.json()), "{}", refused.json());
}

#[tokio::test]
async fn failures_of_the_model_are_ours() {
    let server = Server::start().await;
    let expected = json!({ "error": { "type": "server_error", "code": "internal_error", "message": "~too hard" } });
    server.check(TEXT, &completion("#", json!({})), 500, &expected).await;
    let answer = server.post(TEXT, &completion("#", json!({ "stream": true }))).await;
    let text = String::from_utf8(answer.body).expect("text");
    assert!(text.contains("too hard") && text.ends_with("data: [DONE]\n\n"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn parsing_never_panics(body in prop::collection::vec(any::<u8>(), 0..64), name in "[a-z_]{1,12}", value in json_value()) {
        let known = ["messages", "prompt", "stop", "logit_bias", "tools", "stream_options", "n", "seed", "logprobs"];
        for endpoint in Endpoint::ALL.iter().copied() {
            let _ = parse_request_body(endpoint, &body);
            for field in known.iter().copied().chain([name.as_str()]) {
                let object = json!({ "messages": [{ "role": "user", "content": value }], "prompt": "x", field: value });
                let _ = parse_request_body(endpoint, object.to_string().as_bytes());
            }
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("type|text|role|content|function|arguments|[0-9]{1,3}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

#[tokio::test]
async fn an_answer_that_is_late_is_an_error() {
    let cases = [("", json!({ "deadline_ms": 1 })), ("x-request-timeout-ms: 1\r\n", json!({ "priority": -1 }))];
    for (header, more) in cases {
        let (step, gate) = gate();
        let server = Server::with(Setup { gate: Some(gate), ..Setup::default() }).await;
        // More tokens than there are permits for steps.
        let body = with(completion("x", json!({ "max_tokens": 1500, "ignore_eos": true })), more).to_string();
        let mut client = Client::connect(server.address).await;
        let head = format!("POST {TEXT} HTTP/1.1\r\nhost: localhost\r\n{header}content-length: {}\r\n\r\n", body.len());
        client.write(head.as_bytes()).await;
        client.write(body.as_bytes()).await;
        let late = tokio::spawn(async move { client.answer().await });
        while !late.is_finished() {
            let permitted = server.engine.now();
            // A full queue of permits is as good as another one.
            let _ = step.try_send(());
            while server.engine.now() < permitted + Duration::from_millis(2) {
                tokio::task::yield_now().await;
            }
        }
        let answer = late.await.expect("an answer");
        let code = &answer.json()["error"]["code"];
        assert_eq!((answer.head.status, code), (504, &json!("deadline_exceeded")), "{header}");
    }
}

#[tokio::test]
async fn urgency_is_checked() {
    let server = Server::start().await;
    let bad = |param: &str, message: &str| error("invalid_value", json!(param), message);
    for (more, expected) in [
        (json!({ "priority": "urgent" }), bad("priority", "high, normal or low")),
        (json!({ "priority": 1.5 }), error("invalid_type", json!("priority"), "an integer")),
        (json!({ "deadline_ms": 0 }), bad("deadline_ms", "at least 1")),
        (json!({ "cache_salt": 1 }), error("invalid_type", json!("cache_salt"), "a string")),
    ] {
        server.check(TEXT, &completion("x", more), 400, &expected).await;
    }
    for more in [json!({ "priority": "high" }), json!({ "priority": 3, "user": "me", "deadline_ms": 600_000 })] {
        let expected = json!({ "choices": [{ "finish_reason": "length" }] });
        server.check(TEXT, &completion("x", with(more, json!({ "max_tokens": 2 }))), 200, &expected).await;
    }
    for header in ["X-Priority: soon", "X-Request-Timeout-Ms: never"] {
        let mut client = Client::connect(server.address).await;
        let head = format!("POST {TEXT} HTTP/1.1\r\nhost: localhost\r\n{header}\r\ncontent-length: 2\r\n\r\n{{}}");
        client.write(head.as_bytes()).await;
        let answer = client.answer().await;
        let named = header.split(':').next();
        assert_eq!((answer.head.status, answer.json()["error"]["param"].as_str()), (400, named));
    }
}
