//! `whinchat serve` as people run it: a process, a port, signals.
#![cfg(unix)]

#[path = "support/predicting.rs"]
mod predicting;
mod support;

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::process::{Command, Stdio};
use std::time::Instant;

use predicting::{eagle3, predicting};
use serde_json::{Value, json};
use support::{DEADLINE, root};

/// A server with the requests of these tests.
struct Server(support::Server);

impl Deref for Server {
    type Target = support::Server;

    fn deref(&self) -> &support::Server {
        &self.0
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut support::Server {
        &mut self.0
    }
}

impl Server {
    /// Starts one on the small model in tests/data and waits until it is ready.
    fn start() -> Server {
        Server(support::Server::tiny(&[]))
    }

    fn start_with(args: &[&str]) -> Server {
        Server(support::Server::start(args))
    }

    /// Sends a request and leaves the answer to be read.
    fn send(&self, path: &str, body: &Value) -> BufReader<TcpStream> {
        self.0.send(&format!("POST {path}"), &[], body.to_string().as_bytes())
    }

    /// The body of an answer.
    fn text(&self, path: &str, body: &Value) -> String {
        let mut answer = String::new();
        self.send(path, body).read_to_string(&mut answer).expect("an answer");
        answer.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
    }

    fn answer(&self, path: &str, body: &Value) -> Value {
        let body = self.text(path, body);
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"))
    }

    fn complete(&self, body: &Value) -> Value {
        self.answer("/v1/completions", body)
    }

    /// What the choices of a streamed answer say, put together; it ends with `[DONE]`.
    fn streamed(&self, path: &str, body: &Value) -> String {
        let events = self.text(path, body);
        let data: Vec<&str> = events.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let (done, chunks) = data.split_last().expect("events");
        assert_eq!(*done, "[DONE]");
        let chunks = chunks.iter().map(|chunk| serde_json::from_str::<Value>(chunk).expect("JSON"));
        chunks.filter_map(|chunk| said(&chunk["choices"][0]["delta"], &chunk["choices"][0])).collect()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Waits for the end of the process; says whether it ended well.
    fn ended(&mut self) -> bool {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status.success();
            }
            assert!(began.elapsed() < DEADLINE, "it does not end");
            std::thread::yield_now();
        }
    }
}

/// The text of a chat's message or delta, or of a completion's choice.
fn said(message: &Value, choice: &Value) -> Option<String> {
    message["content"].as_str().or_else(|| choice["text"].as_str()).map(str::to_owned)
}

fn greedy(prompt: &str, tokens: usize) -> Value {
    json!({ "model": "tiny", "prompt": prompt, "max_tokens": tokens, "temperature": 0 })
}

#[test]
fn answers_are_those_of_transformers() {
    let server = Server::start();
    let expected = std::fs::read_to_string(root().join("tests/data/tiny/expected.json")).expect("the fixture");
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    for case in expected["cases"].as_array().expect("cases") {
        let (path, key, prompt) = match case["prompt"] == "@chat" {
            true => ("/v1/chat/completions", "messages", &expected["chat"]["messages"]),
            false => ("/v1/completions", "prompt", &case["prompt"]),
        };
        let mut body = json!({ "model": "default", "temperature": 0, "max_tokens": 24, key: prompt });
        let whole = server.answer(path, &body);
        let choice = &whole["choices"][0];
        assert_eq!(said(&choice["message"], choice).as_deref(), case["text"].as_str(), "{whole}");
        assert_eq!(choice["finish_reason"], "length");
        assert_eq!(whole["usage"]["prompt_tokens"], case["ids"].as_array().map_or(0, Vec::len));
        body["stream"] = true.into();
        assert_eq!(Some(server.streamed(path, &body).as_str()), case["text"].as_str());
    }
}

