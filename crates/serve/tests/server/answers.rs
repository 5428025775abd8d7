//! What whole answers say.

use serde_json::{Value, json};

use crate::model::VOCAB;
use crate::support::{Server, Setup, chat, completion, with};

#[tokio::test]
async fn chats_are_answered() {
    let server = Server::start().await;
    let path = "/v1/chat/completions";
    let whole = json!({ "index": 0, "message": { "role": "assistant", "content": "PQRSTUVWXYZ", "refusal": null },
                        "logprobs": null, "finish_reason": "stop" });
    let answer = json!({ "object": "chat.completion", "model": "tiny", "id": "~chatcmpl-", "choices": [whole],
        "system_fingerprint": "~whinchat-",
        "usage": { "prompt_tokens": 21, "completion_tokens": 12, "total_tokens": 33,
                   "prompt_tokens_details": { "cached_tokens": 0 } } });
    let says =
        |text: &str, reason: &str| json!({ "choices": [{ "message": { "content": text }, "finish_reason": reason }] });
    let all = || json!("PQRSTUVWXYZ");
    let cases = [
        (chat("hi", json!({})), answer),
        (chat("hi", json!({ "model": "default", "max_tokens": 3 })), says("PQR", "length")),
        (chat("hi", json!({ "model": "", "max_completion_tokens": 2, "max_tokens": 3 })), says("PQ", "length")),
        (chat("hi", json!({ "model": "tiny", "stop": "ST" })), says("PQR", "stop")),
        (chat("hi", json!({ "stop": ["nothing", "YZ", "STUVX"] })), says("PQRSTUVWX", "stop")),
        (chat("hi", json!({ "stop": ["P"] })), says("", "stop")),
        (chat("hi", json!({ "stop": "WXYZ!" })), says("PQRSTUVWXYZ", "stop")),
        (chat("hi", json!({ "ignore_eos": true, "max_tokens": 14 })), says("PQRSTUVWXYZab", "length")),
        (
            chat("hi", json!({ "ignore_eos": true, "max_tokens": 13, "skip_special_tokens": false })),
            says("PQRSTUVWXYZ<|end|>a", "length"),
        ),
        (chat("hi", json!({ "stop_token_ids": [84] })), says("PQRS", "stop")),
        (chat("hi", json!({ "logit_bias": { "80": -100, "81": 7.5 }, "max_tokens": 2 })), says("QR", "length")),
        (chat("hi", json!({ "logit_bias": [["P", false], [81, 7.5]], "max_tokens": 2 })), says("QR", "length")),
        (chat("hi", json!({ "logit_bias": { "P": -100, "81": 7.5 }, "max_tokens": 2 })), says("QR", "length")),
        (chat("hi", json!({ "allowed_token_ids": [80, 82], "max_tokens": 3 })), says("PRP", "length")),
        (chat("hi", json!({ "bad_words": ["QR"], "max_tokens": 4 })), says("PQST", "length")),
        (chat("hi", json!({ "bad_words": ["P", "nothing"], "max_tokens": 2 })), says("QR", "length")),
        (chat("hi", json!({ "stop": "ST", "include_stop_str_in_output": true })), says("PQRST", "stop")),
        (
            chat(
                "hi",
                json!({ "xtc_probability": 1, "xtc_threshold": 0.001, "top_k": 2, "temperature": 1, "max_tokens": 2 }),
            ),
            says("QS", "length"),
        ),
        // Unknown fields and nulls are no obstacle.
        (
            chat(
                "hi",
                json!({ "temperature": null, "top_p": null, "n": null, "stop": null, "stream": null, "tools": null,
            "stream_options": null, "logprobs": null, "max_tokens": null, "seed": null, "user": null, "surprise": [1],
            "response_format": null, "tool_choice": null, "metadata": {}, "store": false, "service_tier": "auto" }),
            ),
            says("PQRSTUVWXYZ", "stop"),
        ),
        (
            chat(
                "hi",
                json!({ "temperature": 0, "top_k": -1, "top_p": 0, "min_p": 0, "typical_p": 1, "repetition_penalty": 1.0,
            "frequency_penalty": 0, "presence_penalty": 0, "seed": -3, "max_tokens": 4.0 }),
            ),
            says("PQRS", "length"),
        ),
        (
            chat("hi", json!({ "response_format": { "type": "text" }, "modalities": ["text"], "suffix": "" })),
            says("PQRSTUVWXYZ", "stop"),
        ),
        // Content in parts, developers, tools that may be called, variables of the template.
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "h" }, { "type": "text", "text": "i" }] }] }),
            json!({ "usage": { "prompt_tokens": 22 }, "choices": [{ "message": { "content": all() } }] }),
        ),
        (json!({ "messages": [{ "role": "developer", "content": "" }] }), says("PQRSTUVWXYZ", "stop")),
        (
            chat("hi", json!({ "tools": [{ "type": "function", "function": { "name": "f" } }] })),
            json!({ "usage": { "prompt_tokens": 29 } }),
        ),
        (
            chat("hi", json!({ "tools": [{ "type": "function" }], "tool_choice": "none" })),
            json!({ "usage": { "prompt_tokens": 21 } }),
        ),
        (
            chat("hi", json!({ "chat_template_kwargs": { "mood": "glad" } })),
            json!({ "usage": { "prompt_tokens": 25 } }),
        ),
        (
            chat("hi", json!({ "add_generation_prompt": false, "max_tokens": 1 })),
            json!({ "usage": { "prompt_tokens": 10 } }),
        ),
        (
            json!({ "messages": [{ "role": "user", "content": "hi" }, { "role": "assistant", "content": "See WX" }],
            "continue_final_message": true }),
            says("YZ", "stop"),
        ),
    ];
    for (body, expected) in cases {
        server.check(path, &body, 200, &expected).await;
    }
}

