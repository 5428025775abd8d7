//! Encoders through the library: vectors and scores are those of sentence-transformers (xtask/goldens/encoder_texts.py), whatever shares
//! a batch, and nothing else is asked of them.

use std::path::{Path, PathBuf};

use answer::{Pair, PromptText};
use serde_json::Value;
use whinchat::{CacheOptions, GenerateOptions, KvType, LoadOptions, Model};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name)
}

fn model(name: &str) -> Model {
    let cache = CacheOptions { kv_type: KvType::F32, ..CacheOptions::default() };
    let options = LoadOptions { cache, ..LoadOptions::default() };
    Model::load_with(folder(name), &options, &|_, _, _| {}).expect("the fixture loads")
}

fn expected(name: &str) -> Value {
    let text = std::fs::read_to_string(folder(name).join("expected.json")).expect("the fixture");
    serde_json::from_str(&text).expect("JSON")
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
}

/// Whether the numbers are those, within rounding of rows to BF16, which its weights are stored in.
fn check(what: &str, numbers: &[f32], wanted: &Value) {
    let wanted: Vec<f64> = wanted.as_array().expect("numbers").iter().filter_map(Value::as_f64).collect();
    assert_eq!(numbers.len(), wanted.len(), "{what}");
    let worst = numbers.iter().zip(&wanted).map(|(a, b)| (f64::from(*a) - b).abs()).max_by(f64::total_cmp);
    assert!(worst.is_some_and(|worst| worst < 4e-3), "{what}: off by {worst:?}");
}

#[test]
fn texts_have_the_vectors_of_sentence_transformers() {
    let (model, expected) = (model("encoder"), expected("encoder"));
    let texts = strings(&expected["texts"]);
    let vectors = model.embed(&texts, None).expect("vectors");
    assert_eq!(vectors.len(), texts.len());
    for (i, (text, vector)) in texts.iter().zip(&vectors).enumerate() {
        check(text, vector, &expected["vectors"][i]);
        assert_eq!(*vector, model.embed(&[text], None).expect("a vector")[0], "{text}: alone");
    }
    let refused = model.generate("The whinchat", &GenerateOptions::max_tokens(4)).expect_err("it writes nothing");
    assert!(refused.to_string().contains("is an encoder"), "{refused}");
    // The last text has more tokens than its makers let one have.
    let loaded = model.into_loaded();
    let prompts: Vec<PromptText> = texts.iter().map(|text| PromptText::Text((*text).to_owned())).collect();
    let tokens = loaded.embedding_tokens("texts", &prompts, (None, None)).expect("tokens");
    let cut: Vec<(usize, bool)> = tokens.iter().map(|text| (text.ids.len(), text.cut)).collect();
    assert_eq!(cut.last(), Some(&(24, true)), "{cut:?}");
    assert!(cut[..cut.len() - 1].iter().all(|(_, cut)| !cut), "{cut:?}");
}

#[test]
fn pairs_have_the_scores_of_sentence_transformers() {
    let (loaded, expected) = (model("reranker").into_loaded(), expected("reranker"));
    let pairs: Vec<Vec<&str>> = expected["pairs"].as_array().expect("pairs").iter().map(strings).collect();
    let pairs: Vec<Pair> =
        pairs.iter().map(|pair| Pair { query: pair[0], document: pair[1], instruction: None }).collect();
    let tokens = loaded.pair_tokens(&pairs).expect("tokens");
    assert_eq!(tokens.cut().collect::<Vec<_>>(), [2]);
    let scores = pollster::block_on(loaded.judge(tokens).expect("a judge")).expect("scores");
    check("scores", &scores, &expected["scores"]);
}
