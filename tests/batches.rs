//! A batch whose server is killed again and again: no line is lost, and none is answered twice.
#![cfg(unix)]

mod support;

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};
use support::{DEADLINE, Server};

const LINES: usize = 400;

/// How often the server is killed; `WHINCHAT_KILLS` says otherwise.
const KILLS: usize = 5;

fn json_of((status, body): (u16, String)) -> Value {
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"))
}

fn start(folder: &str) -> Server {
    Server::tiny(&["--data-dir", folder])
}

/// A batch of completions.
fn begin(server: &Server) -> String {
    let ask = |i: usize| {
        let body = json!({ "prompt": format!("{i}"), "max_tokens": 16, "temperature": 0, "ignore_eos": true });
        json!({ "custom_id": format!("ask-{i}"), "method": "POST", "url": "/v1/completions", "body": body }).to_string()
    };
    let content = (0..LINES).map(ask).collect::<Vec<_>>().join("\n");
    let part =
        |head: &str, content: &str| format!("--X\r\ncontent-disposition: form-data; {head}\r\n\r\n{content}\r\n");
    let form = part("name=\"purpose\"", "batch") + &part("name=\"file\"; filename=\"a\"", &content) + "--X--\r\n";
    let kind = [("content-type", "multipart/form-data; boundary=X")];
    let file = json_of(server.fetch("POST /v1/files", &kind, form.as_bytes()));
    let batch = json!({ "input_file_id": file["id"], "endpoint": "/v1/completions", "completion_window": "24h" });
    let batch = json_of(server.fetch("POST /v1/batches", &[], batch.to_string().as_bytes()));
    batch["id"].as_str().expect("an id").to_owned()
}

/// The batch once `wanted` holds for it.
fn until(server: &Server, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let batch = json_of(server.fetch(&format!("GET /v1/batches/{id}"), &[], b""));
        if wanted(&batch) {
            return batch;
        }
        assert!(began.elapsed() < DEADLINE, "{batch}");
        std::thread::yield_now();
    }
}

fn completed(batch: &Value) -> u64 {
    batch["request_counts"]["completed"].as_u64().expect("a count")
}

#[test]
fn a_batch_survives_its_server() {
    let kills = std::env::var_os("WHINCHAT_KILLS").and_then(|kills| kills.to_str()?.parse().ok()).unwrap_or(KILLS);
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().display().to_string();
    let mut server = start(&folder);
    let id = begin(&server);
    let mut before = 0;
    for kill in 0..kills {
        // Each life gets on a little, in the middle of which it ends.
        let due = before + 1 + (kill as u64 * 7) % 5;
        let batch = until(&server, &id, |batch| completed(batch) >= due || batch["status"] == "completed");
        assert!(completed(&batch) >= before, "answers were lost: {before}, then {batch}");
        before = completed(&batch);
        server.child.kill().expect("it is ours");
        server.child.wait().expect("it is ours");
        server = start(&folder);
    }
    let done = until(&server, &id, |batch| batch["status"] == "completed");
    assert_eq!(completed(&done), LINES as u64, "{done}");
    let output = done["output_file_id"].as_str().expect("a file");
    let (_, answers) = server.fetch(&format!("GET /v1/files/{output}/content"), &[], b"");
    let mut texts = BTreeMap::new();
    for line in answers.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let text = line["response"]["body"]["choices"][0]["text"].clone();
        let twice = texts.insert(line["custom_id"].as_str().expect("an id").to_owned(), text);
        assert!(twice.is_none(), "{line}");
    }
    assert_eq!(texts.len(), LINES);
    // What a killed server's successor says is what everybody is told.
    let body = json!({ "prompt": "7", "max_tokens": 16, "temperature": 0, "ignore_eos": true });
    let direct = json_of(server.fetch("POST /v1/completions", &[], body.to_string().as_bytes()));
    assert_eq!(texts["ask-7"], direct["choices"][0]["text"]);
}
