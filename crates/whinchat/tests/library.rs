//! The library as people `cargo add` it, on the small model in tests/data.

use std::path::Path;

use serde_json::Value;
use whinchat::{EndReason, Error, GenerateOptions, Model, Piece, SamplingParams};

fn folder() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tiny").display().to_string()
}

fn model() -> Model {
    Model::load(&folder()).expect("the fixture loads")
}

fn greedy(max_tokens: usize) -> GenerateOptions {
    let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    GenerateOptions { sampling, max_tokens, ..GenerateOptions::default() }
}

/// Prompts with what transformers generates for them greedily.
fn cases() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(Path::new(&folder()).join("expected.json")).expect("the fixture");
    let expected: Value = serde_json::from_str(&text).expect("JSON");
    let cases = expected["cases"].as_array().expect("cases").iter();
    let plain = cases.filter(|case| case["prompt"] != "@chat");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    plain.map(|case| (text(&case["prompt"]), text(&case["text"]))).collect()
}

async fn collect(mut stream: whinchat::TextStream) -> (String, EndReason) {
    let mut text = String::new();
    loop {
        match stream.next().await.expect("it ends with Ended").expect("no error") {
            Piece::Text(more) => text += &more,
            Piece::Ended(ended) => return (text, ended.reason),
        }
    }
}

#[test]
fn generate_and_stream_give_what_transformers_does() {
    let model = model();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for (prompt, wanted) in cases() {
        assert_eq!(model.generate(&prompt, &greedy(24)).expect("an answer"), wanted, "{prompt}");
        let streamed = runtime.block_on(collect(model.stream(&prompt, &greedy(24)).expect("a stream")));
        assert_eq!(streamed, (wanted, EndReason::Length), "{prompt}");
    }
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let model = model();
    let (prompt, whole) = cases().remove(0);
    let middle: String = whole.chars().skip(8).take(3).collect();
    let options = GenerateOptions { stop: vec![middle.clone()], ..greedy(24) };
    let pieces: Vec<Piece> =
        model.pieces(&prompt, &options).expect("pieces").map(|piece| piece.expect("no error")).collect();
    let Some((Piece::Ended(ended), rest)) = pieces.split_last() else { panic!("{pieces:?}") };
    let text: String =
        rest.iter().map(|p| if let Piece::Text(text) = p { text.as_str() } else { panic!("{p:?}") }).collect();
    assert_eq!(Some(text.as_str()), whole.split(&middle).next());
    assert_eq!(ended.reason, EndReason::Stop);
}

#[test]
fn mistakes_are_said_before_anything_runs() {
    let model = model();
    let long = "a b c d e f ".repeat(200);
    let refused = |prompt: &str| match model.generate(prompt, &greedy(4)) {
        Err(Error::Request(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(&long).contains("context takes 256"));
    assert!(matches!(Model::load("no/such/model.gguf"), Err(Error::Model(_))));
}

/// Many streams that are dropped leave room for the next one.
#[test]
fn dropping_a_stream_cancels_it() {
    let model = model();
    for _ in 0..200 {
        drop(model.stream("The", &GenerateOptions { ignore_eos: true, ..greedy(200) }).expect("a stream"));
    }
    let (prompt, wanted) = cases().remove(1);
    assert_eq!(model.generate(&prompt, &greedy(24)).expect("an answer"), wanted);
}
