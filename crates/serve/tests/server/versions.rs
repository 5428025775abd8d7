//! Versions of models and other names for them: named by requests, listed, pinned and rolled back.

use serde_json::{Value, json};

use crate::client::fetch;
use crate::demand::Depot;
use crate::support::{Server, completion};

const ADMIN: &str = "/admin/models";

struct Admin {
    server: Server,
    depot: Depot,
}

impl Admin {
    async fn start() -> Admin {
        let (server, depot) = (Server::start().await, Depot::default());
        server.app.load_with(depot.clone());
        server.app.change_on_request();
        Admin { server, depot }
    }

    /// Loads a version of `m` whose context tells it from others.
    async fn load(&self, context: usize, more: Value) {
        let order = crate::support::with(json!({ "model": "file", "name": "m", "context": context }), more);
        self.server.check(ADMIN, &order, 200, &json!({ "model": { "id": "m" } })).await;
    }

    async fn change(&self, name: &str, change: Value, status: u16, expected: Value) {
        let body = change.to_string();
        let answer = fetch(self.server.address, "PATCH", &format!("{ADMIN}/{name}"), body.as_bytes()).await;
        let found = answer.json();
        assert_eq!(answer.head.status, status, "{name} {change}: {found}");
        assert!(crate::support::matches(&expected, &found), "{name} {change}:\n{found:#}\ndoes not have\n{expected:#}");
    }

    /// A name is answered by the model with this context.
    async fn means(&self, name: &str, context: usize) {
        let ask = json!({ "model": name, "prompt": "X" });
        self.server.check("/tokenize", &ask, 200, &json!({ "max_model_len": context })).await;
    }

