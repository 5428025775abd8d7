//! What is told of engines and requests as JSON, and what requests are called.

use serde_json::{Value, json};
use text::Dialect;

use crate::client::{Answer, Client};
use crate::model::Scripted;
use crate::support::{DEADLINE, Server, completion, observed};

/// A server with an observed model `m`, which has answered `requests` requests of the tenant `t`.
async fn served(requests: usize) -> (Server, Vec<String>) {
    let server = Server::start().await;
    let executor = Scripted { kv_blocks: 4096, gate: None, logits: Vec::new() };
    let observer = server.app.observer("m");
    let (engine, model) = observed("m", Dialect::of_template(""), executor, (8, 4096), observer);
    server.app.add(model);
    let mut ids = Vec::new();
    for _ in 0..requests {
        let body = completion(&"x".repeat(700), json!({ "model": "m", "max_tokens": 5, "user": "t" }));
        let answer = server.post("/v1/completions", &body).await;
        assert_eq!(answer.head.status, 200);
        ids.push(answer.head.header("x-request-id").expect("a name").to_owned());
    }
    while engine.stats().running > 0 {
        tokio::task::yield_now().await;
    }
    (server, ids)
}

/// The answer once it is as wanted: what is told of a request's end comes soon, but after its answer.
async fn until(server: &Server, path: &str, wanted: impl Fn(&Answer) -> bool) -> Value {
    let began = std::time::Instant::now();
    loop {
        let answer = server.get(path).await;
        if wanted(&answer) {
            return answer.json();
        }
        assert!(began.elapsed() < DEADLINE, "{path}: {}", answer.json());
    }
}

/// Sends a request with a header.
async fn with_header(server: &Server, header: &str) -> Answer {
    let mut client = Client::connect(server.address).await;
    client.write(format!("GET /v1/models HTTP/1.1\r\nhost: localhost\r\n{header}\r\n\r\n").as_bytes()).await;
    client.answer().await
}

#[tokio::test]
async fn a_snapshot_has_engines_series_and_slow_requests() {
    let (server, ids) = served(3).await;
    // What is sent is told apart from the request's end, and may come after it.
    let gone = |flow: &Value| ids.iter().any(|id| flow["id"] == json!(id));
    let sent = |answer: &Answer| {
        let slowest = answer.json()["slowest"].clone();
        slowest.as_array().is_some_and(|flows| flows.len() == 3 && flows.iter().all(gone))
    };
    let snapshot = until(&server, "/v1/telemetry", sent).await;
    let engine = snapshot["engines"].as_array().expect("engines").iter().find(|engine| engine["model"] == "m");
    let engine = engine.expect("the model's engine");
    assert_eq!((&engine["now"]["running"], &engine["device"]), (&json!(0), &json!("cpu")));
    assert_eq!(engine["windows"].as_array().map(Vec::len), Some(4));
    for (tenant, between) in [(json!(null), 12), (json!("t"), 12)] {
        let series = snapshot["series"].as_array().expect("series").iter().find(|series| series["tenant"] == tenant);
        let hour = &series.expect("a series")["windows"][3];
        assert_eq!((&hour["window"], &hour["requests"]["ended"]), (&json!("1h"), &json!(3)));
        assert_eq!((&hour["requests"]["cut"], &hour["tokens"]["generated"]), (&json!(3), &json!(15)));
        assert_eq!(hour["between"]["count"], json!(between), "{tenant}");
        assert!(hour["first_token"]["p50"].as_f64().is_some_and(|millis| millis > 0.0), "{hour}");
    }
    for flow in snapshot["slowest"].as_array().expect("requests") {
        let id = flow["id"].as_str().expect("a name");
        assert!(ids.iter().any(|known| known == id), "{id} is none of {ids:?}");
        let spans = flow["spans"].as_array().expect("spans");
        let stages: Vec<_> = spans.iter().filter_map(|span| span["stage"].as_str()).collect();
        // A prompt of 700 tokens takes two steps of 512 rows; what is found in the cache is not computed again.
        assert!(stages.starts_with(&["queued", "prefill"]) && stages.contains(&"decode"), "{stages:?}");
        let times: Vec<_> = spans.iter().filter_map(|span| span["start_us"].as_u64()).collect();
        assert!(times.is_sorted(), "{spans:?}");
    }
    let history = server.get("/v1/telemetry/history?since=1").await.json();
    assert_eq!((&history["step_s"], history["engines"].is_array()), (&json!(10), true));
}

#[tokio::test]
async fn a_request_has_a_trace() {
    let (server, ids) = served(1).await;
    let path = format!("/v1/requests/{}/trace", ids[0]);
    let trace = until(&server, &path, |answer| answer.head.status == 200).await;
    let events = trace["traceEvents"].as_array().expect("events");
    let named = |name: &str| events.iter().find(|event| event["name"] == name);
    let whole = named(&ids[0]).expect("the request");
    assert_eq!((&whole["ph"], &whole["args"]["generated_tokens"]), (&json!("X"), &json!(5)));
    for stage in ["queued", "prefill", "decode"] {
        let event = named(stage).unwrap_or_else(|| panic!("no {stage} in {trace:#}"));
        assert!(event["ts"].as_u64() >= whole["ts"].as_u64() && event["dur"].is_u64(), "{event}");
    }
    let none = server.get("/v1/requests/none/trace").await;
    assert_eq!((none.head.status, &none.json()["error"]["code"]), (404, &json!("request_not_found")));
}

#[tokio::test]
async fn clients_say_where_their_requests_belong() {
    let server = Server::start().await;
    let answer = with_header(&server, "x-request-id: mine").await;
    assert_eq!(answer.head.header("x-request-id"), Some("mine"));
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let answer = with_header(&server, &format!("traceparent: 00-{trace}-{span}-01")).await;
    let told = answer.head.header("traceresponse").expect("a trace");
    assert!(told.starts_with(&format!("00-{trace}-")) && !told.contains(span) && told.ends_with("-01"), "{told}");
    for (form, begins) in [("TEXT", "TEXT named_metrics.kv_cache_usage_perc=0"), ("json", "JSON {\"named_metrics\":{")]
    {
        let answer = with_header(&server, &format!("endpoint-load-metrics-format: {form}")).await;
        let told = answer.head.header("endpoint-load-metrics").expect("loads");
        assert!(told.starts_with(begins), "{told}");
    }
    assert_eq!(with_header(&server, "accept: */*").await.head.header("endpoint-load-metrics"), None);
}

#[cfg(feature = "batches")]
#[tokio::test]
async fn the_history_outlives_the_process() {
    use std::time::{SystemTime, UNIX_EPOCH};

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs() as i64;
    let store = serve::BatchStore::open(&path).expect("made");
    let engine = json!(["m", "", "cpu"]).to_string();
    let point = |time| batch::StoredPoint { engine: engine.clone(), time, values: json!({ "ended": 7 }).to_string() };
    store.add_points(&[point(now - 90_000), point(now - 20)], now - 86_400).expect("kept");
    let server = Server::start().await;
    server.app.keep_batches(store);
    let history = server.get("/v1/telemetry/history").await.json();
    let engine = &history["engines"][0];
    assert_eq!((&engine["model"], &engine["time"]), (&json!("m"), &json!([now - 20])));
    assert_eq!((&engine["values"][0], &engine["values"][1]), (&json!([7.0]), &json!([null])));
}
