//! The page of each API names every field that is read or refused, and docs/http.md every error code: they are compared with
//! the source.

use std::collections::BTreeSet;
use std::path::Path;

/// Methods that read a field.
const READERS: &[&str] =
    &["alias", "array", "bool", "count", "get", "integer", "list", "number", "object", "required", "string", "strings"];

/// The page names the fields of these sources, at least so many.
fn check(page: &str, sources: &[&str], least: usize) {
    let page_text = read(&format!("../../docs/{page}"));
    let mut names = BTreeSet::new();
    let sources: Vec<_> = sources.iter().map(|name| read(&format!("src/wire/{name}.rs"))).collect();
    for source in &sources {
        names.extend(source.split('.').skip(1).filter_map(first_argument));
        let refused = source.split_once("UNSUPPORTED: &[&str] = &[").and_then(|(_, rest)| rest.split_once("];"));
        names.extend(refused.into_iter().flat_map(|(list, _)| list.split('"').skip(1).step_by(2)));
        let lists = source.split("one_of(").skip(1).filter_map(|rest| rest.split_once("&[")?.1.split_once("])"));
        names.extend(lists.flat_map(|(list, _)| list.split('"').skip(1).step_by(2)));
    }
    assert!(names.len() >= least, "the source is no longer read as it is written: {names:?}");
    for name in names {
        let named = page_text.contains(&format!("`{name}`")) || page_text.contains(&format!(".{name}`"));
        assert!(named, "docs/{page} does not name `{name}`");
    }
}

#[test]
fn pages_name_fields() {
    check("http.md", &["openai/chat", "openai/completion", "openai/constraint", "openai/request", "sampling"], 70);
    check("responses.md", &["openai/responses/request"], 30);
    check("http.md", &["inference/mod", "inference/tokens"], 8);
    check("anthropic.md", &["anthropic/request", "anthropic/messages", "anthropic/reply", "anthropic/count"], 25);
    check(
        "ollama.md",
        &["ollama/request", "ollama/messages", "ollama/models", "ollama/reply", "logprobs", "sampling"],
        38,
    );
}

#[test]
fn the_page_names_codes() {
    let (page, table) = (read("../../docs/http.md"), read("src/wire/openai/error.rs"));
    let rows = table.split_once("match kind {").expect("the table is there").1;
    let rows = rows.split_once('}').expect("the table ends").0.lines().filter(|line| line.contains("=>"));
    let codes: Vec<_> = rows.filter_map(|row| row.rsplit('"').nth(1)).collect();
    assert!(codes.len() > 10, "the table is no longer read as it is written: {codes:?}");
    for code in codes {
        assert!(page.contains(&format!("`{code}`")), "docs/http.md does not name `{code}`");
    }
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The name of a field in `integer("n", 1..=128)…`.
fn first_argument(call: &str) -> Option<&str> {
    let (method, rest) = call.split_once("(\"")?;
    READERS.contains(&method).then(|| rest.split('"').next()).flatten()
}
