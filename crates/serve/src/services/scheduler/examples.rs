//! Questions to policies, with the answers that they must have.

use serde_json::{Value, json};

use crate::services::Example;

/// A session from its beginning on, and single questions to policies by name.
pub(super) fn examples() -> Vec<Example> {
    ranks().into_iter().chain(single()).chain(session()).collect()
}

fn arrival(id: u64, more: &Value) -> Value {
    let mut arrival = json!({ "id": id, "prompt": 100, "longest": 200 });
    if let (Value::Object(arrival), Value::Object(more)) = (&mut arrival, more) {
        arrival.extend(more.clone());
    }
    arrival
}

fn ranks() -> Vec<Example> {
    let rank = |about: &str, policy: &str, sequences: [Value; 2], ranks: [u64; 2]| {
        let [a, b] = sequences;
        let request = json!({ "policy": policy, "now_ns": 0, "sequences": [{ "arrival": a }, { "arrival": b }] });
        Example::new(about, "/rank", request, json!({ "ranks": ranks }))
    };
    let early = arrival(1, &json!({}));
    let (urgent, usual) = (arrival(1, &json!({ "priority": "high" })), arrival(2, &json!({})));
    let due = arrival(1, &json!({ "deadline_ns": 3_000_000_000_u64 }));
    let short = json!({ "id": 1, "prompt": 10, "longest": 20 });
    vec![
        rank("Who came first is served first", "first-come", [early.clone(), usual.clone()], [1, 2]),
        rank(
            "A normal request is served as if it had come ten seconds later than an urgent one",
            "priority",
            [urgent, usual.clone()],
            [0, 10_000_000],
        ),
        rank(
            "What is due in three seconds, and what has no deadline",
            "deadline",
            [due, usual.clone()],
            [3_000_000, 60_000_000],
        ),
        rank(
            "Ten milliseconds for each token of the prompt",
            "shortest-prefill",
            [short, usual.clone()],
            [100_000, 1_000_000],
        ),
        rank("Nobody was served yet", "fair-share", [early, usual.clone()], [0, 0]),
        Example::refused(
            "A policy that there is not",
            "/rank",
            json!({ "policy": "random", "now_ns": 0, "sequences": [] }),
            (400, "invalid_value"),
        ),
        Example::refused(
            "A prompt without tokens",
            "/rank",
            json!({ "policy": "first-come", "now_ns": 0, "sequences": [{ "arrival": { "id": 1, "prompt": 0, "longest": 1 } }] }),
            (400, "invalid_value"),
        ),
    ]
}

fn single() -> Vec<Example> {
    let victim = |about: &str, policy: &str, runs: bool, yes: bool| {
        // Its id, tokens, cached and found ones, continuations, whether it runs, since when it is stalled.
        let holder = json!({ "arrival": arrival(1, &json!({ "priority": "low" })), "progress": [1, 120, 119, 0, 1, true, null] });
        let needy =
            json!({ "arrival": arrival(2, &json!({ "priority": "high" })), "progress": [2, 100, 0, 0, 1, runs, null] });
        let request = json!({ "policy": policy, "now_ns": 0, "holder": holder, "needy": needy });
        Example::new(about, "/victim", request, json!({ "yes": yes }))
    };
    let chunk = |about: &str, decoding: usize, rows: usize| {
        let request = json!({ "policy": "first-come", "load": { "rows": 512, "decoding": decoding } });
        Example::new(about, "/chunk", request, json!({ "rows": rows }))
    };
    let admit = |about: &str, running: usize, yes: bool| {
        let load = json!({ "rows": 512, "running": running, "free_blocks": 8 });
        let sequence = json!({ "arrival": arrival(1, &json!({})) });
        let request = json!({ "policy": "first-come", "sequence": sequence, "blocks": 7, "load": load });
        Example::new(about, "/admit", request, json!({ "yes": yes }))
    };
    vec![
        victim("A running sequence takes the blocks of one behind it", "first-come", true, true),
        victim("A waiting one does not", "first-come", false, false),
        victim("By priority it does, if it is more urgent", "priority", false, true),
        chunk("Nobody decodes: prompts have the whole step", 0, 512),
        chunk("Others decode: prompts have a quarter", 3, 128),
        admit("A block is left for the one that runs", 1, true),
        admit("Two run, and only one block would be left", 2, false),
    ]
}

/// Two tenants: who was served least comes first.
fn session() -> Vec<Example> {
    let tenant = |id: u64, name: &str| arrival(id, &json!({ "tenant": name }));
    let order = |about: &str, change: Value, answer: Value| {
        Example::new(about, "/order", json!({ "change": change, "now_ns": 1_000 }), answer)
    };
    let runs = |id: u64, cached: usize| json!([id, 100, cached, 0, 1, true, null]);
    let change = |version: u64| json!({ "session": "example", "version": version });
    let with = |version: u64, more: Value| {
        let mut change = change(version);
        if let (Value::Object(change), Value::Object(more)) = (&mut change, more) {
            change.extend(more);
        }
        change
    };
    vec![
        Example::new(
            "A session of one engine, which shares fairly between tenants",
            "/open",
            json!({ "session": "example", "policy": "fair-share" }),
            json!({ "session": "example", "version": 0, "policy": "fair-share", "asks": [] }),
        ),
        order(
            "Two sequences have come; each rank is told once",
            with(0, json!({ "arrived": [tenant(1, "a"), tenant(2, "b")] })),
            json!({ "version": 1, "ranks": [[1, 0], [2, 0]] }),
        ),
        order(
            "The first one has computed 64 tokens: its tenant comes later now",
            with(1, json!({ "computed": [[1, 64]], "progress": [runs(1, 64)] })),
            json!({ "version": 2, "ranks": [[1, 64]] }),
        ),
        order("Nothing has changed", change(2), json!({ "version": 3, "ranks": [] })),
        Example::refused(
            "A change to a version that is over",
            "/order",
            json!({ "change": change(1), "now_ns": 0 }),
            (409, "version_differs"),
        ),
        order("Both have ended", with(3, json!({ "ended": [1, 2] })), json!({ "version": 4, "ranks": [] })),
        Example::refused(
            "A session that there is not",
            "/order",
            json!({ "change": { "session": "none", "version": 0 }, "now_ns": 0 }),
            (409, "version_differs"),
        ),
    ]
}
