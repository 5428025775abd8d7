//! Anthropic's messages: whole, streamed, counted, refused.

use serde_json::{Value, json};

use crate::client::{Client, fetch};
use crate::support::{Server, Setup, gate, matches, with};
use crate::tools::{ONE, TWO, reciting};

const MESSAGES: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";

/// A request with one message of the user.
fn ask(more: Value) -> Value {
    with(json!({ "model": "tiny", "max_tokens": 100, "messages": [{ "role": "user", "content": "hi" }] }), more)
}

/// A conversation, asked to be answered with one token.
fn talk(messages: Value) -> Value {
    json!({ "messages": messages, "max_tokens": 1 })
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn call(name: &str, input: Value) -> Value {
    json!({ "type": "tool_use", "id": "~toolu_", "name": name, "input": input })
}

/// A tool and its result, as the assistant and the user write them.
fn used() -> [Value; 3] {
    [
        json!({ "role": "user", "content": [text("h"), text("i")] }),
        json!({ "role": "assistant", "content": [
            { "type": "thinking", "thinking": "hm", "signature": "" }, { "type": "redacted_thinking", "data": "x" },
            { "type": "tool_use", "id": "a", "name": "f", "input": {} }] }),
        json!({ "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "a", "content": [text("ok")] }, text("so?")] }),
    ]
}

#[tokio::test]
async fn models_are_told_in_its_words() {
    let server = Server::start().await;
    let ask = async |path: &str| {
        let mut client = Client::connect(server.address).await;
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nanthropic-version: 2023-06-01\r\n\r\n");
        client.write(head.as_bytes()).await;
        let answer = client.answer().await;
        (answer.head.status, answer.json())
    };
    let tiny = json!({ "type": "model", "id": "tiny", "display_name": "tiny", "created_at": "2023-11-14T22:13:20Z" });
    let list = json!({ "data": [tiny], "first_id": "tiny", "last_id": "tiny", "has_more": false });
    let error = json!({ "type": "error", "error": { "type": "not_found_error", "message": "~`none` does not exist" } });
    for (path, status, expected) in
        [("/v1/models", 200, list), ("/v1/models/tiny", 200, tiny), ("/v1/models/none", 404, error)]
    {
        let (found, body) = ask(path).await;
        assert!(found == status && matches(&expected, &body), "{path}: {found} {body:#}");
    }
    assert_eq!(server.get("/v1/models").await.json()["object"], "list", "others are told as before");
}

#[tokio::test]
async fn messages_are_answered() {
    let server = Server::start().await;
    let says = |said: &str, reason: &str, stop: Value| {
        let content = if said.is_empty() { json!([]) } else { json!([text(said)]) };
        json!({ "content": content, "stop_reason": reason, "stop_sequence": stop })
    };
    let whole = json!({ "id": "~msg_", "type": "message", "role": "assistant", "model": "tiny",
        "content": [text("PQRSTUVWXYZ")], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": { "input_tokens": 21, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
                   "output_tokens": 12 } });
    // Blocks of the KV cache have 16 tokens.
    let again =
        json!({ "usage": { "input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 16 } });
    let cases = [
        (ask(json!({})), whole),
        (ask(json!({})), again),
        (ask(json!({ "max_tokens": 3 })), says("PQR", "max_tokens", Value::Null)),
        (ask(json!({ "stop_sequences": ["nothing", "ST"] })), says("PQR", "stop_sequence", json!("ST"))),
        (ask(json!({ "stop_sequences": ["P"] })), says("", "stop_sequence", json!("P"))),
        // Unknown fields and those that change nothing are no obstacle.
        (
            ask(json!({ "temperature": 0, "top_k": 40, "top_p": 1, "metadata": { "user_id": "me" }, "stream": false,
                "service_tier": "auto", "surprise": [1], "thinking": null, "tools": null, "mcp_servers": [],
                "cache_control": { "type": "ephemeral" } })),
            says("PQRSTUVWXYZ", "end_turn", Value::Null),
        ),
        // A message of the assistant at the end is the beginning of the answer.
        (
            json!({ "messages": [{ "role": "user", "content": "hi" }, { "role": "assistant", "content": [text("See WX")] }],
                "max_tokens": 9 }),
            says("YZ", "end_turn", Value::Null),
        ),
    ];
    for (body, expected) in cases {
        server.check(MESSAGES, &body, 200, &expected).await;
    }
}

/// Tokens of a prompt, found in the cache or not.
fn input(message: &Value) -> u64 {
    ["input_tokens", "cache_read_input_tokens"]
        .map(|name| message["usage"][name].as_u64().expect("a count"))
        .iter()
        .sum()
}

#[tokio::test]
async fn the_template_gets_what_it_has_a_place_for() {
    let server = Server::start().await;
    let tool = json!({ "name": "f", "input_schema": { "type": "object" } });
    let custom = with(tool.clone(), json!({ "type": "custom" }));
    let cases = [
        (ask(json!({ "system": "S" })), 32),
        (ask(json!({ "system": [with(text("S"), json!({ "cache_control": { "type": "ephemeral" } }))] })), 32),
        (ask(json!({ "tools": [tool] })), 29),
        (ask(json!({ "tools": [custom], "tool_choice": { "type": "auto" } })), 29),
        (ask(json!({ "tools": [tool], "tool_choice": { "type": "none" } })), 21),
        (talk(json!(used())), 56),
    ];
    for (body, tokens) in cases {
        let said = server.post(MESSAGES, &body).await.json();
        assert_eq!(input(&said), tokens, "{body} {said}");
    }
}

#[tokio::test]
async fn tokens_are_counted() {
    let server = Server::start().await;
    let tool = json!({ "name": "f", "input_schema": { "type": "object" } });
    for more in [json!({}), json!({ "system": "S" }), json!({ "tools": [tool] }), json!({ "messages": used() })] {
        let body = ask(more);
        let asked = server.post(MESSAGES, &body).await.json();
        server.check(COUNT, &body, 200, &json!({ "input_tokens": input(&asked) })).await;
    }
    server
        .check(
            COUNT,
            &json!({ "messages": [{ "role": "user", "content": "hi" }] }),
            200,
            &json!({ "input_tokens": 21 }),
        )
        .await;
}

/// Asks whole and as a stream; both must say `expected`.
async fn check(server: &Server, body: &Value, expected: &Value) {
    let mut whole = server.post(MESSAGES, body).await.json();
    assert!(matches(expected, &whole), "{body}:\n{whole:#}\ndoes not have\n{expected:#}");
    let mut streamed = streamed(server, &with(body.clone(), json!({ "stream": true }))).await;
    for message in [&mut whole, &mut streamed] {
        // The second one finds what the first has left in the cache.
        message["usage"]["input_tokens"] = input(message).into();
        message["usage"]["cache_read_input_tokens"] = Value::Null;
        message["id"] = Value::Null;
        message["content"].as_array_mut().into_iter().flatten().for_each(|block| block["id"] = Value::Null);
    }
    assert_eq!(streamed, whole, "{body}");
}

/// A stream's message, put together as clients do, by events that must come in order.
async fn streamed(server: &Server, body: &Value) -> Value {
    let mut client = Client::connect(server.address).await;
    client.send("POST", MESSAGES, body.to_string().as_bytes()).await;
    let head = client.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")), "{body}");
    let (mut message, mut open, mut ended) = (Value::Null, None, false);
    while let Some((name, data)) = client.named_event().await {
        let event: Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!(event["type"], name.as_str());
        assert!(!ended, "nothing follows the end: {event}");
        assert_eq!(message.is_null(), name == "message_start", "{event}");
        match name.as_str() {
            "message_start" => message = event["message"].clone(),
            "ping" => {}
            "message_delta" => {
                assert_eq!(open, None, "{event}");
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["stop_sequence"] = event["delta"]["stop_sequence"].clone();
                message["usage"] = event["usage"].clone();
            }
            "message_stop" => ended = true,
            _ => grow(&mut message["content"], &mut open, &event),
        }
    }
    assert!(ended, "{message:#}");
    message
}

/// A block begins, grows or ends; `open` is its number and, of a call, its arguments so far.
fn grow(content: &mut Value, open: &mut Option<(usize, String)>, event: &Value) {
    let content = content.as_array_mut().expect("an array");
    let index = event["index"].as_u64().expect("an index") as usize;
    if event["type"] == "content_block_start" {
        assert!(open.is_none() && index == content.len(), "{event}");
        content.push(event["content_block"].clone());
        *open = Some((index, String::new()));
        return;
    }
    let (number, arguments) = open.as_mut().expect("a block is open");
    assert_eq!(*number, index, "{event}");
    let block = &mut content[index];
    if event["type"] == "content_block_stop" {
        if block["type"] == "tool_use" {
            block["input"] = serde_json::from_str(arguments).expect("arguments are JSON");
        }
        *open = None;
        return;
    }
    let delta = &event["delta"];
    let field = match (delta["type"].as_str(), block["type"].as_str()) {
        (Some("text_delta"), Some("text")) => "text",
        (Some("thinking_delta"), Some("thinking")) => "thinking",
        (Some("input_json_delta"), Some("tool_use")) => {
            *arguments += delta["partial_json"].as_str().expect("a text");
            return;
        }
        other => panic!("{other:?}: {event}"),
    };
    let known = block[field].as_str().expect("a text").to_owned();
    block[field] = (known + delta[field].as_str().expect("a text")).into();
}

#[tokio::test]
async fn streams_equal_answers() {
    let server = Server::start().await;
    for more in
        [json!({}), json!({ "max_tokens": 2 }), json!({ "stop_sequences": ["ST"] }), json!({ "stop_sequences": ["P"] })]
    {
        check(&server, &ask(more), &json!({ "type": "message", "model": "tiny" })).await;
    }
}

#[tokio::test]
async fn answers_are_separated_into_blocks() {
    let body = |more: Value| with(ask(more), json!({ "model": "default", "max_tokens": 300 }));
    let thinks = json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } });
    let thought = json!({ "type": "thinking", "thinking": "hm", "signature": "" });
    let calls = |content: Value| json!({ "content": content, "stop_reason": "tool_use", "stop_sequence": null });
    let (f, g) = (call("f", json!({})), call("g", json!({ "y": 2 })));
    let said = "<think>hm</think>Yes.";
    let adaptive = json!({ "thinking": { "type": "adaptive", "display": "omitted" } });
    let one_call = json!({ "tool_choice": { "type": "auto", "disable_parallel_tool_use": true } });
    let cases = [
        (said, thinks.clone(), json!({ "content": [thought, text("Yes.")], "stop_reason": "end_turn" })),
        (said, json!({}), json!({ "content": [text("Yes.")], "usage": { "output_tokens": 22 } })),
        (said, adaptive, json!({ "content": [text("Yes.")] })),
        (ONE, json!({}), calls(json!([call("f", json!({ "x": [1, "}"] }))]))),
        (TWO, thinks, calls(json!([thought, text("Sure."), f, g]))),
        (TWO, one_call, calls(json!([text("Sure."), f]))),
    ];
    for (recited, more, expected) in cases {
        check(&reciting(recited).await, &body(more), &expected).await;
    }
}

/// Each event is there before the next token is computed.
#[tokio::test]
async fn events_come_one_by_one() {
    let (step, gate) = gate();
    let server = Server::with(Setup { gate: Some(gate), ..Setup::default() }).await;
    let mut client = Client::connect(server.address).await;
    client.send("POST", MESSAGES, ask(json!({ "stream": true })).to_string().as_bytes()).await;
    assert_eq!(client.head().await.status, 200);
    for name in ["message_start", "ping"] {
        assert_eq!(client.named_event().await.expect("an event").0, name);
    }
    for (letter, name) in [("P", "content_block_start"), ("Q", "content_block_delta")] {
        step.send(()).expect("the model waits for it");
        let event = client.named_event().await.expect("an event");
        assert_eq!(event.0, name);
        let delta = if letter == "P" { client.named_event().await.expect("an event").1 } else { event.1 };
        assert!(delta.contains(&format!("\"text\":\"{letter}\"")), "{delta}");
    }
}

#[tokio::test]
async fn problems_have_their_shape() {
    let server = Server::with(Setup { context: 64, ..Setup::default() }).await;
    let tool = |more: Value| ask(json!({ "tools": [more] }));
    let say = |content: Value| talk(json!([{ "role": "user", "content": content }]));
    let think = |thinking: Value| ask(json!({ "thinking": thinking }));
    let cases = [
        (json!({}), "max_tokens is missing"),
        (json!({ "max_tokens": 1 }), "messages is missing"),
        (json!([]), "must be a JSON object"),
        (ask(json!({ "max_tokens": 0 })), "max_tokens must be at least 1"),
        (ask(json!({ "messages": [] })), "messages is empty"),
        (ask(json!({ "messages": [1] })), "messages[0] must be an object"),
        (talk(json!([{ "content": "hi" }])), "messages[0].role is missing"),
        (talk(json!([{ "role": "user" }])), "messages[0].content is missing"),
        (talk(json!([{ "role": "system", "content": "hi" }])), "messages[0].role must be `user` or `assistant`"),
        (say(json!(3)), "messages[0].content must be a string or an array of content blocks"),
        (say(json!([{ "type": "image", "source": {} }])), "messages[0].content[0] of type image is not supported"),
        (say(json!([{ "type": "tool_use", "id": "a", "name": "f", "input": {} }])), "belong to the assistant"),
        (say(json!([{ "type": "tool_result", "tool_use_id": 1 }])), "tool_use_id must be a string, but it is 1"),
        (say(json!([{ "type": "tool_use", "id": "a", "name": "f", "input": "x" }])), "input must be an object"),
        (
            talk(json!([{ "role": "assistant", "content": [{ "type": "tool_result", "tool_use_id": "a" }] }])),
            "belongs to the user",
        ),
        (talk(json!([{ "role": "assistant", "content": " " }])), "to be continued it needs text"),
        (ask(json!({ "system": [{ "type": "image" }] })), "system[0] of type image is not supported"),
        (ask(json!({ "stop_sequences": ["a", 3] })), "stop_sequences[1] must be a string"),
        (ask(json!({ "temperature": -1 })), "temperature must be at least 0"),
        (ask(json!({ "stream": 1 })), "stream must be true or false"),
        (ask(json!({ "tool_choice": { "type": "some" } })), "tool_choice of type some is not supported"),
        (ask(json!({ "tool_choice": { "type": "tool" } })), "tool_choice.name is missing"),
        (tool(json!({ "type": "bash_20250124", "name": "bash" })), "tools[0] of type bash_20250124 is not supported"),
        (tool(json!({ "description": "d" })), "tools[0].name is missing"),
        (tool(json!({ "name": "f", "input_schema": [] })), "tools[0].input_schema must be an object"),
        (think(json!({ "type": "often" })), "thinking.type often is not supported"),
        (think(json!({ "budget_tokens": 5 })), "thinking.type is missing"),
        (
            ask(json!({ "output_config": { "format": { "type": "json_schema" } } })),
            "output_config.format.schema is missing",
        ),
        (
            ask(json!({ "output_format": { "type": "text", "schema": {} } })),
            "output_format of type text is not supported",
        ),
        (ask(json!({ "mcp_servers": [{ "name": "x" }] })), "mcp_servers is not supported"),
        (say(json!("x".repeat(64))), "context of 64 tokens"),
    ];
    for (body, message) in cases {
        let error =
            json!({ "type": "error", "error": { "type": "invalid_request_error", "message": format!("~{message}") } });
        server.check(MESSAGES, &body, 400, &error).await;
    }
    let cases = [
        ("POST", MESSAGES, ask(json!({ "model": "huge" })), 404, "not_found_error", "`huge` does not exist"),
        ("POST", COUNT, ask(json!({ "model": "huge" })), 404, "not_found_error", "`huge` does not exist"),
        ("POST", "/v1/messages/batches", json!({}), 404, "not_found_error", "There is no POST"),
        ("GET", MESSAGES, json!({}), 405, "invalid_request_error", "does not take GET"),
        ("POST", MESSAGES, talk(json!([{ "role": "user", "content": "#" }])), 500, "api_error", "too hard"),
    ];
    for (method, path, body, status, kind, message) in cases {
        let answer = fetch(server.address, method, path, body.to_string().as_bytes()).await;
        let error = json!({ "type": "error", "error": { "type": kind, "message": format!("~{message}") } });
        let found = answer.json();
        assert!(answer.head.status == status && matches(&error, &found), "{path} {body}: {found}");
    }
}

#[tokio::test]
async fn failures_in_a_stream_are_events() {
    let server = Server::start().await;
    let body = with(talk(json!([{ "role": "user", "content": "#" }])), json!({ "stream": true }));
    let mut client = Client::connect(server.address).await;
    client.send("POST", MESSAGES, body.to_string().as_bytes()).await;
    assert_eq!(client.head().await.status, 200);
    let mut last = None;
    while let Some(event) = client.named_event().await {
        last = Some(event);
    }
    let (name, data) = last.expect("events");
    let data: Value = serde_json::from_str(&data).expect("JSON");
    let expected = json!({ "type": "error", "error": { "type": "api_error", "message": "~too hard" } });
    assert!(name == "error" && matches(&expected, &data), "{name}: {data}");
}

#[tokio::test]
async fn a_server_that_cannot_answer_is_overloaded() {
    let server = Server::with(Setup { loaded: false, ..Setup::default() }).await;
    let loading = server.post(MESSAGES, &ask(json!({}))).await;
    assert_eq!((loading.head.status, loading.head.header("retry-after")), (503, Some("2")));
    assert_eq!(loading.json()["error"]["type"], "overloaded_error");

    let (_closed, gate) = gate();
    let server = Server::with(Setup { queue: 1, gate: Some(gate), ..Setup::default() }).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (address, body) = (server.address, ask(json!({})).to_string());
        clients.spawn(async move { fetch(address, "POST", MESSAGES, body.as_bytes()).await });
    }
    let refused = clients.join_next().await.expect("clients").expect("no panic");
    assert_eq!((refused.head.status, refused.head.header("retry-after")), (529, Some("1")));
    assert_eq!(refused.json()["error"]["type"], "overloaded_error");
}
