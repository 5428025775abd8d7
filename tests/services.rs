//! Stages of the pipeline alone: their examples, servers that are composed of them, and what becomes of requests when one is lost.
#![cfg(unix)]

mod support;

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use support::{DEADLINE, Server};

const STAGES: [&str; 4] = ["tokenizer", "scheduler", "memory", "compute"];

fn get(server: &Server, path: &str) -> Value {
    let (status, body) = server.fetch(&format!("GET {path}"), &[], b"");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
}

fn post(server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let (status, text) = server.fetch(&format!("POST {path}"), &[], body.to_string().as_bytes());
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Whether an answer has everything that is wanted of it.
fn fits(wanted: &Value, is: &Value) -> bool {
    match (wanted, is) {
        (Value::Object(wanted), Value::Object(is)) => {
            wanted.iter().all(|(key, value)| is.get(key).is_some_and(|is| fits(value, is)))
        }
        (Value::Array(wanted), Value::Array(is)) => {
            wanted.len() == is.len() && wanted.iter().zip(is).all(|(wanted, is)| fits(wanted, is))
        }
        _ => wanted == is,
    }
}

/// What a service says of itself is so: each example has its answer, twice over, and the document knows each path.
#[test]
fn examples_have_the_answers_that_they_must_have() {
    for (stage, least) in STAGES.into_iter().zip([11, 20, 11, 5]) {
        let server = Server::service(stage, &["--context", "64"]);
        let told = get(&server, "/examples");
        let examples = told["examples"].as_array().expect("a list");
        assert!(examples.len() >= least, "{stage}: only {} examples", examples.len());
        let document = get(&server, "/openapi.json");
        for example in examples.iter().chain(examples) {
            let path = example["path"].as_str().expect("a path");
            let (status, answer) = post(&server, path, &example["request"]);
            assert_eq!(example["status"], status, "{stage}: {example}: {answer}");
            assert!(fits(&example["response"], &answer), "{stage}: {example}: {answer}");
            assert!(document["paths"][path]["post"].is_object(), "{path}");
        }
        let health = get(&server, "/health");
        assert_eq!(
            (&health["status"], &health["service"], &health["reasons"]),
            (&json!("ready"), &json!(stage), &json!([]))
        );
        assert!(get(&server, "/debug").is_object());
        let (_, metrics) = server.fetch("GET /metrics", &[], b"");
        assert!(metrics.contains(&format!("whinchat_service_calls_total{{service=\"{stage}\"")), "{metrics}");
        assert_eq!(server.fetch("POST /none", &[], b"{}").0, 404);
        assert_eq!(server.fetch("DELETE /health", &[], b"").0, 405);
        assert_eq!(post(&server, "/faults", &json!({ "kind": "cut" })).0, 403);
    }
}

/// The server has them too.
#[test]
fn the_server_has_examples_and_tells_its_state() {
    let server = Server::tiny(&[]);
    let told = get(&server, "/examples");
    let examples = told["examples"].as_array().expect("a list");
    assert!(examples.len() > 4);
    for example in examples {
        let (status, answer) = post(&server, example["path"].as_str().expect("a path"), &example["request"]);
        assert_eq!(example["status"], status, "{example}: {answer}");
        assert!(fits(&example["response"], &answer), "{example}: {answer}");
    }
    let state = get(&server, "/debug");
    assert!(state["models"]["tiny"]["kv_blocks"]["total"].as_u64() > Some(0), "{state}");
    assert_eq!(state["services"], json!({}), "{state}");
}

/// Script and style of the page are those that its policy names, and it asks nobody else.
#[test]
fn the_page_is_one_file_with_a_policy() {
    for (server, path) in [(Server::service("scheduler", &[]), "/"), (Server::tiny(&[]), "/try")] {
        check_page(&server, path);
    }
}

fn check_page(server: &Server, path: &str) {
    let mut answer = String::new();
    server.send(&format!("GET {path}"), &[], b"").read_to_string(&mut answer).expect("an answer");
    let (head, page) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).expect("a policy");
    for part in
        ["default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "require-trusted-types-for 'script'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(page.contains("<form") && !page.contains("{script}") && !page.contains("src="), "{page}");
    let refused = server.fetch("GET /health", &[("origin", "https://elsewhere.example")], b"");
    assert_eq!(refused.0, 403, "{}", refused.1);
}

/// Requests whose answers say a lot: log-probabilities, several choices, a conversation, a prompt that others begin with.
fn requests() -> Vec<(&'static str, Value)> {
    let text = "Once upon a time there was a bird in a tree, and it sang until it was dark. ";
    let usual = |more: Value| {
        let mut body = json!({ "model": "tiny", "max_tokens": 12, "temperature": 0, "logprobs": 3, "seed": 5 });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let chat = json!([{ "role": "user", "content": "Who are you? <|im_end|> Say it." }]);
    vec![
        ("/v1/completions", usual(json!({ "prompt": text }))),
        ("/v1/completions", usual(json!({ "prompt": format!("{text}And then") }))),
        ("/v1/completions", usual(json!({ "prompt": "The", "n": 3, "temperature": 1.0, "user": "a" }))),
        ("/v1/completions", usual(json!({ "prompt": ["One", "Two words"], "echo": true, "user": "b" }))),
        ("/v1/chat/completions", json!({ "model": "tiny", "messages": chat, "max_tokens": 8, "temperature": 0 })),
    ]
}

/// The choices of all requests, which are asked at the same time, twice over.
fn answers(server: &Server) -> Vec<Value> {
    let ask = |(path, body): &(&str, Value)| {
        let (status, answer) = post(server, path, body);
        assert_eq!(status, 200, "{body}: {answer}");
        answer["choices"].clone()
    };
    let requests = requests();
    let round = || -> Vec<Value> {
        std::thread::scope(|scope| {
            let all: Vec<_> = requests.iter().map(|request| scope.spawn(|| ask(request))).collect();
            all.into_iter().map(|one| one.join().expect("an answer")).collect()
        })
    };
    [round(), round()].concat()
}

fn composed(services: &[(&str, &Server)], more: &[&str]) -> Server {
    let urls: Vec<(String, String)> =
        services.iter().map(|(stage, server)| (format!("--{stage}"), format!("http://{}", server.address))).collect();
    let flags: Vec<&str> =
        urls.iter().flat_map(|(flag, url)| [flag.as_str(), url]).chain(more.iter().copied()).collect();
    Server::tiny(&flags)
}

/// Whatever is elsewhere: the bits are the same.
#[test]
fn all_compositions_give_the_same_answers() {
    let flags = ["--policy", "fair-share", "--context", "96"];
    let expected = answers(&Server::tiny(&flags));
    let servers: Vec<(&str, Server)> =
        STAGES.iter().map(|stage| (*stage, Server::service(stage, &["--context", "96"]))).collect();
    for chosen in 1..1 << STAGES.len() {
        let some: Vec<(&str, &Server)> = (0..STAGES.len())
            .filter(|stage| chosen >> stage & 1 == 1)
            .map(|stage| (servers[stage].0, &servers[stage].1))
            .collect();
        let names: Vec<&str> = some.iter().map(|(name, _)| *name).collect();
        let server = composed(&some, &flags);
        assert_eq!(answers(&server), expected, "{names:?}");
        let health = get(&server, "/health");
        for name in names {
            assert_eq!(health["services"][name]["status"], "ready", "{health}");
            assert!(health["services"][name]["calls"].as_u64() > Some(0), "{health}");
        }
    }
    let all: Vec<(&str, &Server)> = servers[..3].iter().map(|(name, server)| (*name, server)).collect();
    for some in [&[], &all[..]] {
        let server = composed(some, &[&flags[..], &["--compute", "process"]].concat());
        assert_eq!(answers(&server), expected, "a process of its own, and {} services", some.len());
    }
}

/// A door whose service may be another one each time somebody comes, or none.
#[derive(Clone)]
struct Door {
    to: Arc<Mutex<Option<String>>>,
    address: String,
}

impl Door {
    fn open() -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let door = Door { to: Arc::default(), address };
        let to = Arc::clone(&door.to);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let to = to.lock().expect("nobody panics with it").clone();
                // Who comes while nobody is there is sent away.
                if let Some(far) = to.and_then(|to| TcpStream::connect(to).ok()) {
                    pass(near, far);
                }
            }
        });
        door
    }

    fn lead_to(&self, server: Option<&Server>) {
        *self.to.lock().expect("nobody panics with it") = server.map(|server| server.address.clone());
    }
}

