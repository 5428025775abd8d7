//! Files, batches and sessions are their key's: others are told that there are none, and who has the role admin sees all.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use serve::{BatchStore, Bounds, KeyLimits, Role};
use text::Dialect;
use tokio::time::Instant;

use crate::access::ask;
use crate::client::{Answer, Client};
use crate::keys::{Ring, Tenants, server};
use crate::model::Scripted;
use crate::sessions::Shelf;
use crate::support::{DEADLINE, Server, Setup, completion, observed, with};

const COMPLETIONS: &str = "/v1/completions";

/// Who asks.
const NAMES: [&str; 3] = ["alice", "bob", "boss"];

fn ring() -> Ring {
    let role = |name: &str| if name == "boss" { Role::Admin } else { Role::User };
    Ring::new(&NAMES.map(|name| (name, role(name), KeyLimits::default())))
}

/// A server that keeps everything, and whoever asks it by name.
struct House {
    server: Server,
    ring: Ring,
    tenants: Arc<Mutex<Vec<Option<String>>>>,
}

impl House {
    async fn new(folder: &Path) -> House {
        let ring = ring();
        let (server, _) = server(&ring, Setup { loaded: false, ..Setup::default() }).await;
        let tenants = Arc::<Mutex<Vec<Option<String>>>>::default();
        let executor = Scripted { kv_blocks: 4096, gate: None, logits: Vec::new() };
        let (_, model) = observed("m", Dialect::of_template(""), executor, (8, 4096), Tenants(Arc::clone(&tenants)));
        server.app.add(model);
        server.app.keep_batches(BatchStore::open(&folder.join("db")).expect("a database"));
        server.app.keep_sessions(Shelf::default());
        House { server, ring, tenants }
    }

    async fn ask(&self, who: &str, line: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = ask(&self.server, line, &["host: localhost", &self.ring.header(who)], &body).await;
        (answer.head.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    async fn upload(&self, who: &str, content: &str) -> Answer {
        let body = format!(
            "--X\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--X\r\ncontent-disposition: form-data; \
             name=\"file\"; filename=\"asks.jsonl\"\r\n\r\n{content}\r\n--X--\r\n"
        );
        let head = format!(
            "POST /v1/files HTTP/1.1\r\nhost: localhost\r\n{}\r\ncontent-type: multipart/form-data; boundary=X\r\ncontent-length: {}\r\n\r\n",
            self.ring.header(who),
            body.len()
        );
        let mut client = Client::connect(self.server.address).await;
        client.write((head + &body).as_bytes()).await;
        client.answer().await
    }

    /// How many there are in a list, by name.
    async fn listed(&self, path: &str) -> [usize; 3] {
        let mut found = [0; 3];
        for (count, who) in found.iter_mut().zip(NAMES) {
            let (status, list) = self.ask(who, &format!("GET {path}"), &Value::Null).await;
            assert_eq!(status, 200, "{who}: {list}");
            *count = list["data"].as_array().expect("a list").len();
        }
        found
    }

    /// What each is answered.
    async fn check(&self, line: &str, statuses: [u16; 3]) {
        for (who, status) in NAMES.into_iter().zip(statuses) {
            let (found, said) = self.ask(who, line, &Value::Null).await;
            assert_eq!(found, status, "{who} {line}: {said}");
        }
    }
}

#[tokio::test]
async fn files_and_batches_are_their_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::new(folder.path()).await;
    let body = completion("x", json!({ "max_tokens": 2 }));
    let line = json!({ "custom_id": "a", "method": "POST", "url": COMPLETIONS, "body": body }).to_string();
    let file = house.upload("alice", &line).await.json();
    let id = file["id"].as_str().expect("an id");
    assert_eq!(house.listed("/v1/files").await, [1, 0, 1]);
    house.check(&format!("GET /v1/files/{id}"), [200, 404, 200]).await;
    house.check(&format!("GET /v1/files/{id}/content"), [200, 404, 200]).await;
    let batch = json!({ "input_file_id": id, "endpoint": COMPLETIONS, "completion_window": "24h" });
    let (status, said) = house.ask("bob", "POST /v1/batches", &batch).await;
    assert_eq!((status, &said["error"]["code"]), (404, &json!("file_not_found")), "{said}");
    let (status, mut done) = house.ask("alice", "POST /v1/batches", &batch).await;
    assert_eq!(status, 200, "{done}");
    let path = format!("/v1/batches/{}", done["id"].as_str().expect("an id"));
    house.check(&format!("POST {path}/cancel"), [200, 404, 200]).await;
    let began = Instant::now();
    while done["output_file_id"].is_null() && done["error_file_id"].is_null() {
        assert!(began.elapsed() < DEADLINE, "{done}");
        done = house.ask("alice", &format!("GET {path}"), &Value::Null).await.1;
    }
    house.check(&format!("GET {path}"), [200, 404, 200]).await;
    assert_eq!(house.listed("/v1/batches").await, [1, 0, 1]);
    // What comes of it is hers too.
    assert_eq!(house.listed("/v1/files").await, [2, 0, 2]);
    house.check(&format!("DELETE /v1/files/{id}"), [200, 404, 404]).await;
    assert_eq!(house.upload("bob", "x").await.head.status, 200);
    assert_eq!(house.listed("/v1/files").await, [1, 1, 2]);
}

/// Lines run on behalf of whose batch it is, with answers that are theirs.
#[tokio::test]
async fn lines_are_asked_by_their_batchs_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::new(folder.path()).await;
    let mut begun = Vec::new();
    for who in ["alice", "bob"] {
        let body = json!({ "input": "hi", "max_output_tokens": 16 });
        let line = json!({ "custom_id": "a", "method": "POST", "url": "/v1/responses", "body": body }).to_string();
        let file = house.upload(who, &line).await.json();
        let batch = json!({ "input_file_id": file["id"], "endpoint": "/v1/responses", "completion_window": "24h" });
        let (status, batch) = house.ask(who, "POST /v1/batches", &batch).await;
        assert_eq!(status, 200, "{batch}");
        begun.push((who, format!("/v1/batches/{}", batch["id"].as_str().expect("an id"))));
    }
    for ((who, path), sees) in begun.iter().zip([[200, 404, 200], [404, 200, 200]]) {
        let began = Instant::now();
        let output = loop {
            let (_, batch) = house.ask(who, &format!("GET {path}"), &Value::Null).await;
            assert!(began.elapsed() < DEADLINE && batch["error_file_id"].is_null(), "{batch}");
            if let Some(output) = batch["output_file_id"].as_str() {
                break output.to_owned();
            }
        };
        let (_, answer) = house.ask(who, &format!("GET /v1/files/{output}/content"), &Value::Null).await;
        let id = answer["response"]["body"]["id"].as_str().expect("a response");
        house.check(&format!("GET /v1/responses/{id}"), sees).await;
    }
    while house.tenants.lock().expect("not poisoned").len() < 2 {
        tokio::task::yield_now().await;
    }
    let mut tenants = house.tenants.lock().expect("not poisoned").clone();
    tenants.sort();
    assert_eq!(tenants, [Some("alice".to_owned()), Some("bob".to_owned())]);
}

