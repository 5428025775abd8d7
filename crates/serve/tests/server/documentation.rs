//! docs/http.md names every field that is read or refused and every error code: it is compared with the source.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_page_names_fields_and_codes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let page = read("../../docs/http.md");
    let sources = ["chat", "completion", "request"].map(|name| read(&format!("src/wire/openai/{name}.rs")));
    let mut names = BTreeSet::new();
    for source in &sources {
        names.extend(source.split("fields.").skip(1).filter_map(first_argument));
    }
    let list = between(&sources[2], "UNSUPPORTED: &[&str] = &[", "];");
    names.extend(list.split('"').skip(1).step_by(2));
    assert!(names.len() > 50, "the source is no longer read as it is written: {names:?}");
    let table = read("src/wire/openai/error.rs");
    let rows = between(&table, "match kind {", "}").lines().filter(|line| line.contains("=>"));
    let codes: Vec<_> = rows.filter_map(|row| row.rsplit('"').nth(1)).collect();
    assert!(codes.len() > 10, "the table is no longer read as it is written: {codes:?}");
    for name in names.into_iter().chain(codes) {
        assert!(page.contains(&format!("`{name}`")), "docs/http.md does not name `{name}`");
    }
}

/// The name of a field in `integer("n", 1..=128)…`.
fn first_argument(call: &str) -> Option<&str> {
    let (method, rest) = call.split_once("(\"")?;
    method.chars().all(|c| c.is_ascii_lowercase()).then(|| rest.split('"').next()).flatten()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).expect("the start is there").1;
    rest.split_once(end).expect("the end is there").0
}
