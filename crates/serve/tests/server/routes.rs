//! Routes: public names over variants, in every dialect, by every policy, and what happens when a variant fails.

use answer::LoadedModel;
use release::{Balance, Policy, Sticky, Unit, Variant};
use serde_json::{Value, json};
use serve::RouteSetup;
use text::Dialect;

use crate::access::ask;
use crate::client::{Answer, Client};
use crate::model::{Broken, Reciting};
use crate::support::{Server, chat, completion, loaded, matches, with};

const TEXT: &str = "/v1/completions";

/// A model that recites its name, to one request after another.
pub(crate) fn reciting(name: &str, text: &'static str) -> LoadedModel {
    loaded(name, Dialect::of_template(""), Reciting { text, said: 0, logits: Vec::new() }, (64, 4096)).1
}

/// A route over models that have the names of their variants.
pub(crate) fn route(name: &str, policy: Policy, models: &[&str]) -> RouteSetup {
    let variant = |model: &&str| Variant { model: (*model).to_owned(), ..Variant::new(model, &["cpu"]) };
    RouteSetup {
        name: name.to_owned(),
        policy,
        variants: models.iter().map(variant).collect(),
        ..RouteSetup::default()
    }
}

/// A server with `tiny` and models that recite A and B, and these routes.
async fn served(routes: Vec<RouteSetup>) -> Server {
    let server = Server::start().await;
    server.app.change_on_request();
    server.app.add(reciting("a", "A"));
    server.app.add(reciting("b", "B"));
    server.app.set_routes(routes).expect("the routes are possible");
    server
}

/// Asks a route for a text, with further headers.
async fn asked(server: &Server, headers: &[&str], more: Value) -> Answer {
    let body = completion("x", with(json!({ "model": "chat", "max_tokens": 4 }), more)).to_string();
    let headers = [&["host: localhost"], headers].concat();
    ask(server, &format!("POST {TEXT}"), &headers, &body).await
}

/// Which variant answers, one after the other.
async fn variants(server: &Server, headers: &[&str], count: usize) -> String {
    let mut all = String::new();
    for _ in 0..count {
        let answer = asked(server, headers, json!({})).await;
        assert_eq!((answer.head.status, &answer.json()["model"]), (200, &json!("chat")));
        let (variant, said) = (answer.head.header("x-whinchat-variant").expect("a variant").to_owned(), answer.json());
        assert_eq!(said["choices"][0]["text"], variant.to_uppercase(), "the header says who answers");
        all += &variant;
    }
    all
}

#[tokio::test]
async fn every_dialect_knows_routes_by_their_names() {
    let server = served(vec![route("chat", Policy::Single, &["tiny"])]).await;
    let name = json!({ "model": "chat" });
    for (path, body, wanted) in [
        (TEXT, completion("X", name.clone()), json!({ "model": "chat", "choices": [{ "text": "YZ" }] })),
        ("/v1/chat/completions", chat("hi", name.clone()), json!({ "model": "chat" })),
        ("/v1/messages", chat("hi", json!({ "model": "chat", "max_tokens": 3 })), json!({ "model": "chat" })),
        ("/v1/responses", json!({ "model": "chat", "input": "hi" }), json!({ "model": "chat" })),
        (
            "/api/chat",
            chat("hi", json!({ "model": "chat:latest", "stream": false })),
            json!({ "model": "chat:latest" }),
        ),
        ("/api/generate", json!({ "model": "chat", "prompt": "hi", "stream": false }), json!({ "model": "chat" })),
    ] {
        let answer = server.post(path, &body).await;
        assert_eq!((answer.head.status, answer.head.header("x-whinchat-variant")), (200, Some("tiny")), "{path}");
        assert!(matches(&wanted, &answer.json()), "{path}: {:#}", answer.json());
    }
    // Where nothing is generated there is nothing to choose.
    server.check("/v1/embeddings", &json!({ "model": "chat", "input": "X" }), 200, &json!({ "model": "chat" })).await;
    server.check("/tokenize", &json!({ "model": "chat", "prompt": "X" }), 200, &json!({ "count": 1 })).await;
    server
        .check(TEXT, &completion("X", json!({ "model": "chit" })), 404, &json!({ "error": { "message": "~chat" } }))
        .await;
    let listed = server.get("/v1/models").await.json();
    let ids: Vec<_> = listed["data"].as_array().expect("a list").iter().map(|model| model["id"].clone()).collect();
    assert_eq!(ids, ["tiny", "a", "b", "chat"]);
    assert_eq!((&listed["data"][3]["route"], &listed["data"][0].get("route")), (&json!(true), &None));
    assert!(matches(&json!({ "id": "chat", "route": true }), &server.get("/v1/models/chat").await.json()));
    let tags = server.get("/api/tags").await.json();
    assert!(tags["models"].as_array().is_some_and(|all| all.iter().any(|model| model["name"] == "chat:latest")));
}

