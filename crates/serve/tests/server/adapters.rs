//! Adapters beside a model: chosen by each request in every API, loaded and taken away while it answers.

use std::path::Path;

use answer::{Adapter, LoadedModel};
use graph::testing::{ToyConfig, toy_model};
use serde_json::{Value, json};
use serve::{LoadError, LoadOrder, Loader};

use crate::client::Client;
use crate::support::{CONTEXT, Server, Setup, completion, gate, matches, served, with};

const TEXT: &str = "/v1/completions";

/// What reads the tests' adapters: a digit is one, and says how many letters it leaves out.
fn open(path: &Path) -> Result<Adapter, String> {
    let name = path.display().to_string();
    match name.as_bytes() {
        [digit @ b'0'..=b'9'] => Adapter::new(&toy_model(&ToyConfig::default()).0, [*digit; 32], []),
        _ => Err(format!("{name}: does not exist; give the folder of a PEFT adapter or a GGUF file")),
    }
}

fn adapted(model: LoadedModel, adapters: &[(&str, &str)]) -> LoadedModel {
    let model = model.with_adapters(Box::new(open));
    let changes: Vec<_> =
        adapters.iter().map(|(name, source)| ((*name).to_owned(), Some((*source).to_owned()))).collect();
    model.change_adapters(&changes).expect("they are there");
    model
}

/// A server whose model `tiny` has the adapters `one` and `two`.
async fn start(setup: Setup) -> Server {
    let (queue, context) = (setup.queue, setup.context);
    let mut setup = setup;
    let (engine, model) = served(setup.gate.take(), queue, context);
    let mut server = Server::with(Setup { loaded: false, ..setup }).await;
    server.app.add(adapted(model, &[("one", "1"), ("two", "2")]));
    server.engine = engine;
    server
}

fn says(text: &str) -> Value {
    json!({ "choices": [{ "text": text }] })
}

fn ask(model: &str) -> Value {
    completion("a", json!({ "model": model, "max_tokens": 4 }))
}

#[tokio::test]
async fn requests_choose_an_adapter_by_name() {
    let server = start(Setup::default()).await;
    let long = json!({ "max_tokens": 4 });
    for (model, name, text) in [
        ("tiny", "tiny", "bcde"),
        ("tiny:one", "tiny:one", "cegi"),
        ("one", "tiny:one", "cegi"),
        ("default:two", "tiny:two", "dgjm"),
        ("tiny@1:two", "tiny:two", "dgjm"),
    ] {
        let answer = json!({ "model": name, "choices": [{ "text": text }] });
        server.check(TEXT, &completion("a", with(json!({ "model": model }), long.clone())), 200, &answer).await;
    }
    // Every API has the same names.
    let message = json!([{ "role": "user", "content": "hi" }]);
    let one = "tiny:one";
    let chat_of = |more| with(json!({ "model": one, "messages": message }), more);
    // After the line break come every second letter.
    let cases = [
        (
            "/v1/chat/completions",
            chat_of(json!({ "max_tokens": 4 })),
            json!({ "model": one, "choices": [{ "message": { "content": "QSUW" } }] }),
        ),
        (
            "/v1/responses",
            json!({ "model": one, "input": "hi", "max_output_tokens": 4 }),
            json!({ "model": one, "output": [{ "content": [{ "text": "QSUW" }] }] }),
        ),
        ("/v1/messages", chat_of(json!({ "max_tokens": 4 })), json!({ "model": one, "content": [{ "text": "QSUW" }] })),
        (
            "/api/chat",
            chat_of(json!({ "stream": false, "options": { "num_predict": 4 } })),
            json!({ "model": one, "message": { "content": "QSUW" } }),
        ),
        (
            "/api/generate",
            json!({ "model": one, "prompt": "a", "raw": true, "stream": false, "options": { "num_predict": 4 } }),
            json!({ "model": one, "response": "cegi" }),
        ),
    ];
    for (path, body, expected) in &cases {
        server.check(path, body, 200, expected).await;
        let mut other = body.clone();
        other["model"] = json!("tiny:three");
        let answer = server.post(path, &other).await;
        let said = answer.json().to_string();
        assert_eq!(answer.head.status, 404, "{path}: {said}");
        assert!(said.contains("The model `tiny` has no adapter `three`. There is: one, two."), "{path}: {said}");
    }
    let embedding =
        json!({ "error": { "code": "unsupported_value", "message": "~Adapters count for what is generated alone" } });
    let answer = server.post("/v1/embeddings", &json!({ "model": one, "input": "a" })).await;
    assert_eq!(answer.head.status, 400, "{answer:?}");
    assert!(matches(&json!({ "error": { "message": embedding["error"]["message"] } }), &answer.json()), "{answer:?}");
}