fn pass(near: TcpStream, far: TcpStream) {
    for (from, to) in [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))] {
        let (mut from, mut to) = (from.expect("a socket"), to.expect("a socket"));
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
            let _ = from.shutdown(std::net::Shutdown::Both);
        });
    }
}

const ASKED: &str = "Once upon a time there was a bird that sang in a tree";

fn asked(server: &Server) -> (u16, Value) {
    post(server, "/v1/completions", &json!({ "model": "tiny", "prompt": ASKED, "max_tokens": 8, "temperature": 0 }))
}

fn unavailable(server: &Server, stage: &str, what: &str) {
    let (status, answer) = asked(server);
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("service_unavailable")), "{stage} {what}: {answer}");
    let message = answer["error"]["message"].as_str().expect("a message");
    let name = match stage {
        "memory" => "the memory manager at http://",
        "compute" => "the computation manager at http://",
        name => name,
    };
    assert!(message.contains(name), "{stage} {what}: {message}");
    let told = &get(server, "/health")["services"][stage];
    assert_eq!(told["status"], "unavailable", "{stage} {what}: {told}");
    assert!(told["reason"].is_string(), "{stage} {what}: {told}");
}

/// Each stage dies, and comes back as another process that knows nothing of the one before.
#[test]
fn a_service_that_was_lost_is_told_and_used_again_when_it_is_back() {
    let expected = asked(&Server::tiny(&["--context", "96"])).1["choices"].clone();
    for stage in STAGES {
        let door = Door::open();
        let first = Server::service(stage, &["--context", "96"]);
        door.lead_to(Some(&first));
        let url = format!("http://{}", door.address);
        let server = Server::tiny(&["--context", "96", &format!("--{stage}"), &url]);
        assert_eq!(asked(&server).1["choices"], expected, "{stage}");
        door.lead_to(None);
        drop(first);
        unavailable(&server, stage, "is dead");
        unavailable(&server, stage, "is still dead");
        let second = Server::service(stage, &["--context", "96"]);
        door.lead_to(Some(&second));
        let (status, answer) = asked(&server);
        assert_eq!((status, &answer["choices"]), (200, &expected), "{stage}: {answer}");
        assert_eq!(get(&server, "/health")["services"][stage]["status"], "ready", "{stage}");
    }
}