    /// The versions of `m`; those in memory have a plus sign, the one that the name means an asterisk.
    async fn versions(&self) -> String {
        let all = self.server.get(ADMIN).await.json();
        let model =
            all["data"].as_array().expect("a list").iter().find(|model| model["id"] == "m").expect("it is there");
        let one = |version: &Value| {
            let mark = |is: bool, mark| if is { mark } else { "" };
            let id = version["version"].as_str().unwrap_or_default();
            let current = mark(version["version"] == model["version"], "*");
            format!("{id}{}{current}", mark(version["loaded"] == true, "+"))
        };
        model["versions"].as_array().expect("a list").iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

#[tokio::test]
async fn versions_are_pinned_and_rolled_back() {
    let admin = Admin::start().await;
    admin.load(100, json!({})).await;
    admin.load(200, json!({ "version": "2026-11" })).await;
    assert_eq!(admin.versions().await, "1 2026-11+*");
    admin.means("m", 200).await;
    admin.means("m@1", 100).await;
    assert_eq!(admin.versions().await, "1+ 2026-11+*", "it was loaded for who named it");
    admin.change("m@1", json!({ "loaded": false }), 200, json!({})).await;
    assert_eq!(admin.versions().await, "1 2026-11+*");

    admin.change("m", json!({ "roll_back": true }), 200, json!({ "model": { "version": "1", "pinned": "1" } })).await;
    assert_eq!(admin.versions().await, "1+* 2026-11");
    admin.means("m", 100).await;
    admin.load(300, json!({})).await;
    assert_eq!(admin.versions().await, "1+* 2026-11 2+", "what is pinned stays when newer ones come");
    admin.means("m", 100).await;
    admin.means("m@2", 300).await;
    admin.change("m", json!({ "pinned": null }), 200, json!({ "model": { "version": "2", "pinned": null } })).await;
    assert_eq!(admin.versions().await, "1 2026-11 2+*");
    admin.change("m", json!({ "pinned": "2026-11" }), 200, json!({})).await;
    admin.means("m", 200).await;

    let first = json!({ "error": { "param": "roll_back", "message": "~no version before 1" } });
    admin.change("m", json!({ "pinned": "1" }), 200, json!({})).await;
    admin.change("m", json!({ "roll_back": true }), 400, first).await;
    let unknown =
        json!({ "error": { "code": "model_not_found", "message": "~no version `9`. There is: 1, 2026-11, 2" } });
    admin.change("m", json!({ "pinned": "9" }), 404, unknown.clone()).await;
    admin.server.check("/v1/completions", &completion("X", json!({ "model": "m@9" })), 404, &unknown).await;

    let remove =
        async |name: &str| fetch(admin.server.address, "DELETE", &format!("{ADMIN}/{name}"), b"").await.head.status;
    assert_eq!((remove("m@1").await, remove("m@2").await, remove("m@2").await), (400, 200, 404));
    assert_eq!(admin.versions().await, "1+* 2026-11");
    assert_eq!(remove("m").await, 200);
    admin.server.check("/tokenize", &json!({ "model": "m", "prompt": "X" }), 404, &json!({})).await;
}

/// The same version loaded anew takes its place; a load that fails leaves what was.
#[tokio::test]
async fn a_version_is_loaded_anew() {
    let admin = Admin::start().await;
    admin.load(100, json!({ "version": "a" })).await;
    admin.load(200, json!({ "version": "a" })).await;
    assert_eq!(admin.versions().await, "a+*");
    admin.means("m", 200).await;
    let failed = json!({ "error": { "param": "model", "message": "~no such file" } });
    admin.server.check(ADMIN, &json!({ "model": "none", "name": "m" }), 400, &failed).await;
    assert_eq!(admin.versions().await, "a+*");
    for (order, param) in [
        (json!({ "model": "f", "name": "m", "version": "" }), "version"),
        (json!({ "model": "f", "name": "m", "version": "a/b" }), "version"),
        (json!({ "model": "f", "name": "m@1" }), "name"),
        (json!({ "model": "f", "name": "default" }), "name"),
        (json!({ "model": "f", "keep_alive": "soon" }), "keep_alive"),
    ] {
        admin.server.check(ADMIN, &order, 400, &json!({ "error": { "param": param } })).await;
    }
    assert_eq!(admin.depot.loads(), 3);
}

#[tokio::test]
async fn models_have_other_names() {
    let admin = Admin::start().await;
    admin.load(100, json!({})).await;
    admin.load(200, json!({})).await;
    admin.server.app.alias("gpt-4o", "m").expect("it is free");
    admin
        .change("m@1", json!({ "aliases": ["stable"] }), 200, json!({ "model": { "aliases": ["gpt-4o", "stable"] } }))
        .await;
    for (name, context) in [("gpt-4o", 200), ("stable", 100), ("gpt-4o@1", 100), ("stable@2", 200)] {
        admin.means(name, context).await;
    }
    let shown = json!({ "modelfile": "FROM m\n" });
    admin.server.check("/api/show", &json!({ "model": "gpt-4o:latest" }), 200, &shown).await;
    let names = admin.server.get("/v1/models").await.json();
    let names: Vec<_> = names["data"].as_array().expect("a list").iter().map(|model| model["id"].clone()).collect();
    assert_eq!(names, ["tiny", "m", "gpt-4o", "stable"]);
    assert!(admin.server.app.alias("m", "tiny").is_err() && admin.server.app.alias("n", "nobody").is_err());
    let taken = json!({ "error": { "message": "~already" } });
    admin.change("m", json!({ "aliases": ["fine", "tiny"] }), 400, taken).await;
    admin.means("gpt-4o", 200).await;
    admin.change("m", json!({ "aliases": [] }), 200, json!({ "model": { "aliases": ["stable"] } })).await;
    admin.change("gpt-4o", json!({ "loaded": true }), 404, json!({})).await;
    admin.change("m", json!({}), 400, json!({ "error": { "code": "missing_required_parameter" } })).await;
    admin
        .change("m", json!({ "pinned": "1", "roll_back": true }), 400, json!({ "error": { "param": "roll_back" } }))
        .await;
    admin.change("tiny", json!({ "loaded": false }), 400, json!({ "error": { "param": "loaded" } })).await;
}

/// A model may be made known without being loaded, and stays as long as it is told.
#[tokio::test]
async fn a_model_may_be_known_only() {
    let admin = Admin::start().await;
    let order = json!({ "model": "file", "name": "m", "context": 100, "load": false, "keep_alive": "1h" });
    admin
        .server
        .check(ADMIN, &order, 200, &json!({ "model": { "id": "m", "loaded": false }, "replaced": false }))
        .await;
    admin.server.check(ADMIN, &order, 400, &json!({ "error": { "message": "~already" } })).await;
    assert_eq!((admin.depot.loads(), admin.versions().await), (0, "1*".to_owned()));
    admin.means("m", 100).await;
    let stays = |seconds: f64| json!({ "model": { "versions": [{ "keep_alive": seconds, "source": "file" }] } });
    admin.change("m", json!({ "loaded": true }), 200, stays(3600.0)).await;
    admin.change("m", json!({ "keep_alive": "-1" }), 200, stays(-1.0)).await;
    admin.change("m", json!({ "loaded": false }), 200, json!({ "model": { "loaded": false } })).await;
    admin.change("m", json!({ "loaded": true }), 200, stays(-1.0)).await;
    assert_eq!(admin.depot.loads(), 2);
}