/// What a person asks, an agent's turn and what clients make of them.
fn conversations() -> Vec<Value> {
    let call = json!([{ "id": "c1", "type": "function", "function": { "name": "get_weather", "arguments": "{\"city\": \"Oslo\"}" } }]);
    let result = json!({ "role": "tool", "tool_call_id": "c1", "content": "{\"temperature\": 7, \"sky\": \"rain\"}" });
    let user = |content: Value| json!({ "role": "user", "content": content });
    vec![
        json!([user("Who are you?".into())]),
        json!([{ "role": "system", "content": "Be brief." }, user("Hi".into()), { "role": "assistant", "content": "Hello!" }, user("Sing.".into())]),
        json!([{ "role": "developer", "content": "Be brief." }, user(json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]))]),
        json!([user("Weather in Oslo?".into()), { "role": "assistant", "content": null, "tool_calls": call }, result]),
    ]
}

/// Over HTTP, through the library and in a chat: the same prompt, the same answer.
#[test]
fn one_conversation_is_the_same_everywhere() {
    let server = Server::start_with(&["--listen", "127.0.0.1:0"]);
    let model = whinchat::Model::builtin().expect("the built-in model");
    let folder = tempfile::tempdir().expect("a folder");
    let options = whinchat::GenerateOptions {
        sampling: whinchat::Sampling::greedy(),
        ..whinchat::GenerateOptions::max_tokens(12)
    };
    for messages in conversations() {
        let body = json!({ "messages": messages, "temperature": 0, "max_tokens": 12 });
        let over_http = server.answer("/v1/chat/completions", &body);
        let chat = whinchat::Chat::new(messages.clone());
        let mut asked = model.begin(&options.ask(whinchat::Input::Chat(chat.clone()))).expect("a generation");
        let answer = asked.wait().expect("an answer").remove(0);
        let message = &over_http["choices"][0]["message"];
        assert_eq!(message["content"].as_str().unwrap_or_default(), answer.text, "{messages}");
        assert_eq!(over_http["usage"]["prompt_tokens"], model.count(&chat).expect("a prompt"), "{messages}");
        let file = folder.path().join("chat.json");
        std::fs::write(&file, body.to_string()).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
        command.args(["chat", "-n", "12", "--temperature", "0"]).env_remove("WHINCHAT_MODEL");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let lines = format!("/load {}\n/regenerate\n", file.display());
        child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with(answer.text.trim_end()), "{messages}: {output:?}");
    }
}

/// What an answer is predicted to be makes it faster at most.
#[test]
fn a_prediction_changes_no_answer() {
    let server = Server::start();
    let ask = |more: Value| {
        let mut body = json!({ "messages": [{ "role": "user", "content": "Tell me a story." }], "temperature": 0, "max_tokens": 40 });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        server.answer("/v1/chat/completions", &body)["choices"][0]["message"]["content"].clone()
    };
    let alone = ask(json!({}));
    let text = alone.as_str().expect("a text");
    for predicted in [text, &text[..text.len() / 2], &text.replacen('e', "a", 3), "Nothing of the kind.", ""] {
        assert_eq!(ask(json!({ "prediction": { "type": "content", "content": predicted } })), alone, "{predicted}");
        let parts = json!([{ "type": "text", "text": predicted }]);
        assert_eq!(ask(json!({ "prediction": { "type": "content", "content": parts } })), alone, "{predicted}");
    }
}

/// The built-in model drafts for itself: its answers are the same, and what was drafted is counted by source.
#[test]
fn a_draft_model_changes_no_answer_and_is_counted() {
    let usage = check_drafts(&[], "whinchat-demo", "model");
    assert!(usage["services"]["computation"]["draft_kv_pool_bytes"].as_u64() > Some(0), "{usage}");
}

/// So do the layer of a model that has one for that, and a head of files of its own.
#[test]
fn heads_change_no_answer_and_are_counted() {
    let files = predicting(&root().join("tests/data/tiny"), true);
    let head = eagle3(files.path());
    for draft_model in ["mtp", head.path().to_str().expect("a name")] {
        let usage = check_drafts(&["--model", files.path().to_str().expect("a name")], draft_model, "head");
        // Though it is computed in stages.
        for part in ["weight_bytes", "scratch_bytes", "kv_pool_bytes", "draft_weight_bytes", "draft_kv_pool_bytes"] {
            assert!(usage["services"]["computation"][part].as_u64() > Some(0), "{part}: {usage}");
        }
    }
}

