//! Releases over HTTP: promoted, rolled back, held, given up, watched, explained, and gone on with after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use release::{Plan, Policy};
use serde_json::{Value, json};
use serve::RouteSetup;
use text::Dialect;

use crate::client::Client;
use crate::demand::Depot;
use crate::model::Broken;
use crate::routes::{reciting, route};
use crate::support::{Server, completion, loaded, matches, with};

const TEXT: &str = "/v1/completions";

/// When the tests' clock begins, in seconds since 1970.
const BEGINNING: u64 = 1_800_000_000;

/// A server whose releases go by a clock of their own.
pub(crate) struct Timed {
    pub(crate) server: Server,
    millis: Arc<AtomicU64>,
}

impl Timed {
    /// With `tiny`, and candidates: `good` is like it, `bad` fails always.
    pub(crate) async fn start() -> Timed {
        let server = Server::start().await;
        let millis = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&millis);
        server
            .app
            .tell_time(move || Duration::from_secs(BEGINNING) + Duration::from_millis(clock.load(Ordering::SeqCst)));
        server.app.change_on_request();
        server.app.load_with(Depot::default());
        server.app.add(reciting("good", "A"));
        server.app.add(loaded("bad", Dialect::of_template(""), Broken, (8, 4096)).1);
        Timed { server, millis }
    }

    /// So much later.
    pub(crate) fn pass(&self, millis: u64) {
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }

    /// Begins a release of a candidate on `tiny`, and waits until it runs.
    pub(crate) async fn release(&self, candidate: &str, plan: Value) -> String {
        let body = json!({ "route": "tiny", "candidate": candidate, "plan": plan });
        let begun = self.server.post("/admin/releases", &body).await;
        assert_eq!(begun.head.status, 200, "{:#}", begun.json());
        let id = begun.json()["id"].as_str().expect("an id").to_owned();
        self.until(&id, |release| release["state"] != "loading").await;
        id
    }

    pub(crate) async fn shown(&self, id: &str) -> Value {
        self.server.get(&format!("/admin/releases/{id}")).await.json()
    }

    pub(crate) async fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let release = self.shown(id).await;
            if wanted(&release) {
                return release;
            }
            tokio::task::yield_now().await;
        }
    }

    /// A request of somebody; a second later the next may come.
    pub(crate) async fn request(&self) -> Option<String> {
        self.ask(&mut Client::connect(self.server.address).await).await
    }

    async fn ask(&self, client: &mut Client) -> Option<String> {
        let body = completion("x", json!({ "model": "tiny", "max_tokens": 3 })).to_string();
        client.send("POST", TEXT, body.as_bytes()).await;
        let answer = client.answer().await;
        assert_eq!((answer.head.status, &answer.json()["model"]), (200, &json!("tiny")), "nobody is refused");
        self.pass(1000);
        answer.head.header("x-whinchat-variant").map(str::to_owned)
    }

    /// Requests until the release has ended.
    pub(crate) async fn until_ended(&self, id: &str, most: usize) -> Value {
        let mut client = Client::connect(self.server.address).await;
        for _ in 0..most {
            let release = self.shown(id).await;
            if release["state"] == "ended" {
                return release;
            }
            for _ in 0..8 {
                self.ask(&mut client).await;
            }
        }
        panic!("it has not ended: {:#}", self.shown(id).await);
    }
}

/// Small numbers. No model has served for so long that its times count: they are what this machine does meanwhile.
pub(crate) fn quick(more: Value) -> Value {
    let stage = |share: f64| json!({ "share": share, "min_time_s": 2, "min_samples": 4 });
    with(
        json!({
            "stages": [stage(0.5), stage(1.0)], "freeze_after": 2, "warm_up_s": 3e8,
            "margins": { "failures": 0.95, "median": 1e6, "tail": 1e6, "quality": 0.99 },
        }),
        more,
    )
}

