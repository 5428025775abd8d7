//! What the server says of itself at `/openapi.json` is what it does: every answer that any of these tests gets is looked up there.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};
use serve::openapi::{self, Operation};

use crate::client::{Answer, fetch};
use crate::support::{Server, Setup};

/// The document, and a compiled schema for each JSON answer, by method, path and status.
struct Described {
    document: Value,
    schemas: Schemas,
    places: HashMap<String, SchemaIndex>,
}

static DESCRIBED: LazyLock<Described> = LazyLock::new(|| {
    let document = openapi::document(true);
    let (mut schemas, mut compiler, mut places) = (Schemas::new(), Compiler::new(), HashMap::new());
    compiler.add_resource("http://localhost/openapi.json", document.clone()).expect("a resource");
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                if response["content"]["application/json"].is_null() {
                    continue;
                }
                let pointer = format!(
                    "/paths/{}/{method}/responses/{status}/content/application~1json/schema",
                    path.replace('/', "~1")
                );
                let place =
                    format!("http://localhost/openapi.json#{}", pointer.replace('{', "%7B").replace('}', "%7D"));
                let index = compiler.compile(&place, &mut schemas).unwrap_or_else(|e| panic!("{e:#}"));
                places.insert(format!("{method} {path} {status}"), index);
            }
        }
    }
    Described { document, schemas, places }
});

/// Compares an answer with what is said of it. What no operation answers is an error of which nothing is said.
pub(crate) fn check(method: &str, target: &str, answer: &Answer) {
    let (path, status) = (target.split('?').next().unwrap_or_default(), answer.head.status);
    let Some(operation) = operation(method, path) else { return };
    let described = &*DESCRIBED;
    let (method, path) = (operation.method, operation.path.replace("{*", "{"));
    let said = &described.document["paths"][&path][method]["responses"][status.to_string()];
    assert!(said.is_object(), "{method} {path} has an undocumented status: {answer:?}");
    if answer.body.is_empty() {
        return;
    }
    let media = answer.head.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    assert!(
        said["content"][media].is_object(),
        "{method} {path} {status} has an undocumented content type: {answer:?}"
    );
    if media == "application/json" {
        let place = described.places[&format!("{method} {path} {status}")];
        let value = answer.json();
        if let Err(problem) = described.schemas.validate(&value, place) {
            panic!("{method} {path} {status}: {problem:#}\n{value:#}");
        }
    }
}

/// The operation that a path is for: one that has it as it is, else one where parts of it are data.
fn operation(method: &str, path: &str) -> Option<&'static Operation> {
    let of_method = || openapi::operations().filter(|known| known.method.eq_ignore_ascii_case(method));
    of_method().find(|known| known.path == path).or_else(|| of_method().find(|known| fits(known.path, path)))
}

fn fits(known: &str, path: &str) -> bool {
    let (mut known, mut parts) = (known.split('/'), path.split('/'));
    loop {
        match (known.next(), parts.next()) {
            (None, None) => return true,
            (Some(name), Some(_)) if name.starts_with("{*") => return true,
            (Some(name), Some(part)) if name == part || name.starts_with('{') && !part.is_empty() => {}
            _ => return false,
        }
    }
}

#[test]
fn the_document_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let page = openapi::page();
    if std::env::var_os("WHINCHAT_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/openapi.json differs from what the code says: run `cargo xtask docs`");
}

#[tokio::test]
async fn every_operation_is_routed() {
    let server = Server::with(Setup { loaded: false, ..Setup::default() }).await;
    for operation in openapi::operations() {
        let (method, path) = (operation.method.to_ascii_uppercase(), operation.path.replace("{*", "{"));
        // It never ends.
        if path == "/v1/telemetry/stream" {
            continue;
        }
        let answer = fetch(server.address, &method, &path.replace(['{', '}'], "x"), b"{}").await;
        let body = String::from_utf8_lossy(&answer.body);
        let absent = body.contains(&format!("There is no {method} "));
        assert!(answer.head.status != 405 && !absent, "{operation:?}: {body}");
    }
}

#[tokio::test]
async fn other_methods_are_named() {
    let server = Server::start().await;
    for (method, path, allowed) in [
        ("PUT", "/v1/models", "GET,HEAD"),
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/v1/responses/x", "GET,DELETE,HEAD"),
        ("POST", "/openapi.json", "GET,HEAD"),
    ] {
        let answer = fetch(server.address, method, path, b"").await;
        assert_eq!((answer.head.status, answer.head.header("allow")), (405, Some(allowed)), "{method} {path}");
    }
}

#[tokio::test]
async fn examples_are_answered() {
    let server = Server::start().await;
    server.app.keep_sessions(crate::sessions::Shelf::default());
    let mut sent = 0;
    for operation in openapi::operations().filter(|operation| !operation.example.is_empty()) {
        // They need files that are kept, models that can be loaded, an answer, and one that judges.
        if ["/v1/batches", "/admin", "/v1/feedback", "rerank", "score", "/plan", "/memory", "lora_adapter"]
            .iter()
            .any(|part| operation.path.contains(part))
        {
            continue;
        }
        let body: Value = serde_json::from_str(operation.example).expect("JSON");
        let answer = server.post(operation.path, &body).await;
        let said = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.head.status, 200, "{operation:?}: {said}");
        sent += 1;
    }
    assert!(sent > 15, "only {sent} examples were sent");
}

#[tokio::test]
async fn the_document_is_served_to_everyone() {
    let server = Server::with(Setup { loaded: false, ..Setup::default() }).await;
    let answer = server.get("/openapi.json").await;
    assert_eq!((answer.head.status, answer.head.header("content-type")), (200, Some("application/json")));
    let (served, built) = (answer.json(), openapi::document(false));
    assert_eq!(served, built);
    assert_eq!(served["paths"]["/v1/batches"].is_object(), cfg!(feature = "batches"));
    assert_eq!(
        served["paths"]["/v1/models/{id}"]["get"]["security"],
        json!([{}, { "bearer": [] }, { "password": [] }, { "x-api-key": [] }])
    );
    assert_eq!(served["paths"]["/openapi.json"]["get"]["security"], json!([]));
}
