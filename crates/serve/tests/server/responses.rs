//! OpenAI's responses: items, streams, conversations that go on, what is kept.

use serde_json::{Value, json};

use crate::client::{Client, fetch};
use crate::support::{Server, Setup, chat, gate, matches, with};
use crate::tools::reciting;

const PATH: &str = "/v1/responses";

fn ask(input: impl Into<Value>, more: Value) -> Value {
    with(json!({ "input": input.into() }), more)
}

fn message(text: &str) -> Value {
    let part = json!({ "type": "output_text", "text": text, "annotations": [] });
    json!({ "type": "message", "id": "~msg_", "role": "assistant", "status": "completed", "content": [part] })
}

/// Asks whole and as a stream; both must say `expected`. The events of the stream build its items step by step.
async fn check(server: &Server, body: &Value, expected: &Value) -> Value {
    let whole = server.post(PATH, body).await;
    assert_eq!(whole.head.status, 200, "{body}: {}", whole.json());
    let whole = whole.json();
    assert!(matches(expected, &whole), "{body}:\n{whole:#}\ndoes not have\n{expected:#}");
    let mut client = Client::connect(server.address).await;
    client.send("POST", PATH, with(body.clone(), json!({ "stream": true })).to_string().as_bytes()).await;
    assert_eq!(client.head().await.status, 200);
    let (mut number, mut texts, mut items, mut last) = (0, Vec::<String>::new(), Vec::new(), Value::Null);
    while let Some((name, event)) = client.named_event().await {
        let event: Value = serde_json::from_str(&event).expect("JSON");
        assert_eq!((event["type"].as_str(), event["sequence_number"].as_u64()), (Some(name.as_str()), Some(number)));
        number += 1;
        let at = event["output_index"].as_u64().unwrap_or_default() as usize;
        match name.rsplit('.').next() {
            Some("added") if at == texts.len() => texts.push(String::new()),
            Some("delta") => texts[at] += event["delta"].as_str().expect("a text"),
            Some("done") if event["item"].is_object() => items.push(event["item"].clone()),
            _ => {}
        }
        last = event;
    }
    let response = &last["response"];
    assert!(matches(expected, response), "{body}:\n{response:#}\ndoes not have\n{expected:#}");
    assert_eq!(response["output"], json!(items));
    let whole_text =
        |item: &Value| item["content"][0]["text"].as_str().or(item["arguments"].as_str()).map(str::to_owned);
    let told: Vec<_> = items.iter().filter_map(whole_text).collect();
    assert_eq!(texts, told, "{body}");
    whole
}

#[tokio::test]
async fn answers_are_items() {
    let server = Server::start().await;
    let all = json!({ "object": "response", "id": "~resp_", "status": "completed", "error": null, "model": "tiny",
                      "incomplete_details": null, "output": [message("PQRSTUVWXYZ")], "temperature": 0.0,
                      "usage": { "output_tokens": 12, "output_tokens_details": { "reasoning_tokens": 0 } } });
    let parts = json!([{ "role": "user", "content": [{ "type": "input_text", "text": "hi" }] }]);
    for body in [ask("hi", json!({ "model": "tiny" })), ask(parts, json!({ "temperature": null, "tools": [] }))] {
        check(&server, &body, &all).await;
    }
    let cut = json!({ "status": "incomplete", "incomplete_details": { "reason": "max_output_tokens" },
                      "output": [with(message("PQ"), json!({ "status": "incomplete" }))], "max_output_tokens": 2 });
    check(&server, &ask("hi", json!({ "max_output_tokens": 2 })), &cut).await;
    let token = json!({ "token": "P", "bytes": [80] });
    let logprobs = json!({ "output": [{ "content": [{ "logprobs": [token, {}] }] }], "top_logprobs": 1 });
    check(&server, &ask("hi", json!({ "max_output_tokens": 2, "top_logprobs": 1 })), &logprobs).await;
    let answer = server
        .post(
            PATH,
            &ask(
                "hi",
                json!({ "text": { "format": { "type": "json_object" } },
                                                    "logit_bias": { "125": 100 } }),
            ),
        )
        .await
        .json();
    assert_eq!(answer["output"][0]["content"][0]["text"], "{}", "{answer}");
}

