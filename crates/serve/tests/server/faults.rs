//! Faults on purpose: who is hit by what, what a client sees of it, and that nothing is left of it afterwards.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use serve::http::{Access, Settings};
use serve::{KeyFile, Keys, Role};
use text::Dialect;

use crate::access::ask;
use crate::client::{Answer, Client, fetch};
use crate::demand::Depot;
use crate::model::Scripted;
use crate::support::{CONTEXT, Server, Setup, chat, completion, loaded, matches, with};

const FAULTS: &str = "/admin/faults";
const TEXT: &str = "/v1/completions";

/// A server that injects faults.
async fn server() -> Server {
    let server = Server::start().await;
    server.app.allow_faults();
    server
}

/// Injects a fault for a minute, of which the answer says what is ordered; gives its name.
async fn inject(server: &Server, fault: Value) -> String {
    let order = with(json!({ "seconds": 60 }), fault.clone());
    let answer = server.post(FAULTS, &order).await;
    let found = answer.json();
    assert_eq!(answer.head.status, 200, "{order}: {found}");
    assert!(matches(&fault, &found), "{found:#}\nis not\n{fault:#}");
    found["id"].as_str().expect("a name").to_owned()
}

async fn delete(server: &Server, path: &str) -> Answer {
    fetch(server.address, "DELETE", path, b"").await
}

/// A completion with further headers.
async fn complete(server: &Server, headers: &[&str], more: Value) -> Answer {
    let headers = [&["host: localhost"], headers].concat();
    ask(server, &format!("POST {TEXT}"), &headers, &completion("X", more).to_string()).await
}

/// All that comes after a request until the server closes the connection.
async fn raw(server: &Server, body: &Value) -> String {
    let mut client = Client::connect(server.address).await;
    client.send("POST", TEXT, body.to_string().as_bytes()).await;
    String::from_utf8(client.rest().await).expect("text")
}

#[tokio::test]
async fn nothing_is_injected_unless_the_server_was_started_for_it() {
    let server = Server::start().await;
    let off = json!({ "error": { "code": "faults_not_allowed", "message": "~--allow-faults" } });
    server.check(FAULTS, &json!({ "kind": "panic", "seconds": 9 }), 403, &off).await;
    for (method, path) in [("GET", FAULTS), ("DELETE", FAULTS), ("GET", "/admin/faults/fault-1")] {
        let answer = fetch(server.address, method, path, b"").await;
        assert!(answer.head.status == 403 && matches(&off, &answer.json()), "{method} {path}");
    }
    server.check(TEXT, &completion("X", json!({})), 200, &json!({ "choices": [{ "text": "YZ" }] })).await;
}

