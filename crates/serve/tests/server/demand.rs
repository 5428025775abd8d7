//! Models that come into memory when they are asked for, and leave it when nobody uses them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use answer::LoadedModel;
use serde_json::{Value, json};
use serve::{KeepAlive, LoadError, LoadOrder, Loader};
use text::Dialect;

use crate::client::{Client, fetch};
use crate::model::Scripted;
use crate::support::{CONTEXT, DEADLINE, Server, chat, completion, gate, loaded, matches};

const TEXT: &str = "/v1/completions";

/// Loads made-up models, and counts how often.
#[derive(Clone, Default)]
pub(crate) struct Depot(Arc<Inner>);

#[derive(Default)]
struct Inner {
    loads: AtomicUsize,
    /// Each load waits for a permit, if there is a gate.
    gate: Mutex<Option<Receiver<()>>>,
    /// Loads that find too little memory.
    short: AtomicUsize,
}

impl Depot {
    /// Every load from now on waits for a permit.
    fn close(&self) -> SyncSender<()> {
        let (permits, gate) = sync_channel(64);
        *self.0.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(gate);
        permits
    }

    pub(crate) fn loads(&self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }
}

impl Loader for Depot {
    fn load(&self, order: &LoadOrder) -> Result<LoadedModel, LoadError> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &*self.0.gate.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = gate.recv();
        }
        if self.0.short.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |times| times.checked_sub(1)).is_ok() {
            return Err(LoadError::Memory("its weights take 9 GiB, but 1 GiB of memory are left".to_owned()));
        }
        match order.source.as_str() {
            "none" => return Err(LoadError::Other("there is no such file: none".to_owned())),
            "panic" => panic!("the loader breaks down"),
            _ => {}
        }
        let name = order.name.clone().unwrap_or_else(|| order.source.clone());
        let executor = Scripted { kv_blocks: 4096, gate: None, logits: Vec::new() };
        let context = order.context.unwrap_or(4096);
        Ok(loaded(&name, Dialect::of_template(""), executor, (64, context)).1)
    }

    fn find(&self, name: &str) -> Option<LoadOrder> {
        let own = name.strip_prefix("pulled/")?.trim_end_matches(":Q4").to_owned();
        Some(LoadOrder { source: own.clone(), name: Some(own), ..LoadOrder::default() })
    }
}

/// A model that is known under this name.
fn known(name: &str) -> LoadOrder {
    LoadOrder { source: name.to_owned(), name: Some(name.to_owned()), ..LoadOrder::default() }
}

/// A server with `tiny` in memory, and with models of these names that are not.
async fn with(names: &[&str]) -> (Server, Depot) {
    let (server, depot) = (Server::start().await, Depot::default());
    server.app.load_with(depot.clone());
    for name in names {
        server.app.know(known(name)).expect("the name is free");
    }
    (server, depot)
}

/// Waits until something is so.
async fn until(what: &str, mut wanted: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !wanted().await {
        assert!(began.elapsed() < DEADLINE, "{what}");
        tokio::task::yield_now().await;
    }
}

/// The models in memory, as Ollama's clients see them.
async fn in_memory(server: &Server) -> Vec<String> {
    let running = server.get("/api/ps").await.json();
    let name = |model: &Value| model["name"].as_str().unwrap_or_default().trim_end_matches(":latest").to_owned();
    running["models"].as_array().expect("a list").iter().map(name).collect()
}

/// Sends a request on a connection of its own.
fn sent(server: &Server, path: &'static str, body: &Value) -> tokio::task::JoinHandle<crate::client::Answer> {
    let (address, body) = (server.address, body.to_string());
    tokio::spawn(async move { fetch(address, "POST", path, body.as_bytes()).await })
}

