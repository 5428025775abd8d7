//! The levels of memory over HTTP: what is in them, what is moved, held and forgotten, and who else may decide.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::client::fetch;
use crate::support::{DEADLINE, Server, completion, matches};

async fn server() -> Server {
    let server = Server::start().await;
    server.app.change_on_request();
    server
}

/// Lets the cache keep three prefixes, of two, three and four blocks.
async fn fill(server: &Server) {
    for (letter, blocks) in [("x", 2), ("y", 3), ("b", 4)] {
        let body = completion(&letter.repeat(16 * blocks + 1), json!({ "max_tokens": 1 }));
        assert_eq!(server.post("/v1/completions", &body).await.head.status, 200);
    }
    server.until("nothing runs", |stats| stats.running == 0).await;
}

async fn change(server: &Server, method: &str, path: &str, body: Value, expected: Value) -> Value {
    let answer = fetch(server.address, method, path, body.to_string().as_bytes()).await;
    let found = answer.json();
    assert!(answer.head.status == 200 && matches(&expected, &found), "{path} {body}: {found:#}");
    found
}

/// The prefixes by their first token, how many blocks they have, and whether they are pinned.
async fn prefixes(server: &Server) -> Vec<(String, u64, bool)> {
    let found = server.get("/memory/usage?by=prefix").await.json();
    let name = |prefix: &Value| char::from(prefix["begins"][0].as_u64().unwrap_or(0) as u8).to_string();
    let row = |prefix: &Value| {
        (name(prefix), prefix["blocks"].as_u64().unwrap_or(0), prefix["pinned"].as_bool().unwrap_or(false))
    };
    let mut all: Vec<_> = found["prefixes"].as_array().expect("a list").iter().map(row).collect();
    all.sort();
    all
}

/// The name of the prefix that begins with this letter.
async fn key(server: &Server, letter: char) -> String {
    let found = server.get("/memory/usage?by=prefix").await.json();
    let all = found["prefixes"].as_array().expect("a list");
    let one = all.iter().find(|prefix| prefix["begins"][0] == json!(letter as u32)).expect("it is kept");
    one["prefix"].as_str().expect("a name").to_owned()
}

fn row(letter: &str, blocks: u64, pinned: bool) -> (String, u64, bool) {
    (letter.to_owned(), blocks, pinned)
}

#[tokio::test]
async fn what_is_kept_is_told_and_can_be_evicted() {
    let server = server().await;
    fill(&server).await;
    assert_eq!(prefixes(&server).await, [row("b", 4, false), row("x", 2, false), row("y", 3, false)]);
    let tier = json!({ "tier": "device", "rule": "lru", "kept": 9, "held": 0, "block_positions": 16, "pinned": 0 });
    let plan = server.get("/memory/plan").await.json();
    assert!(matches(&json!({ "object": "memory.plan", "model": "tiny", "tiers": [tier] }), &plan), "{plan:#}");
    // The scripted model saves seven bytes of a block.
    assert_eq!(plan["tiers"][0]["used_bytes"], 9 * 7);
    // The oldest goes first, from its end on.
    change(&server, "POST", "/memory/evict", json!({ "count": 2 }), json!({ "done": 2, "object": "memory.done" }))
        .await;
    assert_eq!(prefixes(&server).await, [row("b", 4, false), row("y", 3, false)]);
    let y = key(&server, 'y').await;
    change(&server, "POST", "/memory/evict", json!({ "prefix": y }), json!({ "done": 3 })).await;
    change(&server, "POST", "/memory/flush", json!({}), json!({ "done": 4 })).await;
    assert!(prefixes(&server).await.is_empty());
    let usage = server.get("/memory/usage").await.json();
    let expected = json!({ "sequences": [], "prefixes": [], "services": { "memory": { "kv_cache_bytes": 0 } } });
    assert!(matches(&expected, &usage), "{usage:#}");
}

#[tokio::test]
async fn what_is_pinned_stays() {
    let server = server().await;
    fill(&server).await;
    let x = key(&server, 'x').await;
    change(&server, "POST", "/memory/pin", json!({ "prefix": x }), json!({ "done": 2 })).await;
    change(&server, "POST", "/memory/evict", json!({ "prefix": x }), json!({ "done": 0 })).await;
    change(&server, "POST", "/memory/flush", json!({}), json!({ "done": 7 })).await;
    assert_eq!(prefixes(&server).await, [row("x", 2, true)]);
    // Who asks for it still finds it.
    let body = completion(&"x".repeat(33), json!({ "max_tokens": 1 }));
    server
        .check("/v1/completions", &body, 200, &json!({ "usage": { "prompt_tokens_details": { "cached_tokens": 32 } } }))
        .await;
    server.until("nothing runs", |stats| stats.running == 0).await;
    change(&server, "POST", "/memory/pin", json!({ "prefix": x, "pinned": false }), json!({ "done": 2 })).await;
    change(&server, "POST", "/memory/flush", json!({}), json!({ "done": 2 })).await;
    assert!(prefixes(&server).await.is_empty());
}

#[tokio::test]
async fn rules_and_sizes_change_while_it_runs() {
    let server = server().await;
    fill(&server).await;
    let tiers = |kept: u64, rule: &str| json!({ "tiers": [{ "rule": rule, "kept": kept }] });
    change(&server, "PUT", "/memory/plan", json!({ "eviction": "lfu" }), tiers(9, "lfu")).await;
    // "x" was found, the others never.
    let body = completion(&"x".repeat(33), json!({ "max_tokens": 1 }));
    assert_eq!(server.post("/v1/completions", &body).await.head.status, 200);
    server.until("nothing runs", |stats| stats.running == 0).await;
    change(&server, "PUT", "/memory/plan", json!({ "keep_positions": 40 }), tiers(2, "lfu")).await;
    assert_eq!(prefixes(&server).await, [row("x", 2, false)]);
    change(
        &server,
        "PUT",
        "/memory/plan",
        json!({ "keep_positions": 1000, "eviction": "s3-fifo" }),
        tiers(2, "s3-fifo"),
    )
    .await;
}