#[tokio::test]
async fn orders_with_mistakes_are_refused() {
    let server = server().await;
    let rows = [
        (json!({}), "kind", "~kind is missing"),
        (json!({ "kind": "fire" }), "kind", "~one of delay, error, panic"),
        (json!({ "kind": 7 }), "kind", "~must be a string"),
        (json!({ "kind": "panic" }), "seconds", "~seconds is missing"),
        (json!({ "kind": "panic", "seconds": 0 }), "seconds", "~at least 1"),
        (json!({ "kind": "panic", "seconds": 86_401 }), "seconds", "~at most 86400"),
        (json!({ "kind": "panic", "seconds": 9, "milliseconds": 5 }), "milliseconds", "~no milliseconds here"),
        (json!({ "kind": "panic", "seconds": 9, "matches": {} }), "matches", "~match"),
        (json!({ "kind": "panic", "seconds": 9, "share": 1.5 }), "share", "~at most 1"),
        (json!({ "kind": "panic", "seconds": 9, "times": 0 }), "times", "~at least 1"),
        (json!({ "kind": "panic", "seconds": 9, "match": [] }), "match", "~an object"),
        (json!({ "kind": "panic", "seconds": 9, "match": { "mode": "m" } }), "match.mode", "~match.model"),
        (json!({ "kind": "panic", "seconds": 9, "match": { "model": 1 } }), "match.model", "~a string"),
        (
            json!({ "kind": "panic", "seconds": 9, "match": { "header": { "name": "x" } } }),
            "match.header.value",
            "~is missing",
        ),
        (
            json!({ "kind": "panic", "seconds": 9, "match": { "header": { "name": "x y", "value": "" } } }),
            "match.header.name",
            "~no name of a header",
        ),
        (json!({ "kind": "delay", "seconds": 9 }), "milliseconds", "~is missing"),
        (json!({ "kind": "slow_executor", "seconds": 9, "milliseconds": 10_001 }), "milliseconds", "~at most 10000"),
        (json!({ "kind": "error", "seconds": 9, "status": 200 }), "status", "~at least 400"),
        (json!({ "kind": "error", "seconds": 9, "message": "m".repeat(1025) }), "message", "~at most 1024"),
        (json!({ "kind": "cut_stream", "seconds": 9, "after": -1 }), "after", "~at least 0"),
        (json!({ "kind": "memory_shortage", "seconds": 9 }), "memory_share", "~is missing"),
        (
            json!({ "kind": "memory_shortage", "seconds": 9, "memory_share": 1, "share": 0.5 }),
            "match",
            "~not from requests",
        ),
        (
            json!({ "kind": "memory_shortage", "seconds": 9, "memory_share": 1, "match": { "model": "none" } }),
            "match.model",
            "~in memory",
        ),
    ];
    for (order, param, message) in rows {
        server.check(FAULTS, &order, 400, &json!({ "error": { "param": param, "message": message } })).await;
    }
    assert_eq!(server.get(FAULTS).await.json(), json!({ "object": "list", "data": [] }));
}

#[tokio::test]
async fn faults_are_told_of_and_ended() {
    let server = server().await;
    let fault = json!({ "kind": "error", "status": 418, "share": 0.1, "match": { "user": "u", "header": { "name": "x-a", "value": "1" } } });
    let (first, second) = (
        inject(&server, fault).await,
        inject(&server, json!({ "kind": "panic", "times": 1, "match": { "user": "u" } })).await,
    );
    let listed = server.get(FAULTS).await.json();
    let named = json!({ "data": [{ "id": first, "hits": 0 }, { "id": second, "kind": "panic", "salt": second }] });
    assert!(matches(&named, &listed), "{listed:#}");
    let one = server.get(&format!("{FAULTS}/{first}")).await.json();
    assert!(
        one["ends_in"].as_f64().is_some_and(|left| (0.0..=60.0).contains(&left)) && one["kind"] == "error",
        "{one}"
    );
    let health = server.get("/health").await;
    let told =
        json!({ "status": "ready", "faults": [{ "id": first, "kind": "error" }, { "id": second, "kind": "panic" }] });
    assert!(health.head.status == 200 && matches(&told, &health.json()), "{:#}", health.json());

    let gone = json!({ "id": first, "object": "fault", "deleted": true });
    assert_eq!(delete(&server, &format!("{FAULTS}/{first}")).await.json(), gone);
    let unknown = delete(&server, &format!("{FAULTS}/{first}")).await;
    let wanted = json!({ "error": { "code": "fault_not_found", "message": "~has ended" } });
    assert!(unknown.head.status == 404 && matches(&wanted, &unknown.json()), "{}", unknown.json());
    assert_eq!(delete(&server, FAULTS).await.json(), json!({ "object": "list", "deleted": [second] }));
    assert_eq!(server.get("/health").await.json().get("faults"), None);
}