#[tokio::test]
async fn adapters_are_listed_as_models_with_a_parent() {
    let server = start(Setup::default()).await;
    let models = server.get("/v1/models").await.json();
    let expected = json!({ "data": [
        { "id": "tiny" }, { "id": "tiny:one", "parent": "tiny", "context": CONTEXT }, { "id": "tiny:two", "parent": "tiny" }] });
    assert!(matches(&expected, &models), "{models:#}");
    assert_eq!(models["data"][0].get("parent"), None);
    let one = server.get("/v1/models/tiny:one").await.json();
    assert!(matches(&json!({ "id": "tiny:one", "parent": "tiny" }), &one), "{one:#}");
    assert_eq!(server.get("/v1/models/tiny:three").await.head.status, 404);
    let tags = server.get("/api/tags").await.json();
    let expected = json!({ "models": [{ "name": "tiny:latest" }, { "name": "tiny:one" }, { "name": "tiny:two" }] });
    assert!(matches(&expected, &tags), "{tags:#}");
}

#[tokio::test]
async fn what_is_kept_of_prompts_is_kept_apart() {
    let server = start(Setup::default()).await;
    let prompt = "abcdefghijklmnopqrstuvwxyzabcdefghijklmn";
    let cached = |tokens: usize| json!({ "usage": { "prompt_tokens_details": { "cached_tokens": tokens } } });
    let hash = "31".repeat(32);
    for (model, salt, tokens) in [
        ("tiny", None, 0),
        ("tiny", None, 32),
        ("tiny:one", None, 0),
        ("tiny:one", None, 32),
        ("one", None, 32),
        ("tiny:two", None, 0),
        ("tiny:one", Some("mine"), 0),
        ("tiny:one", Some("mine"), 32),
        ("tiny", Some("mine"), 0),
        // No salt is that of an adapter.
        ("tiny", Some(&*format!("\0lora {hash}")), 0),
        ("tiny", Some(&*format!("\0lora {hash}/mine")), 0),
    ] {
        let body = completion(prompt, json!({ "model": model, "max_tokens": 3 }));
        let body = salt.map_or(body.clone(), |salt| with(body, json!({ "cache_salt": salt })));
        server.check(TEXT, &body, 200, &cached(tokens)).await;
    }
}

