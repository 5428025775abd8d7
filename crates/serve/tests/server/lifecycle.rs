//! Loading, ready, draining; the list of models; connections.

use std::time::Duration;

use serde_json::{Value, json};
use serve::http::Settings;

use crate::client::{Client, fetch};
use crate::support::{CONTEXT, DEADLINE, Server, Setup, chat, completion, gate, matches, served};

#[tokio::test]
async fn loading_becomes_ready() {
    let server = Server::with(Setup { loaded: false, ..Setup::default() }).await;
    let health = server.get("/health").await;
    let loading = json!({ "status": "loading", "models": {}, "components": { "queue": { "status": "closed" } } });
    assert!(health.head.status == 503 && matches(&loading, &health.json()), "{}", health.json());
    for (path, status, word) in [("/health/live", 200, "live"), ("/health/ready", 503, "loading")] {
        let part = server.get(path).await;
        assert_eq!((part.head.status, part.json()), (status, json!({ "status": word })), "{path}");
    }
    let early = server.post("/v1/chat/completions", &chat("hi", json!({}))).await;
    assert_eq!((early.head.status, &early.json()["error"]["code"]), (503, &json!("model_loading")));
    for path in ["/v1/models", "/v1/models/tiny"] {
        let early = server.get(path).await;
        assert!(early.head.status == 503 && early.head.header("retry-after").is_some(), "{early:?}");
    }
    server.app.add(served(None, 8, CONTEXT).1);
    let health = server.get("/health").await;
    let off = |switch: &str| json!({ "status": "off", "reason": format!("~{switch}") });
    let components = json!({ "queue": { "status": "ready" }, "loader": off("--admin"), "sessions": off("--sessions") });
    let ready = json!({ "status": "ready", "models": { "tiny": "ready" }, "components": components });
    assert!(health.head.status == 200 && matches(&ready, &health.json()), "{}", health.json());
    assert_eq!(server.get("/health/ready").await.json(), json!({ "status": "ready" }));
    server.check("/v1/chat/completions", &chat("hi", json!({})), 200, &json!({})).await;
}