/// Each kind of fault ends the request with a clear error, and the next one after it is answered.
#[test]
fn faults_of_a_service_end_requests_and_not_the_server() {
    let expected = asked(&Server::tiny(&["--context", "96"])).1["choices"].clone();
    std::thread::scope(|scope| {
        for stage in STAGES {
            let expected = &expected;
            scope.spawn(move || {
                let service = Server::service(stage, &["--context", "96", "--allow-faults"]);
                let server = composed(&[(stage, &service)], &["--context", "96", "--service-timeout", "4s"]);
                for fault in [
                    json!({ "kind": "error", "status": 500, "message": "it is on fire" }),
                    json!({ "kind": "error", "status": 409 }),
                    json!({ "kind": "wrong" }),
                    json!({ "kind": "cut" }),
                    json!({ "kind": "delay", "ms": 600_000 }),
                ] {
                    assert_eq!(asked(&server).1["choices"], *expected, "{stage} before {fault}");
                    let (status, told) = post(&service, "/faults", &fault);
                    assert_eq!(status, 200, "{told}");
                    unavailable(&server, stage, &fault.to_string());
                    assert_eq!(service.fetch("DELETE /faults", &[], b"").0, 200);
                }
                let (status, answer) = asked(&server);
                assert_eq!((status, &answer["choices"]), (200, expected), "{stage}: {answer}");
            });
        }
    });
}