#[tokio::test]
async fn a_candidate_is_promoted() {
    let timed = Timed::start().await;
    let id = timed.release("good", quick(json!({}))).await;
    let began = timed.shown(&id).await;
    let wanted = json!({
        "object": "release", "route": "tiny", "stable": "tiny@1", "candidate": "good@1", "state": "running", "stage": 0,
        "share": 0.5, "verdict": null, "keep_stable": true, "durable": false, "plan": { "by": "request", "budget": 0.05 },
    });
    assert!(matches(&wanted, &began), "{began:#}");
    let routes = timed.server.get("/admin/routes/tiny").await.json();
    assert!(
        matches(&json!({ "policy": "canary", "origin": "release", "release": id, "salt": id }), &routes),
        "{routes:#}"
    );
    let ended = timed.until_ended(&id, 100).await;
    assert!(matches(&json!({ "verdict": "promoted", "share": 1.0, "keep_stable": false }), &ended), "{ended:#}");
    let sentence = ended["sentence"].as_str().expect("a sentence");
    assert!(sentence.starts_with("good@1 answers everything now on tiny: "), "{sentence}");
    for _ in 0..4 {
        assert_eq!(timed.request().await.as_deref(), Some("stable"), "the candidate is the stable variant now");
    }
    let routes = timed.server.get("/admin/routes/tiny").await.json();
    assert!(
        matches(&json!({ "policy": "single", "variants": [{ "model": "good@1" }], "baseline": true }), &routes),
        "{routes:#}"
    );
    let explained = timed.server.get(&format!("/admin/releases/{id}/explain")).await.json();
    let lines = explained["lines"].as_array().expect("lines");
    assert!(explained["replayed"] == true && lines.len() == 3, "{explained:#}");
    assert!(lines[0].as_str().is_some_and(|line| line.contains("began: 50 % to the candidate")), "{explained:#}");
    assert!(lines[2].as_str().is_some_and(|line| line.contains("promoted")), "{explained:#}");
    let history = timed.server.get("/admin/releases/tiny/history").await.json();
    let kinds: Vec<_> =
        history["data"].as_array().expect("a list").iter().map(|entry| &entry["decisions"][0]["kind"]).collect();
    assert_eq!(kinds, [&json!("share"), &json!("ended")]);
    let all = timed.server.get("/admin/releases/latest/history?all=true").await.json();
    assert!(all["data"].as_array().is_some_and(|all| all.len() > 8 && all[0]["event"] == "outcome"), "{all:#}");
    let baseline = timed.server.get(&format!("/admin/releases/{id}/baseline")).await.json();
    assert!(baseline["requests"].as_u64().is_some_and(|requests| requests > 4), "{baseline:#}");
}

/// As a reload of the configuration does.
#[tokio::test]
async fn a_route_described_anew_leaves_its_release_where_it_is() {
    let timed = Timed::start().await;
    let id = timed.release("good", quick(json!({}))).await;
    let described = route("tiny", Policy::Single, &["tiny"]);
    let plan = Plan { alpha: 0.01, ..described.plan.clone() };
    timed.server.app.set_routes(vec![RouteSetup { plan, ..described }]).expect("the route is possible");
    let route = timed.server.get("/admin/routes/tiny").await.json();
    assert_eq!((&route["release"], &route["variants"][1]["share"]), (&json!(id), &json!(0.5)), "{route:#}");
    let ended = timed.until_ended(&id, 100).await;
    assert_eq!(ended["verdict"], "promoted", "{ended:#}");
}

