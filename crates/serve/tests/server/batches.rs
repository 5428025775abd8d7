//! Files and batches: what is sent is kept, and each line of a batch is answered once.

use std::path::Path;

use serde_json::{Value, json};
use serve::{BatchStore, State};
use tokio::time::Instant;

use crate::client::{Answer, Client, fetch};
use crate::specification::check_named;
use crate::support::{DEADLINE, Server, Setup, gate, matches};

const CHAT: &str = "/v1/chat/completions";

/// A server that keeps its files and batches in a folder.
async fn server(folder: &Path, setup: Setup) -> Server {
    let server = Server::with(setup).await;
    server.app.keep_batches(BatchStore::open(&folder.join("db")).expect("a database"));
    server
}

async fn upload(server: &Server, purpose: &str, content: &str) -> Answer {
    send(server, &[("purpose", purpose)], content).await
}

/// Sends a form of these fields and a file.
async fn send(server: &Server, fields: &[(&str, &str)], content: &str) -> Answer {
    let field = |(name, text): &(&str, &str)| {
        format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    };
    let fields: String = fields.iter().map(field).collect();
    let body = format!(
        "{fields}--X\r\ncontent-disposition: form-data; \
         name=\"file\"; filename=\"asks.jsonl\"\r\ncontent-type: application/jsonl\r\n\r\n{content}\r\n--X--\r\n"
    );
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=X\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut client = Client::connect(server.address).await;
    client.write(head.as_bytes()).await;
    client.write(body.as_bytes()).await;
    client.answer().await
}

/// A line that asks for a chat.
fn line(id: &str, body: &Value) -> String {
    json!({ "custom_id": id, "method": "POST", "url": CHAT, "body": body }).to_string()
}

fn chat(content: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": content }] })
}

/// A batch of these lines.
async fn begin(server: &Server, lines: &[String]) -> Value {
    let file = upload(server, "batch", &lines.join("\n")).await.json();
    let body = json!({ "input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h", "metadata": { "of": "test" } });
    let answer = server.post("/v1/batches", &body).await;
    let batch = answer.json();
    assert_eq!(answer.head.status, 200, "{batch}");
    check_named("Batch", &batch);
    batch
}

async fn one(server: &Server, batch: &Value) -> Value {
    server.get(&format!("/v1/batches/{}", batch["id"].as_str().expect("an id"))).await.json()
}

/// The batch when it has ended.
async fn ended(server: &Server, batch: &Value) -> Value {
    let began = Instant::now();
    loop {
        let batch = one(server, batch).await;
        if !["in_progress", "cancelling"].contains(&batch["status"].as_str().expect("a status")) {
            check_named("Batch", &batch);
            return batch;
        }
        assert!(began.elapsed() < DEADLINE, "{batch}");
        tokio::task::yield_now().await;
    }
}

/// The lines of a file, if there is one.
async fn lines(server: &Server, id: &Value) -> Vec<Value> {
    let Some(id) = id.as_str() else { return Vec::new() };
    let answer = server.get(&format!("/v1/files/{id}/content")).await;
    let text = String::from_utf8(answer.body).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn files_stay_as_long_as_they_are_asked_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server(folder.path(), Setup::default()).await;
    check_named("ListFilesResponse", &server.get("/v1/files").await.json());
    check_named("ListBatchesResponse", &server.get("/v1/batches").await.json());
    let (anchor, seconds) = ("expires_after[anchor]", "expires_after[seconds]");
    let kept =
        send(&server, &[("purpose", "batch"), (anchor, "created_at"), (seconds, "3600"), ("x", "y")], "a").await.json();
    check_named("OpenAIFile", &kept);
    assert_eq!(kept["expires_at"].as_i64(), kept["created_at"].as_i64().map(|created| created + 3600), "{kept}");
    for (fields, param) in [
        (&[(anchor, "created_at")][..], "expires_after.seconds"),
        (&[(seconds, "3600")], "expires_after.anchor"),
        (&[(anchor, "now"), (seconds, "3600")], "expires_after.anchor"),
        (&[(anchor, "created_at"), (seconds, "3599")], "expires_after.seconds"),
        (&[(anchor, "created_at"), (seconds, "2592001")], "expires_after.seconds"),
        (&[(anchor, "created_at"), (seconds, "long")], "expires_after.seconds"),
    ] {
        let answer = send(&server, &[&[("purpose", "batch")], fields].concat(), "a").await;
        assert_eq!((answer.head.status, answer.json()["error"]["param"].as_str()), (400, Some(param)), "{fields:?}");
    }
    let file = upload(&server, "batch", &line("a", &chat("x"))).await.json();
    assert!(file.get("expires_at").is_none(), "{file}");
    let stay = json!({ "anchor": "created_at", "seconds": 7200 });
    let body = |stay: Value| json!({ "input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h", "output_expires_after": stay });
    let begun = server.post("/v1/batches", &body(stay)).await.json();
    let done = ended(&server, &begun).await;
    let output = server.get(&format!("/v1/files/{}", done["output_file_id"].as_str().expect("a file"))).await.json();
    assert_eq!(output["expires_at"].as_i64(), output["created_at"].as_i64().map(|created| created + 7200), "{output}");
    for (stay, param) in
        [(json!({ "anchor": "created_at", "seconds": 1 }), "seconds"), (json!({ "seconds": 3600 }), "anchor")]
    {
        let expected = json!({ "error": { "param": format!("output_expires_after.{param}") } });
        server.check("/v1/batches", &body(stay), 400, &expected).await;
    }
    let oldest = server.get("/v1/files?order=asc&limit=1").await.json();
    assert_eq!(oldest["data"][0]["id"], kept["id"], "{oldest}");
}

