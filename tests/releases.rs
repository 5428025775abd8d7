//! `whinchat release` as people use it: checks against a baseline, and releases of good and bad candidates over HTTP.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn whinchat(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
    command.args(words).env_remove("WHINCHAT_MODEL").env_remove("WHINCHAT_SERVER");
    command.output().expect("the program starts")
}

/// Runs `release check` of the small model against `file`: its exit status has to be this one, and its output has to say that.
fn check(file: &str, more: &[&str], status: i32, says: &str) -> String {
    let model = root().join("tests/data/tiny").display().to_string();
    let measure = ["--requests", "40", "--prompt", "8,24", "--threads", "1"];
    let output = whinchat(&[&["release", "check", "--baseline", file, &model], &measure[..], more].concat());
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{more:?}: {text}");
    assert!(text.contains(says), "{more:?}: {text}");
    text.into_owned()
}

/// Times of a test machine say nothing: any are allowed where it is not about them.
const ANY_TIME: [&str; 2] = ["--allow", "median=1000,tail=1000,per_token=1000,memory=10"];

#[test]
fn a_model_is_checked_against_its_baseline() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("baseline.json").display().to_string();
    check(&file, &[], 2, "--write makes a baseline");
    let suite = root().join("models/whinchat-demo/eval").display().to_string();
    let suite = ["--suite", &suite, "--limit", "1"];
    check(&file, &["--write"], 0, "has the baseline of tiny: 80 requests");
    let told = check(&file, &ANY_TIME, 0, "kept");
    assert!(told.contains("failures") && told.contains("time per token (p50)"), "{told}");
    check(&file, &["--generate", "5"], 2, "give the same options");
    check(&file, &suite, 2, "not with 12 cases");

    // What was measured before and is not any more.
    let mut kept: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("a file")).expect("JSON");
    kept["baseline"]["quality"] = json!({ "cloze": 0.9 });
    std::fs::write(&file, kept.to_string()).expect("written");
    check(&file, &ANY_TIME, 1, "quality: cloze: not measured now, 0.9 before");
    let json = check(&file, &[&ANY_TIME[..], &["--json"]].concat(), 1, r#""regressed":true"#);
    assert!(json.contains(r#""standing":"regressed""#), "{json}");
    std::fs::write(&file, "{}").expect("written");
    check(&file, &[], 2, "is no baseline");
}
/// Python plays the clients. The short form; `tests/releases.py --long` is the long one.
#[cfg(all(unix, feature = "batches"))]
#[test]
fn good_candidates_are_promoted_and_bad_ones_rolled_back() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: there is no python3 to play the clients");
        return;
    }
    let mut python = Command::new("python3");
    let output = python.arg(root().join("tests/releases.py")).arg(env!("CARGO_BIN_EXE_whinchat")).output();
    let output = output.expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    println!("{text}");
}