/// Each failure before a first token is made good by the stable variant, and counted.
#[tokio::test]
async fn a_candidate_that_fails_is_rolled_back_and_nobody_notices() {
    let timed = Timed::start().await;
    let id = timed.release("bad", quick(json!({ "margins": {} }))).await;
    let mut watching = Client::connect(timed.server.address).await;
    watching.send("GET", &format!("/admin/releases/{id}/watch"), b"").await;
    assert_eq!(watching.head().await.status, 200);
    assert_eq!(watching.named_event().await.expect("an event").0, "release");
    let ended = timed.until_ended(&id, 100).await;
    assert!(
        matches(&json!({ "verdict": "rolled_back", "share": 0.0, "keep_stable": true, "why": "~failures" }), &ended),
        "{ended:#}"
    );
    assert_eq!(ended["requests"]["candidate"]["failed"], ended["requests"]["candidate"]["ended"]);
    assert_eq!(timed.request().await, None, "the name means the model again");
    let mut decision = Value::Null;
    while let Some((name, data)) = watching.named_event().await {
        if name == "decision" {
            decision = serde_json::from_str(&data).expect("JSON");
        }
    }
    assert!(matches(&json!({ "kind": "ended", "verdict": "rolled_back" }), &decision), "{decision:#}");
    timed
        .server
        .check(
            &format!("/admin/releases/{id}/abort"),
            &json!({}),
            409,
            &json!({ "error": { "code": "release_conflict" } }),
        )
        .await;
}

#[tokio::test]
async fn people_have_the_last_word() {
    let timed = Timed::start().await;
    let id = timed.release("good", quick(json!({}))).await;
    let command = async |word: &str, body: Value, wanted: Value| {
        timed.server.check(&format!("/admin/releases/{id}/{word}"), &body, 200, &wanted).await;
    };
    command("pause", json!({}), json!({ "state": "paused" })).await;
    for _ in 0..40 {
        timed.request().await;
    }
    assert!(matches(&json!({ "state": "paused", "stage": 0 }), &timed.shown(&id).await));
    command("promote", json!({}), json!({ "stage": 1, "share": 1.0 })).await;
    assert_eq!(timed.request().await.as_deref(), Some("candidate"));
    command("resume", json!({}), json!({ "state": "running" })).await;
    command(
        "abort",
        json!({ "why": "it is late" }),
        json!({ "state": "ended", "verdict": "aborted", "why": "it is late" }),
    )
    .await;
    assert_eq!(timed.request().await, None);
    let list = timed.server.get("/admin/releases?route=tiny").await.json();
    assert!(matches(&json!({ "data": [{ "id": id }] }), &list), "{list:#}");
    assert_eq!(timed.server.get("/admin/releases?route=other").await.json()["data"], json!([]));
}

/// What is to be loaded comes beside the stable version, and goes again if it is not wanted.
#[tokio::test]
async fn a_candidate_is_loaded_and_given_back() {
    let timed = Timed::start().await;
    let body =
        json!({ "route": "tiny", "source": "file", "version": "q8", "name": "q8 for tiny", "plan": quick(json!({})) });
    timed.server.check("/admin/releases", &body, 200, &json!({ "candidate": "tiny@q8", "name": "q8 for tiny" })).await;
    timed.until("tiny", |release| release["state"] == "running").await;
    let tiny = |models: &Value| models["data"][0]["versions"].clone();
    let models = timed.server.get("/admin/models").await.json();
    assert!(
        matches(&json!([{ "version": "q8", "loaded": true }, { "version": "1", "loaded": true }]), &tiny(&models)),
        "{models:#}"
    );
    assert_eq!(models["data"][0]["version"], "1", "the name means what it meant");
    timed.server.check("/admin/releases/tiny/abort", &json!({}), 200, &json!({ "verdict": "aborted" })).await;
    let models = timed.server.get("/admin/models").await.json();
    assert!(
        matches(&json!([{ "version": "q8", "loaded": false }, { "version": "1", "loaded": true }]), &tiny(&models)),
        "{models:#}"
    );
    let body = json!({ "route": "tiny", "source": "none", "plan": quick(json!({})) });
    timed.server.check("/admin/releases", &body, 200, &json!({ "state": "loading" })).await;
    let failed = timed.until("latest", |release| release["state"] == "ended").await;
    assert!(matches(&json!({ "verdict": "aborted", "why": "~no such file" }), &failed), "{failed:#}");
}

