//! Suites and what is wrong with them, judges, runs.

mod judges;
mod runs;
mod suites;

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use whinchat::{LoadOptions, Model};

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

fn tiny() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tiny").display().to_string()
}

/// The small model of tests/data, for so many sequences at once.
fn model(streams: usize) -> Model {
    let options = LoadOptions { max_sequences: Some(streams), threads: Some(2), ..LoadOptions::default() };
    Model::load_with(&tiny(), &options, &|_, _, _| {}).expect("the fixture loads")
}

/// Forty cases that the small model answers in many ways; what is expected of them is `expect`, by their number.
fn varied_cases(mut expect: impl FnMut(usize) -> Value) -> String {
    let line = |i: usize| {
        let (id, task) = (format!("case-{i}"), ["chat", "text"][i % 2]);
        let mut case = json!({ "id": id, "task": task, "max_tokens": 40 + i, "expect": expect(i) });
        if i.is_multiple_of(2) {
            let content = format!("What is {i}? {}", "Tell me. ".repeat(i % 7));
            case["messages"] = json!([{ "role": "user", "content": content }]);
        } else {
            case["prompt"] = format!("The whinchat {i}").into();
        }
        if !i.is_multiple_of(4) {
            (case["temperature"], case["seed"]) = (1.5.into(), i.into());
        }
        format!("{case}\n")
    };
    (0..40).map(line).collect()
}