#[tokio::test]
async fn sessions_are_their_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::new(folder.path()).await;
    let prompt = completion(&"x".repeat(100), json!({ "max_tokens": 1 }));
    for who in ["alice", "bob"] {
        assert_eq!(house.ask(who, "POST /v1/completions", &prompt).await.0, 200);
        let named = with(prompt.clone(), json!({ "name": "one" }));
        let (status, said) = house.ask(who, "POST /v1/sessions", &named).await;
        assert_eq!((status, &said["name"]), (200, &json!("one")), "{said}");
    }
    assert_eq!(house.listed("/v1/sessions").await, [1, 1, 2]);
    let (_, all) = house.ask("boss", "GET /v1/sessions", &Value::Null).await;
    let owners: Vec<_> = all["data"].as_array().expect("a list").iter().map(|one| one["owner"].clone()).collect();
    assert_eq!(owners, ["alice", "bob"]);
    let (_, own) = house.ask("bob", "GET /v1/sessions", &Value::Null).await;
    assert_eq!((&own["data"][0]["name"], own["data"][0].get("owner")), (&json!("one"), None));
    // Each by itself, and nobody by another's name but who may.
    house.check("POST /v1/sessions/one/restore", [200, 200, 404]).await;
    house.check("POST /v1/sessions/one/restore?owner=alice", [404, 404, 200]).await;
    house.check("POST /v1/sessions/one/restore?owner=..%2F", [404, 404, 400]).await;
    house.check("DELETE /v1/sessions/one?owner=", [404, 404, 404]).await;
    house.check("DELETE /v1/sessions/one?owner=bob", [404, 404, 200]).await;
    house.check("DELETE /v1/sessions/one", [200, 404, 404]).await;
    assert_eq!(house.listed("/v1/sessions").await, [0, 0, 0]);
}

#[tokio::test]
async fn a_key_keeps_no_more_than_it_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::new(folder.path()).await;
    house.server.app.bound(Bounds { file_bytes: 10, ..Bounds::default() });
    for (who, content, status) in
        [("alice", "123456", 200), ("alice", "12345", 413), ("alice", "1234", 200), ("bob", "123456", 200)]
    {
        let answer = house.upload(who, content).await;
        assert_eq!(answer.head.status, status, "{who} {content}: {}", answer.json());
    }
    assert_eq!(house.upload("boss", "1234567890123").await.head.status, 200);
    let prompt = completion(&"x".repeat(100), json!({ "max_tokens": 1 }));
    for (who, status) in [("alice", 413), ("boss", 200)] {
        assert_eq!(house.ask(who, "POST /v1/completions", &prompt).await.0, 200);
        let named = with(prompt.clone(), json!({ "name": "one" }));
        let (found, said) = house.ask(who, "POST /v1/sessions", &named).await;
        assert_eq!(found, status, "{who}: {said}");
    }
}
