//! `whinchat serve` as people run it: started on port 0 with the small model in tests/data, asked over HTTP, ended by a
//! signal.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::{Value, json};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tiny")
}

fn expected() -> Value {
    let text = std::fs::read_to_string(tiny().join("expected.json")).expect("the fixture");
    serde_json::from_str(&text).expect("JSON")
}

/// A running program; killed when dropped.
struct Server {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    base: String,
}

impl Server {
    /// Starts it and waits until it says that the model is ready.
    fn start(options: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--alias", "tiny", "--model"]).arg(tiny()).args(options);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let address = said(&mut log, "listening on ");
        let base = address.split_whitespace().next().expect("an address").to_owned();
        said(&mut log, "is ready");
        Server { child, log, base }
    }

    fn get(&self, path: &str) -> (u16, Value) {
        answer(agent().get(format!("{}{path}", self.base)).call())
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(agent().post(format!("{}{path}", self.base)).send_json(body))
    }

    /// The data of each server-sent event.
    fn stream(&self, path: &str, body: &Value) -> Vec<String> {
        let mut response = agent().post(format!("{}{path}", self.base)).send_json(body).expect("an answer");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = response.body_mut().read_to_string().expect("UTF-8");
        text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
    }

    /// Sends SIGTERM and waits for the end; gives the rest of the log.
    fn terminate(mut self) -> (ExitStatus, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("UTF-8");
        (self.child.wait().expect("it ends"), rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a line of the log says after `words`.
fn said(log: &mut impl BufRead, words: &str) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).expect("UTF-8") > 0, "it ended before it said {words:?}:\n{all}");
        if let Some((_, rest)) = line.split_once(words) {
            return rest.trim().to_owned();
        }
        all.push_str(&line);
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().new_agent()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let mut response = response.expect("an answer");
    (response.status().as_u16(), response.body_mut().read_json().expect("JSON"))
}

#[test]
fn answers_are_those_of_transformers_and_the_signal_ends_it() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/health").0, 200);
    assert_eq!(server.get("/v1/models").1["data"][0]["id"], "tiny");
    let expected = expected();
    for case in expected["cases"].as_array().expect("cases") {
        let chat = case["prompt"] == "@chat";
        let (path, key, prompt) = match chat {
            true => ("/v1/chat/completions", "messages", &expected["chat"]["messages"]),
            false => ("/v1/completions", "prompt", &case["prompt"]),
        };
        let mut body = json!({ "model": "default", "temperature": 0, "max_tokens": 24, key: prompt });
        let (status, whole) = server.post(path, &body);
        let choice = &whole["choices"][0];
        let text = if chat { &choice["message"]["content"] } else { &choice["text"] };
        assert_eq!((status, text, &choice["finish_reason"]), (200, &case["text"], &json!("length")), "{whole}");
        assert_eq!(whole["usage"]["prompt_tokens"], case["ids"].as_array().map_or(0, Vec::len));
        body["stream"] = true.into();
        let events = server.stream(path, &body);
        let (done, chunks) = events.split_last().expect("events");
        let pieces = chunks.iter().map(|chunk| {
            let chunk: Value = serde_json::from_str(chunk).expect("JSON");
            let choice = &chunk["choices"][0];
            let text = if chat { &choice["delta"]["content"] } else { &choice["text"] };
            text.as_str().unwrap_or_default().to_owned()
        });
        assert_eq!((done.as_str(), Some(pieces.collect::<String>().as_str())), ("[DONE]", case["text"].as_str()));
    }
    assert_eq!(server.post("/v1/completions", &json!({ "model": "other", "prompt": "a" })).0, 404);
    let (status, log) = server.terminate();
    assert!(status.success() && log.contains("drained"), "{status}: {log}");
}

#[test]
fn answers_do_not_depend_on_what_else_runs() {
    let server = Server::start(&["--max-batch-tokens", "32", "--kv-tokens", "512"]);
    let ask = |i: usize| json!({ "prompt": format!("{i} sings"), "max_tokens": 40, "seed": i, "temperature": 1.5, "ignore_eos": true });
    let text = |(status, answer): (u16, Value)| {
        assert_eq!(status, 200, "{answer}");
        answer["choices"][0]["text"].clone()
    };
    let alone: Vec<Value> = (0..12).map(|i| text(server.post("/v1/completions", &ask(i)))).collect();
    let together: Vec<Value> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..12)
            .map(|i| {
                scope.spawn({
                    let server = &server;
                    move || server.post("/v1/completions", &ask(i))
                })
            })
            .collect();
        asked.into_iter().map(|thread| text(thread.join().expect("no panic"))).collect()
    });
    assert_eq!(alone, together);
}
