//! Clients that go away, and clients that do not read.

use serde_json::json;

use crate::client::Client;
use crate::support::{CONTEXT, Server, chat, completion, with};

/// Without end, for all that a test can wait.
fn endless() -> serde_json::Value {
    json!({ "max_tokens": CONTEXT, "ignore_eos": true })
}

async fn gone(server: &Server) {
    server.until("blocks are freed", |stats| stats.running + stats.waiting + stats.kv_blocks_used == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_frees_its_blocks() {
    let server = Server::start().await;
    for (path, body) in
        [("/v1/completions", completion("a", endless())), ("/v1/chat/completions", chat("a", endless()))]
    {
        let mut client = Client::connect(server.address).await;
        let body = with(body, json!({ "stream": true, "n": 2 }));
        client.send("POST", path, body.to_string().as_bytes()).await;
        assert_eq!(client.head().await.status, 200);
        for _ in 0..8 {
            client.event().await.expect("the stream goes on");
        }
        server.until("it runs", |stats| stats.running == 2).await;
        drop(client);
        gone(&server).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_its_answer_frees_its_blocks() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address).await;
    client.send("POST", "/v1/completions", completion("a", endless()).to_string().as_bytes()).await;
    server.until("it runs", |stats| stats.running == 1).await;
    drop(client);
    gone(&server).await;
}

#[tokio::test]
async fn a_stop_string_ends_its_choice_only() {
    let server = Server::start().await;
    let body = with(completion("a", endless()), json!({ "stop": "xyz" }));
    server.check("/v1/completions", &body, 200, &json!({ "choices": [{ "text": "bcdefghijklmnopqrstuvw" }] })).await;
    gone(&server).await;
    let two = json!({ "prompt": ["a", "A"], "stop": "xyz", "max_tokens": 100 });
    let expected =
        json!({ "choices": [{ "text": "~bcd", "finish_reason": "stop" }, { "text": "BCDEFGHIJKLMNOPQRSTUVWXYZ" }] });
    server.check("/v1/completions", &two, 200, &expected).await;
}

/// A client that stops reading costs a bounded queue; others go on; when it reads again nothing is missing.
#[tokio::test]
async fn a_client_that_does_not_read_waits_alone() {
    const TOKENS: usize = 20_000;
    const LETTERS: u64 = 500;
    let server = Server::start().await;
    let mut slow = Client::connect(server.address).await;
    let body = completion("a", json!({ "stream": true, "max_tokens": TOKENS }));
    slow.send("POST", "/v1/completions", body.to_string().as_bytes()).await;
    // It has stalled when, while others are answered, no other tokens are made than theirs.
    let other = completion("a", json!({ "max_tokens": LETTERS }));
    let mut before = server.engine.stats().generated_tokens;
    loop {
        let answer = server.post("/v1/completions", &other).await;
        assert_eq!(answer.head.status, 200);
        server.until("the other has ended", |stats| stats.running <= 1).await;
        let after = server.engine.stats().generated_tokens;
        if after - before == LETTERS {
            break;
        }
        before = after;
    }
    assert_eq!(server.engine.stats().running, 1, "it did not end while nobody read");

    assert_eq!(slow.head().await.status, 200);
    let mut text = String::new();
    loop {
        let event = slow.event().await.expect("the stream goes on");
        if event == "[DONE]" {
            break;
        }
        let event: serde_json::Value = serde_json::from_str(&event).expect("JSON");
        text += event["choices"][0]["text"].as_str().expect("text");
    }
    let whole = server.post("/v1/completions", &completion("a", json!({ "max_tokens": TOKENS }))).await.json();
    assert_eq!(whole["choices"][0]["text"], text);
    gone(&server).await;
}

#[tokio::test]
async fn a_client_that_vanishes_while_it_does_not_read_frees_its_blocks() {
    let server = Server::start().await;
    let mut slow = Client::connect(server.address).await;
    let body = with(completion("a", endless()), json!({ "stream": true })).to_string();
    slow.send("POST", "/v1/completions", body.as_bytes()).await;
    server.until("much is unread", |stats| stats.generated_tokens > 500).await;
    drop(slow);
    gone(&server).await;
}
