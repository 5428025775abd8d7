//! Downloads from a hub played by a local server: cache layout, resume, checksums, pauses, refusals.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use whinchat::hub::{Hub, HubError, ModelId, Patience};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// The first answer breaks off half way.
    Breaks,
    /// The first answer stops half way, and the line stays open.
    Stalls,
    /// Every answer of a file stops at once, and the line stays open.
    StallsAlways,
    /// Other bytes than promised.
    WrongBytes,
    /// This many answers have this status and these headers.
    Status(usize, u16, &'static str),
    /// The same, but only of files.
    FileStatus(usize, u16, &'static str),
}

const ALWAYS: usize = usize::MAX;

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
        let mut open = Vec::new();
        for stream in listener.incoming().flatten() {
            if answer(&stream, fault, &seen).is_ok_and(|whole| !whole) {
                open.push(stream);
            }
        }
    });
    Server { endpoint, requests }
}

/// Whether the answer is whole, so that the line may be closed.
fn answer(mut stream: &TcpStream, fault: Fault, seen: &Mutex<Vec<String>>) -> std::io::Result<bool> {
    let mut lines = BufReader::new(stream).lines();
    let head: Vec<String> = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = head[0].split(' ').nth(1).unwrap_or_default().to_owned();
    let header = |name: &str| head.iter().find_map(|l| l.to_lowercase().strip_prefix(name).map(str::to_owned));
    let from = header("range: bytes=").map_or(0, |r| r.trim_end_matches('-').parse::<usize>().unwrap_or(0));
    let is_file = path.contains("/resolve/");
    let (all, files) = {
        let mut seen = seen.lock().expect("no panic while locked");
        seen.push(format!("{path} from {from} {}", header("authorization: ").unwrap_or_default()));
        (seen.len(), seen.iter().filter(|line| line.contains("/resolve/")).count())
    };
    let refusal = match fault {
        Fault::Status(count, status, headers) if all <= count => Some((status, headers)),
        Fault::FileStatus(count, status, headers) if is_file && files <= count => Some((status, headers)),
        _ => None,
    };
    if let Some((status, headers)) = refusal {
        write!(stream, "HTTP/1.1 {status} No\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")?;
        return Ok(true);
    }
    let body = match path.as_str() {
        p if p.starts_with("/api/models/org/name/revision/") => listing().into_bytes(),
        p if p.ends_with("model.gguf") && fault == Fault::WrongBytes => vec![7; weights().len()],
        p if p.ends_with("model.gguf") => weights(),
        _ => panic!("nobody should ask for {path}"),
    };
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let body = &body[from..];
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    let (sent, whole) = match fault {
        Fault::Breaks if is_file && files == 1 => (body.len() / 2, true),
        Fault::Stalls if is_file && files == 1 => (body.len() / 2, false),
        Fault::StallsAlways if is_file => (0, false),
        _ => (body.len(), true),
    };
    stream.write_all(&body[..sent])?;
    Ok(whole)
}

fn listing() -> String {
    let (size, sha) = (weights().len(), hex(&weights()));
    json!({ "sha": COMMIT, "siblings": [
        { "rfilename": "README.md", "size": 3, "blobId": "00000000000000000000" },
        { "rfilename": "model.gguf", "size": size, "blobId": "11111111111111111111", "lfs": { "sha256": sha, "size": size } },
    ]})
    .to_string()
}

/// What a fetch gave, what was asked for it, and how many seconds it would have waited.
struct Fetched {
    path: Result<PathBuf, HubError>,
    requests: Vec<String>,
    waits: Vec<u64>,
}

/// Fetches from a server with `fault`.
fn fetch(name: &str, fault: Fault, cache: &Path) -> Fetched {
    let server = start(fault);
    let waits = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&waits);
    let wait = Arc::new(move |pause: Duration| heard.lock().expect("no panic while locked").push(pause.as_secs()));
    let hub = Hub {
        endpoint: server.endpoint.clone(),
        token: Some("secret".into()),
        cache: cache.to_owned(),
        offline: false,
        patience: Patience { stall: Duration::from_millis(50), wait, ..Patience::default() },
    };
    let id = hub.parse(&name.replace("HUB", &server.endpoint)).expect("an id");
    let path = hub.fetch(&id, &|_, _, _| {});
    let requests = server.requests.lock().expect("no panic while locked").clone();
    let waits = waits.lock().expect("no panic while locked").clone();
    Fetched { path, requests, waits }
}

