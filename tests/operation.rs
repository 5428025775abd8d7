//! `whinchat serve` as operators run it: restarted without a refused request, and under a service manager.
#![cfg(unix)]

mod support;

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::io::FdFlags;
use support::{DEADLINE, Server, program, root};

const SHORT: &[u8] = br#"{"prompt":"Once","max_tokens":4,"temperature":0}"#;
const STREAM: &[u8] = br#"{"prompt":"Once","max_tokens":400,"ignore_eos":true,"temperature":0,"stream":true}"#;

/// The flags of a server on the small model, with these.
fn tiny(flags: &[&str]) -> Vec<String> {
    let model = root().join("tests/data/tiny").display().to_string();
    let usual = ["--alias", "tiny", "--model", &model];
    usual.iter().chain(flags).map(|&word| word.to_owned()).collect()
}

fn started(command: Command, flags: &[&str]) -> Server {
    let flags = tiny(flags);
    Server::start_as(command, &flags.iter().map(String::as_str).collect::<Vec<_>>())
}

fn signal(server: &Server, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &server.child.id().to_string()]).status();
    assert!(sent.expect("kill is there").success());
}

/// Waits for the end of the process, which must be a good one.
fn ends(mut server: Server) {
    let began = Instant::now();
    loop {
        if let Some(status) = server.child.try_wait().expect("it is ours") {
            return assert!(status.success(), "{status}");
        }
        assert!(began.elapsed() < DEADLINE, "it does not end");
        std::thread::yield_now();
    }
}

/// The rest of an answer, up to its end.
fn rest(mut answer: impl Read) -> String {
    let mut text = String::new();
    answer.read_to_string(&mut text).expect("an answer");
    text
}

/// An open answer of which the first bytes are there.
fn streaming(server: &Server) -> BufReader<TcpStream> {
    let mut open = server.send("POST /v1/completions", &[], STREAM);
    let mut head = [0; 12];
    open.read_exact(&mut head).expect("it has begun");
    assert_eq!(&head, b"HTTP/1.1 200");
    open
}

