//! Whatever goes wrong comes in the shape of the API that was asked, with the same words.

use serde_json::{Value, json};

use crate::client::{Answer, Client, fetch};
use crate::support::{Server, Setup, gate, with};

/// An API: where it is asked, and what a request needs beside messages.
struct Api {
    name: &'static str,
    path: &'static str,
    more: fn() -> Value,
    /// The message of an error and its type; also whether the error has all that the API gives it, and nothing else.
    read: fn(&Value) -> Option<(String, String)>,
}

const APIS: [Api; 4] = [
    Api { name: "OpenAI's chats", path: "/v1/chat/completions", more: || json!({}), read: openai },
    Api { name: "OpenAI's responses", path: "/v1/responses", more: || json!({}), read: openai },
    Api { name: "Anthropic's", path: "/v1/messages", more: || json!({ "max_tokens": 8 }), read: anthropic },
    Api { name: "Ollama's", path: "/api/chat", more: || json!({ "stream": false }), read: ollama },
];

/// The text of a string, from an object with these fields alone.
fn only<'a>(value: &'a Value, fields: &[&str], name: &str) -> Option<&'a str> {
    let map = value.as_object()?;
    (map.len() == fields.len() && fields.iter().all(|field| map.contains_key(*field))).then(|| map[name].as_str())?
}

fn openai(body: &Value) -> Option<(String, String)> {
    let fields = ["message", "type", "param", "code"];
    let error = body.get("error").filter(|_| body.as_object().is_some_and(|body| body.len() == 1))?;
    let class = only(error, &fields, "type")?;
    let known = ["invalid_request_error", "rate_limit_error", "server_error"].contains(&class);
    (known && error["code"].is_string()).then_some(())?;
    Some((only(error, &fields, "message")?.to_owned(), class.to_owned()))
}

fn anthropic(body: &Value) -> Option<(String, String)> {
    (only(body, &["type", "error"], "type")? == "error").then_some(())?;
    let said = |name| only(&body["error"], &["type", "message"], name).map(str::to_owned);
    Some((said("message")?, said("type")?))
}

fn ollama(body: &Value) -> Option<(String, String)> {
    Some((only(body, &["error"], "error")?.to_owned(), String::new()))
}

/// A request of an API that would be answered, with more fields.
fn ask(api: &Api, content: &str, more: Value) -> Value {
    let messages = json!([{ "role": "user", "content": content }]);
    let text = if api.path == "/v1/responses" { "input" } else { "messages" };
    with(with(json!({ text: messages }), (api.more)()), more)
}