#[test]
fn a_model_is_fetched_once_into_the_standard_layout() {
    let cache = tempfile::tempdir().expect("a folder");
    let fetched = fetch("org/name", Fault::None, cache.path());
    let path = fetched.path.expect("fetched");
    assert_eq!(path, cache.path().join("models--org--name/snapshots").join(COMMIT).join("model.gguf"));
    assert_eq!(std::fs::read(&path).expect("readable"), weights());
    assert!(cache.path().join("models--org--name/blobs").join(hex(&weights())).is_file());
    assert!(fetched.requests.iter().all(|r| r.ends_with("bearer secret")), "{:?}", fetched.requests);
    for same in ["org/name", "hf.co/org/name", "HUB/org/name", "HUB/org/name/blob/main/model.gguf", "org/name:model"] {
        let again = fetch(same, Fault::None, cache.path());
        assert_eq!(again.path.expect("cached"), path, "{same}");
        assert!(!again.requests.iter().any(|r| r.contains("resolve")), "{:?}", again.requests);
    }
}

#[test]
fn a_revision_has_its_own_commit() {
    let cache = tempfile::tempdir().expect("a folder");
    let fetched = fetch("HUB/org/name/tree/refs%2Fpr%2F1", Fault::None, cache.path());
    assert!(fetched.path.is_ok() && fetched.requests[0].contains("/revision/refs%2Fpr%2F1?"), "{:?}", fetched.requests);
    let refs = cache.path().join("models--org--name/refs");
    assert_eq!(std::fs::read_to_string(refs.join("refs/pr/1")).expect("written"), COMMIT);
    assert!(!refs.join("main").exists());
}

/// A fault that passes costs these pauses and no more; one that lasts is told in these words.
#[test]
fn what_passes_is_waited_out_and_what_lasts_is_told() {
    let half = format!("model.gguf from {}", weights().len() / 2);
    let check = |fault: Fault, waits: &[u64], wanted: Result<&str, &[&str]>| {
        let cache = tempfile::tempdir().expect("a folder");
        let fetched = fetch("org/name", fault, cache.path());
        assert_eq!(fetched.waits, waits, "{fault:?}");
        match (fetched.path, wanted) {
            (Ok(path), Ok(asked)) => {
                assert_eq!(std::fs::read(path).expect("readable"), weights(), "{fault:?}");
                assert!(fetched.requests.iter().any(|r| r.contains(asked)), "{fault:?}: {:?}", fetched.requests);
            }
            (Err(error), Err(parts)) => {
                let said = error.to_string();
                parts.iter().for_each(|part| assert!(said.contains(part), "{fault:?}: {said} has no {part:?}"));
            }
            (got, _) => panic!("{fault:?}: {got:?}"),
        }
    };
    check(Fault::Breaks, &[1], Ok(&half));
    check(Fault::Stalls, &[1], Ok(&half));
    check(Fault::StallsAlways, &[1, 2, 4, 8], Err(&["cannot reach", "nothing came for 0.05 s"]));
    check(Fault::Status(1, 429, "Retry-After: 7\r\n"), &[7], Ok("model.gguf from 0"));
    check(Fault::Status(2, 503, ""), &[1, 2], Ok("model.gguf from 0"));
    check(Fault::FileStatus(1, 429, "Retry-After: 0\r\n"), &[0], Ok("model.gguf from 0"));
    let date = "Date: Fri, 31 Dec 1999 23:59:50 GMT\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n";
    check(Fault::FileStatus(2, 502, date), &[9, 9], Ok("model.gguf from 0"));
    let limited = ["HTTP 429, Too Many Requests", "try again in 7 s", "HF_TOKEN"];
    check(Fault::Status(ALWAYS, 429, "Retry-After: 7\r\n"), &[7, 7, 7, 7], Err(&limited));
    check(Fault::FileStatus(ALWAYS, 429, "Retry-After: 3600\r\n"), &[], Err(&["429", "try again in 3600 s"]));
    check(Fault::Status(ALWAYS, 503, ""), &[1, 2, 4, 8], Err(&["HTTP 503, Service Unavailable", "try again later"]));
    check(Fault::Status(ALWAYS, 401, ""), &[], Err(&["HTTP 401", "HF_TOKEN"]));
    check(Fault::Status(ALWAYS, 404, ""), &[], Err(&["HTTP 404", "check the spelling"]));
    check(Fault::Status(ALWAYS, 418, ""), &[], Err(&["cannot be used", "HTTP 418"]));
}