#[tokio::test]
async fn models_are_listed() {
    let server = Server::start().await;
    let mut second = served(None, 8, CONTEXT).1;
    second.info.name = "org/second:Q4".into();
    second.info.template = Err("it has no chat template".into());
    server.app.add(second);
    let model = |id: &str| {
        let sampling = json!({ "temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0 });
        json!({ "id": id, "object": "model", "created": 1_700_000_000, "owned_by": "whinchat", "loaded": true,
                "version": "1", "context": CONTEXT, "chat": id == "tiny", "sampling": sampling })
    };
    let all = json!({ "object": "list", "data": [model("tiny"), model("org/second:Q4")] });
    assert_eq!(server.get("/v1/models").await.json(), all);
    for (path, id) in [("tiny", "tiny"), ("org/second:Q4", "org/second:Q4"), ("org%2Fsecond:Q4", "org/second:Q4")] {
        assert_eq!(server.get(&format!("/v1/models/{path}")).await.json(), model(id));
    }
    let body = |model: &str| completion("X", json!({ "model": model }));
    for (asked, answered) in [("default", "tiny"), ("tiny", "tiny"), ("org/second:Q4", "org/second:Q4")] {
        server.check("/v1/completions", &body(asked), 200, &json!({ "model": answered })).await;
    }
    let refused = json!({ "error": { "message": "~it has no chat template", "code": "unsupported_parameter" } });
    server.check("/v1/chat/completions", &chat("hi", json!({ "model": "org/second:Q4" })), 400, &refused).await;
}

/// What has begun is finished; what comes late is refused; then everything ends.
#[tokio::test]
async fn draining_finishes_what_has_begun() {
    let (step, gate) = gate();
    let mut server = Server::with(Setup { gate: Some(gate), ..Setup::default() }).await;
    let mut idle = Client::connect(server.address).await;
    let mut open = Client::connect(server.address).await;
    let mut whole = Client::connect(server.address).await;
    let body = completion("a", json!({ "stream": true, "max_tokens": 2000 })).to_string();
    open.send("POST", "/v1/completions", body.as_bytes()).await;
    let body = completion("X", json!({ "max_tokens": 2000, "ignore_eos": true })).to_string();
    whole.send("POST", "/v1/completions", body.as_bytes()).await;
    while server.engine.stats().running < 2 {
        step.send(()).expect("the model waits");
        assert_eq!(server.get("/health").await.head.status, 200);
    }

    server.shut_down();
    while server.app.state() != serve::State::Draining {
        tokio::task::yield_now().await;
    }
    let health = server.get("/health").await;
    let draining = json!({ "status": "draining", "models": { "tiny": "ready" } });
    assert!(health.head.status == 503 && matches(&draining, &health.json()), "{}", health.json());
    let part = server.get("/health/ready").await;
    assert_eq!((part.head.status, part.head.header("retry-after")), (503, Some("5")));
    assert_eq!(server.get("/health/live").await.head.status, 200);
    idle.send("POST", "/v1/completions", completion("X", json!({})).to_string().as_bytes()).await;
    let late = idle.answer().await;
    assert_eq!((late.head.status, &late.json()["error"]["code"]), (503, &json!("draining")));
    assert_eq!((late.head.header("connection"), late.head.header("retry-after")), (Some("close"), Some("5")));

    drop(step);
    assert_eq!(open.head().await.status, 200);
    let mut last = Value::Null;
    while let Some(event) = open.event().await.filter(|event| event != "[DONE]") {
        last = serde_json::from_str(&event).expect("JSON");
    }
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    let answer = whole.answer().await.json();
    let complete = json!({ "choices": [{ "finish_reason": "length" }], "usage": { "completion_tokens": 2000 } });
    assert!(matches(&complete, &answer), "{answer}");
    server.ended().await;
    assert!(whole.closed().await);
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

/// After the grace, answers are cut off and say so.
#[tokio::test]
async fn the_grace_ends() {
    let mut server =
        Server::with(Setup { settings: Settings { grace: Duration::ZERO, ..Settings::default() }, ..Setup::default() })
            .await;
    let body = json!({ "prompt": "a", "stream": true, "max_tokens": CONTEXT, "ignore_eos": true });
    let mut open = Client::connect(server.address).await;
    open.send("POST", "/v1/completions", body.to_string().as_bytes()).await;
    assert_eq!(open.head().await.status, 200);
    open.event().await.expect("it has begun");
    server.shut_down();
    let mut last = Vec::new();
    while let Some(event) = open.event().await {
        last.push(event);
    }
    assert!(last.iter().any(|event| event.contains("\"draining\"")), "{:?}", last.last());
    server.ended().await;
}

/// Connections are kept, requests may follow each other at once, and odd bytes end a connection only.
#[tokio::test]
async fn connections_are_kept() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address).await;
    for _ in 0..3 {
        client.send("POST", "/v1/completions", completion("X", json!({})).to_string().as_bytes()).await;
        assert_eq!(client.answer().await.head.status, 200);
    }
    client
        .write(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\nGET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert_eq!((client.answer().await.head.status, client.answer().await.head.status), (200, 200));

    let mut odd = Client::connect(server.address).await;
    odd.write(b"\x16\x03\x01 not http\r\n\r\n").await;
    assert_eq!(odd.head().await.status, 400);
    assert!(tokio::time::timeout(DEADLINE, odd.closed()).await.expect("it is closed"));
    assert_eq!(server.get("/health").await.head.status, 200);
}

/// Who comes when all places are taken is told so at once; /health answers; a place that becomes free is given away.
#[tokio::test]
async fn connections_are_bounded() {
    let settings = Settings { max_connections: 2, ..Settings::default() };
    let server = Server::with(Setup { settings, ..Setup::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(server.address).await;
        client.send("GET", "/health", b"").await;
        assert_eq!(client.answer().await.head.status, 200);
        held.push(client);
    }
    let body = completion("X", json!({}));
    let refused = server.post("/v1/completions", &body).await;
    assert_eq!((refused.head.status, &refused.json()["error"]["code"]), (503, &json!("too_many_connections")));
    assert_eq!((refused.head.header("retry-after"), refused.head.header("connection")), (Some("1"), Some("close")));
    let large = server.post("/v1/completions", &json!({ "prompt": "x".repeat(8 << 20) })).await;
    assert_eq!(large.head.status, 503, "a large body is no reason to be cut off");
    assert_eq!(server.get("/health").await.head.status, 200);

    drop(held.pop());
    while server.post("/v1/completions", &body).await.head.status != 200 {
        tokio::task::yield_now().await;
    }
    held[0].send("POST", "/v1/completions", body.to_string().as_bytes()).await;
    assert_eq!(held[0].answer().await.head.status, 200, "who is inside stays");
}

/// Bodies share a bound of memory, from their first byte until they are parsed.
#[tokio::test]
async fn bodies_are_bounded_together() {
    let settings = Settings { max_bodies: 1000, ..Settings::default() };
    let server = Server::with(Setup { settings, ..Setup::default() }).await;
    let body = completion(&"x".repeat(600), json!({})).to_string();
    let (first, last) = body.as_bytes().split_at(590);
    let mut slow = Client::connect(server.address).await;
    let length = body.len();
    slow.write(
        format!("POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n").as_bytes(),
    )
    .await;
    slow.write(first).await;
    let ask = async || fetch(server.address, "POST", "/v1/completions", body.as_bytes()).await;
    // The server reads what arrives in its own time.
    let refused = loop {
        let answer = ask().await;
        if answer.head.status != 200 {
            break answer;
        }
    };
    assert_eq!((refused.head.status, &refused.json()["error"]["code"]), (503, &json!("busy")));
    assert_eq!(refused.head.header("retry-after"), Some("1"));
    assert_eq!(server.post("/v1/completions", &completion("X", json!({}))).await.head.status, 200, "this one fits");
    slow.write(last).await;
    assert_eq!(slow.answer().await.head.status, 200);
    assert_eq!(ask().await.head.status, 200, "what was taken is given back");
}

/// One server listens in several places, a unix socket among them.
#[cfg(unix)]
#[tokio::test]
async fn there_may_be_several_listeners() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let unix = tokio::net::UnixListener::bind(&path).expect("a socket");
    let mut tcp = Vec::new();
    for _ in 0..2 {
        tcp.push(tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    }
    let addresses: Vec<_> = tcp.iter().map(|listener| listener.local_addr().expect("an address")).collect();
    let app = serve::App::new();
    app.add(served(None, 8, CONTEXT).1);
    let listeners = tcp.into_iter().map(Into::into).chain([unix.into()]).collect();
    tokio::spawn(serve::http::serve(listeners, app, std::future::pending::<()>(), Settings::default()));
    for address in addresses {
        assert_eq!(fetch(address, "GET", "/health", b"").await.head.status, 200);
    }
    let mut stream = tokio::net::UnixStream::connect(&path).await.expect("it listens");
    // Whoever reaches the socket has a name for it.
    stream
        .write_all(b"GET /v1/models HTTP/1.1\r\nhost: whatever\r\nconnection: close\r\n\r\n")
        .await
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"tiny\""), "{answer}");
}