/// Asks over a connection that stays open; whether it is closed behind the answer.
fn asked_to_leave(stream: &mut TcpStream) -> bool {
    stream.write_all(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it is open");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    let answer = String::from_utf8(answer).expect("text").to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    answer.contains("connection: close")
}

fn asks_unix(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream.write_all(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("written");
    rest(stream)
}

/// What has begun is finished by the first server, connections are closed politely, and the second one answers all others.
#[test]
fn a_server_takes_over_from_the_one_that_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let [door, socket] = ["door", "socket"].map(|name| folder.path().join(name).display().to_string());
    let unix = format!("unix:{socket}");
    let flags = ["--listen", "127.0.0.1:0", "--listen", &unix, "--hand-over", &door];
    let first = started(program(), &flags);
    let open = streaming(&first);
    let mut kept = TcpStream::connect(&first.address).expect("it listens");
    assert!(!asked_to_leave(&mut kept));

    // One that cannot load its model changes nothing.
    let model = folder.path().join("none.gguf").display().to_string();
    let broken = program().args(["serve", "--model", &model]).args(flags).output().expect("the program starts");
    assert!(!broken.status.success(), "{}", String::from_utf8_lossy(&broken.stderr));
    let (status, answer) = first.fetch("POST /v1/completions", &[], SHORT);
    assert_eq!(status, 200, "{answer}");
    assert!(Path::new(&door).exists() && asks_unix(Path::new(&socket)).starts_with("HTTP/1.1 200"));

    let mut second = started(program(), &flags);
    second.line_with("took over");
    assert_eq!(second.address, first.address);
    while !asked_to_leave(&mut kept) {}
    assert_eq!(kept.read(&mut [0]).expect("it is closed, not reset"), 0);
    assert!(rest(open).contains("data: [DONE]"));
    ends(first);
    let (status, answer) = second.fetch("POST /v1/completions", &[], SHORT);
    assert_eq!(status, 200, "{answer}");
    assert!(asks_unix(Path::new(&socket)).starts_with("HTTP/1.1 200"));

    signal(&second, "TERM");
    ends(second);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is left");
}

/// A few restarts under load; `tests/restarts.py` says how to make a hundred.
#[test]
fn no_request_is_lost_in_restarts() {
    let python = std::env::var_os("WHINCHAT_PYTHON").unwrap_or_else(|| "python3".into());
    if !Command::new(&python).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: there is no {} (WHINCHAT_PYTHON names another)", python.display());
    }
    let mut command = Command::new(python);
    command
        .arg(root().join("tests/restarts.py"))
        .arg(env!("CARGO_BIN_EXE_whinchat"))
        .arg(root().join("tests/data/tiny"));
    let output = command.args(["--restarts", "3", "--clients", "1"]).output().expect("python starts");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// A program that is given this socket, as the service manager does it.
fn given(listener: &TcpListener) -> Command {
    rustix::io::fcntl_setfd(listener, FdFlags::empty()).expect("it is inherited");
    let mut command = program();
    command.env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", listener.as_raw_fd().to_string());
    command
}

/// Who comes while no process serves a socket, or one that ends, waits for the next.
#[test]
fn a_socket_of_the_service_manager_refuses_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let early = || {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let head = format!(
            "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            SHORT.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(SHORT)).expect("the kernel takes it");
        stream
    };
    let waiting = early();
    let mut first = started(given(&listener), &["--listen", "127.0.0.1:1"]);
    assert_eq!(first.address, address, "what is passed goes before --listen");
    assert!(rest(waiting).starts_with("HTTP/1.1 200"));

    let open = streaming(&first);
    signal(&first, "TERM");
    first.line_with("another process accepts");
    let waiting = early();
    assert!(rest(open).contains("data: [DONE]"));
    ends(first);
    let second = started(given(&listener), &[]);
    assert!(rest(waiting).starts_with("HTTP/1.1 200"));
    drop(second);
}

#[test]
fn the_service_manager_hears_what_happens() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let hears = |part: &str| {
        let mut all = Vec::new();
        loop {
            let mut message = [0; 4096];
            let length = manager.recv(&mut message).unwrap_or_else(|e| panic!("{e}: {part} is not in {all:?}"));
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if text.contains(part) {
                return text;
            }
            all.push(text);
        }
    };
    let mut command = program();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let server = started(command, &["--listen", "127.0.0.1:0"]);
    hears("STATUS=loading");
    hears("READY=1");
    hears("WATCHDOG=1");
    signal(&server, "HUP");
    let reloading = hears("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    hears("READY=1");
    signal(&server, "TERM");
    hears("STOPPING=1");
    ends(server);
}

/// Two replicas on the CPU: the device of one is lost in the midst of answers, and no answer shows it.
#[test]
fn a_lost_device_takes_no_answer_with_it() {
    let prompts = ["Once", "A bird", "The fox said", "1, 2,", "Why?", "In the end"];
    let ask = |server: &Server, prompt: &str, user: &str| {
        let body = serde_json::json!({
            "prompt": prompt, "user": user, "max_tokens": 60, "ignore_eos": true, "temperature": 0, "stream": true,
        });
        let (status, events) = server.fetch("POST /v1/completions", &[], body.to_string().as_bytes());
        assert_eq!(status, 200, "{events}");
        let data = events.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
        let text = |data: &str| {
            let event: serde_json::Value = serde_json::from_str(data).expect("JSON");
            assert!(event.get("error").is_none(), "{event}");
            event["choices"][0]["text"].as_str().unwrap_or_default().to_owned()
        };
        data.map(text).collect::<String>()
    };
    let alone = Server::tiny(&[]);
    let wanted = prompts.map(|prompt| ask(&alone, prompt, ""));
    drop(alone);

    let mut server = Server::tiny(&["--device", "cpu,cpu", "--allow-faults"]);
    server.line_with("a replica of tiny is ready on cpu");
    let loss = br#"{"kind": "device_loss", "seconds": 600, "times": 1, "match": {"user": "unlucky"}}"#;
    assert_eq!(server.fetch("POST /admin/faults", &[], loss).0, 200);
    let users = ["", "", "", "", "", "unlucky"];
    let answers: Vec<String> = std::thread::scope(|scope| {
        let (server, ask) = (&server, &ask);
        let asked = prompts.iter().zip(users).map(|(prompt, user)| scope.spawn(move || ask(server, prompt, user)));
        let asked: Vec<_> = asked.collect();
        asked.into_iter().map(|answer| answer.join().expect("an answer")).collect()
    });
    assert_eq!(answers, wanted);
    let (status, health) = server.fetch("GET /health", &[], b"");
    let models = serde_json::from_str::<serde_json::Value>(&health).expect("JSON")["models"].clone();
    let words = ["tiny", "tiny@replica-2"].map(|name| models[name].as_str().unwrap_or_default().to_owned());
    let failed = words.iter().filter(|word| word.starts_with("failed: ") && word.contains("injected fault")).count();
    assert!(status == 200 && failed == 1 && words.contains(&"ready".to_owned()), "{health}");
    let (status, ready) = server.fetch("GET /health/ready", &[], b"");
    assert!(status == 200 && ready.contains("degraded"), "{ready}");
    let metrics = server.fetch("GET /metrics", &[], b"").1;
    for (name, count) in [("engines", 1), ("engines_failed", 1)] {
        assert!(metrics.contains(&format!("whinchat_{name}{{model_name=\"tiny\"}} {count}\n")), "{metrics}");
    }
    // Whoever asks later is answered, whichever replica is chosen.
    for (prompt, wanted) in prompts.iter().zip(&wanted) {
        assert_eq!(ask(&server, prompt, ""), *wanted);
    }
}
