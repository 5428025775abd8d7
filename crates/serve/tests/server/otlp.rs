//! What a collector of OpenTelemetry receives.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use serve::Collector;
use text::Dialect;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::model::Scripted;
use crate::support::{DEADLINE, Server, observed};

/// A collector that takes everything: its address, and what it is sent, by path. It has threads of its own: what is left is sent when
/// the server is dropped.
fn collector() -> (SocketAddr, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (to, received) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let to = to.clone();
            std::thread::spawn(move || take(stream, &to));
        }
    });
    (address, received)
}

/// Takes the requests of a connection.
fn take(mut stream: TcpStream, to: &mpsc::UnboundedSender<(String, Value)>) {
    let mut requests = BufReader::new(stream.try_clone().expect("a stream"));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if requests.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_ascii_lowercase();
        assert!(head.contains("content-type: application/json") && head.contains("x-key: secret"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.expect("a length")];
        requests.read_exact(&mut body).expect("the whole body");
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let _ = to.send((path, serde_json::from_slice(&body).expect("JSON")));
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer.as_bytes()).expect("the exporter listens");
    }
}

/// The value of an attribute.
fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().expect("attributes");
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    &found.unwrap_or_else(|| panic!("no {key} in {span:#}"))["value"]
}

#[tokio::test]
async fn a_collector_gets_spans_and_metrics() {
    let (address, mut received) = collector();
    let server = Server::start().await;
    let headers = HashMap::from([("x-key".to_owned(), "secret".to_owned())]);
    let interval = Some(Duration::from_millis(200));
    server.app.export_to(&Collector { endpoint: format!("http://{address}/"), headers, interval }).expect("an address");
    let executor = Scripted { kv_blocks: 4096, gate: None, logits: Vec::new() };
    let observer = server.app.observer("m");
    let (_, model) = observed("m", Dialect::of_template(""), executor, (8, 4096), observer);
    server.app.add(model);
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let body = json!({ "model": "m", "prompt": "x".repeat(700), "max_tokens": 5 }).to_string();
    let mut client = Client::connect(server.address).await;
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ntraceparent: 00-{trace}-{parent}-01\r\nx-request-id: mine\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write(head.as_bytes()).await;
    assert_eq!(client.answer().await.head.status, 200);
    let (mut spans, mut metrics) = (Vec::new(), Vec::new());
    while spans.is_empty() || metrics.is_empty() {
        let next = tokio::time::timeout(DEADLINE, received.recv()).await.expect("in time");
        match next.expect("the exporter goes on") {
            (path, body) if path == "/v1/traces" => {
                let scope = &body["resourceSpans"][0]["scopeSpans"][0];
                assert_eq!(scope["scope"]["name"], "whinchat");
                spans.extend(scope["spans"].as_array().expect("spans").clone());
            }
            (path, body) if path == "/v1/metrics" => {
                let all = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().cloned();
                metrics.extend(all.unwrap_or_default());
            }
            (path, _) => panic!("{path}"),
        }
    }
    let named = |name: &str| spans.iter().find(|span| span["name"] == name);
    let whole = named("text_completion m").unwrap_or_else(|| panic!("{spans:#?}"));
    assert_eq!((&whole["traceId"], &whole["parentSpanId"]), (&json!(trace), &json!(parent)));
    assert_eq!(attribute(whole, "gen_ai.response.id")["stringValue"], "mine");
    assert_eq!(attribute(whole, "gen_ai.usage.output_tokens")["intValue"].to_string().trim_matches('"'), "5");
    for stage in ["queued", "prefill", "decode"] {
        let span = named(stage).unwrap_or_else(|| panic!("no {stage} in {spans:#?}"));
        assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(trace), &whole["spanId"]), "{stage}");
    }
    for name in
        ["gen_ai.server.request.duration", "gen_ai.server.time_to_first_token", "gen_ai.server.time_per_output_token"]
    {
        let metric = metrics.iter().find(|metric| metric["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(metric["unit"], "s", "{metric:#}");
    }
}
