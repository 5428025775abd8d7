//! Downloads from a hub played by a local server: cache layout, resume, checksums, refusals.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;
use sha2::{Digest, Sha256};
use whinchat::hub::{Hub, HubError, ModelId};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server does wrong.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The first answer breaks off half way.
    Breaks,
    /// Other bytes than promised.
    WrongBytes,
    /// Every answer is 401.
    Refuses,
}

struct Server {
    endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

fn weights() -> Vec<u8> {
    (0..200_000u32).flat_map(u32::to_le_bytes).collect()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn start(fault: Fault) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, fault, &seen);
        }
    });
    Server { endpoint, requests }
}

fn answer(mut stream: TcpStream, fault: Fault, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let head: Vec<String> = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = head[0].split(' ').nth(1).unwrap_or_default().to_owned();
    let header = |name: &str| head.iter().find_map(|l| l.to_lowercase().strip_prefix(name).map(str::to_owned));
    let from = header("range: bytes=").map_or(0, |r| r.trim_end_matches('-').parse::<usize>().unwrap_or(0));
    let first = {
        let mut seen = seen.lock().expect("no panic while locked");
        seen.push(format!("{path} from {from} {}", header("authorization: ").unwrap_or_default()));
        seen.iter().filter(|line| line.contains("resolve")).count() == 1
    };
    let body = match path.as_str() {
        _ if fault == Fault::Refuses => return stream.write_all(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"),
        p if p.starts_with("/api/models/org/name/") => listing().into_bytes(),
        p if p.ends_with("model.gguf") && fault == Fault::WrongBytes => vec![7; weights().len()],
        p if p.ends_with("model.gguf") => weights(),
        _ => return stream.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
    };
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let body = &body[from..];
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    let whole = !(fault == Fault::Breaks && first && path.ends_with(".gguf"));
    stream.write_all(if whole { body } else { &body[..body.len() / 2] })
}

fn listing() -> String {
    let (size, sha) = (weights().len(), hex(&weights()));
    json!({ "sha": COMMIT, "siblings": [
        { "rfilename": "README.md", "size": 3, "blobId": "00000000000000000000" },
        { "rfilename": "model.gguf", "size": size, "blobId": "11111111111111111111", "lfs": { "sha256": sha, "size": size } },
    ]})
    .to_string()
}

fn hub(server: &Server, cache: &Path) -> Hub {
    Hub { endpoint: server.endpoint.clone(), token: Some("secret".into()), cache: cache.to_owned(), offline: false }
}

fn id() -> ModelId {
    ModelId::parse("org/name").expect("an id")
}

/// Fetches from a server with `fault` and returns what came and what was asked.
fn check(fault: Fault, cache: &Path) -> (Result<std::path::PathBuf, HubError>, Vec<String>) {
    let server = start(fault);
    let fetched = hub(&server, cache).fetch(&id(), &|_, _, _| {});
    let requests = server.requests.lock().expect("no panic while locked").clone();
    (fetched, requests)
}

#[test]
fn a_model_is_fetched_once_into_the_standard_layout() {
    let cache = tempfile::tempdir().expect("a folder");
    let (fetched, requests) = check(Fault::None, cache.path());
    let path = fetched.expect("fetched");
    assert_eq!(path, cache.path().join("models--org--name/snapshots").join(COMMIT).join("model.gguf"));
    assert_eq!(std::fs::read(&path).expect("readable"), weights());
    assert!(cache.path().join("models--org--name/blobs").join(hex(&weights())).is_file());
    assert!(requests.iter().all(|r| r.ends_with("bearer secret")), "{requests:?}");
    let (again, requests) = check(Fault::None, cache.path());
    assert_eq!(again.expect("cached"), path);
    assert!(!requests.iter().any(|r| r.contains("resolve")), "{requests:?}");
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let cache = tempfile::tempdir().expect("a folder");
    let (fetched, requests) = check(Fault::Breaks, cache.path());
    assert_eq!(std::fs::read(fetched.expect("fetched")).expect("readable"), weights());
    assert!(requests.iter().any(|r| r.contains(&format!("model.gguf from {}", weights().len() / 2))), "{requests:?}");
}

#[test]
fn wrong_bytes_are_refused_and_removed() {
    let cache = tempfile::tempdir().expect("a folder");
    let (fetched, _) = check(Fault::WrongBytes, cache.path());
    assert!(matches!(fetched, Err(HubError::Checksum { .. })));
    assert_eq!(std::fs::read_dir(cache.path().join("models--org--name/blobs")).expect("a folder").count(), 0);
}

#[test]
fn a_refusal_says_what_to_do() {
    let cache = tempfile::tempdir().expect("a folder");
    let (fetched, _) = check(Fault::Refuses, cache.path());
    assert!(fetched.expect_err("refused").to_string().contains("HF_TOKEN"));
}

#[test]
fn without_a_network_the_cache_serves() {
    let cache = tempfile::tempdir().expect("a folder");
    let path = check(Fault::None, cache.path()).0.expect("fetched");
    let gone = Hub { endpoint: "http://127.0.0.1:9".into(), token: None, cache: cache.path().into(), offline: false };
    assert_eq!(gone.fetch(&id(), &|_, _, _| {}).expect("from the cache"), path);
    let offline = Hub { offline: true, ..gone };
    assert_eq!(offline.fetch(&id(), &|_, _, _| {}).expect("from the cache"), path);
    let empty = tempfile::tempdir().expect("a folder");
    let nothing = Hub { cache: empty.path().into(), ..offline };
    assert!(matches!(nothing.fetch(&id(), &|_, _, _| {}), Err(HubError::Offline { .. })));
}
