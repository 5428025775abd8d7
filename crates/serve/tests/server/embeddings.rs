//! Vectors of texts, in the dialects that have them.

use answer::{Reading, Scoring};
use serde_json::{Value, json};

use crate::model::VOCAB;
use crate::support::{CONTEXT, Server, Setup, matches, served, with};

const OPENAI: &str = "/v1/embeddings";
const OLLAMA: &str = "/api/embed";

/// The made-up model's row after a token: 10 at the likely next one, 5 at the one after it.
fn row(next: u8, scale: f32) -> Vec<f32> {
    let mut row = vec![0.0; VOCAB];
    row[next as usize] = 10.0 * scale;
    row[next as usize + 1] = 5.0 * scale;
    row
}

/// Of length 1.
fn unit(next: u8) -> Vec<f32> {
    row(next, 1.0 / 125f32.sqrt())
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().expect("an array").iter().map(|x| x.as_f64().expect("a number") as f32).collect()
}

/// The server answers with these vectors, each within rounding.
async fn check(server: &Server, path: &str, body: Value, at: &str, wanted: &[Vec<f32>]) {
    let answer = server.post(path, &body).await;
    let found = answer.json();
    assert_eq!(answer.head.status, 200, "{path} {body}: {found}");
    let vectors: Vec<Vec<f32>> = match at {
        "data" => found["data"].as_array().expect("data").iter().map(|one| numbers(&one["embedding"])).collect(),
        "embedding" => vec![numbers(&found["embedding"])],
        at => found[at].as_array().expect("vectors").iter().map(numbers).collect(),
    };
    assert_eq!(vectors.len(), wanted.len(), "{path} {body}");
    for (vector, wanted) in vectors.iter().zip(wanted) {
        let near = vector.len() == wanted.len() && vector.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near, "{path} {body}:\n{vector:?}\n{wanted:?}");
    }
}

#[tokio::test]
async fn texts_have_vectors() {
    let server = Server::start().await;
    let (x, y) = (unit(b'y'), unit(b'z'));
    let one = |input: Value, more: Value| with(json!({ "model": "tiny", "input": input }), more);
    check(&server, OPENAI, one(json!("ax"), json!({})), "data", std::slice::from_ref(&x)).await;
    check(&server, OPENAI, one(json!(["x", "y"]), json!({})), "data", &[x.clone(), y.clone()]).await;
    check(&server, OPENAI, one(json!([97, 120]), json!({})), "data", std::slice::from_ref(&x)).await;
    check(&server, OPENAI, one(json!([[97, 120], "y"]), json!({})), "data", &[x.clone(), y.clone()]).await;
    check(&server, OPENAI, one(json!("xa"), json!({ "pooling": "cls" })), "data", std::slice::from_ref(&x)).await;
    let cut = json!({ "truncate_prompt_tokens": 2 });
    check(&server, OPENAI, one(json!("axbbb"), cut), "data", std::slice::from_ref(&x)).await;
    let first = vec![[vec![0.0; 121], vec![1.0]].concat()];
    check(&server, OPENAI, one(json!("x"), json!({ "dimensions": 122 })), "data", &first).await;
    // The rows of x and z add up to a mean with two tens and two fives.
    let mean: Vec<f32> = row(b'y', 1.0).iter().zip(row(0xc3, 1.0)).map(|(a, b)| (a + b) / 250f32.sqrt()).collect();
    check(&server, OPENAI, one(json!("xz"), json!({ "pooling": "mean" })), "data", &[mean]).await;
    check(&server, OLLAMA, one(json!(["x", "y"]), json!({})), "embeddings", &[x.clone(), y]).await;
    let old = json!({ "model": "tiny:latest", "prompt": "x" });
    check(&server, "/api/embeddings", old, "embedding", &[row(b'y', 1.0)]).await;
}

#[tokio::test]
async fn what_is_beside_the_vectors() {
    let server = Server::start().await;
    let usage = json!({ "prompt_tokens": 3, "total_tokens": 3 });
    let body = json!({ "input": ["ab", "x"], "user": "u", "encoding_format": "base64" });
    let one = |index: usize| json!({ "object": "embedding", "index": index });
    let expected = json!({ "object": "list", "model": "tiny", "usage": usage,
        "data": [one(0), one(1)] });
    let found = server.post(OPENAI, &body).await.json();
    assert!(matches(&expected, &found), "{found}");
    let text = found["data"][1]["embedding"].as_str().expect("text");
    let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text).expect("base64");
    let vector = bytes.chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    assert!(vector.zip(unit(b'y')).all(|(a, b)| (a - b).abs() < 1e-6) && bytes.len() == 4 * VOCAB, "{text}");
    let expected = json!({ "model": "tiny:latest", "prompt_eval_count": 3, "load_duration": 0 });
    server.check(OLLAMA, &json!({ "model": "tiny", "input": ["ab", "x"] }), 200, &expected).await;
}