/// The prompt is that of a chat with the same messages: it has as many tokens.
#[tokio::test]
async fn conversations_are_those_of_chats() {
    let server = Server::start().await;
    let tokens = async |messages: Value| {
        let answer =
            server.post("/v1/chat/completions", &with(chat("", json!({})), json!({ "messages": messages }))).await;
        answer.json()["usage"]["prompt_tokens"].as_u64().expect("a number")
    };
    let system = json!({ "role": "system", "content": "be brief" });
    let (hi, there) = (json!({ "role": "user", "content": "hi" }), json!({ "role": "user", "content": "there" }));
    let said = json!({ "role": "assistant", "content": "PQRSTUVWXYZ" });
    let instructed = json!({ "instructions": "be brief" });
    let first = check(&server, &ask("hi", instructed.clone()), &json!({ "previous_response_id": null })).await;
    assert_eq!(first["usage"]["input_tokens"], json!(tokens(json!([system, hi])).await));
    // Instructions are not carried over; the answer is.
    let id = first["id"].as_str().expect("a name");
    let more = json!({ "previous_response_id": id });
    let second = check(&server, &ask("there", more.clone()), &more).await;
    assert_eq!(second["usage"]["input_tokens"], json!(tokens(json!([hi, said, there])).await));
    let third = json!([hi, message("PQRSTUVWXYZ"), there]);
    let third = check(&server, &ask(third, instructed), &json!({})).await;
    assert_eq!(third["usage"]["input_tokens"], json!(tokens(json!([system, hi, said, there])).await));
    let gone = fetch(server.address, "DELETE", &format!("{PATH}/{id}"), b"").await;
    assert_eq!((gone.head.status, &gone.json()["deleted"]), (200, &json!(true)));
    let error = json!({ "error": { "code": "response_not_found", "param": "previous_response_id" } });
    server.check(PATH, &ask("there", more), 404, &error).await;
}