#[tokio::test]
async fn an_error_is_what_was_ordered_in_the_words_of_each_api() {
    let server = server().await;
    let fault = json!({ "kind": "error", "status": 429, "message": "Slow down.", "retry_after": 7 });
    inject(&server, fault).await;
    let openai = json!({ "error": { "code": "injected_fault", "type": "rate_limit_error", "message": "Slow down." } });
    let anthropic = json!({ "type": "error", "error": { "type": "rate_limit_error", "message": "Slow down." } });
    for (path, body, wanted) in [
        (TEXT, completion("X", json!({})), &openai),
        (TEXT, completion("X", json!({ "stream": true })), &openai),
        ("/v1/chat/completions", chat("hi", json!({})), &openai),
        ("/v1/responses", json!({ "input": "hi" }), &openai),
        ("/v1/messages", chat("hi", json!({ "max_tokens": 3 })), &anthropic),
        ("/api/chat", chat("hi", json!({})), &json!({ "error": "Slow down." })),
    ] {
        let answer = server.post(path, &body).await;
        assert_eq!((answer.head.status, answer.head.header("retry-after")), (429, Some("7")), "{path}");
        assert!(matches(wanted, &answer.json()), "{path}: {}", answer.json());
    }
    delete(&server, FAULTS).await;
    inject(&server, json!({ "kind": "error", "times": 2 })).await;
    let own = json!({ "error": { "type": "server_error", "message": "~an injected fault (fault-2)" } });
    for status in [500, 500, 200, 200] {
        let wanted = if status == 500 { own.clone() } else { json!({}) };
        server.check(TEXT, &completion("X", json!({})), status, &wanted).await;
    }
    let metrics = String::from_utf8(server.get("/metrics").await.body).expect("text");
    assert!(metrics.contains("whinchat_injected_faults_total{kind=\"error\"} 8\n"), "{metrics}");
}

#[tokio::test]
async fn a_share_is_chosen_by_the_names_of_requests() {
    let server = server().await;
    let mut runs = Vec::new();
    for salt in ["a", "a", "b"] {
        let fault = inject(&server, json!({ "kind": "error", "share": 0.5, "salt": salt })).await;
        let mut hit = Vec::new();
        for number in 0..40 {
            let answer = complete(&server, &[&format!("x-request-id: r-{number}")], json!({ "max_tokens": 1 })).await;
            if answer.head.status == 500 {
                hit.push(number);
            }
        }
        let told = server.get(&format!("{FAULTS}/{fault}")).await.json();
        assert_eq!(told["hits"], hit.len(), "{told}");
        delete(&server, FAULTS).await;
        runs.push(hit);
    }
    assert!((8..=32).contains(&runs[0].len()) && runs[0] == runs[1] && runs[0] != runs[2], "{runs:?}");
}

#[tokio::test]
async fn a_match_narrows_whom_it_hits() {
    let server = server().await;
    for (whom, request_header, more, hit) in [
        (json!({ "user": "u" }), "x-a: 1", json!({ "user": "u" }), true),
        (json!({ "user": "u" }), "x-a: 1", json!({ "user": "v" }), false),
        (json!({ "user": "u" }), "x-a: 1", json!({}), false),
        (json!({ "header": { "name": "x-a", "value": "1" } }), "x-a: 1", json!({}), true),
        (json!({ "header": { "name": "x-a", "value": "1" } }), "x-a: 2", json!({}), false),
        (json!({ "path": TEXT }), "x-a: 1", json!({}), true),
        (json!({ "path": "/v1/chat/completions" }), "x-a: 1", json!({}), false),
        (json!({ "model": "tiny" }), "x-a: 1", json!({ "model": "default" }), true),
        (json!({ "model": "tiny@1" }), "x-a: 1", json!({}), true),
        (json!({ "model": "tiny@2" }), "x-a: 1", json!({}), false),
    ] {
        inject(&server, json!({ "kind": "error", "match": whom })).await;
        let status = complete(&server, &[request_header], more).await.head.status;
        assert_eq!(status == 500, hit, "{whom}: {status}");
        delete(&server, FAULTS).await;
    }
}

