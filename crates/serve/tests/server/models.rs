//! Several models in one server: each lives, is replaced, drains and dies for itself. And a queue that is full.

use serde_json::json;
use text::Dialect;

use crate::client::{Client, fetch};
use crate::model::{Broken, Scripted};
use crate::support::{CONTEXT, DEADLINE, Server, Setup, chat, completion, gate, loaded, served, with};

const TEXT: &str = "/v1/completions";

/// A model whose engine fails says so at once, in /health and to who asks; the others answer.
#[tokio::test]
async fn a_model_that_dies_says_so_and_others_go_on() {
    let server = Server::start().await;
    let (broken, model) = loaded("broken", Dialect::of_template(""), Broken, (8, 4096));
    server.app.add(model);
    let ask = completion("x", json!({ "model": "broken", "max_tokens": 4 }));
    // Each request learns what happened to it, until the engine gives up.
    while !matches!(broken.liveness(), engine::Liveness::Failed(_)) {
        let answer = server.post(TEXT, &ask).await;
        assert!(matches!(answer.head.status, 500 | 503), "{answer:?}");
        assert!(
            answer.json()["error"]["message"].as_str().is_some_and(|m| m.contains("the device is gone")),
            "{answer:?}"
        );
    }
    for _ in 0..20 {
        server
            .check(TEXT, &ask, 503, &json!({ "error": { "code": "model_failed", "message": "~the device is gone" } }))
            .await;
    }
    let health = server.get("/health").await;
    assert_eq!((health.head.status, &health.json()["status"]), (200, &json!("degraded")));
    assert!(health.json()["models"]["broken"].as_str().is_some_and(|why| why.contains("the device is gone")));
    server
        .check(TEXT, &completion("X", json!({ "model": "tiny" })), 200, &json!({ "choices": [{ "text": "YZ" }] }))
        .await;

    drop(server.app.remove("tiny"));
    let health = server.get("/health").await;
    assert_eq!((health.head.status, &health.json()["status"]), (503, &json!("failed")));
}

/// A model is replaced while it answers: what has begun is finished, what comes later is answered by the new one.
#[tokio::test]
async fn a_model_is_replaced_under_load() {
    let server = Server::start().await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(server.address).await;
        let body = completion("a", json!({ "stream": true, "max_tokens": 3000, "ignore_eos": true }));
        client.send("POST", TEXT, body.to_string().as_bytes()).await;
        assert_eq!(client.head().await.status, 200);
        open.push(client);
    }
    let mut retired = Vec::new();
    for _ in 0..8 {
        retired.extend(server.app.add(served(None, 8, CONTEXT).1));
        for _ in 0..4 {
            server.check(TEXT, &completion("X", json!({})), 200, &json!({ "choices": [{ "text": "YZ" }] })).await;
        }
    }
    assert_eq!(retired.len(), 8, "each was in the place of the one before");
    for mut client in open {
        let mut tokens = 0;
        while let Some(event) = client.event().await.filter(|event| event != "[DONE]") {
            assert!(!event.contains("error"), "{event}");
            tokens += 1;
        }
        assert!(tokens > 1000, "it was cut off after {tokens}");
    }
    let ended = tokio::task::spawn_blocking(move || retired.iter().for_each(|model| model.join()));
    tokio::time::timeout(DEADLINE, ended).await.expect("they have drained").expect("no panic");
    server.check(TEXT, &completion("X", json!({})), 200, &json!({ "model": "tiny" })).await;
}

/// One model drains and is gone; the other never notices.
#[tokio::test]
async fn a_model_is_taken_away() {
    let server = Server::start().await;
    let mut second = served(None, 8, CONTEXT).1;
    second.info.name = "second".into();
    server.app.add(second);
    let ask = completion("X", json!({ "model": "second" }));
    server.check(TEXT, &ask, 200, &json!({ "model": "second" })).await;
    let removed = server.app.remove("second").pop().expect("it was there");
    server.check(TEXT, &ask, 404, &json!({ "error": { "code": "model_not_found" } })).await;
    server.check(TEXT, &completion("X", json!({})), 200, &json!({ "model": "tiny" })).await;
    tokio::task::spawn_blocking(move || removed.join()).await.expect("it ends");
}