#[tokio::test]
async fn policies_choose() {
    let check = async |policy: Policy, headers: &[&str], wanted: &str| {
        let server = served(vec![route("chat", policy.clone(), &["a", "b"])]).await;
        assert_eq!(variants(&server, headers, wanted.len()).await, wanted, "{policy:?} {headers:?}");
    };
    check(Policy::Single, &[], "aaaa").await;
    check(Policy::Balance(Balance::RoundRobin), &[], "baba").await;
    check(Policy::Balance(Balance::LeastTokens), &[], "aaaa").await;
    check(Policy::Canary { share: 0.0, by: Unit::Request }, &[], "aaaa").await;
    check(Policy::Canary { share: 1.0, by: Unit::Request }, &[], "bbbb").await;
    check(Policy::Split { shares: vec![0.0, 1.0], by: Unit::Request }, &[], "bbbb").await;
    check(Policy::Shadow { share: 0.0 }, &[], "aaaa").await;
}

#[tokio::test]
async fn who_comes_back_meets_the_same_variant() {
    for policy in [
        Policy::Canary { share: 0.5, by: Unit::Session },
        Policy::Split { shares: vec![1.0, 1.0], by: Unit::Session },
        Policy::Affinity { by: Sticky::Session, factor: 4.0 },
    ] {
        let server = served(vec![route("chat", policy.clone(), &["a", "b"])]).await;
        let mut met = String::new();
        for session in 0..12 {
            let header = format!("x-session-id: {session}");
            let own = variants(&server, &[&header], 3).await;
            assert!(own == "aaa" || own == "bbb", "{policy:?}: {own}");
            met += &own[..1];
        }
        assert!(met.contains('a') && met.contains('b'), "{policy:?}: {met}");
    }
}

#[tokio::test]
async fn a_pool_is_not_left() {
    let mut setup = route("chat", Policy::Pool(Balance::RoundRobin), &["a", "b"]);
    setup.variants[1].devices = vec!["gpu".to_owned()];
    let server = served(vec![setup]).await;
    assert_eq!(variants(&server, &["x-device-pool: gpu"], 3).await, "bbb");
    assert_eq!(variants(&server, &["x-device-pool: cpu"], 3).await, "aaa");
    let answer = asked(&server, &["x-device-pool: moon"], json!({})).await;
    assert_eq!((answer.head.status, &answer.json()["error"]["code"]), (503, &json!("model_not_loaded")));
}