/// Two versions behind one name: the fault is in one of them.
#[tokio::test]
async fn one_version_of_a_model_is_hit_whatever_name_is_asked_for() {
    let server = server().await;
    server.app.load_with(Depot::default());
    server.app.change_on_request();
    for version in ["old", "new"] {
        let order = json!({ "model": "file", "name": "m", "version": version });
        server.check("/admin/models", &order, 200, &json!({})).await;
    }
    inject(&server, json!({ "kind": "error", "match": { "model": "m@new" } })).await;
    for (name, status) in [("m", 500), ("m@new", 500), ("m@old", 200), ("tiny", 200)] {
        server.check(TEXT, &completion("X", json!({ "model": name })), status, &json!({})).await;
    }
    let fetched = fetch(server.address, "PATCH", "/admin/models/m", br#"{"pinned": "old"}"#).await;
    assert_eq!(fetched.head.status, 200);
    server.check(TEXT, &completion("X", json!({ "model": "m" })), 200, &json!({})).await;
}

#[tokio::test]
async fn holders_of_one_key_are_hit_and_administrators_alone_inject() {
    let mut file = KeyFile::default();
    let mut key = |name: &str, role, byte| {
        let key = file.create(name, (role, Default::default()), [byte; 32], 0).expect("a name");
        format!("authorization: Bearer {key}")
    };
    let [boss, alice, bob] = [("boss", Role::Admin, 1), ("alice", Role::User, 2), ("bob", Role::User, 3)]
        .map(|(name, role, byte)| key(name, role, byte));
    let settings = Settings { access: Access::default().with_keys(Keys::new(&file)), ..Settings::default() };
    let server = Server::with(Setup { settings, ..Setup::default() }).await;
    server.app.allow_faults();
    let fault = json!({ "kind": "error", "seconds": 60, "match": { "key": "alice" } }).to_string();
    for (header, status) in [(&alice, 403), (&boss, 200)] {
        let answer = ask(&server, &format!("POST {FAULTS}"), &["host: localhost", header], &fault).await;
        assert_eq!(answer.head.status, status, "{}", answer.json());
    }
    // A user of that name is somebody else.
    for (header, status) in [(&alice, 500), (&bob, 200)] {
        assert_eq!(complete(&server, &[header], json!({ "user": "alice" })).await.head.status, status);
    }
}

#[tokio::test]
async fn an_executor_fails_for_those_who_are_hit_and_lives() {
    let server = server().await;
    for (kind, more, message) in [
        ("panic", json!({}), "~an injected fault (fault-1)"),
        ("executor_failure", json!({}), "~injected fault (fault-2)"),
        ("executor_failure", json!({ "message": "The device is gone." }), "~The device is gone."),
    ] {
        inject(&server, with(json!({ "kind": kind, "match": { "user": "u" } }), more)).await;
        // More often than an engine takes of an executor that is broken.
        for _ in 0..12 {
            let hit = completion("X", json!({ "user": "u" }));
            server.check(TEXT, &hit, 500, &json!({ "error": { "message": message } })).await;
        }
        server.check(TEXT, &completion("X", json!({})), 200, &json!({ "choices": [{ "text": "YZ" }] })).await;
        delete(&server, FAULTS).await;
    }
    assert_eq!(server.get("/health").await.json()["models"]["tiny"], "ready");
    assert_eq!(server.engine.stats().failed_batches, 36);
}

/// The least time that an answer takes while a fault lasts.
async fn takes(server: &Server, fault: Value, body: Value, least: Duration) {
    inject(server, fault.clone()).await;
    let began = Instant::now();
    let answer = server.post(TEXT, &body).await;
    let took = began.elapsed();
    assert!(answer.head.status == 200 && took >= least, "{fault}: {took:?}");
    delete(server, FAULTS).await;
}

#[tokio::test]
async fn answers_are_late_by_as_much_as_was_ordered_and_otherwise_the_same() {
    let server = server().await;
    let body = completion("X", json!({ "max_tokens": 9 }));
    let undisturbed = server.post(TEXT, &body).await.json()["choices"].clone();
    for (kind, least) in [("delay", 30), ("slow_executor", 60), ("slow_stream", 30)] {
        let fault = json!({ "kind": kind, "milliseconds": 30 });
        takes(&server, fault.clone(), body.clone(), Duration::from_millis(least)).await;
        inject(&server, fault).await;
        assert_eq!(server.post(TEXT, &body).await.json()["choices"], undisturbed, "{kind}");
        delete(&server, FAULTS).await;
    }
}

/// Who waits because of a fault goes on when that is ended.
#[tokio::test]
async fn a_fault_that_is_ended_holds_nobody_up() {
    let server = server().await;
    let fault = inject(&server, json!({ "kind": "slow_executor", "milliseconds": 10_000 })).await;
    let began = Instant::now();
    let body = completion("X", json!({ "max_tokens": 3 }));
    let ended = async {
        while server.get(FAULTS).await.json()["data"][0]["hits"] != 1 {
            tokio::task::yield_now().await;
        }
        delete(&server, &format!("{FAULTS}/{fault}")).await
    };
    let (answer, _) = tokio::join!(server.post(TEXT, &body), ended);
    assert!(answer.head.status == 200 && began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn answers_are_cut_off() {
    let server = server().await;
    let stream = completion("x", json!({ "max_tokens": 50, "ignore_eos": true, "stream": true }));
    for after in [0, 1, 3] {
        inject(&server, json!({ "kind": "cut_stream", "after": after })).await;
        let got = raw(&server, &stream).await;
        assert_eq!(got.matches("data: ").count(), after, "{got}");
        assert!(!got.contains("[DONE]") && !got.ends_with("0\r\n\r\n"), "{got}");
        delete(&server, FAULTS).await;
    }
    inject(&server, json!({ "kind": "cut_stream" })).await;
    let got = raw(&server, &completion("X", json!({}))).await;
    let (head, body) = got.split_once("\r\n\r\n").expect("a head");
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .expect("a length")
        .parse()
        .expect("a number");
    assert!(head.starts_with("HTTP/1.1 200") && body.len() == length / 2, "{got}");
    delete(&server, FAULTS).await;
    // Nobody computes for who has been cut off.
    server.until("it is cancelled", |stats| stats.running == 0).await;
    server.check(TEXT, &completion("X", json!({})), 200, &json!({})).await;
}

#[tokio::test]
async fn memory_is_taken_and_given_back() {
    let server = server().await;
    let executor = Scripted { kv_blocks: 64, gate: None, logits: Vec::new() };
    let (small, model) = loaded("small", Dialect::of_template(""), executor, (8, 512));
    server.app.add(model);
    let fault = json!({ "kind": "memory_shortage", "memory_share": 1.0, "match": { "model": "small" } });
    let id = inject(&server, fault.clone()).await;
    let again = json!({ "error": { "param": "match.model", "message": format!("~{id} takes memory") } });
    server.check(FAULTS, &with(fault, json!({ "seconds": 5 })), 400, &again).await;
    let asked = completion("X", json!({ "model": "small" }));
    let healed = async {
        while small.stats().kv_blocks_used < 64 || small.stats().waiting == 0 {
            tokio::task::yield_now().await;
        }
        // The other one has its memory.
        server.check(TEXT, &completion("X", json!({ "model": "tiny" })), 200, &json!({})).await;
        assert_eq!(server.get(&format!("{FAULTS}/{id}")).await.json()["hits"], 1);
        delete(&server, FAULTS).await
    };
    let (answer, _) = tokio::join!(server.post(TEXT, &asked), healed);
    assert_eq!((answer.head.status, &answer.json()["choices"][0]["text"]), (200, &json!("YZ")));
    while small.stats().kv_blocks_used > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.engine.stats().kv_blocks, 4 * CONTEXT / 16);
}
