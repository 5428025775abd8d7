//! What speaks for or against a candidate besides its requests: answers that nobody sees, marks of clients, and who is asked outside.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use release::Policy;
use serde_json::{Value, json};
use serve::Webhook;
use text::Dialect;

use crate::model::Scripted;
use crate::releases::{Timed, quick};
use crate::routes::{reciting, route};
use crate::support::{completion, loaded, matches};

const TEXT: &str = "/v1/completions";

/// A server with a model that is `tiny` again, and one that finds every answer unlikely.
async fn compared() -> Timed {
    let timed = Timed::start().await;
    let twin = Scripted { kv_blocks: 4096, gate: None, logits: Vec::new() };
    timed.server.app.add(loaded("twin", Dialect::of_template(""), twin, (64, 4096)).1);
    timed.server.app.add(reciting("other", "Q"));
    timed
}

fn shadow() -> Value {
    json!({ "shadow": { "share": 1.0, "divergence": 0.5 } })
}

#[tokio::test]
async fn answers_that_nobody_sees_come_before_the_first_stage() {
    let timed = compared().await;
    let id = timed.release("twin", quick(shadow())).await;
    let began = timed.shown(&id).await;
    assert!(
        matches(&json!({ "state": "shadow", "share": 0.0, "plan": { "shadow": { "most": 1.0 } } }), &began),
        "{began:#}"
    );
    let alike = loop {
        let release = timed.shown(&id).await;
        if release["state"] != "shadow" {
            break release;
        }
        // Answers are compared beside requests: the first stage may begin between the look and the request.
        if timed.request().await.as_deref() != Some("stable") {
            let release = timed.shown(&id).await;
            assert_ne!(release["state"], "shadow", "nobody sees the candidate");
            break release;
        }
    };
    assert!(
        matches(&json!({ "state": "running", "stage": 0, "share": 0.5, "shadow": { "verdict": "alike" } }), &alike),
        "{alike:#}"
    );
    let compared = &alike["shadow"];
    assert!(compared["exact"] == compared["compared"] && compared["divergence"] == 0.0, "{compared:#}");
    assert!(compared["compared"].as_u64().is_some_and(|compared| compared < 150), "{compared:#}");
}

#[tokio::test]
async fn a_candidate_that_diverges_is_rejected_before_anybody_sees_it() {
    // One that answers otherwise, and one that answers nothing at all.
    for (candidate, part) in [("other", "nats per token"), ("bad", "nats per token")] {
        let timed = compared().await;
        let id = timed.release(candidate, quick(shadow())).await;
        let mut requests = 0;
        let ended = loop {
            let release = timed.shown(&id).await;
            if release["state"] == "ended" {
                break release;
            }
            assert_ne!(timed.request().await.as_deref(), Some("candidate"), "nobody sees the candidate");
            requests += 1;
            assert!(requests < 500, "{release:#}");
        };
        assert!(
            matches(&json!({ "verdict": "rolled_back", "shadow": { "verdict": "different" } }), &ended),
            "{ended:#}"
        );
        assert!(ended["why"].as_str().is_some_and(|why| why.contains(part)), "{ended:#}");
        assert!(ended["shadow"]["compared"].as_u64().is_some_and(|compared| compared < 150), "{ended:#}");
        let explained = timed.server.get(&format!("/admin/releases/{id}/explain")).await.json();
        assert!(
            matches(&json!({ "replayed": true, "lines": ["~are mirrored", "~rolled back"] }), &explained),
            "{explained:#}"
        );
    }
}