/// Whole and streamed: the client sees an answer, and a header that says what happened.
#[tokio::test]
async fn what_fails_before_its_first_token_is_answered_by_the_first_variant() {
    let server = served(Vec::new()).await;
    server.app.add(loaded("broken", Dialect::of_template(""), Broken, (8, 4096)).1);
    let canary = Policy::Canary { share: 1.0, by: Unit::Request };
    server.app.set_routes(vec![route("chat", canary, &["a", "broken"])]).expect("possible");
    for stream in [false, true] {
        let answer = asked(&server, &[], json!({ "stream": stream })).await;
        assert_eq!(answer.head.status, 200, "{answer:?}");
        let headers = ["x-whinchat-variant", "x-whinchat-fallback"].map(|name| answer.head.header(name));
        assert_eq!(headers, [Some("a"), Some("broken")]);
        assert!(String::from_utf8_lossy(&answer.body).contains("\"text\":\"A\""), "{answer:?}");
    }
    let routes = server.get("/admin/routes/chat").await.json();
    let (broken, first) = (&routes["variants"][1]["targets"][0], &routes["variants"][0]["targets"][0]);
    assert!(matches(&json!({ "failed": 2, "fallbacks": 2, "outstanding": 0 }), broken), "{routes:#}");
    assert!(matches(&json!({ "failed": 0, "ended": 2, "outstanding": 0 }), first), "{routes:#}");
}

/// What is wrong with a request is no variant's fault, and is said once.
#[tokio::test]
async fn a_bad_request_is_nobodys_failure() {
    let canary = Policy::Canary { share: 1.0, by: Unit::Request };
    let server = served(vec![route("chat", canary, &["a", "b"])]).await;
    let answer = asked(&server, &[], json!({ "logit_bias": { "100000": 1 } })).await;
    assert_eq!((answer.head.status, answer.head.header("x-whinchat-variant")), (400, None));
    let long = completion(&"x".repeat(5000), json!({ "model": "chat" }));
    server.check(TEXT, &long, 400, &json!({ "error": { "code": "context_length_exceeded" } })).await;
    let routes = server.get("/admin/routes").await.json();
    for variant in routes["data"][0]["variants"].as_array().expect("a list") {
        assert!(
            matches(&json!({ "failed": 0, "fallbacks": 0, "outstanding": 0 }), &variant["targets"][0]),
            "{routes:#}"
        );
    }
}

