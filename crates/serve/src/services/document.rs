//! What a service answers, as OpenAPI: made of its table of operations and its examples.

use serde_json::{Map, Value, json};

use super::{Operation, Service};
use crate::openapi::shape;

/// What every service answers beside its operations.
const USUAL: [Operation; 6] = [
    Operation::get(
        "/health",
        "Whether it answers, and why not",
        "{ status: string, service: string, reasons: string[], faults: object[], resident_bytes: integer | null, version: string }",
    ),
    Operation::get("/metrics", "What it did, for Prometheus", "string"),
    Operation::get(
        "/examples",
        "Requests with the answers that they must have",
        "{ service: string, examples: object[] }",
    ),
    Operation::get("/debug", "Its state", "object"),
    Operation::get("/faults", "Faults on purpose that last, and what there can be", "object"),
    Operation::post(
        "/faults",
        "Injects a fault, where the service was started with --allow-faults",
        "{ kind: 'delay' | 'error' | 'wrong' | 'cut', ms?: integer(0..), status?: integer(400..599), message?: string | null, \
         path?: string | null, times?: integer(0..) | null, lasts?: number(0..3600) | null }",
        "object",
    ),
];

/// The document, OpenAPI 3.1.
pub(super) fn document(service: &dyn Service) -> Value {
    let mut paths = Map::new();
    let examples = service.examples();
    for operation in service.operations().iter().chain(&USUAL) {
        let example = examples.iter().find(|example| example.path == operation.path && example.status == 200);
        let described = described(operation, example.map(|example| (&example.request, &example.response)));
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.to_ascii_lowercase()] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("Whinchat: the {}", service.name()), "version": env!("CARGO_PKG_VERSION"),
            "description": service.about(),
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
    })
}

fn described(operation: &Operation, example: Option<(&Value, &Value)>) -> Value {
    let content = |text: &str, example: Option<&Value>| match text {
        "binary" => json!({ "application/octet-stream": { "schema": shape("binary") } }),
        "string" => json!({ "text/plain": { "schema": shape("string") } }),
        text => {
            let mut media = json!({ "schema": shape(text) });
            if let Some(example) = example {
                media["example"] = example.clone();
            }
            json!({ "application/json": media })
        }
    };
    let name = operation.path.trim_matches('/').replace('/', "_");
    let mut told = json!({
        "operationId": format!("{}_{name}", operation.method.to_ascii_lowercase()),
        "summary": operation.summary,
        "responses": {
            "200": { "description": "The answer", "content": content(operation.gives, example.map(|e| e.1)) },
            "default": {
                "description": "Why it is refused",
                "content": content("{ error: { message: string, type: string, code: string, param: any } }", None),
            },
        },
    });
    if !operation.takes.is_empty() {
        told["requestBody"] = json!({ "required": true, "content": content(operation.takes, example.map(|e| e.0)) });
    }
    told
}
