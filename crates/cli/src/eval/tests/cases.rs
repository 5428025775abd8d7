//! Files and cases for tests of suites.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with these files.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

pub(crate) fn tiny() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tiny").display().to_string()
}

/// Forty cases that the small model answers in many ways; what is expected of them is `expect`, by their number.
pub(crate) fn varied_cases(mut expect: impl FnMut(usize) -> Value) -> String {
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
