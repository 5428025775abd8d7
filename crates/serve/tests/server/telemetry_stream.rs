//! What the dashboard and `whinchat top` are told. What they make of it is tested in web/test and in the command line.

use std::time::Instant;

use serde_json::{Map, Value, json};
use text::Dialect;

use crate::client::Client;
use crate::model::Scripted;
use crate::support::{DEADLINE, Server, completion, gate, observed};

const PARTS: [&str; 12] = [
    "server",
    "engines",
    "series",
    "predictions",
    "slowest",
    "anomalies",
    "recommendations",
    "correlations",
    "cores",
    "faults",
    "releases",
    "algorithms",
];

/// One who watches, and the last of each part that was told.
struct Viewer {
    client: Client,
    known: Map<String, Value>,
}

impl Viewer {
    async fn of(server: &Server) -> Viewer {
        let mut client = Client::connect(server.address).await;
        client.send("GET", "/v1/telemetry/stream", b"").await;
        let head = client.head().await;
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        assert_eq!((head.header("x-accel-buffering"), head.header("content-encoding")), (Some("no"), None));
        Viewer { client, known: Map::new() }
    }

    /// Takes the next message; gives the names of its parts.
    async fn told(&mut self) -> Option<Vec<String>> {
        let message: Map<String, Value> = serde_json::from_str(&self.client.event().await?).expect("an object");
        let names = message.keys().cloned().collect();
        self.known.extend(message);
        Some(names)
    }

    /// Listens until what is known is as wanted.
    async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        while !wanted(&Value::Object(self.known.clone())) {
            let told = began.elapsed() < DEADLINE && self.told().await.is_some();
            assert!(told, "{what}: {}", Value::Object(self.known.clone()));
        }
    }
}

#[tokio::test]
async fn who_watches_is_told_everything_and_then_what_changes() {
    let server = Server::start().await;
    let (permits, gate) = gate();
    let executor = Scripted { kv_blocks: 4096, gate: Some(gate), logits: Vec::new() };
    let observer = server.app.observer("m");
    let (_engine, model) = observed("m", Dialect::of_template(""), executor, (8, 4096), observer);
    server.app.add(model);
    let mut viewer = Viewer::of(&server).await;
    assert_eq!(viewer.told().await.expect("a message"), PARTS);
    let engine = |known: &Value| known["engines"].as_array().is_some_and(|all| all.len() == 1);
    viewer.until("the engine", engine).await;
    let asked = completion("xxxxx", json!({ "model": "m", "max_tokens": 3, "user": "somebody" }));
    let answer = async {
        assert_eq!(server.post("/v1/completions", &asked).await.head.status, 200);
    };
    let watch = async {
        // After one step it runs, and waits for the gate.
        permits.send(()).expect("the engine waits");
        let runs = |known: &Value| known.pointer("/engines/0/now/running").and_then(Value::as_u64) == Some(1);
        viewer.until("it runs", runs).await;
        drop(permits);
        viewer.until("it has ended", |known| known.pointer("/slowest/0/id").is_some()).await;
    };
    tokio::join!(answer, watch);
    let flow = &viewer.known["slowest"][0];
    assert_eq!(
        (&flow["tenant"], &flow["prompt"], &flow["generated"], &flow["reason"]),
        (&json!("somebody"), &json!(5), &json!(3), &json!("length"))
    );
    // What has not changed is not told again.
    let names = viewer.told().await.expect("a message");
    assert!(names.contains(&"server".to_owned()) && !names.contains(&"recommendations".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_stream_ends_with_the_server() {
    let mut server = Server::start().await;
    let mut viewer = Viewer::of(&server).await;
    assert!(viewer.told().await.is_some());
    server.shut_down();
    while viewer.told().await.is_some() {}
    server.ended().await;
}

#[tokio::test]
async fn the_history_is_of_one_engine_or_of_all() {
    let server = Server::start().await;
    for (query, engines) in [("", 0), ("?model=none&variant=&device=cpu", 0), ("?since=5&together=true", 0)] {
        let answer = server.get(&format!("/v1/telemetry/history{query}")).await;
        assert_eq!(answer.head.status, 200, "{query}");
        assert_eq!(answer.json()["engines"].as_array().map(Vec::len), Some(engines), "{query}");
    }
    assert_eq!(server.get("/v1/telemetry/history?since=x").await.head.status, 400);
}