/// A route may mirror for good: what it shows is told, and changes nothing.
#[tokio::test]
async fn a_shadow_route_tells_what_it_sees() {
    let timed = compared().await;
    let setup = route("chat", Policy::Shadow { share: 1.0 }, &["tiny", "twin"]);
    timed.server.app.set_routes(vec![setup]).expect("possible");
    for _ in 0..5 {
        let answer = timed.server.post(TEXT, &completion("x", json!({ "model": "chat", "max_tokens": 5 }))).await;
        assert_eq!((answer.head.status, answer.head.header("x-whinchat-variant")), (200, Some("tiny")));
    }
    loop {
        let shown = timed.server.get("/admin/routes/chat").await.json();
        if shown["shadow"]["compared"] == 5 {
            assert!(
                matches(&json!({ "policy": "shadow", "shadow": { "exact": 5, "divergence": 0.0 } }), &shown),
                "{shown:#}"
            );
            assert!(matches(&json!({ "targets": [{ "outstanding": 0 }] }), &shown["variants"][1]), "{shown:#}");
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn marks_are_taken_once_and_of_known_answers() {
    let timed = Timed::start().await;
    let check = async |body: Value, status: u16, wanted: Value| {
        timed.server.check("/v1/feedback", &body, status, &wanted).await;
    };
    let answer = timed.server.post(TEXT, &completion("X", json!({}))).await;
    let (id, request) = (answer.json()["id"].clone(), answer.head.header("x-request-id").expect("a name").to_owned());
    let wanted = json!({ "object": "feedback", "id": id, "score": 0.5, "model": "tiny", "variant": null, "release": null, "counted": true });
    check(json!({ "id": id, "score": 0.5 }), 200, wanted).await;
    check(json!({ "id": request, "score": 1 }), 200, json!({ "counted": false })).await;
    check(json!({ "id": "moon", "score": 1 }), 404, json!({ "error": { "code": "request_not_found" } })).await;
    check(json!({ "id": id }), 400, json!({ "error": { "code": "missing_required_parameter", "param": "score" } }))
        .await;
    check(json!({ "id": id, "score": 2 }), 400, json!({ "error": { "code": "invalid_value" } })).await;
    check(json!({ "id": id, "score": "good" }), 400, json!({ "error": { "code": "invalid_type" } })).await;
    let message = timed
        .server
        .post("/v1/messages", &json!({ "max_tokens": 3, "messages": [{ "role": "user", "content": "hi" }] }))
        .await;
    check(json!({ "id": message.json()["id"], "score": 0 }), 200, json!({ "counted": true })).await;
}

/// Clients find the candidate's answers worse, and nothing else says so.
#[tokio::test]
async fn what_clients_say_rolls_back() {
    let timed = Timed::start().await;
    let id = timed
        .release("good", quick(json!({ "stages": [{ "share": 0.5, "min_time_s": 1e6, "min_samples": 4 }] })))
        .await;
    for _ in 0..2000 {
        let release = timed.shown(&id).await;
        if release["state"] == "ended" {
            assert!(matches(&json!({ "verdict": "rolled_back", "why": "~feedback" }), &release), "{release:#}");
            return;
        }
        let answer = timed.server.post(TEXT, &completion("x", json!({ "model": "tiny", "max_tokens": 2 }))).await;
        let variant = answer.head.header("x-whinchat-variant").map(str::to_owned);
        let score = if variant.as_deref() == Some("candidate") { 0.0 } else { 1.0 };
        let mark = json!({ "id": answer.json()["id"], "score": score });
        timed.server.check("/v1/feedback", &mark, 200, &json!({ "counted": true, "variant": variant })).await;
    }
    panic!("it has not ended: {:#}", timed.shown(&id).await);
}

/// Takes messages, and says no to those of stages from 1 on.
#[derive(Clone, Default)]
struct Outside(Arc<Mutex<Vec<(bool, Value)>>>);

async fn heard(State(outside): State<Outside>, headers: HeaderMap, body: String) -> axum::Json<Value> {
    let message: Value = serde_json::from_str(&body).expect("JSON");
    let signed = headers.get("webhook-signature").is_some_and(|value| value.as_bytes().starts_with(b"v1,"));
    let later = message["type"] == "release.stage" && message["data"]["stage"].as_u64() > Some(0);
    outside.0.lock().expect("not poisoned").push((signed, message));
    axum::Json(if later { json!({ "veto": true, "why": "it is Friday" }) } else { json!({}) })
}

#[tokio::test]
async fn who_is_told_may_say_no() {
    let outside = Outside::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let router = Router::new().route("/", post(heard)).with_state(outside.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let timed = Timed::start().await;
    timed.server.app.alert(Webhook { url, secret: b"a secret of some length".to_vec() });
    let id = timed.release("good", quick(json!({}))).await;
    timed.server.check(&format!("/admin/releases/{id}/promote"), &json!({}), 200, &json!({ "id": id })).await;
    let ended = timed.until(&id, |release| release["state"] == "ended").await;
    assert!(matches(&json!({ "verdict": "rolled_back", "why": "vetoed: it is Friday" }), &ended), "{ended:#}");
    let told = loop {
        let told = outside.0.lock().expect("not poisoned").clone();
        if told.iter().any(|(_, message)| message["type"] == "release.verdict") {
            break told;
        }
        tokio::task::yield_now().await;
    };
    assert!(told.iter().all(|(signed, _)| *signed), "{told:?}");
    let wanted = [
        json!({ "type": "release.stage", "data": { "release": id, "route": "tiny", "stage": 0, "share": 0.5 } }),
        json!({ "type": "release.stage", "data": { "stage": 1, "share": 1.0 } }),
        json!({ "type": "release.verdict", "data": { "verdict": "rolled_back", "candidate": "good@1" } }),
    ];
    // The first is told when the release begins, and that waits for nobody.
    assert_eq!(told.len(), wanted.len(), "{told:?}");
    assert!(wanted.iter().all(|wanted| told.iter().any(|(_, message)| matches(wanted, message))), "{told:?}");
}

/// What who watches is told, and what Prometheus reads.
#[tokio::test]
async fn a_release_is_told_of_while_it_is_under_way() {
    let timed = Timed::start().await;
    let stages = json!({ "stages": [{ "share": 0.5, "min_time_s": 2, "min_samples": 1000 }] });
    let id = timed.release("good", quick(stages)).await;
    // Which variant answers is drawn: each has answered before anything is read.
    let mut missing = vec!["stable", "candidate"];
    while !missing.is_empty() {
        let variant = timed.request().await;
        missing.retain(|missing| variant.as_deref() != Some(missing));
    }
    let told = timed.server.get("/v1/telemetry").await.json();
    assert!(
        matches(&json!([{ "id": id, "route": "tiny", "state": "running" }]), &told["releases"]),
        "{:#}",
        told["releases"]
    );
    assert!(told["releases"][0]["evidence_over_time"].as_array().is_some_and(|points| !points.is_empty()), "{told:#}");
    let metrics = timed.server.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(
        metrics.contains("whinchat_canary_traffic_percentage{route=\"tiny\",candidate=\"good@1\"} 50"),
        "{metrics}"
    );
    assert!(metrics.contains("whinchat_route_requests_total{route=\"tiny\",variant=\"stable\"}"), "{metrics}");
}
