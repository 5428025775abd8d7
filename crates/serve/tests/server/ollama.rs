//! Ollama's API: chats and completions, whole and streamed, models, and what is refused.

use serde_json::{Value, json};

use crate::client::{Client, fetch};
use crate::support::{Server, Setup, gate, matches, with};
use crate::tools::{ONE, TWO, reciting};

const CHAT: &str = "/api/chat";
const GENERATE: &str = "/api/generate";

/// A chat with one message, answered at once.
fn chat(more: Value) -> Value {
    with(json!({ "model": "tiny:latest", "stream": false, "messages": [{ "role": "user", "content": "hi" }] }), more)
}

/// A chat with options.
fn with_options(options: Value) -> Value {
    chat(json!({ "options": options }))
}

/// A completion without the template, answered at once.
fn raw(prompt: &str, more: Value) -> Value {
    with(json!({ "model": "tiny", "prompt": prompt, "raw": true, "stream": false }), more)
}

#[tokio::test]
async fn chats_are_answered() {
    let server = Server::start().await;
    let says = |text: &str, reason: &str| json!({ "message": { "content": text }, "done_reason": reason });
    let prompt = |tokens: usize| json!({ "prompt_eval_count": tokens });
    let whole = json!({ "model": "tiny:latest", "created_at": "~T", "done": true, "done_reason": "stop",
        "message": { "role": "assistant", "content": "PQRSTUVWXYZ" },
        "prompt_eval_count": 21, "prompt_eval_cached_count": 0, "eval_count": 12 });
    let again = json!({ "prompt_eval_count": 21, "prompt_eval_cached_count": 16 });
    let used = json!([
        { "role": "user", "content": "hi" },
        { "role": "assistant", "content": "", "thinking": "hm", "tool_calls": [{ "function": { "name": "f", "arguments": {} } }] },
        { "role": "tool", "tool_name": "f", "content": "ok" }]);
    let cases = [
        (chat(json!({})), whole),
        (chat(json!({})), again),
        (chat(json!({ "model": "tiny" })), json!({ "model": "tiny" })),
        (
            json!({ "messages": [{ "role": "user", "content": "hi" }], "stream": false }),
            json!({ "model": "tiny:latest" }),
        ),
        (with_options(json!({ "num_predict": 3 })), says("PQR", "length")),
        (with_options(json!({ "num_predict": -1 })), says("PQRSTUVWXYZ", "stop")),
        (with_options(json!({ "stop": ["ST"] })), says("PQR", "stop")),
        (with_options(json!({ "stop": "ST" })), says("PQR", "stop")),
        (
            with_options(json!({ "temperature": 0, "top_k": 40, "top_p": 0.9, "min_p": 0, "typical_p": 1, "seed": 7,
                "repeat_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0, "num_predict": 2 })),
            says("PQ", "length"),
        ),
        // A penalty that would change the answer, switched off by a window of nothing.
        (with_options(json!({ "repeat_penalty": 1e9, "repeat_last_n": 0 })), says("PQRSTUVWXYZ", "stop")),
        // Ignored by design, or unknown, or off.
        (
            chat(
                json!({ "format": "", "keep_alive": "5m", "surprise": 1, "options": { "num_ctx": 2, "num_gpu": 1, "num_thread": 1,
                "num_batch": 1, "num_keep": 4, "use_mmap": false, "numa": true, "mirostat": 0, "tfs_z": 1,
                "repeat_last_n": 64, "penalize_newline": true, "surprise": [] } }),
            ),
            says("PQRSTUVWXYZ", "stop"),
        ),
        (chat(json!({ "tools": [{ "type": "function", "function": { "name": "f" } }] })), prompt(29)),
        (chat(json!({ "messages": used })), prompt(44)),
        (
            chat(
                json!({ "messages": [{ "role": "user", "content": "hi" }, { "role": "assistant", "content": "See WX" }] }),
            ),
            says("YZ", "stop"),
        ),
        (
            chat(json!({ "logprobs": true, "top_logprobs": 1, "options": { "num_predict": 1 } })),
            json!({ "logprobs": [{ "token": "P", "bytes": [80], "top_logprobs": [{ "token": "P" }] }] }),
        ),
        // Nothing is asked: the model is to be there.
        (json!({ "model": "tiny" }), json!({ "done": true, "done_reason": "load", "message": { "content": "" } })),
        (chat(json!({ "messages": [], "keep_alive": 0 })), says("", "unload")),
    ];
    for (body, expected) in cases {
        server.check(CHAT, &body, 200, &expected).await;
    }
}

#[tokio::test]
async fn completions_are_made() {
    let server = Server::start().await;
    let says = |text: &str, tokens: usize| json!({ "response": text, "done": true, "prompt_eval_count": tokens });
    let asked = |more: Value| with(json!({ "model": "tiny", "prompt": "hi", "stream": false }), more);
    let cases = [
        (GENERATE, raw("X", json!({})), says("YZ", 1)),
        (
            GENERATE,
            raw("X", json!({ "options": { "num_predict": 0 } })),
            json!({ "response": "", "done_reason": "length" }),
        ),
        (GENERATE, asked(json!({})), says("PQRSTUVWXYZ", 21)),
        (
            GENERATE,
            asked(json!({ "system": "S", "context": [], "suffix": "", "template": "" })),
            says("PQRSTUVWXYZ", 32),
        ),
        (GENERATE, json!({ "model": "tiny" }), json!({ "response": "", "done": true, "done_reason": "load" })),
    ];
    for (path, body, expected) in cases {
        server.check(path, &body, 200, &expected).await;
    }
}

/// Asks whole and as a stream; both must say `expected`.
async fn check(server: &Server, path: &str, body: &Value, expected: &Value) {
    let mut whole = server.post(path, body).await.json();
    assert!(matches(expected, &whole), "{body}:\n{whole:#}\ndoes not have\n{expected:#}");
    let mut streamed = streamed(server, path, &with(body.clone(), json!({ "stream": true }))).await;
    for answer in [&mut whole, &mut streamed] {
        let time = |name: &str| answer[name].as_u64().expect("nanoseconds");
        let parts = time("load_duration") + time("prompt_eval_duration") + time("eval_duration");
        assert!(parts > 0 && parts <= time("total_duration"), "{answer:#}");
        let answer = answer.as_object_mut().expect("an object");
        // The second one finds what the first has left in the cache.
        let varies =
            |name: &str| name.ends_with("_duration") || name == "created_at" || name.ends_with("_cached_count");
        answer.retain(|name, _| !varies(name));
        let calls = answer.get_mut("message").and_then(|message| message["tool_calls"].as_array_mut());
        calls.into_iter().flatten().for_each(|call| call["id"] = Value::Null);
    }
    assert_eq!(streamed, whole, "{body}");
}

/// A stream's answer, put together as clients do.
async fn streamed(server: &Server, path: &str, body: &Value) -> Value {
    let mut client = Client::connect(server.address).await;
    client.send("POST", path, body.to_string().as_bytes()).await;
    let head = client.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/x-ndjson")), "{body}");
    let (mut text, mut thinking, mut calls, mut logprobs) = (String::new(), String::new(), Vec::new(), Vec::new());
    loop {
        let mut line = client.line().await.expect("a stream ends in done");
        let chat = path == CHAT;
        let said = if chat { line["message"].clone() } else { line.clone() };
        text += said[if chat { "content" } else { "response" }].as_str().expect("a text");
        thinking += said["thinking"].as_str().unwrap_or_default();
        calls.extend(said["tool_calls"].as_array().into_iter().flatten().cloned());
        logprobs.extend(line["logprobs"].as_array().into_iter().flatten().cloned());
        if line["done"] == false {
            assert!(line.get("done_reason").is_none() && line.get("eval_count").is_none(), "{line}");
            continue;
        }
        let whole = if chat { &mut line["message"] } else { &mut line };
        whole[if chat { "content" } else { "response" }] = text.into();
        if !thinking.is_empty() {
            whole["thinking"] = thinking.into();
        }
        if !calls.is_empty() {
            whole["tool_calls"] = calls.into();
        }
        if !logprobs.is_empty() {
            line["logprobs"] = logprobs.into();
        }
        assert_eq!(client.chunk().await, None, "nothing follows the end");
        return line;
    }
}

#[tokio::test]
async fn streams_equal_answers() {
    let server = Server::start().await;
    let cases = [
        (CHAT, chat(json!({}))),
        (CHAT, with_options(json!({ "num_predict": 4, "stop": ["ST"] }))),
        (CHAT, with_options(json!({ "stop": ["P"] }))),
        (CHAT, chat(json!({ "logprobs": true, "top_logprobs": 2 }))),
        (GENERATE, raw("x", json!({ "options": { "num_predict": 30 } }))),
        (GENERATE, raw("x", json!({ "options": { "temperature": 3, "seed": 5, "num_predict": 30 } }))),
    ];
    for (path, body) in cases {
        check(&server, path, &body, &json!({ "done": true })).await;
    }
    // A stream is what comes where nothing is said.
    let mut body = chat(json!({}));
    body.as_object_mut().expect("an object").remove("stream");
    assert_eq!(streamed(&server, CHAT, &body).await["message"]["content"], "PQRSTUVWXYZ");
}

#[tokio::test]
async fn answers_are_separated_into_their_parts() {
    let body = |more: Value| with(chat(more), json!({ "model": "reciting" }));
    let call = |index: usize, name: &str, arguments: Value| json!({ "id": "~call_", "function": { "index": index, "name": name, "arguments": arguments } });
    let message = |message: Value| json!({ "message": message, "done_reason": "stop" });
    let thought = "<think>hm</think>Yes.";
    let one = json!({ "content": "", "tool_calls": [call(0, "f", json!({ "x": [1, "}"] }))] });
    let calls = json!([call(0, "f", json!({})), call(1, "g", json!({ "y": 2 }))]);
    let cases = [
        (thought, json!({}), message(json!({ "content": "Yes.", "thinking": "hm" }))),
        (thought, json!({ "think": "high" }), message(json!({ "content": "Yes.", "thinking": "hm" }))),
        (thought, json!({ "think": false }), message(json!({ "content": "Yes." }))),
        (ONE, json!({}), message(one)),
        (TWO, json!({}), message(json!({ "content": "Sure.", "thinking": "hm", "tool_calls": calls }))),
    ];
    for (recited, more, expected) in cases {
        let server = reciting(recited).await;
        check(&server, CHAT, &body(more.clone()), &expected).await;
        let hidden = server.post(CHAT, &body(more.clone())).await.json();
        assert_eq!(
            hidden["message"].get("thinking").is_none(),
            expected["message"].get("thinking").is_none(),
            "{more}"
        );
    }
}

/// Each line is there before the next token is computed.
#[tokio::test]
async fn lines_come_one_by_one() {
    let (step, gate) = gate();
    let server = Server::with(Setup { gate: Some(gate), ..Setup::default() }).await;
    let mut client = Client::connect(server.address).await;
    client.send("POST", GENERATE, raw("a", json!({ "stream": true })).to_string().as_bytes()).await;
    assert_eq!(client.head().await.status, 200);
    for text in ["b", "c", "d"] {
        step.send(()).expect("the model waits for it");
        assert_eq!(client.line().await.expect("a line")["response"], text);
    }
}

#[tokio::test]
async fn models_are_described() {
    let server = Server::start().await;
    let listed = server.get("/api/tags").await.json();
    let model = json!({ "name": "tiny:latest", "model": "tiny:latest", "modified_at": "2023-11-14T22:13:20Z",
        "details": { "family": "" } });
    assert!(matches(&json!({ "models": [model] }), &listed), "{listed:#}");
    assert_eq!(listed["models"][0]["digest"].as_str().map(str::len), Some(64));
    let running = server.get("/api/ps").await.json();
    assert!(
        matches(&json!({ "models": [{ "name": "tiny:latest", "context_length": 1 << 20 }] }), &running),
        "{running:#}"
    );
    let shown = json!({ "capabilities": ["completion", "tools"], "parameters": "~temperature",
        "model_info": { "general.architecture": "whinchat", "whinchat.context_length": 1 << 20 } });
    for body in [json!({ "model": "tiny" }), json!({ "name": "tiny:latest", "verbose": true })] {
        server.check("/api/show", &body, 200, &shown).await;
    }
    assert!(server.get("/api/version").await.json()["version"].as_str().is_some_and(|version| version.contains('.')));
    let mut client = Client::connect(server.address).await;
    client.send("HEAD", "/", b"").await;
    assert_eq!(client.head().await.status, 200);
}

#[tokio::test]
async fn problems_have_their_shape() {
    let server = Server::with(Setup { context: 64, ..Setup::default() }).await;
    let say = |message: Value| chat(json!({ "messages": [message] }));
    let of = |options: Value| with_options(options);
    let called = |function: Value| say(json!({ "role": "assistant", "tool_calls": [{ "function": function }] }));
    let cases = [
        (CHAT, json!([]), "must be a JSON object"),
        (CHAT, chat(json!({ "messages": "hi" })), "messages must be an array"),
        (CHAT, chat(json!({ "messages": [1] })), "messages[0] must be an object"),
        (CHAT, say(json!({ "content": "hi" })), "messages[0].role is missing"),
        (CHAT, say(json!({ "role": "user", "content": [] })), "messages[0].content must be a string"),
        (CHAT, say(json!({ "role": "user", "images": ["AA=="] })), "messages[0].images is not supported"),
        (CHAT, called(json!({})), "messages[0].tool_calls[0].function.name is missing"),
        (CHAT, called(json!(1)), "tool_calls[0].function must be an object"),
        (CHAT, chat(json!({ "format": "xml" })), "format must be `json` or a schema"),
        (CHAT, chat(json!({ "think": 1 })), "think must be true, false or an effort"),
        (CHAT, chat(json!({ "keep_alive": [] })), "keep_alive must be a number of seconds or a duration"),
        (CHAT, chat(json!({ "options": 1 })), "options must be an object"),
        (CHAT, chat(json!({ "top_logprobs": 2 })), "top_logprobs needs logprobs"),
        (CHAT, of(json!({ "num_predict": -3 })), "options.num_predict must be at least -2"),
        (CHAT, of(json!({ "temperature": -1 })), "options.temperature must be at least 0"),
        (CHAT, of(json!({ "stop": [1] })), "options.stop[0] must be a string"),
        (CHAT, of(json!({ "mirostat": 1 })), "options.mirostat is not supported"),
        (CHAT, of(json!({ "tfs_z": 0.5 })), "options.tfs_z is not supported"),
        (CHAT, of(json!({ "penalize_newline": false })), "options.penalize_newline is not supported"),
        (CHAT, of(json!({ "repeat_penalty": 1.1, "repeat_last_n": 64 })), "options.repeat_last_n other than -1 and 0"),
        (GENERATE, raw("x", json!({ "suffix": "y" })), "suffix: the model tiny has no tokens for a gap"),
        (GENERATE, raw("x", json!({ "template": "y" })), "template is not supported"),
        (GENERATE, raw("x", json!({ "context": [1] })), "context is not supported"),
        (GENERATE, raw("x", json!({ "images": ["AA=="] })), "images is not supported"),
        (GENERATE, raw("x", json!({ "system": "S" })), "system together with raw is not supported"),
        (GENERATE, raw(&"x".repeat(64), json!({})), "context of 64 tokens"),
        ("/api/embed", json!({ "model": "tiny" }), "input is missing"),
    ];
    for (path, body, message) in cases {
        server.check(path, &body, 400, &json!({ "error": format!("~{message}") })).await;
    }
    let huge = json!({ "model": "huge" });
    let cases = [
        ("POST", CHAT, chat(huge.clone()), 404, "`huge` does not exist"),
        ("POST", CHAT, huge.clone(), 404, "`huge` does not exist"),
        ("POST", "/api/show", huge, 404, "`huge` does not exist"),
        ("POST", "/api/pull", json!({}), 404, "There is no POST /api/pull"),
        ("GET", CHAT, json!({}), 405, "does not take GET"),
        ("POST", GENERATE, raw("#", json!({})), 500, "too hard"),
    ];
    for (method, path, body, status, message) in cases {
        let answer = fetch(server.address, method, path, body.to_string().as_bytes()).await;
        let found = answer.json();
        let expected = json!({ "error": format!("~{message}") });
        assert!(answer.head.status == status && matches(&expected, &found), "{path} {body}: {found}");
    }
    let mut client = Client::connect(server.address).await;
    client.send("POST", GENERATE, raw("#", json!({ "stream": true })).to_string().as_bytes()).await;
    assert_eq!(client.head().await.status, 200);
    let last = client.line().await.expect("a line");
    assert!(matches(&json!({ "error": "~too hard" }), &last) && client.line().await.is_none(), "{last}");
}

#[tokio::test]
async fn a_full_queue_is_503() {
    let (_closed, gate) = gate();
    let server = Server::with(Setup { queue: 1, gate: Some(gate), ..Setup::default() }).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (address, body) = (server.address, chat(json!({})).to_string());
        clients.spawn(async move { fetch(address, "POST", CHAT, body.as_bytes()).await });
    }
    let refused = clients.join_next().await.expect("clients").expect("no panic");
    assert_eq!((refused.head.status, refused.head.header("retry-after")), (503, Some("1")));
    assert!(refused.json()["error"].is_string());
}
