//! Settings change while connections are open, and /health and /metrics say how a configuration was taken.

use serde_json::json;
use serve::http::{Access, Settings};
use serve::{Bounds, Configured};

use crate::client::Client;
use crate::support::{Server, Setup};

#[tokio::test]
async fn settings_change_while_it_runs() {
    let narrow = Settings { max_connections: 1, ..Settings::default() };
    let server = Server::with(Setup { settings: narrow.clone(), ..Setup::default() }).await;
    let mut held = Client::connect(server.address).await;
    let mut status = async || {
        held.send("POST", "/tokenize", &[b' '; 2000]).await;
        held.answer().await.head.status
    };
    assert_eq!(status().await, 400, "it is no JSON");
    assert_eq!(server.get("/v1/models").await.head.status, 503, "one connection is open");
    server.setter.set(Settings { max_connections: 2, max_body: 1000, ..narrow.clone() });
    assert_eq!(server.get("/v1/models").await.head.status, 200, "there is room for another one");
    assert_eq!(status().await, 413, "a connection that is open takes no longer bodies than others");
    server.setter.set(narrow);
    assert_eq!(server.get("/v1/models").await.head.status, 503);
    assert_eq!(status().await, 400, "who is inside stays");
}

/// A page that is no longer allowed is refused on a connection that it has.
#[tokio::test]
async fn what_is_allowed_changes_on_open_connections() {
    let allowed =
        |origins: &[&str]| Settings { access: Access::new(&[], origins).expect("origins"), ..Settings::default() };
    let server = Server::with(Setup { settings: allowed(&["https://app.example"]), ..Setup::default() }).await;
    let mut held = Client::connect(server.address).await;
    let request = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\norigin: https://app.example\r\n\r\n";
    held.write(request).await;
    assert_eq!(held.answer().await.head.status, 200);
    server.setter.set(allowed(&[]));
    held.write(request).await;
    assert_eq!(held.answer().await.head.status, 403);
}

#[tokio::test]
async fn it_says_how_a_configuration_was_taken() {
    let server = Server::start().await;
    let check = async |restart: &[&str], invalid: bool, word: &str, metric: &str| {
        let restart: Vec<String> = restart.iter().map(|path| (*path).to_owned()).collect();
        server.app.configured(Configured { invalid, restart: restart.clone() });
        assert_eq!(server.get("/health").await.json()["configuration"], json!({ "status": word, "restart": restart }));
        let metrics = String::from_utf8(server.get("/metrics").await.body).expect("text");
        assert!(metrics.lines().any(|line| line == metric), "{metrics}");
    };
    assert!(server.get("/health").await.json()["configuration"].is_null(), "nothing was written yet");
    check(&[], false, "applied", "whinchat_config_invalid 0").await;
    check(&[], true, "invalid", "whinchat_config_invalid 1").await;
    check(&["engine.pin"], false, "restart needed", "whinchat_config_waiting 1").await;
    check(&[], false, "applied", "whinchat_config_reloads_total{result=\"applied\"} 3").await;
}

/// What is kept shrinks when less may be kept.
#[tokio::test]
async fn fewer_responses_are_kept() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = server.post("/v1/responses", &json!({ "input": "X", "max_output_tokens": 16 })).await.json();
        ids.push(answer["id"].as_str().expect("an id").to_owned());
    }
    let mut kept = Vec::new();
    server.app.bound(Bounds { responses: 2, ..Bounds::default() });
    for id in &ids {
        kept.push(server.get(&format!("/v1/responses/{id}")).await.head.status);
    }
    assert_eq!(kept, [404, 200, 200]);
}
