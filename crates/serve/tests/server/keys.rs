//! API keys: who is answered, in each dialect's words, how much a key may take, and what two of them see of each other.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use engine::{Observer, RequestRecord, StepReport};
use serde_json::{Value, json};
use serve::http::{Access, Settings};
use serve::{KeyFile, KeyLimits, Keys, Role};
use text::Dialect;

use crate::access::ask;
use crate::client::{Answer, Client};
use crate::model::Scripted;
use crate::support::{Server, Setup, chat, completion, gate, matches, observed, with};

/// A file with a key for each name.
pub(crate) struct Ring {
    file: KeyFile,
    made: Vec<(String, String)>,
}

impl Ring {
    pub(crate) fn new(names: &[(&str, Role, KeyLimits)]) -> Ring {
        let mut ring = Ring { file: KeyFile::default(), made: Vec::new() };
        for (number, (name, role, limits)) in (1..).zip(names) {
            let key = ring.file.create(name, (*role, *limits), [number; 32], 0).expect("a name");
            ring.made.push(((*name).to_owned(), key));
        }
        ring
    }

    /// Users without limits.
    fn users(names: &[&str]) -> Ring {
        Ring::new(&names.iter().map(|name| (*name, Role::User, KeyLimits::default())).collect::<Vec<_>>())
    }

    /// The header of somebody's key.
    pub(crate) fn header(&self, name: &str) -> String {
        let (_, key) = self.made.iter().find(|(known, _)| known == name).expect("a key");
        format!("authorization: Bearer {key}")
    }
}

pub(crate) async fn server(ring: &Ring, setup: Setup) -> (Server, Keys) {
    let keys = Keys::new(&ring.file);
    let access = Access::default().with_keys(keys.clone());
    let settings = Settings { access, ..setup.settings };
    (Server::with(Setup { settings, ..setup }).await, keys)
}

async fn post(server: &Server, path: &str, header: &str, body: &Value) -> Answer {
    ask(server, &format!("POST {path}"), &["host: localhost", header], &body.to_string()).await
}

#[tokio::test]
async fn who_shows_a_key_is_answered() {
    let none = KeyLimits::default();
    let ring = Ring::new(&[("alice", Role::User, none), ("boss", Role::Admin, none), ("scraper", Role::Metrics, none)]);
    let (server, _) = server(&ring, Setup::default()).await;
    let [alice, boss, scraper] = ["alice", "boss", "scraper"].map(|name| ring.header(name));
    let as_anthropic = alice.replace("authorization: Bearer", "x-api-key:");
    let wrong = "authorization: Bearer wc-AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQF";
    let rows = [
        ("POST /v1/completions", alice.as_str(), 200, ""),
        ("POST /v1/completions", &as_anthropic, 200, ""),
        ("POST /v1/completions", &boss, 200, ""),
        ("POST /v1/completions", "x-none: 1", 401, "missing_api_key"),
        ("POST /v1/completions", wrong, 401, "invalid_api_key"),
        ("POST /v1/completions", &wrong.replace("Bearer wc-", "Bearer "), 401, "invalid_api_key"),
        ("POST /v1/completions", "authorization: Bearer", 401, "missing_api_key"),
        ("POST /v1/completions", &scraper, 403, "role_not_allowed"),
        ("GET /v1/models", &alice, 200, ""),
        ("GET /v1/models", "x-none: 1", 401, "missing_api_key"),
        ("GET /nothing", "x-none: 1", 401, "missing_api_key"),
        ("GET /nothing", &alice, 404, "unknown_url"),
        ("GET /metrics", "x-none: 1", 401, "missing_api_key"),
        ("GET /metrics", &alice, 403, "role_not_allowed"),
        ("GET /metrics", &scraper, 200, ""),
        ("GET /metrics", &boss, 200, ""),
        ("GET /v1/scheduler", &alice, 403, "role_not_allowed"),
        ("GET /v1/scheduler", &scraper, 200, ""),
        ("GET /admin/models", "x-none: 1", 401, "missing_api_key"),
        ("GET /admin/models", &alice, 403, "role_not_allowed"),
        ("GET /admin/models", &boss, 404, "unknown_url"),
        ("GET /admin/", &alice, 403, "role_not_allowed"),
        ("GET /v1/sessions", &alice, 404, "unknown_url"),
        ("GET /v1/sessions", &scraper, 403, "role_not_allowed"),
        ("GET /v1/files", &scraper, 403, "role_not_allowed"),
        // What tells nothing and costs nothing.
        ("GET /", "x-none: 1", 200, ""),
        ("GET /assets/app.js", "x-none: 1", 200, ""),
        ("GET /health", "x-none: 1", 200, ""),
    ];
    let body = completion("X", json!({})).to_string();
    for (line, header, status, code) in rows {
        let sent = if line.starts_with("POST") { &body } else { "" };
        let answer = ask(&server, line, &["host: localhost", header], sent).await;
        assert_eq!(answer.head.status, status, "{line} {header}: {}", String::from_utf8_lossy(&answer.body));
        let challenge = answer.head.header("www-authenticate").is_some();
        assert_eq!((challenge, answer.head.header("x-request-id").is_some()), (status == 401, true), "{line} {header}");
        if !code.is_empty() {
            assert_eq!(answer.json()["error"]["code"], code, "{line} {header}");
        }
    }
}