/// The process that computes is killed again and again, at any time: every request ends, the server lives and nothing is left.
#[cfg(target_os = "linux")]
#[test]
fn the_process_that_computes_may_be_killed_at_any_time() {
    let flags = ["--context", "96"];
    let expected = asked(&Server::tiny(&flags)).1["choices"].clone();
    let mut server = Server::tiny(&[&flags[..], &["--compute", "process"]].concat());
    let list = |folder: &str| std::fs::read_dir(folder).map_or(0, Iterator::count);
    let shared = list("/dev/shm");
    let mut child = children(&server);
    assert_eq!(asked(&server).1["choices"], expected);
    let mut files = 0;
    for round in 0..6 {
        let stream = json!({ "prompt": "Once", "max_tokens": 60, "ignore_eos": true, "stream": true }).to_string();
        let mut open = server.send("POST /v1/completions", &[], stream.as_bytes());
        if round % 2 == 1 {
            // In the middle of an answer; else perhaps before its first token.
            open.read_exact(&mut [0; 200]).expect("it has begun");
        }
        signal(child[0], "KILL");
        let mut rest = String::new();
        open.read_to_string(&mut rest).expect("it ends");
        // It was complete before the process died, was computed by the next one, or ends with an error.
        assert!(rest.contains("[DONE]") || rest.contains("service_unavailable"), "{rest}");
        let began = Instant::now();
        let (status, answer) = loop {
            let (status, answer) = asked(&server);
            if status == 200 || began.elapsed() > DEADLINE {
                break (status, answer);
            }
            assert_eq!((status, &answer["error"]["code"]), (503, &json!("service_unavailable")), "{answer}");
        };
        assert_eq!((status, &answer["choices"]), (200, &expected), "{answer}");
        let before = std::mem::replace(&mut child, children(&server));
        assert!(child.len() == 1 && child != before, "{before:?} {child:?}");
        if round == 0 {
            files = list(&format!("/proc/{}/fd", server.child.id()));
        }
    }
    // Connections of clients close a little later than their last byte is read; what one death left would be there five times.
    let open = || list(&format!("/proc/{}/fd", server.child.id()));
    until("file descriptors are left", || open() < files + 5);
    assert_eq!(memfds(server.child.id()), 1, "one file is shared, whoever computes");
    assert_eq!(list("/dev/shm"), shared, "shared memory is left");
    signal(server.child.id(), "TERM");
    assert!(server.child.wait().expect("it is ours").success());
    until("the process outlives its owner", || !is_alive(child[0]));
}

/// The process ends with its owner, also where that cannot tell it to: idle, and in the middle of a batch.
#[cfg(target_os = "linux")]
#[test]
fn the_process_that_computes_ends_with_its_owner() {
    for is_busy in [false, true] {
        let mut server = Server::tiny(&["--context", "96", "--compute", "process"]);
        let child = children(&server);
        let stream = json!({ "prompt": "Once", "max_tokens": 60, "ignore_eos": true, "stream": true }).to_string();
        let open = is_busy.then(|| server.send("POST /v1/completions", &[], stream.as_bytes()));
        signal(server.child.id(), "KILL");
        assert!(!server.child.wait().expect("it is ours").success());
        until("the process outlives its owner", || !is_alive(child[0]));
        drop(open);
    }
}

/// The server's `/health`, `/metrics` and `/memory/usage` tell of the process as of a service.
#[cfg(target_os = "linux")]
#[test]
fn what_is_elsewhere_is_told() {
    let service = Server::service("scheduler", &[]);
    let server = composed(&[("scheduler", &service)], &["--context", "96", "--compute", "process"]);
    assert_eq!(asked(&server).0, 200);
    let used = get(&server, "/memory/usage?by=service");
    let (_, metrics) = server.fetch("GET /metrics", &[], b"");
    for stage in ["scheduler", "compute"] {
        let bytes = used["services"]["elsewhere"][stage]["resident_bytes"].as_u64();
        assert!(bytes > Some(1 << 20), "{used}");
        assert!(get(&server, "/health")["services"][stage]["calls"].as_u64() > Some(0));
        assert!(metrics.contains(&format!("whinchat_asked_calls_total{{service=\"{stage}\"}}")), "{metrics}");
    }
}

/// Waits until something holds.
#[cfg(target_os = "linux")]
fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "{what}");
        std::thread::yield_now();
    }
}

/// Whether a process runs: not gone, nor dead and not yet waited for.
#[cfg(target_os = "linux")]
fn is_alive(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("State:")).is_some_and(|state| !state.trim().starts_with('Z'))
}

/// Files without a name that a process has open.
#[cfg(target_os = "linux")]
fn memfds(process: u32) -> usize {
    let all = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it lives").map_while(Result::ok);
    let links = all.filter_map(|file| std::fs::read_link(file.path()).ok());
    links.filter(|link| link.to_string_lossy().contains("memfd:whinchat")).count()
}

/// What has been started by the server.
#[cfg(target_os = "linux")]
fn children(server: &Server) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.child.id())).expect("it lives");
    let of = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let all: String = tasks.map_while(Result::ok).map(of).collect();
    all.split_whitespace().map(|id| id.parse().expect("a number")).collect()
}

#[cfg(target_os = "linux")]
fn signal(process: u32, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(sent.expect("kill is there").success());
}
