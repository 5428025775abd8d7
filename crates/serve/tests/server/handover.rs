//! One server takes another one's socket over.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::json;
use serve::App;
use serve::http::{Ending, Settings};
use text::Dialect;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Client, fetch};
use crate::model::Scripted;
use crate::support::{CONTEXT, DEADLINE, completion, gate, loaded};

/// A server that accepts from a socket which others may accept from too.
struct Sharer {
    end: oneshot::Sender<Ending>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Sharer {
    fn start(name: &str, socket: &TcpListener, gate: Option<Receiver<()>>) -> Sharer {
        Sharer::with_grace(name, socket, gate, DEADLINE)
    }

    fn with_grace(name: &str, socket: &TcpListener, gate: Option<Receiver<()>>, grace: Duration) -> Sharer {
        let executor = Scripted { kv_blocks: 4 * CONTEXT / 16, gate, logits: Vec::new() };
        let app = App::new();
        app.add(loaded(name, Dialect::of_template(""), executor, (64, CONTEXT)).1);
        let socket = socket.try_clone().expect("a descriptor");
        let socket = tokio::net::TcpListener::from_std(socket).expect("a runtime");
        let (end, ended) = oneshot::channel();
        let ended = async { ended.await.unwrap_or(Ending::Drain) };
        let settings = Settings { grace, ..Settings::default() };
        Sharer { end, task: tokio::spawn(serve::http::serve(vec![socket.into()], app, ended, settings)) }
    }
}

/// The model that answers who connects now.
async fn model(address: SocketAddr) -> String {
    let answer = fetch(address, "POST", "/v1/completions", completion("X", json!({})).to_string().as_bytes()).await;
    assert_eq!(answer.head.status, 200, "nobody is refused");
    answer.json()["model"].as_str().expect("a name").to_owned()
}

/// A socket that several servers may accept from.
fn shared() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.set_nonblocking(true).expect("a socket");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

/// Who leaves waits no longer for an answer than the grace says.
#[tokio::test]
async fn the_grace_ends_for_who_leaves() {
    let (socket, address) = shared();
    let first = Sharer::with_grace("first", &socket, None, Duration::ZERO);
    let mut open = Client::connect(address).await;
    let body = completion("a", json!({ "stream": true, "max_tokens": CONTEXT, "ignore_eos": true })).to_string();
    open.send("POST", "/v1/completions", body.as_bytes()).await;
    assert_eq!(open.head().await.status, 200);
    first.end.send(Ending::HandOver).expect("it runs");
    let mut events = Vec::new();
    while let Some(event) = open.event().await {
        events.push(event);
    }
    assert!(
        events.iter().any(|event| event.contains("\"draining\"")),
        "it is cut off and says so: {:?}",
        events.last()
    );
    let ended = tokio::time::timeout(DEADLINE, first.task).await.expect("it ends in time");
    ended.expect("no panic").expect("no failure");
}

/// When the first leaves, what it has begun is finished, who is connected to it is answered and told to come anew, and who comes
/// is the other's client.
#[tokio::test]
async fn nobody_is_refused() {
    let (socket, address) = shared();
    let (step, gate) = gate();
    let first = Sharer::start("first", &socket, Some(gate));
    let mut open = Client::connect(address).await;
    let body = completion("a", json!({ "stream": true, "max_tokens": 500, "ignore_eos": true })).to_string();
    open.send("POST", "/v1/completions", body.as_bytes()).await;
    step.send(()).expect("the model waits");
    assert_eq!(open.head().await.status, 200);
    let mut kept = Client::connect(address).await;
    kept.send("GET", "/v1/models", b"").await;
    assert_eq!(kept.answer().await.head.header("connection"), None);

    let second = Sharer::start("second", &socket, None);
    first.end.send(Ending::HandOver).expect("it runs");
    loop {
        kept.send("GET", "/v1/models", b"").await;
        let answer = kept.answer().await;
        assert_eq!((answer.head.status, &answer.json()["data"][0]["id"]), (200, &json!("first")));
        if answer.head.header("connection") == Some("close") {
            break;
        }
    }
    assert!(kept.closed().await);
    for _ in 0..50 {
        assert_eq!(model(address).await, "second");
    }

    drop(step);
    let mut last = String::new();
    while let Some(event) = open.event().await {
        last = event;
    }
    assert_eq!(last, "[DONE]");
    drop(open);
    let ended = tokio::time::timeout(DEADLINE, first.task).await.expect("it ends in time");
    ended.expect("no panic").expect("no failure");
    assert_eq!(model(address).await, "second");
    drop(second);
}