/// Sends what is sent as it is: a method, headers, and a body.
async fn send(server: &Server, api: &Api, method: &str, headers: &str, body: &[u8]) -> Answer {
    let mut client = Client::connect(server.address).await;
    let host = if headers.contains("host:") { "" } else { "host: localhost\r\n" };
    let length =
        if headers.contains("content-length:") { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("{method} {} HTTP/1.1\r\n{host}{headers}{length}\r\n", api.path);
    client.write(&[head.as_bytes(), body].concat()).await;
    client.answer().await
}

/// What each API says to one thing that is wrong: statuses in the order of [`APIS`], and the type of Anthropic's error.
async fn check(
    server: &Server,
    what: &str,
    (statuses, class): ([u16; 4], &str),
    wrong: impl AsyncFn(&Server, &Api) -> Answer,
) {
    let mut words = Vec::new();
    for (api, status) in APIS.iter().zip(statuses) {
        let answer = wrong(server, api).await;
        let body = answer.json();
        let told = (api.read)(&body);
        let (message, said) =
            told.unwrap_or_else(|| panic!("{what}: {} error is not of its shape: {body:#}", api.name));
        assert_eq!(answer.head.status, status, "{what}: {}: {body}", api.name);
        assert!(api.path != "/v1/messages" || said == class, "{what}: {said} is not {class}");
        // A chat's field is another API's input; paths are their own.
        words.push(message.replace(api.path, "PATH").replace("input", "messages"));
    }
    assert!(words.windows(2).all(|pair| pair[0] == pair[1]), "{what}: {words:#?}");
    assert!(words[0].len() > 15, "{what}: {} says too little", words[0]);
}

#[tokio::test]
async fn errors_have_the_shape_of_their_api_and_the_same_words() {
    let server = Server::with(Setup { context: 64, ..Setup::default() }).await;
    let post = |headers: &'static str, body: fn(&Api) -> Vec<u8>| {
        async move |server: &Server, api: &Api| send(server, api, "POST", headers, &body(api)).await
    };
    let (asked, missing) = (([400; 4], "invalid_request_error"), ([404; 4], "not_found_error"));
    check(&server, "no JSON", asked, post("", |_| b"{".to_vec())).await;
    check(&server, "no body", asked, post("", |_| Vec::new())).await;
    check(&server, "no object", asked, post("", |_| b"[]".to_vec())).await;
    check(&server, "a wrong type", asked, post("", |api| bytes(ask(api, "hi", json!({ "stream": "yes" }))))).await;
    check(
        &server,
        "too many tools",
        asked,
        post("", |api| bytes(ask(api, "hi", json!({ "tools": vec![json!({}); 1025] })))),
    )
    .await;
    check(&server, "another model", missing, post("", |api| bytes(ask(api, "hi", json!({ "model": "huge" }))))).await;
    check(&server, "too long", asked, post("", |api| bytes(ask(api, &"x".repeat(64), json!({}))))).await;
    check(&server, "no time", asked, post("x-request-timeout-ms: never\r\n", |api| bytes(ask(api, "hi", json!({})))))
        .await;
    check(
        &server,
        "compressed",
        ([415; 4], "invalid_request_error"),
        post("content-encoding: gzip\r\n", |_| Vec::new()),
    )
    .await;
    let large = "expect: 100-continue\r\ncontent-length: 99999999999\r\n";
    check(&server, "too large", ([413; 4], "request_too_large"), post(large, |_| Vec::new())).await;
    let refused = ([403; 4], "permission_error");
    check(&server, "another host", refused, post("host: evil.example\r\n", |_| b"{}".to_vec())).await;
    check(&server, "another page", refused, post("origin: http://evil.example\r\n", |_| b"{}".to_vec())).await;
    let get = async |server: &Server, api: &Api| send(server, api, "GET", "", b"").await;
    check(&server, "another method", ([405; 4], "invalid_request_error"), get).await;
    server.app.drain();
    let draining = ([503; 4], "overloaded_error");
    check(&server, "it drains", draining, post("", |api| bytes(ask(api, "hi", json!({}))))).await;
}

fn bytes(body: Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

#[tokio::test]
async fn a_server_that_cannot_answer_says_so_in_every_dialect() {
    let usual =
        async |server: &Server, api: &Api| send(server, api, "POST", "", &bytes(ask(api, "hi", json!({})))).await;
    let loading = Server::with(Setup { loaded: false, ..Setup::default() }).await;
    check(&loading, "it loads", ([503; 4], "overloaded_error"), usual).await;
    let failing = Server::start().await;
    let hard = async |server: &Server, api: &Api| send(server, api, "POST", "", &bytes(ask(api, "#", json!({})))).await;
    check(&failing, "a step fails", ([500; 4], "api_error"), hard).await;
    let (_closed, gate) = gate();
    let full = Server::with(Setup { queue: 1, gate: Some(gate), ..Setup::default() }).await;
    // Nobody passes the gate, so who is answered first is refused.
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (address, body) = (full.address, bytes(ask(&APIS[0], "hi", json!({}))));
        clients.spawn(async move { fetch(address, "POST", APIS[0].path, &body).await });
    }
    clients.join_next().await.expect("eight clients").expect("no panic");
    check(&full, "the queue is full", ([429, 429, 529, 503], "overloaded_error"), usual).await;
}

/// What fails after a stream has begun is told in the stream, in the same words.
#[tokio::test]
async fn streams_end_with_the_same_words() {
    let server = Server::start().await;
    let mut words = Vec::new();
    for api in &APIS {
        let body = bytes(ask(api, "x#", json!({ "stream": true })));
        let answer = send(&server, api, "POST", "", &body).await;
        let text = String::from_utf8(answer.body).expect("text");
        assert_eq!(answer.head.status, 200, "{}: {text}", api.name);
        let messages = text.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
        let errors = messages.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut told = errors.filter_map(|error| {
            let failed = error.pointer("/response/error/message").and_then(Value::as_str).map(str::to_owned);
            (api.read)(&error).map(|(message, _)| message).or(failed)
        });
        words.push(told.next_back().unwrap_or_else(|| panic!("{}: {text}", api.name)));
    }
    assert!(words.windows(2).all(|pair| pair[0] == pair[1]), "{words:#?}");
}