/// What a promoted candidate takes the place of leaves memory; what another route means stays.
#[tokio::test]
async fn what_is_replaced_leaves_memory() {
    let timed = Timed::start().await;
    timed.server.check("/admin/models", &json!({ "model": "deep" }), 200, &json!({ "version": "1" })).await;
    let other = route("other", Policy::Single, &["deep@1"]);
    timed.server.app.set_routes(vec![other]).expect("possible");
    for (route, version, stay) in [("deep", "2", ["1", "2"]), ("other", "3", ["2", "3"]), ("deep", "4", ["3", "4"])] {
        let body = json!({ "route": route, "source": "file", "version": version, "plan": quick(json!({})) });
        timed.server.check("/admin/releases", &body, 200, &json!({ "route": route })).await;
        timed.until(route, |release| release["state"] == "running").await;
        for _ in 0..2 {
            timed.server.check(&format!("/admin/releases/{route}/promote"), &json!({}), 200, &json!({})).await;
        }
        let models = timed.server.get("/admin/models").await.json();
        let deep = models["data"].as_array().expect("a list").iter().find(|model| model["id"] == "deep").expect("deep");
        let loaded = deep["versions"].as_array().expect("versions").iter().filter(|one| one["loaded"] == true);
        let mut loaded: Vec<&str> = loaded.filter_map(|one| one["version"].as_str()).collect();
        loaded.sort_unstable();
        assert_eq!(loaded, stay, "{route} {version}: {deep:#}");
    }
}

/// Old releases are forgotten; what the last one made of a route is not, and goes on after a restart.
#[cfg(feature = "batches")]
#[tokio::test]
async fn after_many_releases_the_last_one_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let first = Timed::start().await;
    first.server.app.keep_batches(serve::BatchStore::open(&path).expect("a database"));
    let described = || vec![route("chat", Policy::Single, &["tiny"]), route("once", Policy::Single, &["tiny"])];
    let promoted = async |timed: &Timed, route: &str, version: &str| {
        let body = json!({ "route": route, "source": "file", "version": version, "plan": quick(json!({})) });
        timed.server.check("/admin/releases", &body, 200, &json!({ "route": route })).await;
        timed.until(route, |release| release["state"] == "running").await;
        for _ in 0..2 {
            timed.server.check(&format!("/admin/releases/{route}/promote"), &json!({}), 200, &json!({})).await;
        }
    };
    first.server.app.set_routes(described()).expect("possible");
    promoted(&first, "once", "once").await;
    for number in 0..70 {
        promoted(&first, "chat", &format!("v{number}")).await;
    }
    let all = first.server.get("/admin/releases").await.json();
    assert_eq!(all["data"].as_array().map(Vec::len), Some(65), "64, and the one that says who answers for `once`");
    drop(first);
    let second = Timed::start().await;
    second.server.app.set_routes(described()).expect("possible");
    second.server.app.keep_batches(crate::routes::opened(&path).await);
    for (route, model) in [("chat", "tiny@v69"), ("once", "tiny@once")] {
        let shown = second.server.get(&format!("/admin/routes/{route}")).await.json();
        assert_eq!(shown["variants"][0]["model"], model, "{shown:#}");
    }
}