/// Answers of a server are the same with what drafts for its model and without; its drafts are counted with this source.
/// Returns what memory it then uses.
fn check_drafts(model: &[&str], draft_model: &str, source: &str) -> Value {
    let [plain, drafting] = [["--draft-tokens", "0"], ["--draft-model", draft_model]].map(|flags| {
        let flags = [model, &["--listen", "127.0.0.1:0", "--context", "256", "--threads", "2"], &flags].concat();
        Server::start_with(&flags)
    });
    let schema = json!({ "type": "object", "properties": { "bird": { "type": "string" } }, "required": ["bird"] });
    let greedy = json!({ "max_tokens": 64, "temperature": 0 });
    let drawn = json!({ "max_tokens": 64, "seed": 7, "frequency_penalty": 0.4, "n": 2 });
    let shaped = json!({ "max_tokens": 64, "temperature": 0,
        "response_format": { "type": "json_schema", "json_schema": { "name": "bird", "schema": schema } } });
    for mut body in [greedy, drawn, shaped] {
        body["messages"] = json!([{ "role": "user", "content": "Tell me about birds." }]);
        let [without, with] = [&plain, &drafting].map(|server| server.answer("/v1/chat/completions", &body));
        assert_eq!(with["choices"], without["choices"], "{body}");
    }
    let (_, metrics) = drafting.fetch("GET /metrics", &[], b"");
    let label = format!("source=\"{source}\"");
    let count = |name: &str| {
        let line = metrics.lines().find(|line| line.contains(name) && line.contains(&label));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .unwrap_or_else(|| panic!("{name}: {metrics}"))
    };
    let [drafted, accepted] = ["num_draft_tokens_total", "num_accepted_tokens_total"].map(count);
    assert!(accepted > 0.0 && accepted <= drafted, "{accepted} of {drafted}");
    let (_, usage) = drafting.fetch("GET /memory/usage?by=service", &[], b"");
    let usage: Value = serde_json::from_str(&usage).expect("JSON");
    assert_eq!(usage["services"]["memory"]["draft_kv_cache_bytes"], 0, "{usage}");
    usage
}

