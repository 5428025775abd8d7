//! Text to tokens and back, and prompts of chats.

use serde_json::{Value, json};

use crate::client::Client;
use crate::support::{CONTEXT, Server, chat, completion, matches, with};

#[tokio::test]
async fn texts_and_tokens_are_turned_into_each_other() {
    let server = Server::start().await;
    let tokens = |tokens: Value| json!({ "tokens": tokens });
    let text = |text: &str| json!({ "prompt": text, "content": text });
    let cases = [
        (
            "/tokenize",
            json!({ "model": "tiny", "prompt": "hé" }),
            json!({ "count": 3, "max_model_len": 1 << 20, "tokens": [104, 195, 169], "token_strs": null }),
        ),
        ("/tokenize", json!({ "content": "hi" }), tokens(json!([104, 105]))),
        ("/tokenize", json!({ "prompt": "" }), tokens(json!([]))),
        ("/tokenize", json!({ "prompt": "<|im_end|>", "add_special_tokens": false }), tokens(json!([258]))),
        (
            "/tokenize",
            json!({ "content": "<|", "parse_special": false, "add_special": true }),
            tokens(json!([60, 124])),
        ),
        (
            "/tokenize",
            json!({ "content": "h é<|end|>", "with_pieces": true }),
            tokens(json!([{ "id": 104, "piece": "h" }, { "id": 32, "piece": " " }, { "id": 195, "piece": [195] },
                { "id": 169, "piece": [169] }, { "id": 256, "piece": "<|end|>" }])),
        ),
        (
            "/tokenize",
            json!({ "prompt": "h <|end|>", "return_token_strs": true }),
            json!({ "token_strs": ["h", "Ġ", "<|end|>"] }),
        ),
        ("/tokenize", chat("hi", json!({})), json!({ "count": 21 })),
        ("/tokenize", chat("hi", json!({ "add_generation_prompt": false })), json!({ "count": 10 })),
        ("/detokenize", json!({ "tokens": [104, 195, 169, 258] }), text("hé<|im_end|>")),
        ("/detokenize", json!({ "tokens": [] }), text("")),
    ];
    for (path, body, expected) in cases {
        server.check(path, &body, 200, &expected).await;
    }
}

#[tokio::test]
async fn templates_are_applied() {
    let server = Server::start().await;
    let prompt = "<|im_start|>user\nhi<|im_end|>\n";
    let open = format!("{prompt}<|im_start|>assistant\n");
    for path in ["/apply_template", "/apply-template"] {
        server.check(path, &chat("hi", json!({})), 200, &json!({ "prompt": open })).await;
        let closed = chat("hi", json!({ "add_generation_prompt": false }));
        server.check(path, &closed, 200, &json!({ "prompt": prompt })).await;
    }
}

#[tokio::test]
async fn problems_are_told_as_openai_does() {
    let server = Server::start().await;
    let cases = [
        ("/tokenize", json!({}), 400, json!("prompt"), "prompt is missing"),
        ("/tokenize", json!({ "prompt": "a", "content": "b" }), 400, json!("content"), "write one of them"),
        ("/tokenize", json!({ "prompt": 1 }), 400, json!("prompt"), "must be a string"),
        ("/tokenize", json!({ "prompt": "a", "with_pieces": 1 }), 400, json!("with_pieces"), "true or false"),
        ("/tokenize", json!({ "model": "huge", "prompt": "a" }), 404, json!("model"), "does not exist"),
        ("/tokenize", json!([]), 400, Value::Null, "must be a JSON object"),
        ("/detokenize", json!({}), 400, json!("tokens"), "tokens is missing"),
        ("/detokenize", json!({ "tokens": [1, 9999] }), 400, json!("tokens[1]"), "not in the model's vocabulary"),
        ("/detokenize", json!({ "tokens": ["a"] }), 400, json!("tokens[0]"), "must be a token id"),
        ("/apply_template", json!({}), 400, json!("messages"), "messages is missing"),
        (
            "/apply_template",
            with(chat("hi", json!({})), json!({ "messages": [] })),
            400,
            json!("messages"),
            "at least one",
        ),
    ];
    for (path, body, status, param, message) in cases {
        let error = json!({ "error": { "message": format!("~{message}"), "param": param } });
        server.check(path, &body, status, &error).await;
    }
}

#[tokio::test]
async fn the_scheduler_says_who_runs() {
    let server = Server::start().await;
    // Places in the queue, or blocks of the KV cache.
    let (kind, capacity) = match cfg!(feature = "parking-lot-scheduler") {
        false => ("continuous-batching", 64),
        true => ("parking-lot", 4 * CONTEXT / 16),
    };
    let idle = json!({ "object": "scheduler", "model": "tiny", "scheduler_type": kind, "active_workers": 0, "queued_tasks": 0,
                       "available_capacity": capacity, "total_capacity": capacity, "running": [], "waiting": [] });
    let answer = server.get("/v1/scheduler").await;
    assert!(answer.head.status == 200 && matches(&idle, &answer.json()), "{}", answer.json());
    let mut client = Client::connect(server.address).await;
    let body = completion("x", json!({ "stream": true, "max_tokens": 100_000, "priority": "high" }));
    client.send("POST", "/v1/completions", body.to_string().as_bytes()).await;
    client.head().await;
    client.event().await.expect("a token");
    let busy = server.get("/v1/scheduler?model=tiny").await.json();
    let sequence = json!({ "priority": "high", "prompt_tokens": 1, "continuations": 1 });
    assert!(matches(&json!({ "active_workers": 1, "running": [sequence] }), &busy), "{busy}");
    assert!(
        busy["running"][0]["generated_tokens"].as_u64() > Some(0) && busy["running"][0]["kv_blocks"] != 0,
        "{busy}"
    );
    assert_eq!(server.get("/v1/scheduler?model=none").await.head.status, 404);
}
