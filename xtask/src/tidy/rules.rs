//! The rules themselves, each from the path and text of one file to findings.

use super::{Finding, scan};

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 60;
const MAX_PARAMETERS: usize = 5;
const MAX_FIELDS: usize = 12;
const MAX_BYTES: u64 = 2 << 20;

/// Split so that this file does not contain them.
const WORDS: &[&str] =
    &[concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!("), concat!("#[ig", "nore")];
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];
const FOLDERS: &[&str] = &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];

/// What code below a path must not mention, and why.
const KNOWLEDGE: &[(&str, &[&str], &str)] = &[
    ("crates/tensor/src/", &["std::fs", "std::thread"], "tensor knows no files and no threads"),
    (
        "crates/graph/src/",
        &["std::fs", "std::thread", "is_x86_feature_detected", "is_aarch64_feature_detected"],
        "graph knows no files, threads or CPUs",
    ),
    ("crates/kernels/src/", &["std::fs"], "kernels know no files"),
    ("crates/text/src/", &["async fn", "std::net"], "text knows neither async nor the network"),
    (
        "crates/engine/src/",
        &["Instant::now", "SystemTime", "std::fs", "async fn"],
        "engine is told the time and reads no files",
    ),
    ("crates/answer/src/", &["std::fs", "std::net", "Instant::now"], "answer knows no files and no network"),
    ("crates/serve/src/", &["std::fs"], "serve knows no weight files"),
    (
        "crates/release/src/",
        &["Instant::now", "SystemTime", "std::fs", "std::net", "std::thread", "async fn"],
        "release is told the time, and keeps and sends nothing",
    ),
];

/// Whether the text of a file is checked, not only its size.
pub(super) fn is_source(path: &str) -> bool {
    let extension = path.rsplit_once('.').map_or("", |(_, e)| e);
    path.starts_with(".ci/") || matches!(extension, "rs" | "py" | "sh" | "md" | "toml" | "ts" | "tsx" | "mjs")
}

/// No file is larger than two megabytes.
pub(super) fn size(path: &str, bytes: u64, findings: &mut Vec<Finding>) {
    if bytes > MAX_BYTES {
        report(findings, "size", path, format!("{bytes} bytes; at most {MAX_BYTES}"));
    }
}

/// Every rule about the text of a file.
pub(super) fn source(path: &str, text: &str, findings: &mut Vec<Finding>) {
    words(path, text, findings);
    if !path.ends_with(".md") && !path.ends_with(".toml") {
        first_line(path, text, findings);
        let product = scan::before_tests(text);
        let lines = product.lines().count();
        if lines > MAX_FILE_LINES {
            report(findings, "file-lines", path, format!("{lines} lines; at most {MAX_FILE_LINES}"));
        }
        if path.ends_with(".rs") {
            code(path, &scan::blank(product), findings);
            unsafety(path, &scan::blank(text), findings);
        }
    }
}

/// The first line says what the file is; in a script it may follow the `#!` line.
fn first_line(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let first = text.lines().find(|l| path.ends_with(".rs") || !l.starts_with("#!")).unwrap_or_default();
    let start = match path.rsplit_once('.') {
        Some((_, "rs")) => "//! ",
        Some((_, "ts" | "tsx" | "mjs")) => "// ",
        _ => "# ",
    };
    let docstring = path.ends_with(".py") && first.starts_with("\"\"\"");
    if !(first.starts_with(start) || docstring) || first.len() < 12 {
        report(findings, "first-line", path, format!("the first line must say what the file is: `{start}…`"));
    }
}

/// Nothing is left unfinished, and nothing names a folder of one machine.
fn words(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for word in WORDS.iter().filter(|w| text.contains(**w)) {
        report(findings, "word", path, format!("contains `{word}`"));
    }
    for mark in MARKS.iter().filter(|m| scan::contains_word(text, m)) {
        report(findings, "word", path, format!("contains {mark}"));
    }
    let begins = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || "/._~-$}".contains(c));
    for folder in FOLDERS.iter().filter(|f| text.match_indices(**f).any(|(at, _)| begins(at))) {
        report(findings, "path", path, format!("names the absolute path {folder}…"));
    }
}

/// Functions and structs are small, and a crate does not know what it must not. `code` has no comments and strings.
fn code(path: &str, code: &str, findings: &mut Vec<Finding>) {
    let test = path.starts_with("tests/") || path.contains("/tests/") || path.contains("/benches/");
    for function in scan::functions(code) {
        let place = format!("{path}:{}", function.name);
        if function.lines > MAX_FUNCTION_LINES && !test {
            report(
                findings,
                "function-lines",
                &place,
                format!("{} lines; at most {MAX_FUNCTION_LINES}", function.lines),
            );
        }
        if function.items > MAX_PARAMETERS {
            report(findings, "parameters", &place, format!("{}; at most {MAX_PARAMETERS}", function.items));
        }
    }
    for item in scan::structs(code).iter().filter(|s| s.items > MAX_FIELDS) {
        let message = format!("{} fields; at most {MAX_FIELDS}", item.items);
        report(findings, "fields", &format!("{path}:{}", item.name), message);
    }
    for (_, needles, why) in KNOWLEDGE.iter().filter(|k| path.starts_with(k.0)) {
        for needle in needles.iter().filter(|n| scan::contains_word(code, n)) {
            report(findings, "knowledge", path, format!("mentions {needle}: {why}"));
        }
    }
}

