//! Models that are swapped again and again while requests stream: none is lost, and every answer has the same bits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::client::Client;
use crate::demand::Depot;
use crate::support::{DEADLINE, Server, completion};

const TEXT: &str = "/v1/completions";

/// Swaps while the clients ask.
const SWAPS: usize = 60;

/// The choices of a streamed answer: text, reasons and log-probabilities, not names and times.
async fn streamed(client: &mut Client, body: &str) -> Vec<Value> {
    client.send("POST", TEXT, body.as_bytes()).await;
    assert_eq!(client.head().await.status, 200);
    let mut choices = Vec::new();
    while let Some(event) = client.event().await {
        if event != "[DONE]" {
            let event: Value = serde_json::from_str(&event).expect("JSON");
            assert!(event.get("error").is_none(), "{event}");
            choices.push(event["choices"].clone());
        }
    }
    choices
}

/// What an answer says, whatever its pieces.
fn said(choices: &[Value]) -> (String, Vec<Value>, Value) {
    let text = choices.iter().filter_map(|choices| choices[0]["text"].as_str()).collect();
    let logprobs = choices.iter().filter_map(|choices| choices[0]["logprobs"]["token_logprobs"].as_array());
    let reason = choices.iter().map(|choices| choices[0]["finish_reason"].clone()).find(|reason| !reason.is_null());
    (text, logprobs.flatten().cloned().collect(), reason.unwrap_or_default())
}

#[tokio::test]
async fn nothing_is_lost_while_a_model_is_swapped() {
    let (server, depot) = (Server::start().await, Depot::default());
    server.app.load_with(depot.clone());
    server.app.change_on_request();
    let order = json!({ "model": "file", "name": "m" });
    server.check("/admin/models", &order, 200, &json!({ "replaced": false })).await;
    let ask = completion(
        "x",
        json!({ "model": "m", "max_tokens": 120, "ignore_eos": true, "stream": true, "logprobs": 1,
        "temperature": 0.7, "seed": 7 }),
    );
    let ask = ask.to_string();
    let expected = said(&streamed(&mut Client::connect(server.address).await, &ask).await);
    assert_eq!((expected.1.len(), &expected.2), (120, &json!("length")), "{expected:?}");

    let (done, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let (ask, expected, address) = (ask.clone(), expected.clone(), server.address);
            let (done, answers) = (Arc::clone(&done), Arc::clone(&answers));
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    let mut client = Client::connect(address).await;
                    assert_eq!(said(&streamed(&mut client, &ask).await), expected);
                    answers.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for swap in 0..SWAPS {
        // Some of them back and forth, some to a model that comes from a file again.
        if swap % 3 == 2 {
            let (path, body) = ("/admin/models/m", json!({ "roll_back": true }).to_string());
            let answer = crate::client::fetch(server.address, "PATCH", path, body.as_bytes()).await;
            assert_eq!(answer.head.status, 200, "{}", answer.json());
            let body = json!({ "pinned": null }).to_string();
            let answer = crate::client::fetch(server.address, "PATCH", path, body.as_bytes()).await;
            assert_eq!(answer.head.status, 200, "{}", answer.json());
        } else {
            server.check("/admin/models", &order, 200, &json!({ "replaced": true })).await;
        }
    }
    done.store(true, Ordering::SeqCst);
    for client in clients {
        tokio::time::timeout(DEADLINE, client).await.expect("it ends").expect("nothing was lost");
    }
    let answers = answers.load(Ordering::SeqCst);
    assert!(answers >= 6, "{answers} answers while {SWAPS} swaps");
    assert!(depot.loads() > SWAPS, "{} loads", depot.loads());
}