#[tokio::test]
async fn what_cannot_be_embedded_says_why() {
    let server = Server::start().await;
    let long = vec![97; 1025];
    let cases = [
        (json!({}), "input", "input is missing"),
        (json!({ "input": [] }), "input", "empty array"),
        (json!({ "input": "" }), "input", "has no tokens"),
        (json!({ "input": ["x", ""] }), "input[1]", "has no tokens"),
        (json!({ "input": [1, 1000] }), "input", "token 1000 is not in the model's vocabulary"),
        (json!({ "input": 5 }), "input", "must be a string"),
        (json!({ "input": "x", "dimensions": 0 }), "dimensions", "at least 1"),
        (json!({ "input": "x", "dimensions": 1000 }), "dimensions", "at most 260"),
        (json!({ "input": "x", "encoding_format": "int8" }), "encoding_format", "float or base64"),
        (json!({ "input": "x", "pooling": "max" }), "pooling", "mean, cls or last"),
        (json!({ "input": "x", "truncate_prompt_tokens": 0 }), "truncate_prompt_tokens", "at least 1"),
    ];
    for (body, param, message) in cases {
        let expected = json!({ "error": { "param": param, "message": format!("~{message}") } });
        server.check(OPENAI, &body, 400, &expected).await;
    }
    server.check(OPENAI, &json!({ "model": "huge", "input": "x" }), 404, &json!({})).await;
    let failed = json!({ "error": { "message": "~too hard" } });
    server.check(OPENAI, &json!({ "input": ["x", "#"] }), 500, &failed).await;
    // It fits the context of the model, not the memory of what computes vectors here.
    let message = json!({ "error": { "message": "~1 to 1024 can be computed" } });
    server.check(OPENAI, &json!({ "input": long }), 500, &message).await;
}

#[tokio::test]
async fn an_encoder_cuts_what_is_too_long_and_writes_nothing() {
    let server = Server::with(Setup { loaded: false, ..Setup::default() }).await;
    let reading = Reading { only: true, most: Some(3), cuts: true, scoring: Scoring::Alike, ..Reading::default() };
    server.app.add(served(None, 64, CONTEXT).1.with_reading(reading));
    let cut = json!({ "input": ["axbbb", "x", "abcd"] });
    check(&server, OPENAI, cut.clone(), "data", &[unit(b'c'), unit(b'y'), unit(b'd')]).await;
    server.check(OPENAI, &cut, 200, &json!({ "truncated": [0, 2], "usage": { "prompt_tokens": 7 } })).await;
    let whole = server.post(OPENAI, &json!({ "input": ["axb", "x"] })).await.json();
    assert_eq!(whole.get("truncated"), None);
    // The vectors of x and y are 10 and 5 at places next to each other.
    let rank = json!({ "query": "x", "documents": ["y", "ax", "axbxx"], "return_documents": false });
    let ranking = server.post("/v1/rerank", &rank).await.json();
    let found: Vec<(u64, f64)> = ranking["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|one| (one["index"].as_u64().expect("an index"), one["relevance_score"].as_f64().expect("a score")))
        .collect();
    let near = found.iter().zip([(1, 1.0), (0, 0.4), (2, 0.0)]).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-6);
    assert!(found.len() == 3 && near && ranking["truncated"] == json!([2]), "{ranking}");
    let refused = json!({ "error": { "param": "model", "message": "~writes no text" } });
    let said = json!({ "messages": [{ "role": "user", "content": "Hello" }] });
    server.check("/v1/chat/completions", &said, 400, &refused).await;
    server.check("/v1/completions", &json!({ "prompt": "Hello" }), 400, &refused).await;
}

#[tokio::test]
async fn many_clients_share_batches() {
    let server = Server::start().await;
    let asks = (0..40u8).map(|i| {
        let letter = b'a' + i % 24;
        let text = "b".repeat(usize::from(i) * 7) + &char::from(letter).to_string();
        check_one(&server, text, unit(letter + 1))
    });
    futures(asks).await;
}

async fn check_one(server: &Server, text: String, wanted: Vec<f32>) {
    check(server, OPENAI, json!({ "input": text }), "data", &[wanted]).await;
}

/// All at once.
async fn futures<F: Future<Output = ()>>(all: impl Iterator<Item = F>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
