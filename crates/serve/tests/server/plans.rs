//! Plans over HTTP: what is asked reaches who knows, and what is wrong is said.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use serve::http::{Access, Settings};
use serve::{KeyFile, Keys, PlanAsk, PlanError, Plans, ProfileAsk, Role, TrialAsk};

use crate::access::ask;
use crate::client::fetch;
use crate::support::{Server, Setup, matches};

/// Knows what a plan looks like, and remembers what it was asked.
#[derive(Default)]
struct Planner(Mutex<Vec<(String, PlanAsk)>>);

impl Plans for Planner {
    fn answer(&self, model: &str, ask: PlanAsk) -> Result<Value, PlanError> {
        self.0.lock().expect("no panic").push((model.to_owned(), ask.clone()));
        Ok(match ask {
            PlanAsk::Plan { .. } => json!({
                "object": "plan", "version": 1, "model": model, "source": "built", "isa": "portable", "threads": 1, "shape": {},
                "machine": null, "limits": {}, "fusion": [], "operators": [], "values": [], "memory": [], "weights": [],
                "output": {}, "arena_bytes": 0, "total": {},
            }),
            PlanAsk::Check(_) => {
                json!({ "object": "plan.check", "model": model, "valid": false, "why": "it is empty" })
            }
            PlanAsk::Profile(ask) if ask.rows == [7] => return Err(PlanError::Field("rows", "rows: not 7.".into())),
            PlanAsk::Profile(_) => json!({
                "object": "profile", "id": 3, "model": model, "isa": "portable", "threads": 1, "machine": {}, "context": 0,
                "repeats": 1, "kernels": [], "steps": [], "operators": [],
            }),
            PlanAsk::Profiles => json!({ "object": "list", "data": [] }),
            PlanAsk::Compare(before, _) if before == "9" => return Err(PlanError::Unknown("Nothing is kept.".into())),
            PlanAsk::Compare(..) => json!({ "object": "comparison", "before": {}, "after": {}, "operators": [] }),
            PlanAsk::Kernels | PlanAsk::Choose(_) => {
                json!({ "object": "kernels", "model": model, "chosen": [], "operators": [] })
            }
            PlanAsk::Trial | PlanAsk::TryOut(_) | PlanAsk::EndTrial => json!({
                "object": "kernels.trial", "model": model, "state": "none", "kernels": [], "share": 0, "alpha": 0,
                "pairs": 0, "faster": 0, "slower": 0, "evidence": null,
            }),
            PlanAsk::Memory => panic!("it must not be asked for memory"),
        })
    }
}

async fn server() -> (Server, Arc<Planner>) {
    let (server, planner) = (Server::start().await, Arc::new(Planner::default()));
    server.app.know_plans(Arc::clone(&planner) as Arc<dyn Plans>);
    server.app.change_on_request();
    (server, planner)
}