#[tokio::test]
async fn orders_with_mistakes_are_refused() {
    let server = server().await;
    fill(&server).await;
    let none = "00".repeat(32);
    let rows = [
        ("PUT /memory/plan", json!({ "eviction": "luck" }), "eviction", "~lru, lfu, s3-fifo, cost"),
        ("PUT /memory/plan", json!({ "promotion": "soon" }), "promotion", "~always, second, never"),
        ("PUT /memory/plan", json!({ "host_bytes": 10 }), "tier", "~there is no level \"host\""),
        ("POST /memory/evict", json!({ "tier": "attic" }), "tier", "~the levels below the cache are none"),
        ("POST /memory/evict", json!({ "count": 0 }), "count", "~at least 1"),
        ("POST /memory/evict", json!({ "prefix": "00" }), "prefix", "~64 hexadecimal digits"),
        ("POST /memory/evict", json!({ "prefix": none }), "prefix", "~no such prefix"),
        ("POST /memory/pin", json!({}), "prefix", "~prefix is missing"),
        ("POST /memory/pin", json!({ "prefix": none }), "prefix", "~no such prefix"),
        ("POST /memory/pin", json!({ "prefix": none, "pinned": false }), "prefix", "~no such prefix"),
        ("PUT /memory/policy", json!({ "url": "ftp://x" }), "url", "~http://"),
        ("PUT /memory/policy", json!({ "url": "http://x", "deadline_ms": 0 }), "deadline_ms", "~at least 1"),
    ];
    for (place, body, param, message) in rows {
        let (method, path) = place.split_once(' ').expect("a method");
        let answer = fetch(server.address, method, path, body.to_string().as_bytes()).await;
        let expected = json!({ "error": { "param": param, "message": message } });
        assert!(answer.head.status == 400 && matches(&expected, &answer.json()), "{place} {body}: {:#}", answer.json());
    }
    assert_eq!(prefixes(&server).await.len(), 3);
}

/// Answers each question by one connection after the other with what `answer` makes of it; gives the address.
async fn policy(answer: impl Fn(Value) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![];
            let question = loop {
                let mut part = [0; 4096];
                let read = stream.read(&mut part).await.unwrap_or(0);
                bytes.extend(&part[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                match serde_json::from_str::<Value>(body) {
                    Ok(question) => break question,
                    Err(_) if read > 0 => {}
                    Err(_) => return,
                }
            };
            let body = answer(question);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    format!("http://{address}/victims")
}

/// Waits until the policy's account is as wanted.
async fn until(server: &Server, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = std::time::Instant::now();
    loop {
        let found = server.get("/memory/policy").await.json();
        if wanted(&found) {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "{found:#}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn somebody_else_may_decide_what_goes() {
    let server = server().await;
    fill(&server).await;
    // The longest prefix goes first, whatever the rule.
    let longest = |question: Value| {
        let all = question["candidates"].as_array().expect("a list").clone();
        let longest = all.iter().max_by_key(|one| one["blocks"].as_u64()).expect("one");
        json!({ "victims": [longest["prefix"]] }).to_string()
    };
    let url = policy(longest).await;
    let order = json!({ "url": url, "deadline_ms": 30_000, "victims": 1 });
    change(&server, "PUT", "/memory/policy", order, json!({ "url": url, "deadline_ms": 30_000, "victims": 1 })).await;
    until(&server, |found| found["answered"].as_u64() >= Some(1) && found["advised"] == 1).await;
    change(
        &server,
        "POST",
        "/memory/evict",
        json!({ "count": 1 }),
        json!({ "done": 1, "tiers": [{ "evicted_by_policy": 1 }] }),
    )
    .await;
    assert_eq!(prefixes(&server).await, [row("b", 3, false), row("x", 2, false), row("y", 3, false)]);
    let ended = fetch(server.address, "DELETE", "/memory/policy", b"").await.json();
    assert_eq!(ended["deleted"], true);
    assert_eq!(server.get("/memory/policy").await.json()["url"], Value::Null);
}

#[tokio::test]
async fn where_nobody_answers_the_rule_decides() {
    let server = server().await;
    fill(&server).await;
    for (answer, why) in [("nonsense", "no JSON"), (r#"{"victims":["x"]}"#, "no prefix"), ("{}", "no list")] {
        let url = policy(move |_| answer.to_owned()).await;
        change(&server, "PUT", "/memory/policy", json!({ "url": url, "deadline_ms": 30_000 }), json!({ "failed": 0 }))
            .await;
        let found = until(&server, |found| found["failed"].as_u64() >= Some(1)).await;
        assert!(
            found["last_error"].as_str().is_some_and(|error| error.contains(why)) && found["advised"] == 0,
            "{found:#}"
        );
    }
    change(
        &server,
        "POST",
        "/memory/evict",
        json!({ "count": 1 }),
        json!({ "tiers": [{ "evicted_by_policy": 0, "evicted": 1 }] }),
    )
    .await;
    assert_eq!(prefixes(&server).await, [row("b", 4, false), row("x", 1, false), row("y", 3, false)]);
}
