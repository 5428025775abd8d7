//! The command as people run it.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use cases::{folder, tiny, varied_cases};

#[path = "../src/eval/tests/cases.rs"]
mod cases;

fn eval(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
    command.args(["eval", "--model", &tiny()]).args(args).stdin(Stdio::null()).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// What a run that succeeds prints.
fn stdout(args: &[&str]) -> String {
    let output = eval(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn the_table_has_a_row_for_each_task() {
    let folder = folder(&[("cases.jsonl", &varied_cases(|_| json!({ "contains": "e" })))]);
    let suite = folder.path().display().to_string();
    let table = stdout(&["--suite", &suite]);
    let rows: Vec<Vec<&str>> = table.lines().map(cells).collect();
    assert_eq!(rows[0], ["task", "cases", "passed", "score %", "95 % interval", "minimum %"]);
    assert_eq!((rows[2][..2].to_vec(), rows[3][..2].to_vec()), (vec!["chat", "20"], vec!["text", "20"]));
    assert_eq!((rows[4][..2].to_vec(), rows.len()), (vec!["total", "40"], 5));
    // However it is computed, the same to the last byte.
    for streams in ["1", "7"] {
        assert_eq!(stdout(&["--suite", &suite, "--streams", streams, "--threads", "1"]), table);
    }
    let file = folder.path().join("cases.jsonl").display().to_string();
    let some = stdout(&["--suite", &file, "--tasks", "text", "--limit", "3"]);
    assert_eq!(cells(some.lines().nth(2).expect("a row"))[..2], ["text", "3"]);
    assert!(!some.contains("chat"), "{some}");
}

#[test]
fn a_score_below_the_minimum_is_status_1_after_everything_is_printed() {
    let cases = varied_cases(|_| json!({ "exact": "no such text" }));
    let settings = r#"{"name": "hard", "minimum": {"chat": 0.25, "text": 0}}"#;
    let folder = folder(&[("cases.jsonl", &cases), ("suite.json", settings)]);
    let suite = folder.path().display().to_string();
    let file = folder.path().join("failed.txt").display().to_string();
    let output = eval(&["--suite", &suite, "--failures", "1"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(out.contains("25.0 (below)") && out.contains("\ncase-0: ") && out.contains("\ncase-1: "), "{out}");
    assert!(!out.contains("case-2") && out.contains("question: What is 0?"), "{out}");
    assert!(out.contains(r#"expected: {"exact":"no such text"}"#) && out.contains("answer:   "), "{out}");
    assert!(err.contains("40 cases in ") && err.contains("chat: score 0.0 %, at least 25.0 %"), "{err}");
    let output = eval(&["--suite", &suite, "--failures", &file, "--json", "--tasks", "chat"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((report["suite"].as_str(), report["total"]["passed"].as_u64()), (Some("hard"), Some(0)));
    assert_eq!(report["tasks"][0]["minimum"].as_f64(), Some(0.25));
    assert_eq!(report["below"], json!(["chat: score 0.0 %, at least 25.0 %"]));
    let failed = std::fs::read_to_string(&file).expect("written");
    let lines: Vec<Value> = failed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(Some(&lines), report["cases"].as_array());
    assert!(lines.len() == 20 && lines.iter().all(|case| case["pass"] == false && case["reason"].is_string()));
}

/// A run that must fail says so on stderr, in words that contain each of `parts`, and prints nothing.
fn check_error(args: &[&str], parts: &[&str]) {
    let output = eval(args);
    let stderr = text(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}");
    for part in parts {
        assert!(stderr.contains(part), "{args:?}: {part} is not in\n{stderr}");
    }
}

#[test]
fn mistakes_get_a_clear_error() {
    let folder = folder(&[("a.jsonl", "{\"id\": 1}\nx")]);
    let broken = folder.path().display().to_string();
    check_error(&["--suite", &broken], &["a.jsonl:1: id must be", "a.jsonl:2: is not a JSON object"]);
    check_error(&["--suite", "no/such/suite"], &["no/such/suite", "cannot be read"]);
    check_error(&[], &["--suite"]);
    let fine = crate::folder(&[("a.jsonl", &varied_cases(|_| json!({ "contains": "e" })))]);
    let fine = fine.path().display().to_string();
    check_error(&["--suite", &fine, "--tasks", "cats"], &["no task \"cats\"", "chat, text"]);
    check_error(&["--suite", &fine, "--limit", "0"], &["--limit"]);
    check_error(&["--suite", &fine, "--streams", "0"], &["--streams"]);
    check_error(&["--suite", &fine, "--json", "--failures", "3"], &["--failures 3", "--json"]);
}