/// A twin of the stable model gets as many requests as the candidate, and goes when the release has ended.
#[tokio::test]
async fn a_twin_is_as_cold_as_the_candidate() {
    let timed = Timed::start().await;
    timed.server.check("/admin/models", &json!({ "model": "deep" }), 200, &json!({ "version": "1" })).await;
    let stages = json!([{ "share": 0.25, "min_time_s": 2, "min_samples": 1000 }]);
    let plan = |route: &str| {
        let plan = quick(json!({ "twin": true, "stages": stages.clone() }));
        json!({ "route": route, "candidate": "good", "plan": plan })
    };
    let loaded_no_more = json!({ "error": { "param": "plan", "message": "~nothing says from where" } });
    timed.server.check("/admin/releases", &plan("tiny"), 400, &loaded_no_more).await;
    timed.server.check("/admin/releases", &plan("deep"), 200, &json!({ "plan": { "twin": true } })).await;
    timed.until("deep", |release| release["state"] == "running").await;
    let route = timed.server.get("/admin/routes/deep").await.json();
    let wanted = json!([{ "share": 0.5, "model": "deep@1" }, { "share": 0.25 }, { "share": 0.25, "model": "deep@1-twin", "loaded": true }]);
    assert!(matches(&wanted, &route["variants"]), "{route:#}");
    let mut missing = vec!["stable", "candidate", "twin"];
    while !missing.is_empty() {
        let answer = timed.server.post(TEXT, &completion("x", json!({ "model": "deep", "max_tokens": 3 }))).await;
        assert_eq!((answer.head.status, &answer.json()["model"]), (200, &json!("deep")));
        missing.retain(|missing| answer.head.header("x-whinchat-variant") != Some(missing));
    }
    timed.server.check("/admin/releases/deep/abort", &json!({}), 200, &json!({ "verdict": "aborted" })).await;
    let models = timed.server.get("/admin/models").await.json();
    let deep = models["data"].as_array().expect("a list").iter().find(|model| model["id"] == "deep").expect("deep");
    let twin = deep["versions"].as_array().expect("versions").iter().find(|version| version["version"] == "1-twin");
    assert_eq!(twin.map(|twin| &twin["loaded"]), Some(&json!(false)), "{deep:#}");
}

/// The same file with another setting is a candidate; what is known of it before stays with the variant.
#[tokio::test]
async fn a_candidate_has_settings_and_scores() {
    let timed = Timed::start().await;
    let known = json!({ "weight_type": "Q8_0", "bytes": 800, "quality": { "suite": 0.9 } });
    let body = json!({ "route": "tiny", "source": "file", "context": 512, "plan": quick(json!({})) });
    let begun = timed.server.post("/admin/releases", &with(body, known.clone())).await.json();
    let id = begun["id"].as_str().expect("an id");
    let known = with(known, json!({ "settings": { "context": "512" } }));
    timed.until(id, |release| release["state"] != "loading").await;
    assert_eq!(timed.shown(id).await["known"], known);
    timed.until_ended(id, 100).await;
    let route = timed.server.get("/admin/routes/tiny").await.json();
    assert!(matches(&known, &route["variants"][0]), "{route:#}");
}

#[tokio::test]
async fn what_cannot_be_released_is_refused() {
    let timed = Timed::start().await;
    let check = async |body: Value, status: u16, code: &str, part: &str| {
        let wanted = json!({ "error": { "code": code, "message": format!("~{part}") } });
        timed.server.check("/admin/releases", &body, status, &wanted).await;
    };
    check(json!({ "candidate": "good" }), 400, "missing_required_parameter", "route").await;
    check(json!({ "route": "tiny" }), 400, "missing_required_parameter", "candidate").await;
    check(json!({ "route": "tiny", "candidate": "a", "source": "b" }), 400, "invalid_value", "exclude each other")
        .await;
    check(
        json!({ "route": "tiny", "candidate": "good", "context": 64 }),
        400,
        "invalid_value",
        "context goes with source",
    )
    .await;
    for quality in [json!(1), json!({ "suite": "high" })] {
        check(json!({ "route": "tiny", "candidate": "good", "quality": quality }), 400, "invalid_value", "numbers")
            .await;
    }
    check(json!({ "route": "tiny", "candidat": "a" }), 400, "invalid_value", "There is no field candidat").await;
    check(json!({ "route": "moon", "candidate": "good" }), 404, "route_not_found", "moon").await;
    check(json!({ "route": "tiny", "candidate": "moon" }), 404, "model_not_found", "moon").await;
    check(json!({ "route": "tiny", "candidate": "tiny" }), 400, "invalid_value", "answers already").await;
    let plan = json!({ "stages": [{ "share": 1.0 }] });
    check(json!({ "route": "tiny", "candidate": "good", "plan": plan }), 400, "invalid_value", "first stage").await;
    check(
        json!({ "route": "tiny", "candidate": "good", "plan": { "x": 1 } }),
        400,
        "invalid_value",
        "unknown field `x`",
    )
    .await;
    timed.release("good", quick(json!({}))).await;
    check(json!({ "route": "tiny", "candidate": "bad" }), 409, "release_conflict", "under way").await;
    for path in ["/admin/releases/moon", "/admin/releases/moon/explain", "/admin/releases/tiny/baseline"] {
        let answer = timed.server.get(path).await;
        assert_eq!((answer.head.status, &answer.json()["error"]["code"]), (404, &json!("release_not_found")), "{path}");
    }
    let other = Server::start().await;
    assert_eq!(other.get("/admin/releases").await.head.status, 404, "without --admin");
}