/// One load serves all that wait, whatever they ask; others are answered meanwhile.
#[tokio::test]
async fn a_model_is_loaded_once_for_all_who_wait() {
    let (server, depot) = with(&["lazy"]).await;
    let permits = depot.close();
    let listed = json!({ "data": [{ "id": "tiny", "loaded": true }, { "id": "lazy", "loaded": false }] });
    let models = server.get("/v1/models").await.json();
    assert!(matches(&listed, &models), "{models:#}");
    let tags = json!({ "models": [{ "name": "tiny:latest" }, { "name": "lazy:latest" }] });
    let found = server.get("/api/tags").await.json();
    assert!(matches(&tags, &found), "{found:#}");
    let lazy = json!({ "model": "lazy" });
    let asks = [
        (TEXT, completion("X", lazy.clone())),
        (TEXT, completion("X", json!({ "model": "lazy", "stream": true }))),
        ("/v1/chat/completions", chat("hi", lazy.clone())),
        ("/v1/messages", chat("hi", json!({ "model": "lazy", "max_tokens": 3 }))),
        ("/v1/responses", json!({ "model": "lazy", "input": "hi" })),
        ("/api/chat", chat("hi", json!({ "model": "lazy:latest" }))),
        ("/api/embed", json!({ "model": "lazy", "input": "X" })),
        ("/v1/embeddings", json!({ "model": "lazy", "input": "X" })),
        ("/tokenize", json!({ "model": "lazy", "prompt": "X" })),
        ("/v1/messages/count_tokens", chat("hi", lazy.clone())),
    ];
    let waiting: Vec<_> = asks.iter().map(|(path, body)| sent(&server, path, body)).collect();
    until("the load begins", async || depot.loads() > 0).await;
    server.check(TEXT, &completion("X", json!({})), 200, &json!({ "model": "tiny" })).await;
    server.check("/api/show", &lazy, 200, &json!({ "capabilities": ["completion"] })).await;
    assert_eq!(server.get("/v1/scheduler?model=lazy").await.head.status, 503, "looking at it does not load it");
    assert_eq!(server.get("/health").await.json()["models"]["lazy"], "not loaded");
    assert!(waiting.iter().all(|answer| !answer.is_finished()), "they wait");
    drop(permits);
    for (answer, (path, _)) in waiting.into_iter().zip(&asks) {
        let answer = answer.await.expect("no panic");
        assert_eq!(answer.head.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(depot.loads(), 1);
    assert_eq!(in_memory(&server).await, ["tiny", "lazy"]);
    assert_eq!(server.get("/v1/models/lazy").await.json()["context"], 4096);
}

/// Who waits too long is told so, and who goes away does not stop the load.
#[tokio::test]
async fn a_load_is_waited_for_within_the_deadline() {
    let (server, depot) = with(&["lazy"]).await;
    let permits = depot.close();
    let late = json!({ "error": { "code": "deadline_exceeded", "message": "~still being loaded" } });
    let ask = completion("X", json!({ "model": "lazy", "deadline_ms": 20 }));
    server.check(TEXT, &ask, 504, &late).await;
    let mut gone = Client::connect(server.address).await;
    gone.send("POST", TEXT, completion("X", json!({ "model": "lazy" })).to_string().as_bytes()).await;
    drop(gone);
    drop(permits);
    server.check(TEXT, &completion("X", json!({ "model": "lazy" })), 200, &json!({ "model": "lazy" })).await;
    assert_eq!(depot.loads(), 1);
}

/// A load that fails leaves what was, says why in every dialect, and is tried again for the next.
#[tokio::test]
async fn a_load_that_fails_is_told() {
    let (server, depot) = with(&["none", "panic"]).await;
    let error = |why: &str| json!({ "error": { "code": "model_not_loaded", "message": why } });
    let ask = |name: &str| completion("X", json!({ "model": name }));
    server.check(TEXT, &ask("none"), 503, &error("~no such file")).await;
    server.check(TEXT, &ask("panic"), 503, &error("~panicked")).await;
    server.check("/api/generate", &json!({ "model": "none" }), 503, &json!({ "error": "~no such file" })).await;
    let message = chat("hi", json!({ "model": "none", "max_tokens": 1 }));
    server.check("/v1/messages", &message, 503, &json!({ "error": { "type": "api_error" } })).await;
    assert_eq!(depot.loads(), 4);
    server.check(TEXT, &ask("tiny"), 200, &json!({ "model": "tiny" })).await;
    assert_eq!(server.get("/health").await.json()["status"], "ready");
    // Names that nobody knows are asked of the loader.
    let unknown = json!({ "error": { "code": "model_not_found", "message": "~`nobody` does not exist" } });
    server.check(TEXT, &ask("nobody"), 404, &unknown).await;
    server.check(TEXT, &ask("pulled/a"), 200, &json!({ "model": "a" })).await;
    server.check(TEXT, &ask("pulled/a:Q4"), 200, &json!({ "model": "a" })).await;
    assert_eq!(depot.loads(), 5, "it is one model by two names");
}

/// Ollama's words: an empty request loads, `keep_alive` of 0 unloads, and the model leaves when its last answer has ended.
#[tokio::test]
async fn keep_alive_is_ollamas() {
    let (server, depot) = with(&["lazy"]).await;
    let ask = |more: Value| crate::support::with(json!({ "model": "lazy", "stream": false }), more);
    let generate = async |more: Value, expected: Value| server.check("/api/generate", &ask(more), 200, &expected).await;
    generate(json!({ "keep_alive": 0 }), json!({ "done_reason": "unload" })).await;
    assert_eq!(
        (depot.loads(), in_memory(&server).await),
        (0, vec!["tiny".to_owned()]),
        "it is not loaded to be let go"
    );
    generate(json!({ "keep_alive": "10m" }), json!({ "done_reason": "load", "response": "" })).await;
    let expires = async || {
        let running = server.get("/api/ps").await.json();
        running["models"][1]["expires_at"].as_str().expect("a moment").to_owned()
    };
    let soon = expires().await;
    assert!(soon.starts_with("20"), "{soon}");
    generate(json!({ "prompt": "X", "raw": true, "keep_alive": -1 }), json!({ "response": "YZ" })).await;
    assert!(expires().await.starts_with("9999"), "for ever");
    generate(json!({ "prompt": "X", "raw": true }), json!({ "response": "YZ" })).await;
    assert!(expires().await.starts_with("9999"), "who says nothing changes nothing");
    server.check("/api/embed", &ask(json!({ "input": "X", "keep_alive": "2h" })), 200, &json!({})).await;
    assert!(!expires().await.starts_with("9999"), "a request for vectors is one too");

    let mut open = Client::connect(server.address).await;
    let stream =
        json!({ "model": "lazy", "prompt": "a", "raw": true, "options": { "num_predict": 500 }, "keep_alive": "1h" });
    open.send("POST", "/api/generate", stream.to_string().as_bytes()).await;
    assert_eq!(open.head().await.status, 200);
    generate(json!({ "keep_alive": 0 }), json!({ "done_reason": "unload" })).await;
    let mut lines = 0;
    while let Some(line) = open.line().await {
        assert!(line.get("error").is_none(), "{line}");
        lines += 1;
    }
    assert!(lines > 100, "it was cut off after {lines}");
    until("it leaves memory", async || in_memory(&server).await == ["tiny"]).await;
    assert_eq!(server.get("/v1/models/lazy").await.json()["context"], 4096, "what is known of it is kept");
    server
        .check("/api/show", &json!({ "model": "lazy" }), 200, &json!({ "capabilities": ["completion", "tools"] }))
        .await;
    generate(json!({ "prompt": "X", "raw": true }), json!({ "response": "YZ" })).await;
    assert_eq!(depot.loads(), 2);

    // What cannot be loaded again stays.
    server.check("/api/generate", &json!({ "model": "tiny", "keep_alive": 0 }), 200, &json!({})).await;
    assert_eq!(in_memory(&server).await, ["tiny", "lazy"]);
    let wrong = json!({ "error": "~must be a duration, not `soon`" });
    server.check("/api/generate", &ask(json!({ "keep_alive": "soon" })), 400, &wrong).await;
}

/// The server's own setting; requests change it unless it is fixed.
#[tokio::test]
async fn models_that_nobody_uses_leave() {
    let (server, depot) = with(&["lazy"]).await;
    server.app.keep_alive(KeepAlive::For(Duration::from_millis(1)), true);
    for loads in 1..=3 {
        let ask = json!({ "model": "lazy", "prompt": "X", "raw": true, "stream": false, "keep_alive": "10h" });
        server.check("/api/generate", &ask, 200, &json!({ "response": "YZ" })).await;
        until("it leaves memory", async || in_memory(&server).await == ["tiny"]).await;
        assert_eq!(depot.loads(), loads);
    }
    assert!(!server.get("/metrics").await.body.is_empty());
}

/// Models that nobody uses make room, the one that was used longest ago first; one that is used does not.
#[tokio::test]
async fn memory_is_made_for_a_model() {
    let (server, depot) = with(&["a", "b", "c", "d"]).await;
    server.app.keep_alive(KeepAlive::For(Duration::from_secs(3600)), false);
    let ask = |name: &str| completion("X", json!({ "model": name }));
    for name in ["a", "b", "a"] {
        server.check(TEXT, &ask(name), 200, &json!({ "model": name })).await;
    }
    depot.0.short.store(1, Ordering::SeqCst);
    server.check(TEXT, &ask("c"), 200, &json!({ "model": "c" })).await;
    assert_eq!(in_memory(&server).await, ["tiny", "a", "c"]);

    let (step, closed) = gate();
    let executor = Scripted { kv_blocks: 4096, gate: Some(closed), logits: Vec::new() };
    let (busy, model) = loaded("d", Dialect::of_template(""), executor, (8, CONTEXT));
    server.app.add_loaded(model, known("d"));
    let running = sent(&server, TEXT, &ask("d"));
    step.send(()).expect("the model waits");
    until("it runs", async || busy.stats().running > 0).await;
    depot.0.short.store(8, Ordering::SeqCst);
    let numbers = json!({ "error": { "code": "model_not_loaded", "message": "~9 GiB, but 1 GiB" } });
    server.check(TEXT, &ask("b"), 503, &numbers).await;
    assert_eq!(in_memory(&server).await, ["tiny", "d"], "what is used stays");
    drop(step);
    assert_eq!(running.await.expect("no panic").head.status, 200);
}