/// What each dialect's clients read.
#[tokio::test]
async fn refusals_have_the_dialects_shapes() {
    let one = |number| NonZeroU32::new(number);
    let limits = KeyLimits { requests_per_minute: one(1), ..KeyLimits::default() };
    let ring = Ring::new(&[("few", Role::User, limits), ("scraper", Role::Metrics, KeyLimits::default())]);
    let (server, _) = server(&ring, Setup::default()).await;
    let [few, scraper] = ["few", "scraper"].map(|name| ring.header(name));
    let first = post(&server, "/v1/completions", &few, &completion("X", json!({}))).await;
    assert_eq!(first.head.status, 200);
    let openai =
        |code: &str, class: &str| json!({ "error": { "code": code, "type": class, "message": "~", "param": null } });
    let anthropic = |class: &str| json!({ "type": "error", "error": { "type": class, "message": "~" } });
    let ollama = |part: &str| json!({ "error": format!("~{part}") });
    let long = chat(&"x".repeat(1 << 20), json!({ "max_tokens": 1 }));
    for (path, refused) in [
        (
            "/v1/chat/completions",
            [
                openai("missing_api_key", "invalid_request_error"),
                openai("role_not_allowed", "invalid_request_error"),
                openai("rate_limit_exceeded", "rate_limit_error"),
            ],
        ),
        ("/v1/messages", ["authentication_error", "permission_error", "rate_limit_error"].map(anthropic)),
        ("/api/chat", ["wants a key", "has the role metrics", "at most 1 requests in a minute"].map(ollama)),
    ] {
        for (header, status, expected) in
            [("x-none: 1", 401, &refused[0]), (&scraper, 403, &refused[1]), (&few, 429, &refused[2])]
        {
            // A large body is no reason to be cut off for who has a key.
            let body = if status == 401 { json!({}) } else { long.clone() };
            let answer = post(&server, path, header, &body).await;
            let found = answer.json();
            assert_eq!(answer.head.status, status, "{path}: {found}");
            assert!(matches(expected, &found), "{path}:\n{found:#}\ndoes not have\n{expected:#}");
            let retry = answer.head.header("retry-after").map(|seconds| seconds.parse::<u64>().expect("seconds"));
            assert_eq!(retry.is_some_and(|seconds| (50..=60).contains(&seconds)), status == 429, "{path}: {retry:?}");
        }
    }
}

#[tokio::test]
async fn tokens_are_counted() {
    let limits = KeyLimits { tokens_per_minute: NonZeroU32::new(60), ..KeyLimits::default() };
    for (path, body, tokens) in [
        ("/v1/completions", completion("xx", json!({ "max_tokens": 118, "ignore_eos": true })), 120),
        ("/v1/embeddings", json!({ "input": "x".repeat(180) }), 180),
        ("/v1/responses", json!({ "input": "x".repeat(180), "background": true, "max_output_tokens": 16 }), 200),
    ] {
        let ring = Ring::new(&[("few", Role::User, limits), ("other", Role::User, limits)]);
        let (server, _) = server(&ring, Setup::default()).await;
        let few = ring.header("few");
        assert_eq!(post(&server, path, &few, &body).await.head.status, 200, "{path}");
        let answer = post(&server, path, &few, &body).await;
        assert_eq!(
            (answer.head.status, &answer.json()["error"]["code"]),
            (429, &json!("rate_limit_exceeded")),
            "{path}"
        );
        // 60 a minute is one a second, and the account has to be one token under 60.
        let wait: i64 = answer.head.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
        assert!(((tokens - 80)..=(tokens - 40)).contains(&wait), "{path}: {wait}");
        assert_eq!(post(&server, path, &ring.header("other"), &body).await.head.status, 200, "it is another's account");
        assert_eq!(ask(&server, "GET /v1/models", &["host: localhost", &few], "").await.head.status, 200);
    }
}