#[test]
fn answers_do_not_depend_on_the_batch() {
    let server = Server::start();
    let alone = server.complete(&greedy("Once upon a time", 24));
    // Some that read, some that never do, some that go away.
    let stream = json!({ "prompt": "The", "stream": true, "ignore_eos": true, "max_tokens": 100_000 });
    let _unread: Vec<_> = (0..3).map(|_| server.send("/v1/completions", &stream)).collect();
    (0..3).for_each(|_| drop(server.send("/v1/completions", &stream)));
    let together = std::thread::scope(|scope| {
        let ask = || server.complete(&greedy("Once upon a time", 24));
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    for answer in together {
        assert_eq!(answer["choices"], alone["choices"], "{answer}");
        // How many tokens it pays to draft depends on who else is there.
        for field in ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"] {
            assert_eq!(answer["usage"][field], alone["usage"][field], "{field}");
        }
    }
}

/// The line that `serve` shows, given to a shell as it is.
/// Models of the same weights give the same answers, whatever loads and replaces them, and from whatever they share.
#[test]
fn models_are_changed_while_it_answers() {
    let model = root().join("tests/data/tiny").display().to_string();
    let (also, listen) = (format!("b={model}"), "127.0.0.1:0");
    let mut server =
        Server::start_with(&["--alias", "a", "--listen", listen, "--model", &model, "--also", &also, "--admin"]);
    server.line_with("b is ready");
    let ask = |model: &str| {
        let mut body = greedy("Once upon a time", 24);
        body["model"] = model.into();
        body
    };
    let text = |model: &str| server.complete(&ask(model))["choices"][0]["text"].clone();
    let wanted = text("a");
    assert!(wanted.is_string() && text("b") == wanted);
    // The first requests may come before the loader is there.
    let began = Instant::now();
    let order = |source: &str, name: &str| server.answer("/admin/models", &json!({ "model": source, "name": name }));
    while order(&model, "c")["error"]["code"] == "unknown_url" {
        assert!(began.elapsed() < DEADLINE, "models cannot be loaded");
    }
    assert_eq!(text("c"), wanted);
    let running: Vec<_> = (0..8).map(|_| server.send("/v1/completions", &ask("c"))).collect();
    assert_eq!(order(&model, "c")["replaced"], true);
    for mut answer in running {
        let mut text = String::new();
        answer.read_to_string(&mut text).expect("an answer");
        assert!(text.contains(wanted.as_str().expect("a text").split('\n').next().unwrap_or_default()), "{text}");
    }
    assert_eq!(text("c"), wanted);
    let refused = order("no/such/file.gguf", "c");
    assert!(refused["error"]["message"].as_str().is_some_and(|m| m.contains("was not loaded")), "{refused}");
    assert_eq!(text("c"), wanted, "what was there is there");
}

/// The same from the command line: `whinchat models` asks a server that runs, and says what is wrong.
#[test]
fn models_are_changed_from_the_command_line() {
    let model = root().join("tests/data/tiny").display().to_string();
    let lazy = format!("lazy={model}");
    let server = Server(support::Server::tiny(&["--lazy", &lazy, "--model-alias", "best=tiny@1", "--admin"]));
    let url = format!("http://{}", server.address);
    let models = |words: &[&str]| {
        let output = support::program().arg("models").args(words).args(["--server", &url]).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text.into_owned())
    };
    // The first requests may come before the loader is there.
    let began = Instant::now();
    while !models(&["list"]).0 {
        assert!(began.elapsed() < DEADLINE, "{:?}", models(&["list"]));
    }
    let check = |words: &[&str], works: bool, part: &str| {
        let (worked, text) = models(words);
        assert!(worked == works && text.contains(part), "{words:?}: {text}");
    };
    check(&[], true, "tiny, best");
    check(&["list"], true, "known");
    let text = |name: &str| {
        let mut body = greedy("Once upon a time", 24);
        body["model"] = name.into();
        server.complete(&body)["choices"][0]["text"].clone()
    };
    let wanted = text("tiny");
    assert!(wanted.is_string() && text("lazy") == wanted && text("best") == wanted);
    check(&["load", &model, "--name", "b", "--version", "v1", "--context", "256"], true, "b@v1 is loaded");
    check(&["swap", "b", &model], true, "b@1 took the place");
    check(&["swap", "nobody", &model], false, "has no model nobody");
    check(&["rollback", "b"], true, "means version v1");
    check(&["pin", "b@1"], true, "means version 1");
    check(&["pin", "b"], false, "NAME@VERSION");
    check(&["unpin", "b"], true, "means version 1");
    check(&["alias", "b", "c", "d"], true, "has its names");
    check(&["keep-alive", "b", "-1"], true, "stays");
    assert!(text("d") == wanted && text("b@v1") == wanted);
    check(&["unload", "b"], true, "not in memory");
    assert_eq!(text("c"), wanted, "it is loaded again");
    check(&["remove", "b"], true, "is removed");
    check(&["remove", "b"], false, "does not exist");
    check(&["load", "no/such/file.gguf"], false, "was not loaded");
    check(&["--json"], true, "\"object\": \"list\"");
}

