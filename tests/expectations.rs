//! What people who come from other servers expect: a table of rows (`tests/data/expectations.jsonl`), an input and what it gives.
//!
//! A row has a sentence (`about`) and one of
//! - `run`: a command line, perhaps with `stdin`; `ok` (true), and parts of what it says in `stdout` and `stderr`;
//! - `http`: a request, `METHOD PATH` and perhaps `headers` and `body`; the `status` (200) and what the `answer` has: an object's fields
//!   are looked up, an array is compared item by item, `"~text"` is a part of a text. `serve` are flags of the server that is asked.
//!
//! In both `$TINY` is the small model beside this table, `$DIR` the folder of the row's `files`, by name.
#![cfg(unix)]

mod support;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Server, program, root};

#[test]
fn what_people_expect_holds() {
    let table = std::fs::read_to_string(data().join("expectations.jsonl")).expect("the table");
    let mut servers = HashMap::new();
    let mut failures = Vec::new();
    for (line, row) in table.lines().zip(1..) {
        let row: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("line {row}: {e}"));
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in row["files"].as_object().into_iter().flatten() {
            std::fs::write(folder.path().join(name), text.as_str().expect("a text")).expect("written");
        }
        let row: Value = serde_json::from_str(&filled(line, folder.path())).expect("JSON with paths");
        let checked = if row["run"].is_array() { check_run(&row) } else { check_http(&row, &mut servers) };
        failures.extend(checked.err().map(|why| format!("{}: {why}", row["about"])));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn data() -> PathBuf {
    root().join("tests/data")
}

fn filled(line: &str, folder: &Path) -> String {
    line.replace("$TINY", &data().join("tiny").display().to_string()).replace("$DIR", &folder.display().to_string())
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().expect("a text")).collect()
}

/// A program that needs no input may have ended before it came.
fn gone(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// Runs a command line and compares what it says.
fn check_run(row: &Value) -> Result<(), String> {
    let mut command = program();
    command.args(texts(&row["run"])).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(row["stdin"].as_str().unwrap_or_default().as_bytes()).or_else(gone).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let said = format!("{}\n{stdout}\n{stderr}", output.status);
    if output.status.success() != row["ok"].as_bool().unwrap_or(true) || stderr.contains("panicked") {
        return Err(said);
    }
    for (parts, text) in [(&row["stdout"], &stdout), (&row["stderr"], &stderr)] {
        if let Some(missing) = texts(parts).into_iter().find(|part| !text.contains(part)) {
            return Err(format!("{missing:?} is not in\n{said}"));
        }
    }
    Ok(())
}

/// Sends a request to the server with the row's flags and compares the answer.
fn check_http(row: &Value, servers: &mut HashMap<String, Server>) -> Result<(), String> {
    let flags = texts(&row["serve"]);
    let server = servers.entry(flags.join(" ")).or_insert_with(|| Server::tiny(&flags));
    let headers = row["headers"].as_object().into_iter().flatten();
    let headers: Vec<(&str, &str)> =
        headers.map(|(name, value)| (name.as_str(), value.as_str().expect("a text"))).collect();
    let body = row.get("body").map(Value::to_string).unwrap_or_default();
    let (status, answer) = server.fetch(row["http"].as_str().expect("a method and a path"), &headers, body.as_bytes());
    let wanted = row["status"].as_u64().unwrap_or(200);
    if u64::from(status) != wanted {
        return Err(format!("status {status}, not {wanted}: {answer}"));
    }
    match row.get("answer") {
        Some(wanted) => compare(wanted, &serde_json::from_str(&answer).unwrap_or(json!(answer)), "answer"),
        None => Ok(()),
    }
}

/// Whether `got` has what is wanted.
fn compare(wanted: &Value, got: &Value, path: &str) -> Result<(), String> {
    match (wanted, got) {
        (Value::Object(fields), Value::Object(_)) => {
            fields.iter().try_for_each(|(name, wanted)| compare(wanted, &got[name], &format!("{path}.{name}")))
        }
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            let mut pairs = wanted.iter().zip(got).enumerate();
            pairs.try_for_each(|(i, (wanted, got))| compare(wanted, got, &format!("{path}[{i}]")))
        }
        (Value::String(part), Value::String(text)) if part.starts_with('~') && text.contains(&part[1..]) => Ok(()),
        _ if wanted == got => Ok(()),
        _ => Err(format!("{path} is {got}, not {wanted}")),
    }
}