/// Clients that go leave nothing outstanding.
#[tokio::test]
async fn who_goes_is_forgotten() {
    let server = served(vec![route("chat", Policy::Single, &["tiny"])]).await;
    let mut client = Client::connect(server.address).await;
    let body = completion("x", json!({ "model": "chat", "stream": true, "max_tokens": 100_000 })).to_string();
    client.send("POST", TEXT, body.as_bytes()).await;
    assert_eq!(client.head().await.status, 200);
    assert!(client.event().await.is_some());
    let outstanding =
        async || server.get("/admin/routes/chat").await.json()["variants"][0]["targets"][0]["outstanding"].clone();
    assert_eq!(outstanding().await, 1);
    drop(client);
    server.until("the sequence is gone", |stats| stats.running == 0).await;
    while outstanding().await != 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn routes_change_while_the_server_runs() {
    let (one, other) = (route("chat", Policy::Single, &["a"]), route("talk", Policy::Single, &["b"]));
    let server = served(vec![one.clone()]).await;
    assert_eq!(variants(&server, &[], 2).await, "aa");
    server.app.set_routes(vec![other.clone(), one.clone()]).expect("possible");
    let routes = server.get("/admin/routes").await.json();
    assert!(matches(&json!({ "data": [{ "name": "talk" }, { "name": "chat" }] }), &routes), "{routes:#}");
    assert_eq!(routes["data"][1]["variants"][0]["targets"][0]["ended"], 2, "what did not change knows what it knew");
    server.app.set_routes(vec![route("chat", Policy::Single, &["b"])]).expect("possible");
    assert_eq!(variants(&server, &[], 1).await, "b");
    let gone = server.get("/admin/routes/talk").await;
    assert_eq!((gone.head.status, &gone.json()["error"]["code"]), (404, &json!("route_not_found")));
    let check = |routes: Vec<RouteSetup>, part: &str| {
        let problem = server.app.set_routes(routes).expect_err(part).to_string();
        assert!(problem.contains(part), "{problem}");
    };
    check(vec![one.clone(), one.clone()], "two routes have the name chat");
    check(vec![route("chat", Policy::Single, &["a", "a"])], "each variant needs an id of its own");
    check(vec![route("chat", Policy::Shadow { share: 0.5 }, &["a"])], "it needs 2 variants");
    check(vec![one.clone(), route("x", Policy::Single, &["chat"])], "the model chat is a route");
    check(vec![route("a@1", Policy::Single, &["a"])], "has no @");
    assert_eq!(variants(&server, &[], 1).await, "b", "what is wrong changes nothing");
}

/// A route may have the name of its first model: the model is what it means, and others come beside it.
#[tokio::test]
async fn a_route_goes_before_a_model_of_its_name() {
    let mut setup = route("tiny", Policy::Canary { share: 1.0, by: Unit::Request }, &["tiny", "a"]);
    setup.variants[0].model = "tiny@1".to_owned();
    let server = served(vec![setup]).await;
    for name in [json!("tiny"), json!("default"), Value::Null] {
        let answer = server.post(TEXT, &completion("x", json!({ "model": name, "max_tokens": 4 }))).await;
        assert_eq!(answer.head.header("x-whinchat-variant"), Some("a"), "{name}");
        assert_eq!(answer.json()["model"], "tiny", "{name}");
    }
    let version = server.post(TEXT, &completion("X", json!({ "model": "tiny@1" }))).await;
    assert_eq!(
        (version.head.header("x-whinchat-variant"), &version.json()["choices"][0]["text"]),
        (None, &json!("YZ"))
    );
}

/// Tests run until one variant is better; both have to be there.
#[tokio::test]
async fn ab_tests_are_told() {
    let policy = Policy::Split { shares: vec![1.0, 1.0], by: Unit::Request };
    let server = served(vec![route("chat", policy, &["a", "b"])]).await;
    variants(&server, &[], 20).await;
    let told = server.get("/admin/routes/chat").await.json();
    let units: u64 = told["experiment"]["units"].as_array().expect("a list").iter().filter_map(Value::as_u64).sum();
    assert!(units == 20 && told["experiment"]["ruling"].is_null(), "{told:#}");
    assert!(matches(&json!({ "policy": "ab", "by": "request", "share": null }), &told), "{told:#}");
    assert_eq!(told["experiment"]["effects"].as_array().map(Vec::len), Some(5));
}

/// What an A/B test has shown is there again after a restart, and who has counted counts no more; under another policy it begins anew.
#[cfg(feature = "batches")]
#[tokio::test]
async fn ab_tests_outlive_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let by_session = |shares: [f64; 2]| Policy::Split { shares: shares.to_vec(), by: Unit::Session };
    let mut before = json!([0, 0]);
    for (shares, wanted) in [([1.0, 1.0], 8), ([1.0, 1.0], 8), ([1.0, 2.0], 8)] {
        let mut server = served(vec![route("chat", by_session(shares), &["a", "b"])]).await;
        server.app.keep_batches(opened(&folder.path().join("db")).await);
        let units = async || server.get("/admin/routes/chat").await.json()["experiment"]["units"].clone();
        let begins_anew = shares != [1.0, 1.0];
        assert_eq!(units().await, if begins_anew { json!([0, 0]) } else { before }, "{shares:?}");
        for session in 0..8 {
            variants(&server, &[&format!("x-session-id: {session}")], 1).await;
        }
        before = units().await;
        let sum: u64 = before.as_array().expect("a list").iter().filter_map(Value::as_u64).sum();
        assert_eq!(sum, wanted, "{shares:?}: {before}");
        server.shut_down();
        server.ended().await;
    }
}

/// The database, once the process before has let it go.
#[cfg(feature = "batches")]
pub(crate) async fn opened(path: &std::path::Path) -> serve::BatchStore {
    loop {
        match serve::BatchStore::open(path) {
            Ok(store) => return store,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
