//! `whinchat chat` without a terminal: one message, or lines in a pipe. With one: tests/chat_terminal.py.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A chat with the small model of the tests, greedy; `input` is what stands in the pipe.
fn chat(args: &[&str], input: &str) -> Output {
    let model = root().join("tests/data/tiny");
    let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
    command.arg("chat").arg("--model").arg(model).args(["--temperature", "0", "-n", "6"]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // Who does not read its input may be gone before it is written.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

/// What a chat says on stdout and stderr, and whether it succeeds.
fn said(args: &[&str], input: &str) -> (String, String, bool) {
    let output = chat(args, input);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout), text(output.stderr), output.status.success())
}

#[test]
fn one_message_gets_the_answer_and_nothing_else() {
    let (answer, errors, succeeds) = said(&["The whinchat"], "");
    assert!(succeeds && errors.is_empty() && answer.trim().len() > 3, "{answer:?} {errors}");
    assert_eq!(said(&["-"], "The whinchat").0, answer, "- is stdin");
    assert_eq!(said(&[], "The whinchat\n").0, answer, "and so is a pipe");
    let (_, errors, succeeds) = said(&[" "], "");
    assert!(!succeeds && errors.contains("the message is empty"), "{errors}");
}

#[test]
fn lines_of_a_pipe_may_be_commands() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("chat.json").display().to_string();
    let lines = format!(
        "The whinchat\\\nsings\n/edit The bird\n/system Be brief.\n/set max-tokens 2\nwhere?\n/multi\n one\n\n two\n/end\n\
         /save {file}\n/quit\nnever read\n"
    );
    let (_, errors, succeeds) = said(&[], &lines);
    assert!(succeeds, "{errors}");
    let saved: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("written")).expect("JSON");
    let asked = |at: usize| saved["messages"][at]["content"].as_str().expect("a text");
    assert_eq!((asked(0), asked(1), asked(3), asked(5)), ("Be brief.", "The bird", "where?", "one\n\n two"));
    // Each answer is a line, be it empty.
    let stop = asked(6).trim();
    let again = said(&[], &format!("/load {file}\n/regenerate\n/set stop {stop}\n/regenerate\n")).0;
    assert!(again.contains(stop) && again.lines().nth(1).is_some_and(|line| line.trim().is_empty()), "{again:?}");
    // Nobody's file is replaced.
    let (_, errors, succeeds) = said(&[], &format!("a\n/save {file}\n"));
    assert!(!succeeds && errors.contains("is there already"), "{errors}");
    std::fs::remove_file(&file).expect("removed");
    let backslash = said(&["--system", "x"], &format!("a\\\nb\n/save {file}\n"));
    assert!(backslash.2 && std::fs::read_to_string(&file).expect("written").contains(r#""a\nb""#));
}

/// A line that cannot be done is said with each of `parts`, and the next one is done.
fn check_error(line: &str, parts: &[&str]) {
    let (answers, errors, succeeds) = said(&["--context", "64"], &format!("{line}\nThe whinchat\n"));
    assert!(!succeeds && !answers.is_empty(), "{line}");
    for part in parts {
        assert!(errors.lines().next().is_some_and(|first| first.contains(part)), "{line}: {part} is not in\n{errors}");
    }
    assert!(errors.ends_with("error: 1 of the lines could not be done\n"), "{line}: {errors}");
}

#[test]
fn mistakes_are_said_and_the_chat_goes_on() {
    check_error("/nope", &["no command /nope", "/help"]);
    check_error("/set top-k many", &["top-k", "whole number"]);
    check_error("/load nowhere.json", &["nowhere.json", "give the path"]);
    check_error("/edit", &["no message to edit"]);
    check_error("/copy", &["no answer to copy"]);
    check_error(&"word ".repeat(100), &["context of 64", "--context"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tools.json").display().to_string();
    std::fs::write(&file, r#"{"name": "f"}"#).expect("written");
    check_error(&format!("/tools {file}"), &["tools.json is no list of tools: write [{"]);
    std::fs::write(&file, json!([{ "type": "function", "function": { "name": "f" } }]).to_string()).expect("written");
    check_error(&format!("/tools {file}"), &["no place for tools"]);
    let (_, errors, succeeds) = said(&["--tools", &file, "x"], "");
    assert!(!succeeds && errors.contains("no place for tools"), "{errors}");
    let (_, errors, succeeds) = said(&["--chat-template-kwargs", "[1]", "x"], "");
    assert!(!succeeds && errors.contains("JSON object"), "{errors}");
}