#[tokio::test]
async fn requests_at_once_are_bounded() {
    let limits = KeyLimits { concurrency: NonZeroU32::new(1), ..KeyLimits::default() };
    let ring = Ring::new(&[("few", Role::User, limits)]);
    let (step, gate) = gate();
    let (server, _) = server(&ring, Setup { gate: Some(gate), ..Setup::default() }).await;
    let few = ring.header("few");
    let body = completion("a", json!({ "stream": true, "max_tokens": 100_000, "ignore_eos": true })).to_string();
    let mut open = Client::connect(server.address).await;
    let head =
        format!("POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n{few}\r\ncontent-length: {}\r\n\r\n", body.len());
    open.write((head + &body).as_bytes()).await;
    step.send(()).expect("the model waits");
    assert_eq!(open.head().await.status, 200);
    let short = completion("X", json!({}));
    let refused = post(&server, "/v1/completions", &few, &short).await;
    assert_eq!((refused.head.status, refused.head.header("retry-after")), (429, Some("1")));
    // Its place is free when its client has gone.
    drop(open);
    drop(step);
    while post(&server, "/v1/completions", &few, &short).await.head.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keys_are_replaced_while_the_server_answers() {
    let limits = KeyLimits { requests_per_minute: NonZeroU32::new(1), ..KeyLimits::default() };
    let mut ring = Ring::new(&[("few", Role::User, limits), ("gone", Role::User, KeyLimits::default())]);
    let (server, keys) = server(&ring, Setup::default()).await;
    let body = completion("X", json!({}));
    let status = async |name: &str| post(&server, "/v1/completions", &ring.header(name), &body).await.head.status;
    assert_eq!([status("few").await, status("few").await, status("gone").await], [200, 429, 200]);
    let mut file = ring.file.clone();
    assert!(file.revoke("gone"));
    keys.replace(&file);
    // What a key has taken is not forgotten.
    assert_eq!([status("few").await, status("gone").await], [429, 401]);
    let key = file.create("new", Default::default(), [9; 32], 0).expect("a name");
    keys.replace(&file);
    ring.made.push(("new".into(), key));
    assert_eq!(post(&server, "/v1/completions", &ring.header("new"), &body).await.head.status, 200);
}

/// Keeps on whose behalf requests ran.
pub(crate) struct Tenants(pub(crate) Arc<Mutex<Vec<Option<String>>>>);

impl Observer for Tenants {
    fn step(&mut self, _: &StepReport) {}

    fn ended(&mut self, record: &RequestRecord) {
        self.0.lock().expect("not poisoned").push(record.tenant.as_deref().map(str::to_owned));
    }
}

/// Two keys are two tenants, and neither finds in the cache what the other sent.
#[tokio::test]
async fn keys_are_tenants() {
    let ring = Ring::users(&["alice", "bob"]);
    let (server, _) = server(&ring, Setup { loaded: false, ..Setup::default() }).await;
    let tenants = Arc::<Mutex<Vec<Option<String>>>>::default();
    let executor = Scripted { kv_blocks: 4096, gate: None, logits: Vec::new() };
    let (_, model) = observed("m", Dialect::of_template(""), executor, (8, 4096), Tenants(Arc::clone(&tenants)));
    server.app.add(model);
    let rows = [
        ("alice", json!({}), 0),
        ("alice", json!({ "user": "carol" }), 96),
        ("bob", json!({ "user": "alice" }), 0),
        ("bob", json!({ "cache_salt": "alice" }), 0),
        ("bob", json!({}), 96),
        ("alice", json!({ "cache_salt": "s" }), 0),
        ("alice", json!({ "cache_salt": "s" }), 96),
    ];
    for (name, more, cached) in &rows {
        let body = completion(&"x".repeat(100), with(json!({ "max_tokens": 1 }), more.clone()));
        let answer = post(&server, "/v1/completions", &ring.header(name), &body).await.json();
        assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], *cached, "{name} {more}: {answer}");
    }
    // The last is told after its answer.
    while tenants.lock().expect("not poisoned").len() < rows.len() {
        tokio::task::yield_now().await;
    }
    let tenants = tenants.lock().expect("not poisoned").clone();
    assert_eq!(tenants, rows.map(|(name, ..)| Some(name.to_owned())));
}

#[tokio::test]
async fn responses_are_their_callers() {
    let none = KeyLimits::default();
    let ring = Ring::new(&[("alice", Role::User, none), ("bob", Role::User, none), ("boss", Role::Admin, none)]);
    let (server, _) = server(&ring, Setup::default()).await;
    let [alice, bob, boss] = ["alice", "bob", "boss"].map(|name| ring.header(name));
    let made = post(&server, "/v1/responses", &alice, &json!({ "input": "hi" })).await.json();
    let id = made["id"].as_str().expect("an id");
    let next = json!({ "input": "and", "previous_response_id": id });
    for (header, status) in [(&bob, 404), (&alice, 200), (&boss, 200)] {
        for path in [format!("/v1/responses/{id}"), format!("/v1/responses/{id}/input_items")] {
            let answer = ask(&server, &format!("GET {path}"), &["host: localhost", header], "").await;
            assert_eq!(answer.head.status, status, "{path}");
        }
        assert_eq!(post(&server, "/v1/responses", header, &next).await.head.status, status);
    }
    for (header, status) in [(&bob, 404), (&alice, 200), (&alice, 404)] {
        let answer = ask(&server, &format!("DELETE /v1/responses/{id}"), &["host: localhost", header], "").await;
        assert_eq!(answer.head.status, status);
    }
}