/// Continuations count, a request is taken whole or not at all, and a full queue is said before the body is parsed.
#[tokio::test]
async fn a_full_queue_says_so_before_anything_is_parsed() {
    let (step, gate) = gate();
    let server = Server::with(Setup { gate: Some(gate), queue: 8, ..Setup::default() }).await;
    let busy = json!({ "error": { "code": "queue_full" } });
    let many = json!({ "error": { "code": "invalid_value", "param": "n" } });
    server.check(TEXT, &completion("X", json!({ "n": 9 })), 400, &many).await;
    server.check(TEXT, &json!({ "prompt": ["X", "X", "X"], "n": 3 }), 400, &many).await;
    let mut running = Client::connect(server.address).await;
    running.send("POST", TEXT, completion("A", json!({ "n": 8 })).to_string().as_bytes()).await;
    step.send(()).expect("the model waits");
    server.until("it runs", |stats| stats.running > 0).await;
    let mut waiting = Client::connect(server.address).await;
    waiting.send("POST", TEXT, completion("A", json!({ "n": 5 })).to_string().as_bytes()).await;
    server.until("it waits", |_| server.engine.queue_free() == 3).await;
    // More than is free is refused whole; what fits is not.
    server.check(TEXT, &json!({ "prompt": ["X", "X"], "n": 2 }), 429, &busy).await;
    assert_eq!(server.engine.queue_free(), 3);
    let mut last = Client::connect(server.address).await;
    last.send("POST", TEXT, json!({ "prompt": ["X", "X", "X"] }).to_string().as_bytes()).await;
    server.until("the queue is full", |_| server.engine.queue_free() == 0).await;
    let refused = fetch(server.address, "POST", TEXT, b"this is no JSON").await;
    assert_eq!((refused.head.status, refused.head.header("retry-after")), (429, Some("1")));
    server.check("/v1/chat/completions", &with(chat("hi", json!({})), json!({ "n": 0 })), 429, &busy).await;
    drop(step);
    for client in [&mut running, &mut waiting, &mut last] {
        assert_eq!(client.answer().await.head.status, 200);
    }
}

/// Clients that cannot be told the model's name are served if the server is told so.
#[tokio::test]
async fn any_name_is_answered_to_if_wanted() {
    let server = Server::start().await;
    let ask = completion("X", json!({ "model": "gpt-4o" }));
    let hint = json!({ "error": { "code": "model_not_found", "message": "~--any-model-name" } });
    server.check(TEXT, &ask, 404, &hint).await;
    server.app.answer_to_any_name(true);
    server.check(TEXT, &ask, 200, &json!({ "model": "tiny" })).await;
}

/// Loads what the tests know: `tiny` models by name.
struct Shelf;

impl serve::Loader for Shelf {
    fn load(&self, order: &serve::LoadOrder) -> Result<answer::LoadedModel, serve::LoadError> {
        let context = order.context.unwrap_or(4096);
        let name = order.name.clone().unwrap_or_else(|| order.source.clone());
        let executor = Scripted { kv_blocks: 4096, gate: None, logits: Vec::new() };
        match order.source.as_str() {
            "none" => Err(serve::LoadError::Other("there is no such file: none".to_owned())),
            "panic" => panic!("the loader breaks down"),
            _ => Ok(loaded(&name, Dialect::of_template(""), executor, (8, context)).1),
        }
    }
}

/// Models come, are replaced under load and go, by request.
#[tokio::test]
async fn models_are_changed_by_request() {
    const ADMIN: &str = "/admin/models";
    let server = Server::start().await;
    server.check(ADMIN, &json!({ "model": "a" }), 404, &json!({ "error": { "message": "~--admin" } })).await;
    server.app.load_with(Shelf);
    server.app.change_on_request();
    let listed = async || {
        let models = server.get(ADMIN).await.json()["data"].clone();
        let name =
            |model: &serde_json::Value| format!("{} {}", model["id"].as_str().unwrap_or_default(), model["context"]);
        models.as_array().expect("a list").iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let loaded = json!({ "replaced": false, "model": { "id": "b", "context": 256 } });
    server.check(ADMIN, &json!({ "model": "a", "name": "b", "context": 256 }), 200, &loaded).await;
    assert_eq!(listed().await, format!("tiny {CONTEXT}, b 256"));
    let ask = completion("x", json!({ "model": "b", "max_tokens": 200, "ignore_eos": true }));
    let (address, asked) = (server.address, ask.to_string());
    let running: Vec<_> = (0..4)
        .map(|_| (address, asked.clone()))
        .map(|(address, asked)| tokio::spawn(async move { fetch(address, "POST", TEXT, asked.as_bytes()).await }))
        .collect();
    let swap = json!({ "model": "a", "name": "b" });
    server.check(ADMIN, &swap, 200, &json!({ "replaced": true, "model": { "context": 4096 } })).await;
    for answer in running {
        assert_eq!(answer.await.expect("no panic").head.status, 200, "nothing is lost");
    }
    for (source, why) in [("none", "~no such file"), ("panic", "~panicked")] {
        let order = json!({ "model": source, "name": "b" });
        server.check(ADMIN, &order, 400, &json!({ "error": { "message": why, "param": "model" } })).await;
    }
    server.check(ADMIN, &json!({}), 400, &json!({ "error": { "message": "~model is missing" } })).await;
    server.check(TEXT, &ask, 200, &json!({ "model": "b" })).await;
    let remove = async |name: &str| fetch(address, "DELETE", &format!("{ADMIN}/{name}"), b"").await.head.status;
    assert_eq!((remove("c").await, remove("tiny").await, remove("b").await), (404, 200, 400), "the last one stays");
    assert_eq!(listed().await, "b 4096");
}
