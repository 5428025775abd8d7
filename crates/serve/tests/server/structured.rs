//! Answers that must fit a schema, an expression, a choice, a grammar or a tool.

use serde_json::{Value, json};
use text::Dialect;

use crate::client::Client;
use crate::model::{Reciting, Scripted};
use crate::support::{Server, Setup, chat, completion, loaded, matches, with};

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

/// Asks for two answers, whole and as a stream; each must be right.
async fn check(path: &str, more: Value, right: impl Fn(&str) -> bool) {
    let server = Server::start().await;
    let more = with(json!({ "n": 2, "max_tokens": 2000 }), more);
    let body = if path == CHAT { chat("hi", more) } else { completion("x", more) };
    let whole = server.post(path, &body).await.json();
    let mut texts = vec![String::new(); 2];
    for choice in whole["choices"].as_array().unwrap_or_else(|| panic!("{body}: {whole}")) {
        let text = choice.pointer("/message/content").unwrap_or(&choice["text"]).as_str().unwrap_or_default();
        assert!(choice["finish_reason"] == "stop" && right(text), "{body}: {choice}");
    }
    let mut client = Client::connect(server.address).await;
    client.send("POST", path, with(body.clone(), json!({ "stream": true })).to_string().as_bytes()).await;
    assert_eq!(client.head().await.status, 200);
    while let Some(event) = client.event().await.filter(|event| event != "[DONE]") {
        let event: Value = serde_json::from_str(&event).expect("JSON");
        let choice = &event["choices"][0];
        let text = choice.pointer("/delta/content").unwrap_or(&choice["text"]).as_str().unwrap_or_default();
        texts[choice["index"].as_u64().expect("an index") as usize] += text;
    }
    assert!(texts.iter().all(|text| right(text)), "{body}: {texts:?}");
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "ok": { "type": "boolean" },
            "kind": { "enum": ["x", "y"] },
            "words": { "type": "array", "items": { "type": "string", "maxLength": 4 }, "minItems": 1, "maxItems": 2 },
        },
        "required": ["ok", "kind", "words"],
        "additionalProperties": false,
    })
}

fn fits(text: &str) -> bool {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let short = |word: &Value| word.as_str().is_some_and(|word| word.chars().count() <= 4);
    let words = value["words"].as_array().is_some_and(|words| [1, 2].contains(&words.len()) && words.iter().all(short));
    words && value["ok"].is_boolean() && ["x", "y"].map(Value::from).contains(&value["kind"])
}

#[tokio::test]
async fn answers_fit_what_is_asked_for() {
    let named = json!({ "type": "json_schema", "json_schema": { "name": "n", "strict": true, "schema": schema() } });
    check(CHAT, json!({ "response_format": named }), fits).await;
    check(TEXT, json!({ "response_format": named }), fits).await;
    check(CHAT, json!({ "response_format": { "type": "json_object", "schema": schema() } }), fits).await;
    check(CHAT, json!({ "temperature": 1.5, "structured_outputs": { "json": schema() } }), fits).await;
    check(CHAT, json!({ "guided_json": schema().to_string(), "logprobs": true }), fits).await;
    check(CHAT, json!({ "json_schema": schema() }), fits).await;
    // The closing brace is the likeliest.
    let object = json!({ "response_format": { "type": "json_object" }, "logit_bias": { "125": 100 } });
    check(CHAT, object.clone(), |text| text == "{}").await;
    let object = with(object, json!({ "response_format": null, "structured_outputs": { "json_object": true } }));
    check(CHAT, object, |text| text == "{}").await;
    let digits = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    check(CHAT, json!({ "guided_regex": "[0-9]{3}" }), digits).await;
    check(TEXT, json!({ "structured_outputs": { "regex": "[0-9]{3}" } }), digits).await;
    check(CHAT, json!({ "guided_choice": ["no", "yes"] }), |text| ["no", "yes"].contains(&text)).await;
    check(CHAT, json!({ "structured_outputs": { "choice": ["no"] } }), |text| text == "no").await;
    check(CHAT, json!({ "grammar": "root ::= [0-9] [0-9] [0-9]" }), digits).await;
    check(CHAT, json!({ "guided_grammar": "start: /[0-9]{3}/" }), digits).await;
    check(CHAT, json!({ "structured_outputs": { "grammar": "start: /[0-9]{3}/" } }), digits).await;
    let tag = json!({ "triggers": ["P"], "structures": [{ "begin": "P", "schema": { "const": 5 }, "end": "!" }] });
    let tagged = json!({ "structured_outputs": { "structural_tag": tag }, "stop": "!" });
    check(CHAT, tagged, |text| text.strip_prefix('P').is_some_and(|rest| rest.trim() == "5")).await;
    // Nothing is asked for.
    let letters = |text: &str| text == "PQRSTUVWXYZ";
    check(CHAT, json!({ "response_format": { "type": "text" }, "grammar": "", "guided_json": null }), letters).await;
    check(CHAT, json!({ "structured_outputs": { "json_object": false } }), letters).await;
}

