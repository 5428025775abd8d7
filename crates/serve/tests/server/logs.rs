//! Logs hold no prompts, no answers and no keys, whatever is asked and however it ends.

use std::io;
use std::sync::Mutex;

use serde_json::{Value, json};
use serve::http::{Access, Settings};
use serve::{KeyFile, Keys};
use tracing_subscriber::filter::LevelFilter;

use crate::access::ask;
use crate::support::{Server, Setup};

/// What this process has logged since it was first asked to keep it.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Sink;

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn secrets_stay_out_of_the_log() {
    // Of every crate, down to debug.
    let all = tracing_subscriber::fmt().with_max_level(LevelFilter::DEBUG).with_ansi(false);
    all.with_writer(|| Sink).init();
    let mut file = KeyFile::default();
    let key = file.create("alice", Default::default(), [7; 32], 0).expect("a name");
    let access = Access::default().with_keys(Keys::new(&file));
    let settings = Settings { access, ..Settings::default() };
    let server = Server::with(Setup { settings, ..Setup::default() }).await;
    let shown = format!("authorization: Bearer {key}");
    let unknown = "x-api-key: wc-never-was-a-key-of-this-server";
    // A number sign is too hard for the model, and nobody may not speak: these fail late and early.
    let prompts = ["Zyzzyva-in-the-prompt", "Zyzzyva#-too-hard"];
    let mut answers = Vec::new();
    for (path, bodies) in [
        ("/v1/chat/completions", prompts.map(|text| json!({ "messages": [{ "role": "user", "content": text }] }))),
        ("/v1/chat/completions", prompts.map(|text| json!({ "messages": [{ "role": "nobody", "content": text }] }))),
        ("/v1/completions", prompts.map(|text| json!({ "prompt": text, "max_tokens": 12 }))),
        ("/v1/completions", prompts.map(|text| json!({ "prompt": text, "max_tokens": 12, "stream": true }))),
        ("/v1/completions", prompts.map(|text| json!({ "prompt": text, "temperature": text }))),
        ("/v1/responses", prompts.map(|text| json!({ "input": text }))),
        ("/v1/embeddings", prompts.map(|text| json!({ "input": text }))),
        ("/v1/rerank", prompts.map(|text| json!({ "query": text, "documents": [text] }))),
        (
            "/v1/messages",
            prompts.map(|text| json!({ "max_tokens": 9, "messages": [{ "role": "user", "content": text }] })),
        ),
        ("/api/chat", prompts.map(|text| json!({ "messages": [{ "role": "user", "content": text }] }))),
        ("/tokenize", prompts.map(|text| json!({ "prompt": text }))),
    ] {
        for body in bodies {
            let sent = body.to_string();
            for header in [shown.as_str(), unknown] {
                let answer =
                    ask(&server, &format!("POST {path}?text=Zyzzyva"), &["host: localhost", header], &sent).await;
                answers.push((path, answer.head.status, answer.body));
            }
            let half = &sent[..sent.len() - 1];
            assert_eq!(
                ask(&server, &format!("POST {path}"), &["host: localhost", &shown], half).await.head.status,
                400
            );
        }
    }
    let statuses: std::collections::BTreeSet<u16> = answers.iter().map(|(_, status, _)| *status).collect();
    assert!([200, 400, 401, 500].iter().all(|status| statuses.contains(status)), "{statuses:?}");
    let said =
        answers.iter().find(|(path, status, _)| (*path, *status) == ("/v1/completions", 200)).expect("an answer");
    let said: Value = serde_json::from_slice(&said.2).expect("JSON");
    let said = said["choices"][0]["text"].as_str().expect("a text");
    assert!(said.len() >= 12, "{said}");

    let logged = String::from_utf8_lossy(&LOG.lock().expect("not poisoned")).into_owned();
    assert!(
        logged.contains("path=\"/v1/messages\"") && logged.contains("key=\"alice\""),
        "requests are logged:\n{logged}"
    );
    for secret in ["Zyzzyva", said, &key, &key[4..], "never-was-a-key"] {
        let line = logged.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "the log holds {secret:?}");
    }
}
