//! A `whinchat serve` in a process of its own, for the tests that need one.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long anything may take before a test fails rather than hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The server.
pub(crate) struct Server {
    pub(crate) child: Child,
    /// The lines that it says; they are read as they come, so that it never waits for who reads them.
    lines: Mutex<Receiver<String>>,
    pub(crate) address: String,
}

impl Server {
    /// Starts one on the small model in tests/data, called `tiny`, and waits until it is ready.
    pub(crate) fn tiny(flags: &[&str]) -> Server {
        let model = root().join("tests/data/tiny").display().to_string();
        Server::start(&[&["--alias", "tiny", "--listen", "127.0.0.1:0", "--model", &model], flags].concat())
    }

    /// Starts one with these flags and waits until it is ready.
    pub(crate) fn start(flags: &[&str]) -> Server {
        Server::start_as(program(), flags)
    }

    /// Starts this program with these flags and waits until it is ready.
    pub(crate) fn start_as(mut command: Command, flags: &[&str]) -> Server {
        command.arg("serve");
        Server::start_with(command, flags)
    }

    /// Starts a stage of the pipeline alone, on the small model, with these flags.
    pub(crate) fn service(stage: &str, flags: &[&str]) -> Server {
        let model = root().join("tests/data/tiny").display().to_string();
        let mut command = program();
        command.args(["service", stage, "--listen", "127.0.0.1:0", "--model", &model]);
        Server::start_with(command, flags)
    }

    fn start_with(mut command: Command, flags: &[&str]) -> Server {
        let mut child = command.args(flags).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let (said, lines) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        let mut server = Server { child, lines: Mutex::new(lines), address: String::new() };
        let line = server.line_with("listening on http://");
        let (_, rest) = line.split_once("http://").expect("the line has it");
        server.address = rest.chars().take_while(|c| c.is_ascii_hexdigit() || ".:[]".contains(*c)).collect();
        server.line_with("is ready");
        server
    }

    /// The next line that says this.
    pub(crate) fn line_with(&mut self, part: &str) -> String {
        let mut all = Vec::new();
        loop {
            let lines = self.lines.get_mut().expect("nobody else has it");
            let Ok(line) = lines.recv() else { panic!("it ended before it said {part:?}: {all:#?}") };
            if line.contains(part) {
                return line;
            }
            all.push(line);
        }
    }

    /// Sends a request, `METHOD PATH`, and leaves the answer to be read. A header that is given replaces the usual one.
    pub(crate) fn send(&self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let length = body.len().to_string();
        let usual = [("host", "localhost"), ("connection", "close"), ("content-length", &length)];
        let usual = usual.into_iter().filter(|(name, _)| headers.iter().all(|(given, _)| given != name));
        let mut head = format!("{request} HTTP/1.1\r\n");
        for (name, value) in usual.chain(headers.iter().copied()) {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(body)).expect("it reads");
        BufReader::new(stream)
    }

    /// The status and the body of an answer.
    pub(crate) fn fetch(&self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let mut answer = String::new();
        self.send(request, headers, body).read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status"), body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, without what its surroundings say.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
    ["WHINCHAT_MODEL", "WHINCHAT_LOG", "WHINCHAT_WEIGHTS_CACHE"].iter().for_each(|name| _ = command.env_remove(name));
    command.env("HF_HUB_OFFLINE", "1").stdin(Stdio::null());
    command
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
