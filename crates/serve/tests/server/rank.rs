//! Documents are judged by what a model says to a query and them.

use std::time::Instant;

use answer::{Embedder, LoadedModel, ModelInfo, Pooling, Sampling};
use engine::{EngineConfig, Executor, ExecutorError, ExecutorLimits};
use graph::Batch;
use serde_json::{Value, json};
use text::{Dialect, GgufVocab, TokenKind, Tokenizer};

use crate::model::{END, Scripted, letter, template};
use crate::support::{Server, Setup, matches};

/// Bytes, control tokens as in the other tests, and the two answers with what they are made of.
const WORDS: [&str; 4] = ["ye", "yes", "no", "~~"];
const YES: usize = 259 + 1;
const NO: usize = 259 + 2;
const VOCAB: usize = 259 + WORDS.len();

/// After a document's last token come the end of the turn and the beginning of an answer.
const BEHIND: usize = 13;

/// Says yes the more surely the later in the alphabet a document's last letter is; m is neither yes nor no.
struct Judge(Vec<f32>);

impl Executor for Judge {
    fn limits(&self) -> ExecutorLimits {
        let other = Scripted { kv_blocks: 64, gate: None, logits: Vec::new() };
        ExecutorLimits { vocab: VOCAB, ..other.limits() }
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        self.0.clear();
        for row in &batch.outputs {
            let start = self.0.len();
            self.0.resize(start + VOCAB, 0.0);
            self.0[start + YES] = batch.tokens[*row as usize - BEHIND] as f32 - f32::from(b'm');
            self.0[start + NO] = 0.0;
        }
        Ok(&self.0)
    }
}

fn tokenizer() -> Tokenizer {
    let bytes = (0..=255).map(|byte| letter(byte).to_string().into_bytes());
    let special = ["<|end|>", "<|im_start|>", "<|im_end|>"].map(|text| text.as_bytes().to_vec());
    let words = WORDS.map(|word| word.as_bytes().to_vec());
    let kinds = [vec![TokenKind::Normal; 256], vec![TokenKind::Control; 3], vec![TokenKind::Normal; WORDS.len()]];
    Tokenizer::from_gguf(GgufVocab {
        model: "gpt2".into(),
        pre: Some("gpt-2".into()),
        tokens: bytes.chain(special).chain(words).collect(),
        kinds: kinds.concat(),
        merges: ["y e", "ye s", "n o", "~ ~"].map(|merge| merge.as_bytes().to_vec()).into(),
        special: vec![("eos".into(), END)],
        ..GgufVocab::default()
    })
    .expect("a vocabulary")
}

async fn server() -> Server {
    let server = Server::with(Setup { loaded: false, ..Setup::default() }).await;
    let info = ModelInfo {
        name: "judge".into(),
        tokenizer: tokenizer().into(),
        template: Ok(template()),
        dialect: Dialect::of_template(""),
        sampling: Sampling::greedy(),
        stop_tokens: [END].into(),
        created: 0,
    };
    let (began, config) = (Instant::now(), EngineConfig { context: 400, ..EngineConfig::default() });
    let model = LoadedModel::start(info, Judge(Vec::new()), config, move || began.elapsed(), ()).expect("a thread");
    let make = || Ok(Box::new(Judge(Vec::new())) as Box<dyn Executor>);
    server.app.add(model.with_judge(Embedder::new(Pooling::Last, VOCAB, Box::new(make))));
    server
}

fn likely(letter: u8) -> f64 {
    f64::from(1.0 / (1.0 + (f32::from(b'm') - f32::from(letter)).exp()))
}

/// The numbers of these fields of a list, and whether they are as wanted.
fn check(list: &Value, field: &str, wanted: &[(usize, u8)]) {
    let found: Vec<(u64, f64)> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["index"].as_u64().expect("an index"), one[field].as_f64().expect("a number")))
        .collect();
    let near = found.len() == wanted.len()
        && found
            .iter()
            .zip(wanted)
            .all(|(found, wanted)| found.0 == wanted.0 as u64 && (found.1 - likely(wanted.1)).abs() < 1e-6);
    assert!(near, "{list}");
}