#[tokio::test]
async fn functions_are_called_and_answered() {
    let server = reciting("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>").await;
    let tools = json!([{ "type": "function", "name": "f", "parameters": { "type": "object" } }]);
    let call = json!({ "type": "function_call", "id": "~fc_", "call_id": "~call_", "name": "f", "status": "completed",
                       "arguments": "{\"x\": 1}" });
    let first = check(&server, &ask("hi", json!({ "tools": tools })), &json!({ "output": [call] })).await;
    let result = json!([{ "type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "8" }]);
    let id = first["id"].as_str().expect("a name");
    let more = json!({ "previous_response_id": id, "tools": tools });
    check(&server, &ask(result.clone(), more), &json!({ "status": "completed" })).await;
    // The same without what is kept: reasoning, call and result as items.
    let thought =
        json!({ "type": "reasoning", "summary": [], "content": [{ "type": "reasoning_text", "text": "hm" }] });
    let items = json!([{ "role": "user", "content": "hi" }, thought, first["output"][0], result[0]]);
    check(&server, &ask(items, json!({ "tools": tools, "store": false })), &json!({ "status": "completed" })).await;
    let items = server.get(&format!("{PATH}/{id}/input_items")).await.json();
    let text = json!({ "type": "input_text", "text": "hi" });
    let item = json!({ "type": "message", "role": "user", "content": [text], "id": "~item_" });
    assert!(matches(&json!({ "object": "list", "data": [item], "has_more": false }), &items), "{items}");
}

#[tokio::test]
async fn reasoning_is_an_item() {
    let server = reciting("<think>hm</think>Yes.").await;
    let thought =
        json!({ "type": "reasoning", "summary": [], "content": [{ "type": "reasoning_text", "text": "hm" }] });
    let answer = check(&server, &ask("hi", json!({})), &json!({ "output": [thought, message("Yes.")] })).await;
    let tokens = answer["usage"]["output_tokens_details"]["reasoning_tokens"].as_u64().expect("a number");
    assert!((2..22).contains(&tokens), "{tokens}");
}

#[tokio::test]
async fn what_is_kept_is_found_and_answers_in_the_background_can_be_cancelled() {
    let (step, gate) = gate();
    let server = Server::with(Setup { gate: Some(gate), ..Setup::default() }).await;
    let background = ask("hi", json!({ "background": true }));
    let state = async |id: &str| server.get(&format!("{PATH}/{id}")).await.json();
    let begin = async || {
        let queued = server.post(PATH, &background).await.json();
        assert_eq!((&queued["status"], &queued["output"]), (&json!("queued"), &json!([])), "{queued}");
        queued["id"].as_str().expect("a name").to_owned()
    };
    let stopped = begin().await;
    let cancel = async |id: &str| fetch(server.address, "POST", &format!("{PATH}/{id}/cancel"), b"").await;
    assert_eq!(cancel(&stopped).await.json()["status"], "cancelled");
    drop(step);
    server.until("it is cancelled", |stats| stats.running + stats.waiting == 0).await;
    assert_eq!(state(&stopped).await["status"], "cancelled");
    let whole = begin().await;
    let done = loop {
        let now = state(&whole).await;
        match now["status"].as_str() {
            Some("queued" | "in_progress") => tokio::task::yield_now().await,
            _ => break now,
        }
    };
    assert!(matches(&json!({ "status": "completed", "output": [message("PQRSTUVWXYZ")] }), &done), "{done}");
    assert_eq!(cancel(&whole).await.json()["status"], "completed", "it is over");

    let plain = server.post(PATH, &ask("hi", json!({}))).await.json();
    let id = plain["id"].as_str().expect("a name");
    assert_eq!(state(id).await, plain);
    assert_eq!(cancel(id).await.head.status, 400);
    let forgotten = server.post(PATH, &ask("hi", json!({ "store": false }))).await.json();
    for id in [forgotten["id"].as_str().expect("a name"), "resp_x"] {
        let answer = server.get(&format!("{PATH}/{id}")).await;
        assert_eq!((answer.head.status, &answer.json()["error"]["code"]), (404, &json!("response_not_found")));
    }
}

#[tokio::test]
async fn problems_name_the_field() {
    let server = Server::start().await;
    let items = |item: Value| json!({ "input": [item] });
    let cases = [
        (json!({}), "input is missing"),
        (json!({ "input": 3 }), "input must be a string or an array of items, but it is 3"),
        (json!({ "input": [] }), "input is empty"),
        (items(json!("x")), "input[0] must be an object"),
        (items(json!({ "content": "x" })), "input[0].role is missing"),
        (items(json!({ "role": "user" })), "input[0].content is missing"),
        (items(json!({ "type": "image_generation_call" })), "input[0] of type image_generation_call is not supported"),
        (
            items(json!({ "role": "user", "content": [{ "type": "input_image" }] })),
            "input[0].content[0] of type input_image is not supported",
        ),
        (items(json!({ "type": "function_call", "name": "f" })), "input[0].call_id is missing"),
        (items(json!({ "type": "function_call_output", "call_id": "a" })), "input[0].output is missing"),
        (ask("x", json!({ "tools": [{ "type": "web_search" }] })), "tools[0] of type web_search is not supported"),
        (ask("x", json!({ "tools": [{ "type": "function" }] })), "tools[0].name is missing"),
        (ask("x", json!({ "tool_choice": { "type": "mcp" } })), "tool_choice other than auto"),
        (ask("x", json!({ "max_output_tokens": 0 })), "max_output_tokens must be at least 1"),
        (ask("x", json!({ "text": { "format": { "type": "xml" } } })), "text.format of type xml is not supported"),
        (ask("x", json!({ "reasoning": { "effort": 3 } })), "reasoning.effort must be a string"),
        (ask("x", json!({ "background": true, "store": false })), "background needs store"),
        (ask("x", json!({ "conversation": "c" })), "conversation is not supported"),
    ];
    for (body, message) in cases {
        server.check(PATH, &body, 400, &json!({ "error": { "message": format!("~{message}") } })).await;
    }
}

/// The events of an address, or of a request where there is a body.
async fn events(server: &Server, method: &str, path: &str, body: &str) -> Vec<Value> {
    let mut client = Client::connect(server.address).await;
    client.send(method, path, body.as_bytes()).await;
    assert_eq!(client.head().await.status, 200);
    let mut events = Vec::new();
    while let Some((_, event)) = client.named_event().await {
        events.push(serde_json::from_str(&event).expect("JSON"));
    }
    events
}

#[tokio::test]
async fn a_stream_in_the_background_is_found_again() {
    let (step, gate) = gate();
    let server = Server::with(Setup { gate: Some(gate), ..Setup::default() }).await;
    let body = ask("hi", json!({ "background": true, "stream": true }));
    let mut gone = Client::connect(server.address).await;
    gone.send("POST", PATH, body.to_string().as_bytes()).await;
    assert_eq!(gone.head().await.status, 200);
    let (_, created) = gone.named_event().await.expect("an event");
    let created: Value = serde_json::from_str(&created).expect("JSON");
    let path = format!("{PATH}/{}", created["response"]["id"].as_str().expect("a name"));
    // The client goes away while nothing is answered; another one comes.
    drop(gone);
    let (address, all) = (server.address, format!("{path}?stream=true"));
    let following = tokio::spawn(async move {
        let mut client = Client::connect(address).await;
        client.send("GET", &all, b"").await;
        let mut events = Vec::<Value>::new();
        assert_eq!(client.head().await.status, 200);
        while let Some((_, event)) = client.named_event().await {
            events.push(serde_json::from_str(&event).expect("JSON"));
        }
        events
    });
    drop(step);
    let followed = following.await.expect("no panic");
    let numbers: Vec<_> = followed.iter().map(|event| event["sequence_number"].as_u64()).collect();
    assert_eq!(numbers, (0..followed.len() as u64).map(Some).collect::<Vec<_>>());
    assert_eq!((&followed[0], &followed.last().expect("events")["type"]), (&created, &json!("response.completed")));
    let kept = server.get(&path).await.json();
    assert_eq!(kept, followed.last().expect("events")["response"]);
    assert!(matches(&json!({ "status": "completed", "output": [message("PQRSTUVWXYZ")] }), &kept), "{kept}");
    // It is there as long as the response is, from any event on.
    assert_eq!(events(&server, "GET", &format!("{path}?stream=true"), "").await, followed);
    assert_eq!(events(&server, "GET", &format!("{path}?stream=true&starting_after=3"), "").await, followed[4..]);
    assert_eq!(events(&server, "GET", &format!("{path}?stream=true&starting_after=999"), "").await, [Value::Null; 0]);
    let plain = server.post(PATH, &ask("hi", json!({}))).await.json();
    let plain = format!("{PATH}/{}", plain["id"].as_str().expect("a name"));
    for (path, status, param) in [
        (format!("{plain}?stream=true"), 400, "stream"),
        (format!("{path}?stream=yes"), 400, "stream"),
        (format!("{path}?stream=true&starting_after=-1"), 400, "starting_after"),
        (format!("{PATH}/none?stream=true"), 404, "response_id"),
    ] {
        let answer = server.get(&path).await;
        assert_eq!((answer.head.status, answer.json()["error"]["param"].as_str()), (status, Some(param)), "{path}");
    }
}

/// Whoever follows a response that is cancelled or forgotten is told no more.
#[tokio::test]
async fn a_stream_in_the_background_ends_when_it_is_cancelled() {
    for forget in [false, true] {
        let (step, gate) = gate();
        let server = Server::with(Setup { gate: Some(gate), ..Setup::default() }).await;
        let body = ask("hi", json!({ "background": true, "stream": true })).to_string();
        let mut client = Client::connect(server.address).await;
        client.send("POST", PATH, body.as_bytes()).await;
        client.head().await;
        let (_, created) = client.named_event().await.expect("an event");
        let created: Value = serde_json::from_str(&created).expect("JSON");
        let path = format!("{PATH}/{}", created["response"]["id"].as_str().expect("a name"));
        match forget {
            true => fetch(server.address, "DELETE", &path, b"").await,
            false => fetch(server.address, "POST", &format!("{path}/cancel"), b"").await,
        };
        while client.named_event().await.is_some() {}
        drop(step);
        server.until("it is cancelled", |stats| stats.running + stats.waiting == 0).await;
        assert_eq!(server.get(&path).await.head.status, if forget { 404 } else { 200 });
    }
}

#[tokio::test]
async fn the_tokens_of_a_prompt_are_counted() {
    let server = Server::start().await;
    let first = server.post(PATH, &ask("hi", json!({}))).await.json();
    let more = json!({ "previous_response_id": first["id"], "instructions": "be brief", "tools": [] });
    for body in [ask("hi", json!({})), ask("there", more)] {
        let counted = server.post(&format!("{PATH}/input_tokens"), &body).await.json();
        let answered = server.post(PATH, &body).await.json();
        assert_eq!(counted["input_tokens"], answered["usage"]["input_tokens"], "{body}");
        assert!(counted["input_tokens"].as_u64().is_some_and(|tokens| tokens > 5), "{counted}");
    }
    let refused = json!({ "error": { "code": "unsupported_parameter", "param": "personality" } });
    server.check(&format!("{PATH}/input_tokens"), &ask("x", json!({ "personality": "kind" })), 400, &refused).await;
}
