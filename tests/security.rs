//! `whinchat key` and `whinchat serve --api-keys` as people run them.
#![cfg(unix)]

mod support;

use std::path::Path;
use std::process::Output;
use std::time::Instant;

use serde_json::Value;
use support::{DEADLINE, Server, program};

const BODY: &[u8] = br#"{"prompt": "Once", "max_tokens": 2}"#;

/// Runs `whinchat key` on a file.
fn key(file: &Path, args: &[&str]) -> Output {
    program().arg("key").args(args).arg("--file").arg(file).output().expect("the program starts")
}

/// What it printed, if it went well.
fn said(output: Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn keys_are_made_and_taken_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.json");
    let alice = said(key(&file, &["create", "alice", "--requests-per-minute", "1000", "--concurrency", "2"]));
    let scraper = said(key(&file, &["create", "scraper", "--role", "metrics"]));
    let kept = std::fs::read_to_string(&file).expect("the file");
    assert!(alice.starts_with("wc-") && alice != scraper && !kept.contains(&alice[3..]), "{kept}");
    let listed = said(key(&file, &["list"]));
    assert!(listed.lines().count() == 3 && listed.contains("alice") && listed.contains("1000"), "{listed}");
    let listed: Vec<Value> =
        said(key(&file, &["list", "--json"])).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&listed[0]["concurrency"], &listed[1]["role"]), (&2.into(), &"metrics".into()));
    assert!(listed.iter().all(|key| key.get("sha256").is_none()), "{listed:?}");
    for (args, why) in [
        (["create", "alice"], "a key of the name alice already"),
        (["create", "a b"], "is no name of a key"),
        (["revoke", "carol"], "there are: alice, scraper"),
    ] {
        let output = key(&file, &args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(why), "{error}");
    }

    let mut server = Server::tiny(&["--api-keys", &file.display().to_string()]);
    let status = |server: &Server, key: &str| {
        let shown = format!("Bearer {key}");
        server.fetch("POST /v1/completions", &[("authorization", &shown)], BODY).0
    };
    assert_eq!([&alice, &scraper, "wc-none"].map(|key| status(&server, key)), [200, 403, 401]);
    assert_eq!(said(key(&file, &["revoke", "alice"])), "");
    server.line_with("API keys have changed: they count from now on");
    assert_eq!(status(&server, &alice), 401);
    // A file that is wrong changes nothing, and is reported.
    std::fs::write(&file, "{}").expect("written");
    let line = server.line_with("API keys have changed and are wrong");
    assert!(line.contains("missing field `keys`"), "{line}");
    assert_eq!([&alice, &scraper].map(|key| status(&server, key)), [401, 403]);
}

/// A server that cannot be what it is asked to be does not start.
#[test]
fn what_is_missing_is_said_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let absent = folder.path().join("absent").display().to_string();
    let empty = folder.path().join("empty").display().to_string();
    std::fs::write(&empty, "").expect("written");
    for (flags, why) in [
        (vec!["--api-keys", &absent], "absent"),
        (vec!["--api-keys", &empty], "EOF while parsing"),
        (vec!["--tls-cert", &empty], "--tls-key"),
        (vec!["--tls-cert", &empty, "--tls-key", &empty], "has no private key in PEM"),
    ] {
        let began = Instant::now();
        let output = program().args(["serve", "--listen", "127.0.0.1:0"]).args(&flags).output().expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(why), "{flags:?}: {error}");
        assert!(began.elapsed() < DEADLINE, "{flags:?}");
    }
}