#[tokio::test]
async fn what_is_asked_reaches_who_knows() {
    let (server, planner) = server().await;
    let kernels = || vec!["product=held".to_owned()];
    let profile = ProfileAsk { rows: vec![1, 64], repeats: Some(2), kernels: kernels(), ..ProfileAsk::default() };
    let trial = |share, alpha| PlanAsk::TryOut(TrialAsk { kernels: kernels(), share, alpha });
    let rows = [
        ("GET /plan", json!({}), PlanAsk::Plan { rows: 1, context: 512 }),
        ("GET /plan?rows=64&context=0&model=tiny", json!({}), PlanAsk::Plan { rows: 64, context: 0 }),
        (
            "POST /plan/check",
            json!({ "plan": { "a": 1 } }),
            PlanAsk::Check(serde_json::from_str(r#"{"a":1}"#).expect("JSON")),
        ),
        ("POST /plan/profile", json!({}), PlanAsk::Profile(ProfileAsk::default())),
        (
            "POST /plan/profile",
            json!({ "rows": [1, 64], "repeats": 2, "kernels": "product=held" }),
            PlanAsk::Profile(profile),
        ),
        ("GET /plan/profiles", json!({}), PlanAsk::Profiles),
        ("GET /plan/compare?before=1&after=2", json!({}), PlanAsk::Compare("1".into(), "2".into())),
        ("GET /plan/kernels", json!({}), PlanAsk::Kernels),
        ("PUT /plan/kernels", json!({ "kernels": ["product=held"] }), PlanAsk::Choose(kernels())),
        ("PUT /plan/kernels", json!({ "kernels": [] }), PlanAsk::Choose(vec![])),
        ("GET /plan/trial", json!({}), PlanAsk::Trial),
        ("POST /plan/trial", json!({ "kernels": "product=held" }), trial(0.5, 0.01)),
        ("POST /plan/trial", json!({ "kernels": "product=held", "share": 0.25, "alpha": 0.5 }), trial(0.25, 0.5)),
        ("DELETE /plan/trial", json!({}), PlanAsk::EndTrial),
    ];
    for (place, body, wanted) in rows {
        let (method, path) = place.split_once(' ').expect("a method");
        let answer = fetch(server.address, method, path, body.to_string().as_bytes()).await;
        assert_eq!(answer.head.status, 200, "{place}: {}", answer.json());
        let asked = planner.0.lock().expect("no panic").pop();
        assert_eq!(asked, Some(("tiny".to_owned(), wanted)), "{place} {body}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let (server, _) = server().await;
    let rows = [
        ("GET /plan?rows=0", json!({}), 400, "rows", "~at least 1"),
        ("GET /plan?model=none", json!({}), 404, "model", "~none"),
        ("GET /plan/compare?before=1", json!({}), 400, "after", "~after is missing"),
        ("POST /plan/check", json!({}), 400, "plan", "~plan is missing"),
        ("POST /plan/check", json!({ "plan": [] }), 400, "plan", "~must be an object"),
        ("POST /plan/profile", json!({ "rows": [0] }), 400, "rows", "~above 0"),
        ("POST /plan/profile", json!({ "rows": [7] }), 400, "rows", "~not 7"),
        ("POST /plan/profile", json!({ "repeats": 1001 }), 400, "repeats", "~at most 1000"),
        ("PUT /plan/kernels", json!({}), 400, "kernels", "~kernels is missing"),
        ("PUT /plan/kernels", json!({ "kernels": [1] }), 400, "kernels[0]", "~must be a string"),
        ("POST /plan/trial", json!({ "kernels": "a=b", "share": 1 }), 400, "share", "~at most 0.99"),
    ];
    for (place, body, status, param, message) in rows {
        let (method, path) = place.split_once(' ').expect("a method");
        let answer = fetch(server.address, method, path, body.to_string().as_bytes()).await;
        let expected = json!({ "error": { "param": param, "message": message } });
        let found = answer.json();
        assert!(answer.head.status == status && matches(&expected, &found), "{place} {body}: {found:#}");
    }
    let answer = server.get("/plan/compare?before=9&after=1").await;
    assert!(
        answer.head.status == 404 && answer.json()["error"]["message"] == "Nothing is kept.",
        "{:#}",
        answer.json()
    );
}

#[tokio::test]
async fn plans_are_for_administrators() {
    let changes = ["POST /plan/profile", "PUT /plan/kernels", "POST /memory/evict", "PUT /memory/policy"];
    let server = Server::start().await;
    let unknown = server.get("/plan").await;
    assert!(
        unknown.head.status == 404 && unknown.json()["error"]["message"] == "This server knows no plans of its models."
    );
    for place in changes {
        let (method, path) = place.split_once(' ').expect("a method");
        let answer = fetch(server.address, method, path, b"{}").await;
        assert!(
            answer.head.status == 404 && matches(&json!({ "error": { "message": "~--admin" } }), &answer.json()),
            "{place}"
        );
    }
    let mut file = KeyFile::default();
    let mut key = |name, role, random| file.create(name, (role, Default::default()), [random; 32], 0).expect("a name");
    let (user, admin) = (key("user", Role::User, 1), key("admin", Role::Admin, 2));
    let access = Access::default().with_keys(Keys::new(&file));
    let server = Server::with(Setup { settings: Settings { access, ..Settings::default() }, ..Setup::default() }).await;
    for (key, status) in [(user, 403), (admin, 200)] {
        let header = format!("authorization: Bearer {key}");
        for place in ["GET /memory/plan", "GET /memory/usage"] {
            let answer = ask(&server, place, &["host: localhost", &header], "").await;
            assert_eq!(answer.head.status, status, "{place}");
        }
    }
}