#[test]
fn wrong_bytes_are_refused_and_removed() {
    let cache = tempfile::tempdir().expect("a folder");
    assert!(matches!(fetch("org/name", Fault::WrongBytes, cache.path()).path, Err(HubError::Checksum { .. })));
    assert_eq!(std::fs::read_dir(cache.path().join("models--org--name/blobs")).expect("a folder").count(), 0);
}

#[test]
fn without_a_network_the_cache_serves() {
    let cache = tempfile::tempdir().expect("a folder");
    let path = fetch("org/name", Fault::None, cache.path()).path.expect("fetched");
    for fault in [Fault::Status(ALWAYS, 429, "Retry-After: 3600\r\n"), Fault::Status(ALWAYS, 500, "")] {
        assert_eq!(fetch("org/name", fault, cache.path()).path.expect("from the cache"), path);
    }
    let id = ModelId::parse("org/name").expect("an id");
    let gone = Hub {
        endpoint: "http://127.0.0.1:9".into(),
        token: None,
        cache: cache.path().into(),
        offline: false,
        patience: Patience::default(),
    };
    assert_eq!(gone.fetch(&id, &|_, _, _| {}).expect("from the cache"), path);
    let offline = Hub { offline: true, ..gone };
    assert_eq!(offline.fetch(&id, &|_, _, _| {}).expect("from the cache"), path);
    let empty = tempfile::tempdir().expect("a folder");
    let nothing = Hub { cache: empty.path().into(), ..offline };
    assert!(matches!(nothing.fetch(&id, &|_, _, _| {}), Err(HubError::Offline { .. })));
}

/// What the cache has, as the names and sizes that `hub.models()` gives.
fn listed(hub: &Hub) -> Vec<(String, u64)> {
    hub.models().into_iter().inspect(|model| assert!(model.path.exists())).map(|m| (m.name, m.bytes)).collect()
}

#[test]
fn what_is_in_the_cache_is_listed_and_removed() {
    let cache = tempfile::tempdir().expect("a folder");
    let hub = Hub { cache: cache.path().into(), offline: true, ..Hub::from_env() };
    assert_eq!(listed(&hub), []);
    fetch("org/name", Fault::None, cache.path()).path.expect("fetched");
    let size = weights().len() as u64;
    let fetched = ("org/name:model.gguf".to_owned(), size);
    assert_eq!(listed(&hub), std::slice::from_ref(&fetched));
    // A repository with two files and a folder with safetensors, as if they were fetched; one that is not whole.
    let put = |repo: &str, name: &str, bytes: &str| {
        let folder = cache.path().join(format!("models--{repo}"));
        let snapshot = folder.join("snapshots/abc");
        for dir in [&snapshot, &folder.join("refs"), &folder.join("blobs")] {
            std::fs::create_dir_all(dir).expect("a folder");
        }
        std::fs::write(folder.join("refs/main"), "abc").expect("written");
        std::fs::write(folder.join("blobs").join(name), bytes).expect("written");
        let link = std::fs::hard_link(folder.join("blobs").join(name), snapshot.join(name));
        #[cfg(unix)]
        let link = link.and_then(|()| {
            std::fs::remove_file(snapshot.join(name))?;
            std::os::unix::fs::symlink(format!("../../blobs/{name}"), snapshot.join(name))
        });
        link.expect("a link");
    };
    for (repo, name, bytes) in [
        ("a--two", "m-Q4_0.gguf", "1234"),
        ("a--two", "m-Q8_0.gguf", "12345678"),
        ("b--tensors", "model.safetensors", "12"),
        ("b--tensors", "config.json", "{}"),
        ("c--none", "README.md", "hi"),
    ] {
        put(repo, name, bytes);
    }
    let mut all = vec![("a/two:m-Q4_0.gguf".to_owned(), 4), ("a/two:m-Q8_0.gguf".to_owned(), 8)];
    all.extend([("b/tensors".to_owned(), 4), fetched]);
    assert_eq!(listed(&hub), all);
    let remove = |name: &str| hub.remove(&ModelId::parse(name).expect("an id"));
    assert_eq!(remove("a/two:Q4_0").expect("it is there"), 4);
    assert!(matches!(remove("a/two:Q4_0"), Err(HubError::Absent { .. })));
    assert!(matches!(remove("x/y"), Err(HubError::Absent { .. })));
    all.remove(0);
    assert_eq!(listed(&hub), all);
    assert_eq!((remove("org/name").expect("it is there"), remove("b/tensors").expect("it is there")), (size, 4));
    assert_eq!(listed(&hub), [("a/two:m-Q8_0.gguf".to_owned(), 8)]);
    assert!(!cache.path().join("models--org--name").exists());
}
