//! `whinchat doctor` as an operator meets it: what it says of this machine and of a server with these flags.

mod support;

use std::net::TcpListener;

use serde_json::Value;
use support::{program, root};

/// Runs it with these flags on the small model in tests/data; whether it is content, what it prints, and what it says besides.
fn doctor(flags: &[&str]) -> (bool, String, String) {
    let model = root().join("tests/data/tiny");
    let output = program().arg("doctor").arg(model).args(flags).output().expect("the program starts");
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
    (output.status.success(), out, err)
}

/// Checks whether something would fail, and that it is said with what helps.
fn check(flags: &[&str], fails: &[(&str, &str)]) {
    let (fine, out, err) = doctor(&[flags, &["--json"]].concat());
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let findings = told["findings"].as_array().expect("a list");
    let bad: Vec<&Value> = findings.iter().filter(|finding| finding["verdict"] == "would fail").collect();
    assert_eq!((bad.len(), fine), (fails.len(), fails.is_empty()), "{flags:?}: {told:#}");
    assert_eq!(told["status"] == "would fail", !fine, "{told:#}");
    for (finding, (check, part)) in bad.iter().zip(fails) {
        let said = finding["message"].as_str().is_some_and(|message| message.contains(part));
        let helps = finding["fix"].as_str().is_some_and(|fix| !fix.is_empty());
        assert!(finding["check"] == *check && said && helps, "{finding:#} does not say {part:?}");
    }
    let checks = ["configuration", "model", "memory", "cores", "network", "clock"];
    let looked = |check: &&str| findings.iter().any(|finding| finding["check"] == **check);
    assert!(findings.len() < 2 || checks.iter().all(looked), "{told:#}");
}

#[test]
fn what_would_fail_is_said_before_it_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("an address").to_string();
    let free = ["--listen", "127.0.0.1:0"];
    let (plain, broken) = (file("plain", "no folder"), file("w.yaml", "engine:\n  max_sequence: 8\n"));
    let inside = format!("{plain}/sessions");
    check(&free, &[]);
    check(&["--listen", &taken], &[("network", "cannot listen on 127.0.0.1")]);
    check(&[&free[..], &["--sessions", &inside]].concat(), &[("storage", "cannot be written")]);
    check(&[&free[..], &["--api-keys", &plain]].concat(), &[("security", "the file of API keys")]);
    check(&[&free[..], &["--tls-cert", &plain, "--tls-key", &plain]].concat(), &[("security", "TLS with")]);
    check(&[&free[..], &["--also", "b=/no/such/model.gguf"]].concat(), &[("model", "b: ")]);
    check(&["--config", &broken], &[("configuration", "max_sequence: there is no such setting")]);
}

#[test]
fn it_reads_as_a_report() {
    let (fine, out, err) = doctor(&["--listen", "127.0.0.1:0"]);
    assert!(fine, "{out}{err}");
    let last = out.lines().last().expect("a line");
    assert!(last.ends_with(", 0 would fail") && last.contains(" ok, "), "{out}");
    assert!(out.lines().any(|line| line.starts_with("ok          network")), "{out}");
}