/// A server whose model speaks the dialect of Hermes.
async fn hermes(reciting: Option<&'static str>) -> Server {
    let server = Server::with(Setup { loaded: false, ..Setup::default() }).await;
    let dialect = Dialect::named("hermes").expect("a dialect");
    server.app.add(match reciting {
        Some(text) => loaded("h", dialect, Reciting { text, said: 0, logits: Vec::new() }, (8, 4096)).1,
        None => loaded("h", dialect, Scripted { kv_blocks: 4096, gate: None, logits: Vec::new() }, (8, 4096)).1,
    });
    server
}

#[tokio::test]
async fn tools_are_called_where_they_must_be() {
    let server = hermes(None).await;
    let tool = |name: &str| {
        let parameters = json!({ "type": "object", "properties": { "n": { "enum": [7] } }, "required": ["n"],
                                 "additionalProperties": false });
        json!({ "type": "function", "function": { "name": name, "parameters": parameters } })
    };
    let tools = json!([tool("zebra"), tool("fox")]);
    for (choice, name) in [
        (json!("required"), "~"),
        (json!({ "type": "function", "function": { "name": "zebra" } }), "zebra"),
        (json!({ "type": "function", "function": { "name": "fox" } }), "fox"),
    ] {
        // The likeliest is to end the answer.
        let body = chat("hi", json!({ "tools": tools, "tool_choice": choice, "logit_bias": { "256": 50 } }));
        let answer = server.post(CHAT, &body).await.json();
        let call = json!({ "id": "~call-", "function": { "name": name } });
        let expected = json!({ "message": { "content": null, "tool_calls": [call] }, "finish_reason": "tool_calls" });
        assert!(matches(&expected, &answer["choices"][0]), "{choice}: {answer:#}");
        let arguments = &answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"];
        let arguments: Value = serde_json::from_str(arguments.as_str().expect("a text")).expect("JSON");
        assert_eq!(arguments, json!({ "n": 7 }), "{choice}");
    }
}

#[tokio::test]
async fn what_is_asked_for_begins_after_reasoning() {
    let server = hermes(Some("12 a</think>\n34")).await;
    let thinking = json!({ "add_generation_prompt": false, "chat_template_kwargs": { "mood": "<think>\n" } });
    let body = chat("hi", with(thinking, json!({ "guided_regex": "[0-9]+" })));
    let message = json!({ "reasoning_content": "12 a", "content": "34" });
    server.check(CHAT, &body, 200, &json!({ "choices": [{ "message": message, "finish_reason": "stop" }] })).await;
}

/// The other dialects ask in their own words.
#[tokio::test]
async fn other_dialects_ask_for_the_same() {
    let server = hermes(None).await;
    let parameters = json!({ "type": "object", "properties": { "n": { "enum": [7] } }, "required": ["n"],
                             "additionalProperties": false });
    let tools = json!([{ "name": "zebra", "input_schema": parameters }, { "name": "fox", "input_schema": parameters }]);
    // The likeliest is to end the answer.
    let body = |more: Value| {
        let hi = json!({ "model": "default", "max_tokens": 2000, "messages": [{ "role": "user", "content": "hi" }],
                         "logit_bias": { "256": 50 } });
        with(hi, more)
    };
    for (choice, name) in [
        (json!({ "type": "any" }), "~"),
        (json!({ "type": "tool", "name": "zebra" }), "zebra"),
        (json!({ "type": "tool", "name": "fox" }), "fox"),
    ] {
        let body = body(json!({ "tools": tools, "tool_choice": choice }));
        let call = json!({ "type": "tool_use", "name": name, "input": { "n": 7 } });
        let expected = json!({ "content": [call], "stop_reason": "tool_use" });
        server.check("/v1/messages", &body, 200, &expected).await;
    }
    let format = json!({ "type": "json_schema", "schema": schema() });
    for more in [json!({ "output_config": { "format": format } }), json!({ "output_format": format })] {
        let answer = server.post("/v1/messages", &body(more)).await.json();
        assert!(fits(answer["content"][0]["text"].as_str().unwrap_or_default()), "{answer}");
    }
    for path in ["/api/chat", "/api/generate"] {
        let hi = json!({ "model": "default", "prompt": "hi", "stream": false, "options": { "num_predict": 2000 },
                         "messages": [{ "role": "user", "content": "hi" }] });
        let answer = server.post(path, &with(hi.clone(), json!({ "format": schema() }))).await.json();
        let text = answer.pointer("/message/content").unwrap_or(&answer["response"]).as_str().unwrap_or_default();
        assert!(fits(text), "{answer}");
        let any = json!({ "format": "json", "options": { "num_predict": 2000, "logit_bias": { "125": 100 } } });
        let answer = server.post(path, &with(hi, any)).await.json();
        let text = answer.pointer("/message/content").unwrap_or(&answer["response"]).as_str().unwrap_or_default();
        assert_eq!(text, "{}", "{answer}");
    }
}
