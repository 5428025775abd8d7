//! Sessions over HTTP: saved, listed, restored, deleted.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use serde_json::{Value, json};
use serve::{SessionFile, SessionFiles};

use crate::client::fetch;
use crate::support::{Server, chat, completion, with};

/// Sessions in memory.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<BTreeMap<String, Vec<u8>>>);

impl SessionFiles for Shelf {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    fn list(&self) -> io::Result<Vec<SessionFile>> {
        let shelf = self.0.lock().unwrap();
        let one = |(name, bytes): (&String, &Vec<u8>)| SessionFile {
            name: name.clone(),
            bytes: bytes.len() as u64,
            saved: 7,
        };
        Ok(shelf.iter().map(one).collect())
    }

    fn remove(&self, name: &str) -> io::Result<bool> {
        Ok(self.0.lock().unwrap().remove(name).is_some())
    }
}

const SESSIONS: &str = "/v1/sessions";

/// The status and the body of an answer, the length of files left out.
async fn ask(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let answer = fetch(server.address, method, path, body.to_string().as_bytes()).await;
    let mut said = answer.json();
    said.as_object_mut().map(|said| said.remove("bytes"));
    let all = said.get_mut("data").and_then(Value::as_array_mut).into_iter().flatten();
    all.for_each(|one| _ = one.as_object_mut().expect("a session").remove("bytes"));
    (answer.head.status, said)
}

#[tokio::test]
async fn a_session_is_saved_listed_restored_and_deleted() {
    let server = Server::start().await;
    let prompt = "abcdefghijklmnopqrstuvwxyzabcdefghijklmn";
    let name = json!({ "name": "one" });
    // Nothing keeps them yet; nothing was asked yet.
    assert_eq!(ask(&server, "POST", SESSIONS, &with(completion(prompt, json!({})), name.clone())).await.0, 404);
    server.app.keep_sessions(Shelf::default());
    let (status, said) = ask(&server, "POST", SESSIONS, &with(completion(prompt, json!({})), name.clone())).await;
    assert_eq!(status, 400, "{said}");
    server.post("/v1/completions", &completion(prompt, json!({ "max_tokens": 2 }))).await;
    server.post("/v1/chat/completions", &chat("hi", json!({ "max_tokens": 2 }))).await;
    let saved =
        |name: &str, tokens: usize| json!({ "object": "session", "name": name, "model": "tiny", "tokens": tokens });
    for (name, body, tokens) in [("one", completion(prompt, json!({})), 32), ("two", chat("hi", json!({})), 16)] {
        let said = ask(&server, "POST", SESSIONS, &with(body, json!({ "name": name }))).await;
        assert_eq!(said, (200, saved(name, tokens)));
    }
    let listed = |names: &[&str]| {
        let data: Vec<_> = names.iter().map(|name| json!({ "object": "session", "name": name, "saved": 7 })).collect();
        json!({ "object": "list", "data": data })
    };
    assert_eq!(ask(&server, "GET", SESSIONS, &json!({})).await, (200, listed(&["one", "two"])));
    let restored = json!({ "object": "session", "name": "one", "model": "tiny", "restored_tokens": 32 });
    assert_eq!(ask(&server, "POST", "/v1/sessions/one/restore?model=tiny", &json!({})).await, (200, restored));
    assert_eq!(ask(&server, "DELETE", "/v1/sessions/one", &json!({})).await.0, 200);
    assert_eq!(ask(&server, "DELETE", "/v1/sessions/one", &json!({})).await.0, 404);
    assert_eq!(ask(&server, "POST", "/v1/sessions/one/restore", &json!({})).await.0, 404);
    assert_eq!(ask(&server, "GET", SESSIONS, &json!({})).await, (200, listed(&["two"])));
}

#[tokio::test]
async fn names_are_those_of_files() {
    let server = Server::start().await;
    server.app.keep_sessions(Shelf::default());
    for name in ["", "..", ".hidden", "a/b", "a\\b", "ä", "a b", &"x".repeat(65)] {
        let body = with(completion("abc", json!({})), json!({ "name": name }));
        let (status, said) = ask(&server, "POST", SESSIONS, &body).await;
        assert_eq!((status, &said["error"]["param"]), (400, &json!("name")), "{name:?}: {said}");
    }
    for path in ["/v1/sessions/..%2Fx/restore", "/v1/sessions/%ff/restore"] {
        assert_eq!(ask(&server, "POST", path, &json!({})).await.0, 400, "{path}");
    }
}
