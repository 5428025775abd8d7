//! Broken tokenizer.json files: an error or a tokenizer, never a panic.

use proptest::prelude::*;
use serde_json::{Value, json};
use text::{EncodeOptions, Tokenizer};

use crate::small;

const TEXT: &str = " the <|end|> héllo, 12345 aaaa我\n\n";

fn files() -> Vec<Value> {
    vec![
        small::bpe(small::by_pattern(r"(?=(\d{3})+(?!\d))")),
        small::sentencepiece(true, true),
        small::wordpiece(),
        small::unigram(true),
        small::words(json!({"type": "Whitespace"}), json!({"type": "NFKC"})),
    ]
}

fn encode(bytes: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_json(bytes, None) {
        let ids = tokenizer.encode(TEXT, EncodeOptions { add_special: true, parse_special: true });
        tokenizer.decode(&ids, true);
    }
}

/// Replaces the `at`-th value of a tree (depth first) by `by`.
fn replace(value: &mut Value, at: &mut usize, by: &Value) {
    if *at == 0 {
        *value = by.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, at, by)),
        Value::Object(map) => map.values_mut().for_each(|item| replace(item, at, by)),
        _ => {}
    }
}

fn check(json: &Value, config: Option<Value>, expected: &str) {
    let error = Tokenizer::from_json(json.to_string().as_bytes(), config.as_ref()).expect_err("wrong").to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn errors_name_the_field() {
    assert!(Tokenizer::from_json(b"{", None).expect_err("wrong").to_string().contains("tokenizer.json: is not JSON"));
    check(&json!([]), None, "tokenizer.json: is not an object");
    check(&json!({}), None, "model: is not an object");
    check(&json!({"model": {"type": "GPT", "vocab": {}}}), None, "model.type: \"GPT\" is not supported");
    check(&json!({"model": {"type": "BPE", "vocab": {"a": -1}}}), None, "model.vocab.a: is not a token id");
    check(&json!({"model": {"type": "BPE", "vocab": {"a": 16_000_000}}}), None, "too far out for 1 tokens");
    check(
        &json!({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}),
        None,
        "model.merges[0]: \"a b\" is not",
    );
    check(&json!({"model": {"type": "BPE", "vocab": {}, "merges": []}}), None, "model.vocab: is empty");
    check(
        &json!({"model": {"type": "Unigram", "unk_id": 5, "vocab": [["a", 0.0]]}}),
        None,
        "model.unk_id: is past the end",
    );
    let broken = small::words(json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"}), Value::Null);
    check(&broken, None, "pre_tokenizer.pattern.Regex: the pattern \"(\" is not valid");
    let unknown = small::words(json!({"type": "UnicodeScripts"}), Value::Null);
    check(&unknown, None, "pre_tokenizer.type: \"UnicodeScripts\" is not supported");
    let config = json!({"added_tokens_decoder": {"x": {"content": "a"}}});
    check(&small::wordpiece(), Some(config), "added_tokens_decoder.x: is not a token id");
}

#[test]
fn config_says_what_goes_around() {
    let check = |config: Value, expected: &[u32], ends: (Option<u32>, Option<u32>)| {
        let json = small::sentencepiece(true, true).to_string();
        let tokenizer = Tokenizer::from_json(json.as_bytes(), Some(&config)).expect("valid");
        let ids = tokenizer.encode("", EncodeOptions { add_special: true, parse_special: false });
        assert_eq!(ids, expected, "{config}");
        assert_eq!((tokenizer.bos(), tokenizer.eos()), ends, "{config}");
    };
    check(json!({}), &[1], (Some(1), Some(2)));
    check(json!({"bos_token": "<s>", "add_bos_token": false}), &[], (Some(1), Some(2)));
    check(
        json!({"bos_token": {"content": "<s>"}, "eos_token": {"content": "▁"}, "add_bos_token": true, "add_eos_token": true}),
        &[1, 259],
        (Some(1), Some(259)),
    );
    check(
        json!({"added_tokens_decoder": {"300": {"content": "<e>", "special": true}}, "eos_token": "<e>"}),
        &[1],
        (Some(1), Some(300)),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_value_anywhere(file in 0usize..5, at in 0usize..90, by in prop_oneof![
        Just(json!(null)), Just(json!(true)), Just(json!(-1)), Just(json!(4294967295u64)), Just(json!(1e300)), Just(json!("")),
        Just(json!("aé")), Just(json!([])), Just(json!({})), Just(json!(["a", "b"])), Just(json!({"type": "Sequence"})), Just(json!(0)),
    ]) {
        let mut json = files().swap_remove(file);
        let mut at = at;
        replace(&mut json, &mut at, &by);
        encode(json.to_string().as_bytes());
    }

    #[test]
    fn any_cut_and_flip(file in 0usize..5, cut in 0usize..8000, flips in prop::collection::vec((0usize..8000, any::<u8>()), 0..4)) {
        let mut bytes = files().swap_remove(file).to_string().into_bytes();
        for (at, to) in flips {
            let len = bytes.len();
            bytes[at % len] = to;
        }
        encode(&bytes);
        bytes.truncate(cut);
        encode(&bytes);
    }
}