fn unsafety(path: &str, code: &str, findings: &mut Vec<Finding>) {
    // What a GPU's driver says of its memory, the kernels that it has compiled before, and its matrix units: wgpu has no safe calls
    // for these.
    const FILES: [&str; 4] =
        ["crates/model/src/mmap.rs", "crates/gpu/src/budget.rs", "crates/gpu/src/kept.rs", "crates/gpu/src/matrix.rs"];
    let allowed = path.starts_with("crates/kernels/") || FILES.contains(&path);
    if !allowed && scan::contains_word(code, "unsafe") {
        report(findings, "unsafe", path, format!("only in crates/kernels and in {}", FILES.join(", ")));
    }
}

fn report(findings: &mut Vec<Finding>, rule: &'static str, place: &str, message: String) {
    findings.push(Finding { rule, place: place.to_string(), message });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules and places that a file breaks.
    fn check(path: &str, text: &str, expected: &[(&str, &str)]) {
        let mut findings = Vec::new();
        source(path, text, &mut findings);
        let found: Vec<(&str, &str)> = findings.iter().map(|f| (f.rule, f.place.as_str())).collect();
        assert_eq!(found, expected, "{path}\n{text}");
    }

    fn rust(code: &str) -> String {
        format!("//! What this file is.\n{code}\n")
    }

    #[test]
    fn a_file_says_what_it_is() {
        check("a.rs", &rust(""), &[]);
        check("a.rs", "use x;\n", &[("first-line", "a.rs")]);
        check("a.sh", "#!/bin/sh\n# Runs the thing.\n", &[]);
        check("a.py", "\"\"\"Makes the thing.\"\"\"\n", &[]);
        check("a.py", "import os\n", &[("first-line", "a.py")]);
        check("a.tsx", "// Shows the thing.\n", &[]);
        check("a.ts", "import x;\n", &[("first-line", "a.ts")]);
    }

    #[test]
    fn lengths_are_limited_but_tests_are_free() {
        let body = "x();\n".repeat(60);
        let long = rust(&format!("fn long(a: &'static str, b: [u8; 3]) {{\n{body}}}"));
        check("a.rs", &long, &[("function-lines", "a.rs:long")]);
        check("crates/a/tests/a.rs", &long, &[]);
        check("a.rs", &rust(&format!("#[cfg(test)]\nmod tests {{ {long} }}")), &[]);
        check("a.rs", &rust(&"\n".repeat(500)), &[("file-lines", "a.rs")]);
    }

    #[test]
    fn parameters_and_fields_are_limited() {
        check("a.rs", &rust("fn f(&self, a: A<B, C>, b: (D, E), c: impl Fn(u8) -> F, d: [u8; 2], e: u8) {}"), &[]);
        check("a.rs", &rust("fn f<F: Fn(A, B, C) -> D>(a: F, b: u8, c: u8, d: u8, e: u8) {}"), &[]);
        check("a.rs", &rust("fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8);"), &[("parameters", "a.rs:f")]);
        check("a.rs", &rust(&format!("struct S<T> {{ {} }}", "a: u8, ".repeat(12))), &[]);
        check("a.rs", &rust(&format!("struct S {{ {} }}", "a: u8, ".repeat(13))), &[("fields", "a.rs:S")]);
    }

    #[test]
    fn words_and_paths_are_found_in_comments_and_strings() {
        check("a.rs", &rust(concat!("// TO", "DO later")), &[("word", "a.rs")]);
        check("a.rs", &rust("// MASTODON"), &[]);
        check("a.md", concat!("see /ho", "me/me/x"), &[("path", "a.md")]);
        check("a.md", concat!("see https://host.org/wo", "rk/x"), &[]);
    }

    #[test]
    fn a_crate_does_not_know_what_it_must_not() {
        check("crates/engine/src/a.rs", &rust("let t = Instant::now();"), &[("knowledge", "crates/engine/src/a.rs")]);
        check("crates/engine/src/a.rs", &rust("// Instant::now is \"Instant::now\""), &[]);
        check("a.rs", &rust("unsafe { x() }"), &[("unsafe", "a.rs")]);
        check("crates/kernels/src/a.rs", &rust("unsafe { x() }"), &[]);
        check("a.rs", &rust("#![allow(unsafe_code)] // unsafe\nconst A: &str = r#\"unsafe \" unsafe\"#;"), &[]);
    }
}