#[test]
fn the_curl_line_works_when_it_is_pasted() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: there is no curl");
        return;
    }
    let check = |args: &[&str], name: &str, host: &str| {
        let mut server = Server::start_with(args);
        let model = server.line_with("  model ");
        assert!(model.contains(name) && model.contains(" parameters, "), "{model}");
        let template = server.line_with("  chats ");
        assert!(template.contains("by its template (the model's own)"), "{template}");
        let line = server.line_with("curl ");
        let port = server.address.rsplit_once(':').expect("a port").1.to_owned();
        assert!(line.contains(&format!("http://{host}:{port}/v1/")), "{line}");
        let command = &line[line.find("curl ").expect("it has it")..];
        let output = Command::new("sh").arg("-c").arg(command.trim()).output().expect("there is a shell");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        assert_eq!(answer["model"], name, "{answer}");
        assert!(said(&answer["choices"][0]["message"], &answer["choices"][0]).is_some_and(|text| !text.is_empty()));
    };
    let tiny = root().join("tests/data/tiny").display().to_string();
    check(&["--listen", "127.0.0.1:0"], "whinchat-demo", "127.0.0.1");
    let odd = r#"it's "$HOME" \ `x`"#;
    check(&["--listen", "0.0.0.0:0", "--model", &tiny, "--context", "64", "--alias", odd], odd, "127.0.0.1");
    match std::net::TcpListener::bind("[::1]:0") {
        Ok(_) => check(&["--listen", "[::]:0", "--model", "whinchat-demo"], "whinchat-demo", "[::1]"),
        Err(e) => eprintln!("skipped: no IPv6 here: {e}"),
    }
}

#[test]
fn a_port_that_is_taken_is_no_riddle() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
    let output = command.args(["serve", "--quiet", "--listen", &address]).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.lines().count() == 1, "{said}");
    for part in [address.as_str(), "another program listens there", "--listen 127.0.0.1:0"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn sigterm_drains() {
    let mut server = Server::start();
    let body = json!({ "prompt": "Once", "stream": true, "ignore_eos": true, "max_tokens": 400, "temperature": 0 });
    let mut open = server.send("/v1/completions", &body);
    let mut head = [0; 12];
    open.read_exact(&mut head).expect("it has begun");
    assert_eq!(&head, b"HTTP/1.1 200");
    server.signal("TERM");
    let mut rest = String::new();
    open.read_to_string(&mut rest).expect("the answer is finished");
    assert!(rest.contains("\"finish_reason\":\"length\"") && rest.contains("data: [DONE]"), "{rest}");
    assert!(server.ended(), "it ends well");
    assert!(TcpStream::connect(&server.address).is_err(), "nobody listens any more");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start();
    // More than fits between us and it: the answer stays open.
    let body =
        json!({ "prompt": "Once", "stream": true, "ignore_eos": true, "max_tokens": 200, "n": 128, "logprobs": 20 });
    let mut unread = server.send("/v1/completions", &body);
    unread.read_exact(&mut [0; 12]).expect("it has begun");
    server.signal("TERM");
    server.line_with("draining");
    server.signal("INT");
    server.line_with("a second signal");
    assert!(server.ended(), "it ends well");
}

/// A Python that can import these modules; WHINCHAT_PYTHON names it.
fn python(modules: &str) -> Option<Command> {
    let python = std::env::var_os("WHINCHAT_PYTHON").unwrap_or_else(|| "python3".into());
    let imports = Command::new(&python).arg("-c").arg(format!("import {modules}")).output();
    if !imports.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {} cannot import {modules} (WHINCHAT_PYTHON names one that can)", python.display());
        return None;
    }
    Some(Command::new(python))
}

fn check_script(mut command: Command) {
    let output = command.output().expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn the_official_client_is_served() {
    let Some(mut command) = python("openai") else { return };
    let server = Server::start();
    command.arg(root().join("tests/openai_client.py")).arg(format!("http://{}/v1", server.address));
    check_script(command);
}

#[test]
fn the_evaluation_harness_gives_the_scores_of_transformers() {
    let Some(mut command) = python("lm_eval, torch, transformers, accelerate") else { return };
    command.arg(root().join("tests/evaluation_harness.py")).arg(env!("CARGO_BIN_EXE_whinchat"));
    command.arg(root().join("tests/data/tiny"));
    check_script(command);
}