#[tokio::test]
async fn files_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server(folder.path(), Setup::default()).await;
    let file = upload(&server, "batch", "a\nb").await.json();
    check_named("OpenAIFile", &file);
    let expected =
        json!({ "object": "file", "filename": "asks.jsonl", "purpose": "batch", "bytes": 3, "status": "processed" });
    assert!(matches(&expected, &file), "{file}");
    let other = upload(&server, "user_data", "").await.json();
    let path = format!("/v1/files/{}", file["id"].as_str().expect("an id"));
    assert_eq!(server.get(&path).await.json(), file);
    assert_eq!(server.get(&format!("{path}/content")).await.body, b"a\nb");
    let list = server.get("/v1/files?limit=1").await.json();
    check_named("ListFilesResponse", &list);
    assert!(matches(&json!({ "data": [other], "has_more": true }), &list), "{list}");
    let list = server.get("/v1/files?purpose=batch").await.json();
    assert!(matches(&json!({ "data": [file], "has_more": false }), &list), "{list}");
    let gone = fetch(server.address, "DELETE", &path, b"").await.json();
    check_named("DeleteFileResponse", &gone);
    assert_eq!(server.get(&path).await.head.status, 404);
    assert_eq!(server.get(&format!("{path}/content")).await.json()["error"]["code"], "file_not_found");
    assert_eq!(upload(&server, "nonsense", "").await.json()["error"]["param"], "purpose");
    assert_eq!(server.post("/v1/files", &json!({})).await.head.status, 400);
    assert_eq!(server.get("/v1/files?limit=0").await.json()["error"]["param"], "limit");
}