#[tokio::test]
async fn completions_are_made() {
    let server = Server::start().await;
    let says = |text: &str, reason: &str| json!({ "choices": [{ "text": text, "finish_reason": reason }] });
    let two = |a: &str, b: &str| json!({ "choices": [{ "index": 0, "text": a }, { "index": 1, "text": b }] });
    let cases = [
        (
            completion("X", json!({})),
            json!({ "object": "text_completion", "model": "tiny", "id": "~cmpl-",
            "choices": [{ "index": 0, "text": "YZ", "logprobs": null, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4 } }),
        ),
        // OpenAI's default is 16 tokens; é is two of them.
        (completion("x", json!({})), says("yzé.abcdefghijk", "length")),
        (completion("x", json!({ "max_tokens": 3 })), says("yz\u{fffd}", "length")),
        // What others call them.
        (completion("x", json!({ "n_predict": 3 })), says("yz\u{fffd}", "length")),
        (completion("X", json!({ "max_tokens": -1, "seed": -1 })), says("YZ", "stop")),
        (completion("x", json!({ "max_tokens": 2, "repeat_penalty": 1e9, "typical": 0.5 })), says("yz", "length")),
        (completion("x", json!({ "stop": "é" })), says("yz", "stop")),
        (completion("x", json!({ "stop": [".ab", "é.c"] })), says("yzé", "stop")),
        (completion("x", json!({ "min_tokens": 2, "stop_token_ids": [121, 46] })), says("zé", "stop")),
        (completion("X", json!({ "echo": true })), says("XYZ", "stop")),
        (completion("X", json!({ "echo": true, "max_tokens": 0 })), says("X", "length")),
        (completion("X", json!({ "n": 2, "best_of": 2 })), two("YZ", "YZ")),
        (json!({ "prompt": ["X", "Y"] }), two("YZ", "Z")),
        (json!({ "prompt": [88] }), says("YZ", "stop")),
        (json!({ "prompt": [[88], [89, 90]], "echo": true }), two("XYZ", "YZ")),
        (
            json!({ "prompt": ["X", "W"], "n": 2 }),
            json!({
            "choices": [{ "text": "YZ" }, { "text": "YZ" }, { "text": "XYZ" }, { "text": "XYZ" }],
            "usage": { "prompt_tokens": 2, "completion_tokens": 14, "total_tokens": 16 } }),
        ),
        // What is written in a prompt is text, unless it is said to be more.
        (completion("<|im_end|>Y", json!({})), json!({ "usage": { "prompt_tokens": 11 } })),
        (completion("<|im_end|>Y", json!({ "parse_special": true })), json!({ "usage": { "prompt_tokens": 2 } })),
        // "xy" was there before: what follows it is made less likely, until something else has been said.
        (
            completion("x", json!({ "dry_multiplier": 100, "dry_sequence_breakers": [], "max_tokens": 31 })),
            says("yzé.abcdefghijklmnopqrstuvwxy{", "length"),
        ),
        (
            completion("x", json!({ "dry_multiplier": 100, "dry_sequence_breakers": ["y"], "max_tokens": 31 })),
            says("yzé.abcdefghijklmnopqrstuvwxyz", "length"),
        ),
    ];
    for (body, expected) in cases {
        server.check("/v1/completions", &body, 200, &expected).await;
    }
}

#[tokio::test]
async fn logprobs_are_reported() {
    let server = Server::start().await;
    let body = chat("hi", json!({ "logprobs": true, "top_logprobs": 2, "stop": "S" }));
    let chatted = server.post("/v1/chat/completions", &body).await.json();
    let content = &chatted["choices"][0]["logprobs"]["content"];
    let tokens: Vec<_> = content.as_array().into_iter().flatten().map(|entry| entry["token"].as_str()).collect();
    assert_eq!(tokens, [Some("P"), Some("Q"), Some("R")], "{chatted:#}");
    assert_eq!(content[0]["bytes"], json!([80]));
    assert_eq!(content[0]["top_logprobs"][0]["token"], "P");
    assert_eq!(content[0]["top_logprobs"][1]["token"], "Q");
    assert_eq!(content[0]["top_logprobs"][0]["logprob"], content[0]["logprob"]);
    let gap = content[0]["logprob"].as_f64().unwrap_or(0.0)
        - content[0]["top_logprobs"][1]["logprob"].as_f64().unwrap_or(0.0);
    assert!((gap - 5.0).abs() < 1e-3, "{gap}");

    let body = completion("x", json!({ "logprobs": 1, "max_tokens": 6 }));
    let expected = json!({ "choices": [{ "text": "yzé.a", "logprobs": {
        "tokens": ["y", "z", "bytes:\\xc3", "bytes:\\xa9", ".", "a"], "text_offset": [0, 1, 2, 2, 3, 4] } }] });
    server.check("/v1/completions", &body, 200, &expected).await;
    let none = with(chat("hi", json!({})), json!({ "logprobs": false }));
    server.check("/v1/chat/completions", &none, 200, &json!({ "choices": [{ "logprobs": null }] })).await;
}

/// The made-up model gives the next letter 10, the one after it 5 and each of the others 0.
fn logprob(logit: f64) -> f64 {
    logit - (10f64.exp() + 5f64.exp() + (VOCAB - 2) as f64).ln()
}

/// The log-probabilities of a choice's tokens are these logits'; the first of a prompt has none.
fn check_logprobs(choice: &Value, tokens: &[&str], logits: &[f64]) {
    let got = &choice["logprobs"];
    assert_eq!(got["tokens"], json!(tokens), "{choice:#}");
    assert_eq!(got["text_offset"], json!((0..tokens.len()).collect::<Vec<_>>()), "{choice:#}");
    assert_eq!((&got["token_logprobs"][0], &got["top_logprobs"][0]), (&Value::Null, &Value::Null));
    let numbers: Vec<f64> = got["token_logprobs"].as_array().into_iter().flatten().skip(1).map(number).collect();
    let near = |(got, logit): (&f64, &f64)| (got - logprob(*logit)).abs() < 1e-4;
    assert!(numbers.len() == logits.len() && numbers.iter().zip(logits).all(near), "{choice:#}");
    for (i, top) in got["top_logprobs"].as_array().into_iter().flatten().enumerate().skip(1) {
        assert_eq!(top[tokens[i]], got["token_logprobs"][i], "{choice:#}");
        assert!(top.as_object().into_iter().flatten().any(|(_, best)| (number(best) - logprob(10.0)).abs() < 1e-4));
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[tokio::test]
async fn prompts_are_scored_where_they_are_echoed() {
    let server = Server::start().await;
    let scored = |more: Value| with(json!({ "echo": true, "logprobs": 1, "max_tokens": 2 }), more);
    let one = server.post("/v1/completions", &scored(json!({ "prompt": "xyqr" }))).await.json();
    assert_eq!(one["choices"][0]["text"], "xyqrst");
    check_logprobs(&one["choices"][0], &["x", "y", "q", "r", "s", "t"], &[10.0, 0.0, 10.0, 10.0, 10.0]);
    // Nothing but the prompt; several prompts, several answers; one that is longer than what has logits at once, and again
    // when the cache has it.
    let only = server.post("/v1/completions", &scored(json!({ "prompt": [97, 99], "max_tokens": 0 }))).await.json();
    assert_eq!((&only["choices"][0]["text"], &only["usage"]["completion_tokens"]), (&json!("ac"), &json!(0)));
    check_logprobs(&only["choices"][0], &["a", "c"], &[5.0]);
    let all = server.post("/v1/completions", &scored(json!({ "prompt": ["ab", "bd"], "n": 2 }))).await.json();
    check_logprobs(&all["choices"][1], &["a", "b", "c", "d"], &[10.0, 10.0, 10.0]);
    check_logprobs(&all["choices"][2], &["b", "d", "e", "f"], &[5.0, 10.0, 10.0]);
    let large = Server::with(Setup { queue: 1024, context: 4096, ..Setup::default() }).await;
    let body = scored(json!({ "prompt": vec!["x".repeat(2000); 8], "logprobs": 20, "n": 128 }));
    let refused = json!({ "error": { "param": "echo", "message": "~43008000 log-probabilities of 16000 tokens" } });
    large.check("/v1/completions", &body, 400, &refused).await;
    let long = "abcdefghijklm".repeat(30);
    let tokens: Vec<String> = long.chars().map(String::from).chain(["n".into(), "o".into()]).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let follows = |i: usize| if i.is_multiple_of(13) && i < 390 { 0.0 } else { 10.0 };
    let logits: Vec<f64> = (1..tokens.len()).map(follows).collect();
    for _ in 0..2 {
        let whole = server.post("/v1/completions", &scored(json!({ "prompt": long }))).await.json();
        check_logprobs(&whole["choices"][0], &tokens, &logits);
    }
}

#[tokio::test]
async fn prompts_are_scored_for_themselves() {
    let server = Server::start().await;
    let scores = |more: Value| with(json!({ "prompt_logprobs": 1, "max_tokens": 1 }), more);
    let check = |scores: &Value, expected: &[&[(&str, f64, Value)]]| {
        assert_eq!(
            (scores.as_array().map(Vec::len), &scores[0]),
            (Some(expected.len() + 1), &Value::Null),
            "{scores:#}"
        );
        for (i, tokens) in expected.iter().enumerate() {
            let got = &scores[i + 1];
            assert_eq!(got.as_object().map(serde_json::Map::len), Some(tokens.len()), "{scores:#}");
            for (text, logit, rank) in *tokens {
                let entry = &got[u32::from(text.as_bytes()[0]).to_string()];
                assert_eq!((&entry["decoded_token"], &entry["rank"]), (&json!(text), rank), "{scores:#}");
                assert!((number(&entry["logprob"]) - logprob(*logit)).abs() < 1e-4, "{scores:#}");
            }
        }
    };
    let body = scores(json!({ "prompt": "xya" }));
    let one = server.post("/v1/completions", &body).await.json();
    let expected: [&[(&str, f64, Value)]; 2] =
        [&[("y", 10.0, json!(1))], &[("z", 10.0, json!(1)), ("a", 0.0, Value::Null)]];
    check(&one["choices"][0]["prompt_logprobs"], &expected);
    assert_eq!((&one["choices"][0]["text"], &one["choices"][0]["logprobs"]), (&json!("b"), &Value::Null));
    // Together with what echo asks for, each with its own number of alternatives.
    let both = with(body.clone(), json!({ "echo": true, "logprobs": 0 }));
    let both = server.post("/v1/completions", &both).await.json();
    check(&both["choices"][0]["prompt_logprobs"], &expected);
    assert_eq!(both["choices"][0]["text"], "xyab");
    assert_eq!(both["choices"][0]["logprobs"]["top_logprobs"][1].as_object().map(serde_json::Map::len), Some(1));
    let chatted =
        server.post("/v1/chat/completions", &with(chat("hi", json!({})), json!({ "prompt_logprobs": 0 }))).await;
    assert_eq!(chatted.json()["prompt_logprobs"].as_array().map(Vec::len), Some(21));
}

#[tokio::test]
async fn seeds_repeat_and_choices_differ() {
    let server = Server::start().await;
    let body = completion(
        "a",
        json!({ "temperature": 4.0, "logit_bias": { "35": -100 }, "seed": 7, "n": 4, "max_tokens": 32, "ignore_eos": true }),
    );
    let first = server.post("/v1/completions", &body).await.json();
    let second = server.post("/v1/completions", &body).await.json();
    assert_eq!(first["choices"], second["choices"], "{first:#}");
    assert_ne!(first["choices"][0]["text"], first["choices"][1]["text"], "{first:#}");
    assert_ne!(first["id"], second["id"]);
}

#[tokio::test]
async fn a_prompt_seen_before_says_how_much_of_it_was_kept() {
    let server = Server::start().await;
    let path = "/v1/completions";
    let usage = |cached: usize| json!({ "usage": { "prompt_tokens_details": { "cached_tokens": cached } } });
    // Blocks have 16 tokens; a stop string ends the answer before the engine does.
    let prompt = "abcdefghijklmnopqrstuvwxyzabcdefghijklmn";
    let cases = [
        (json!({}), usage(0)),
        (json!({ "n": 3 }), usage(32)),
        (json!({ "stop": "o" }), usage(32)),
        (json!({ "cache_salt": "mine" }), usage(0)),
        (json!({ "cache_salt": "mine" }), usage(32)),
    ];
    for (more, expected) in cases {
        let body = with(completion(prompt, json!({ "max_tokens": 3 })), more);
        server.check(path, &body, 200, &expected).await;
    }
}