#[tokio::test]
async fn adapters_come_and_go_while_the_model_answers() {
    let (step, gate) = gate();
    let server = start(Setup { gate: Some(gate), ..Setup::default() }).await;
    let patch = async |adapters: Value| {
        let body = json!({ "adapters": adapters }).to_string();
        crate::client::fetch(server.address, "PATCH", "/admin/models/tiny", body.as_bytes()).await
    };
    assert_eq!(patch(json!({ "three": "3" })).await.head.status, 404, "models are fixed");
    server.app.change_on_request();
    // One runs on an adapter that is taken away meanwhile, and another one gets its name.
    let mut running = Client::connect(server.address).await;
    running.send("POST", TEXT, with(ask("tiny:one"), json!({ "stream": true })).to_string().as_bytes()).await;
    step.send(()).expect("the model waits");
    assert_eq!(running.head().await.status, 200);
    let first = running.event().await.expect("a token");
    let answer = patch(json!({ "one": "3", "two": null, "four": "4" })).await;
    let expected = json!({ "model": { "versions": [{ "adapters": { "one": "3", "four": "4" } }] } });
    assert!(answer.head.status == 200 && matches(&expected, &answer.json()), "{answer:?}");
    drop(step);
    let mut text = first;
    while let Some(event) = running.event().await {
        text += &event;
    }
    let letters = text.split("\"text\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect::<String>();
    assert_eq!(letters, "cegi", "it ends on what it began with");
    server.check(TEXT, &ask("tiny:one"), 200, &says("eimq")).await;
    server.check(TEXT, &ask("four"), 200, &says("fkpu")).await;
    server.check(TEXT, &ask("tiny:two"), 404, &json!({ "error": { "code": "model_not_found" } })).await;
    // What cannot be done changes nothing.
    for (adapters, expected) in [
        (
            json!({ "five": "5", "six": "nothing" }),
            "The adapter six was not loaded: nothing: does not exist; give the folder",
        ),
        (json!({ "five": "5", "two": null }), "The model tiny has no adapter two. There is: four, one."),
        (json!({ "a:b": "5" }), "must not be empty and have no : or @"),
        (json!({ "five": 5 }), "adapters.five must be a folder or a file, or null"),
        (json!(["5"]), "adapters must be an object of names and folders or files"),
    ] {
        let answer = patch(adapters).await;
        let said = answer.json().to_string();
        assert!(answer.head.status == 400 && said.contains(expected), "{said}\n does not say\n{expected}");
    }
    server.check(TEXT, &ask("five"), 404, &json!({})).await;
}

#[tokio::test]
async fn adapters_come_and_go_by_vllms_names() {
    let server = start(Setup::default()).await;
    let (load, unload) = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter");
    let three = json!({ "lora_name": "three", "lora_path": "3" });
    server.check(load, &three, 404, &json!({ "error": { "message": "~--admin" } })).await;
    server.app.change_on_request();
    let answer = server.post(load, &three).await;
    let said = String::from_utf8(answer.body).expect("text");
    assert_eq!((answer.head.status, said.as_str()), (200, "Success: LoRA adapter 'three' added successfully."));
    server.check(TEXT, &ask("three"), 200, &says("eimq")).await;
    server.check(load, &three, 400, &json!({ "error": { "param": "lora_name", "message": "~load_inplace" } })).await;
    let four = json!({ "lora_name": "three", "lora_path": "4", "load_inplace": true });
    assert_eq!(server.post(load, &four).await.head.status, 200);
    server.check(TEXT, &ask("three"), 200, &says("fkpu")).await;
    for name in ["three", "tiny:two"] {
        assert_eq!(server.post(unload, &json!({ "lora_name": name })).await.head.status, 200, "{name}");
        server.check(unload, &json!({ "lora_name": name }), 404, &json!({})).await;
    }
    server
        .check(unload, &json!({ "lora_name": "tiny" }), 404, &json!({ "error": { "message": "~is no adapter" } }))
        .await;
    server.check(load, &json!({ "lora_name": "x" }), 400, &json!({ "error": { "param": "lora_path" } })).await;
    server.check(load, &json!({ "lora_name": "x", "lora_path": "none" }), 400, &json!({})).await;
}

/// Loads models with the adapters of their orders.
struct Shelf;

impl Loader for Shelf {
    fn load(&self, order: &LoadOrder) -> Result<LoadedModel, LoadError> {
        let mut model = served(None, 8, CONTEXT).1;
        model.info.name = order.name.clone().unwrap_or_default();
        let adapters: Vec<(&str, &str)> = order.adapters.iter().map(|(name, source)| (&**name, &**source)).collect();
        Ok(adapted(model, &adapters))
    }
}

#[tokio::test]
async fn models_come_back_with_their_adapters() {
    let server = start(Setup::default()).await;
    server.app.load_with(Shelf);
    server.app.change_on_request();
    let order = json!({ "model": "file", "name": "m", "adapters": { "one": "5" } });
    server.check("/admin/models", &order, 200, &json!({ "replaced": false })).await;
    // Two models have an adapter of this name.
    server.check(TEXT, &ask("one"), 404, &json!({ "error": { "message": "~tiny:one, m:one" } })).await;
    server.check(TEXT, &ask("m:one"), 200, &says("gmsy")).await;
    let patch = async |body: Value| {
        let answer =
            crate::client::fetch(server.address, "PATCH", "/admin/models/m", body.to_string().as_bytes()).await;
        assert_eq!(answer.head.status, 200, "{answer:?}");
        answer.json()
    };
    patch(json!({ "adapters": { "six": "6" } })).await;
    let away = patch(json!({ "loaded": false })).await;
    let expected = json!({ "model": { "loaded": false, "versions": [{ "adapters": { "one": "5", "six": "6" } }] } });
    assert!(matches(&expected, &away), "{away:#}");
    server.check(TEXT, &ask("six"), 200, &json!({ "model": "m:six", "choices": [{ "text": "hov." }] })).await;
}

#[test]
fn an_engine_that_computes_no_adapters_says_so() {
    let model = adapted(served(None, 8, CONTEXT).1, &[("one", "1")]);
    assert_eq!(model.adapters().len(), 1);
    let plain = served(None, 8, CONTEXT).1;
    let error = plain.change_adapters(&[("one".to_owned(), Some("1".to_owned()))]).expect_err("nobody reads them");
    assert!(error.message.contains("what computes this model takes no adapters"), "{error}");
}