/// A server that is killed leaves what it wrote down: the release goes on where it was, the same units meet the same variants.
#[cfg(feature = "batches")]
#[tokio::test]
async fn a_release_goes_on_after_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let session = async |timed: &Timed, session: usize| {
        let body = completion("x", json!({ "model": "tiny", "max_tokens": 3 })).to_string();
        let header = format!("x-session-id: {session}");
        let answer =
            crate::access::ask(&timed.server, &format!("POST {TEXT}"), &["host: localhost", &header], &body).await;
        assert_eq!(answer.head.status, 200);
        answer.head.header("x-whinchat-variant").map(str::to_owned)
    };
    let assigned = async |timed: &Timed| {
        let mut all = Vec::new();
        for number in 0..24 {
            all.push(session(timed, number).await);
        }
        all
    };
    // Nothing moves it on but a command.
    let stage = |share: f64| json!({ "share": share, "min_time_s": 1e6, "min_samples": 4 });
    let first = Timed::start().await;
    first.server.app.keep_batches(serve::BatchStore::open(&path).expect("a database"));
    let id = first.release("good", quick(json!({ "by": "session", "stages": [stage(0.5), stage(1.0)] }))).await;
    let before = assigned(&first).await;
    assert!(
        before.iter().any(|variant| *variant == Some("candidate".to_owned()))
            && before.contains(&Some("stable".to_owned()))
    );
    let stood = first
        .until(&id, |release| {
            release["requests"]["stable"]["ended"]
                .as_u64()
                .zip(release["requests"]["candidate"]["ended"].as_u64())
                .is_some_and(|(one, other)| one + other == 24)
        })
        .await;
    assert_eq!(stood["durable"], true);
    // The database goes with the process: nothing else is told.
    drop(first);
    let store = crate::routes::opened(&path).await;
    let second = Timed::start().await;
    second.pass(100_000);
    second.server.app.keep_batches(store);
    let back = second.until(&id, |release| release["state"] == "running").await;
    for part in ["stage", "share", "units", "requests", "evidence", "plan", "created"] {
        assert_eq!(back[part], stood[part], "{part}");
    }
    assert_eq!(assigned(&second).await, before, "the same units meet the same variants");
    second.server.check(&format!("/admin/releases/{id}/promote"), &json!({}), 200, &json!({ "stage": 1 })).await;
    second
        .server
        .check(&format!("/admin/releases/{id}/promote"), &json!({}), 200, &json!({ "verdict": "promoted" }))
        .await;
    let explained = second.server.get(&format!("/admin/releases/{id}/explain")).await.json();
    assert!(
        explained["replayed"] == true && explained["entries"].as_u64().is_some_and(|entries| entries >= 26),
        "{explained:#}"
    );
    drop(second);
    let store = crate::routes::opened(&path).await;
    let third = Timed::start().await;
    third.server.app.keep_batches(store);
    assert_eq!(third.request().await.as_deref(), Some("stable"));
    let routes = third.server.get("/admin/routes/tiny").await.json();
    assert!(matches(&json!({ "variants": [{ "model": "good@1" }], "baseline": true }), &routes), "{routes:#}");
    assert!(matches(&json!({ "state": "ended", "verdict": "promoted", "durable": true }), &third.shown(&id).await));
}
