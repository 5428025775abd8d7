//! The page of each API names every field that is honoured, and docs/http.md every error code.

use std::path::Path;

use serve::known::{self, Request, Use};

/// The page that tells of an endpoint.
fn page_of(request: &Request) -> &'static str {
    match (request.api, request.endpoint) {
        ("Anthropic", _) => "anthropic.md",
        ("Ollama", _) => "ollama.md",
        ("Telemetry", _) => "telemetry.md",
        ("Plans and memory", endpoint) if endpoint.contains("/memory") => "memory.md",
        ("Plans and memory", _) => "plans.md",
        (_, "POST /admin/faults") => "faults.md",
        ("Administration", endpoint) if endpoint.contains("/admin/releases") => "routes.md",
        (_, "POST /v1/feedback") => "routes.md",
        ("Administration", _) => "models-at-run-time.md",
        (_, endpoint) if endpoint.contains("/v1/responses") => "responses.md",
        (_, endpoint) if endpoint.contains("/v1/files") || endpoint.contains("/v1/batches") => "batches.md",
        _ => "http.md",
    }
}

/// Whether a text names a field in code, alone or behind the field that it is in.
fn named(text: &str, name: &str) -> bool {
    text.contains(&format!("`{name}`"))
        || name.split_once('.').is_some_and(|(_, inner)| text.contains(&format!("`{inner}`")))
}

#[test]
fn pages_name_fields() {
    for request in known::requests() {
        let (page, http) = (read(&format!("../../docs/{}", page_of(request))), read("../../docs/http.md"));
        for field in request.fields().filter(|field| matches!(field.usage, Use::Honoured)) {
            // What all APIs have in common is told once.
            let told = named(&page, field.name) || page.contains("http.md#parameters") && named(&http, field.name);
            assert!(told, "docs/{} does not name `{}` of {}", page_of(request), field.name, request.endpoint);
        }
    }
}

/// What pages say of a field in the second column is what the table says of it in some request of theirs.
#[test]
fn pages_say_what_the_table_says() {
    for page in ["anthropic.md", "ollama.md", "responses.md", "batches.md"] {
        let requests: Vec<&Request> = known::requests().filter(|request| page_of(request) == page).collect();
        let mut compared = 0;
        for row in read(&format!("../../docs/{page}")).lines() {
            let mut cells = row.split(" | ");
            let (Some(names), Some(said)) = (cells.next(), cells.next()) else { continue };
            let says = |usage: &Use| match usage {
                Use::Honoured => said == "honoured",
                Use::Refused(_) => said == "refused",
                Use::Ignored => said == "ignored by design",
            };
            for name in names.split('`').skip(1).step_by(2) {
                let of = |request: &&Request| request.fields().filter(|field| field.name == name).collect::<Vec<_>>();
                let found: Vec<_> = requests.iter().flat_map(of).collect();
                let told = found.is_empty() || found.iter().any(|field| says(&field.usage));
                let state = ["honoured", "refused", "ignored by design"].contains(&said);
                assert!(!state || told, "docs/{page} says that `{name}` is {said}");
                compared += usize::from(state && !found.is_empty());
            }
        }
        assert!(compared > 2, "docs/{page} is no longer read as it is written");
    }
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