#[tokio::test]
async fn documents_are_ranked() {
    let server = server().await;
    for path in ["/v1/rerank", "/v2/rerank", "/rerank"] {
        let body = json!({ "query": "q", "documents": ["a k", { "text": "a p" }, "a m"] });
        let answer = server.post(path, &body).await.json();
        check(&answer["results"], "relevance_score", &[(1, b'p'), (2, b'm'), (0, b'k')]);
        let expected = json!({ "model": "judge", "results": [{ "document": { "text": "a p" } }, {}, {}] });
        assert!(matches(&expected, &answer), "{answer}");
    }
    let body = json!({ "query": "q", "documents": ["k", "p"], "top_n": 1, "return_documents": false });
    let answer = server.post("/v1/rerank", &body).await.json();
    check(&answer["results"], "relevance_score", &[(1, b'p')]);
    assert!(
        answer["results"][0].get("document").is_none() && answer["usage"]["total_tokens"].as_u64() > Some(40),
        "{answer}"
    );
}

#[tokio::test]
async fn documents_that_are_too_long_are_cut_and_named() {
    let server = server().await;
    let long = "x".repeat(600) + "p";
    let answer = server.post("/v1/rerank", &json!({ "query": "q", "documents": ["k", long] })).await.json();
    check(&answer["results"], "relevance_score", &[(1, b'x'), (0, b'k')]);
    assert_eq!(answer["truncated"], json!([1]), "{answer}");
    // Nothing is left of the document, and the query is cut.
    let answer = server.post("/v1/score", &json!({ "text_1": "z".repeat(600), "text_2": "p" })).await.json();
    check(&answer["data"], "score", &[(0, b'z')]);
    assert_eq!(answer["truncated"], json!([0]), "{answer}");
}

#[tokio::test]
async fn pairs_are_scored() {
    let server = server().await;
    let one = server.post("/v1/score", &json!({ "text_1": "q", "text_2": ["k", "p"] })).await.json();
    check(&one["data"], "score", &[(0, b'k'), (1, b'p')]);
    let each = json!({ "queries": ["q", "r"], "documents": ["k", "p"], "instruction": "Look." });
    let each = server.post("/v1/score", &each).await.json();
    check(&each["data"], "score", &[(0, b'k'), (1, b'p')]);
    assert!(matches(&json!({ "object": "list", "data": [{ "object": "score" }, {}] }), &each), "{each}");
}

#[tokio::test]
async fn what_cannot_be_judged_says_why() {
    let server = server().await;
    let cases = [
        ("/v1/rerank", json!({ "documents": ["x"] }), "query is missing"),
        ("/v1/rerank", json!({ "query": "q" }), "documents is missing"),
        ("/v1/rerank", json!({ "query": "q", "documents": [] }), "documents is empty"),
        ("/v1/rerank", json!({ "query": "q", "documents": [1] }), "documents[0] must be a string or an object"),
        (
            "/v1/rerank",
            json!({ "query": "q", "documents": ["x"], "instruction": "i".repeat(600) }),
            "the model reads 400. Shorten the texts or raise --context",
        ),
        ("/v1/score", json!({ "text_1": ["a", "b"], "text_2": ["x", "y", "z"] }), "there are 2 and 3"),
        ("/v1/score", json!({ "text_1": "a" }), "text_2 is missing"),
    ];
    for (path, body, message) in cases {
        server.check(path, &body, 400, &json!({ "error": { "message": format!("~{message}") } })).await;
    }
    let other = Server::start().await;
    let message = json!({ "error": { "message": "~judges no documents" } });
    other.check("/v1/rerank", &json!({ "query": "q", "documents": ["x"] }), 400, &message).await;
}