#[tokio::test]
async fn every_line_is_answered_as_a_request_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server(folder.path(), Setup::default()).await;
    let bad = json!({ "messages": [{ "role": "user", "content": "x" }], "temperature": -1 });
    let asks: Vec<String> =
        (0..70).map(|i| line(&format!("ask-{i}"), &chat(&format!("{i}")))).chain([line("bad", &bad)]).collect();
    let batch = begin(&server, &asks).await;
    let done = ended(&server, &batch).await;
    let counts = json!({ "total": 71, "completed": 70, "failed": 1 });
    let expected = json!({ "status": "completed", "request_counts": counts, "metadata": { "of": "test" } });
    assert!(matches(&expected, &done), "{done}");
    let answers = lines(&server, &done["output_file_id"]).await;
    let wanted = server.post(CHAT, &chat("0")).await.json();
    for (i, answer) in answers.iter().enumerate() {
        let expected = json!({ "custom_id": format!("ask-{i}"), "error": null, "response": {
            "status_code": 200, "body": { "object": "chat.completion", "choices": wanted["choices"] } } });
        assert!(matches(&expected, answer), "{answer}");
    }
    assert_eq!(answers.len(), 70);
    let failed = lines(&server, &done["error_file_id"]).await;
    let expected = json!([{ "custom_id": "bad", "response": { "status_code": 400, "body": { "error": { "param": "temperature" } } } }]);
    assert!(matches(&expected, &json!(failed)), "{failed:?}");
    let list = server.get("/v1/batches").await.json();
    check_named("ListBatchesResponse", &list);
    assert_eq!(list["data"][0], done);
    // What has ended is not cancelled.
    let path = format!("/v1/batches/{}/cancel", batch["id"].as_str().expect("an id"));
    assert_eq!(server.post(&path, &json!({})).await.json(), done);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server(folder.path(), Setup::default()).await;
    let good = line("a", &chat("x"));
    let other = good.replace(CHAT, "/v1/completions");
    let stream = line("s", &json!({ "stream": true }));
    let cases = [
        (vec![good.clone(), "{".into()], 2, "not JSON"),
        (vec![good.clone(), String::new(), good.clone()], 3, "earlier line"),
        (vec![other], 1, "url must be"),
        (vec![good.replace("POST", "GET")], 1, "method must be POST"),
        (vec![stream], 1, "body.stream"),
        (vec!["{}".into()], 1, "custom_id must be a string"),
    ];
    for (lines, number, message) in cases {
        let batch = begin(&server, &lines).await;
        let error = json!([{ "line": number, "message": format!("~{message}") }]);
        assert!(matches(&json!({ "status": "failed", "errors": { "data": error } }), &batch), "{batch}");
    }
    let empty = begin(&server, &[]).await;
    assert!(matches(&json!({ "errors": { "data": [{ "message": "~no requests" }] } }), &empty), "{empty}");
    let refused = [
        (json!({ "input_file_id": "file-none", "endpoint": CHAT, "completion_window": "24h" }), 404, "id"),
        (json!({ "input_file_id": "x", "endpoint": "/v1/x", "completion_window": "24h" }), 400, "endpoint"),
        (json!({ "input_file_id": "x", "endpoint": CHAT, "completion_window": "soon" }), 400, "completion_window"),
        (json!({ "input_file_id": "x", "endpoint": CHAT }), 400, "completion_window"),
        (
            json!({ "input_file_id": "x", "endpoint": CHAT, "completion_window": "1h", "metadata": { "a": 1 } }),
            400,
            "metadata",
        ),
    ];
    for (body, status, param) in refused {
        server.check("/v1/batches", &body, status, &json!({ "error": { "param": param } })).await;
    }
    assert_eq!(server.get("/v1/batches/none").await.json()["error"]["code"], "batch_not_found");
    let without = Server::start().await;
    assert!(
        without.get("/v1/files").await.json()["error"]["message"].as_str().is_some_and(|m| m.contains("--data-dir"))
    );
}

#[tokio::test]
async fn a_batch_is_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let (open, gate) = gate();
    let server = server(folder.path(), Setup { gate: Some(gate), ..Setup::default() }).await;
    let asks: Vec<String> = (0..100).map(|i| line(&format!("ask-{i}"), &chat("x"))).collect();
    let batch = begin(&server, &asks).await;
    (0..3).for_each(|_| open.send(()).expect("the engine waits"));
    server.until("lines run", |stats| stats.running > 0).await;
    let path = format!("/v1/batches/{}/cancel", batch["id"].as_str().expect("an id"));
    let asked = server.post(&path, &json!({})).await.json();
    assert_eq!(asked["status"], "cancelling", "{asked}");
    drop(open);
    let done = ended(&server, &batch).await;
    assert_eq!(done["status"], "cancelled", "{done}");
    let (answers, missing) =
        (lines(&server, &done["output_file_id"]).await, lines(&server, &done["error_file_id"]).await);
    assert!(!answers.is_empty() && answers.len() + missing.len() == 100, "{} and {}", answers.len(), missing.len());
    assert!(missing.iter().all(|line| line["error"]["code"] == "batch_cancelled"), "{missing:?}");
}

#[tokio::test]
async fn a_batch_goes_on_after_the_server_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let (open, gate) = gate();
    let mut first = server(folder.path(), Setup { gate: Some(gate), ..Setup::default() }).await;
    let asks: Vec<String> = (0..90).map(|i| line(&format!("ask-{i}"), &chat("x"))).collect();
    let batch = begin(&first, &asks).await;
    (0..3).for_each(|_| open.send(()).expect("the engine waits"));
    first.until("lines run", |stats| stats.running > 0).await;
    first.shut_down();
    while first.app.state() != State::Draining {
        tokio::task::yield_now().await;
    }
    drop(open);
    first.ended().await;
    drop(first);
    let began = Instant::now();
    let second = Server::start().await;
    let store = loop {
        // The last answers are being written.
        match BatchStore::open(&folder.path().join("db")) {
            Ok(store) => break store,
            Err(error) => assert!(began.elapsed() < DEADLINE, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    second.app.keep_batches(store);
    let done = ended(&second, &batch).await;
    let counts = json!({ "status": "completed", "request_counts": { "total": 90, "completed": 90, "failed": 0 } });
    assert!(matches(&counts, &done), "{done}");
    let ids: Vec<Value> =
        lines(&second, &done["output_file_id"]).await.iter().map(|line| line["custom_id"].clone()).collect();
    assert_eq!(ids, (0..90).map(|i| json!(format!("ask-{i}"))).collect::<Vec<_>>());
}
