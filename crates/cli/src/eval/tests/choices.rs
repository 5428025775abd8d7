//! Multiple choice against lm-evaluation-harness on the same items (`cargo xtask goldens choices`).

use std::path::Path;

use serde_json::Value;
use whinchat::{CacheOptions, KvType, LoadOptions, Model};

use super::cases::tiny;
use super::folder;
use crate::eval::{Suite, run};

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name)
}

/// The small model with keys and values in F32, as transformers has them.
fn model() -> Model {
    let cache = CacheOptions { kv_type: KvType::F32, ..CacheOptions::default() };
    let options = LoadOptions { max_sequences: Some(8), threads: Some(2), cache, ..LoadOptions::default() };
    Model::load_with(tiny(), &options, &|_, _, _| {}).expect("the fixture loads")
}

#[test]
fn choices_are_scored_as_the_harness_scores_them() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(data("choices.json")).expect("the golden")).expect("it is JSON");
    let suite = Suite::load(&data("choices.jsonl")).expect("a suite");
    let report = run(&model(), &suite, &mut |_| {}).expect("it runs");
    let items = expected["items"].as_array().expect("items");
    assert_eq!(items.len(), report.cases.len());
    for (case, item) in report.cases.iter().zip(items) {
        let scores = case.scores.as_ref().expect("options");
        let wanted: Vec<f64> =
            item["loglikelihoods"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
        assert_eq!(wanted.len(), scores.likelihoods.len(), "{}", case.id);
        for (got, wanted) in scores.likelihoods.iter().zip(&wanted) {
            assert!((got - wanted).abs() <= 1e-3 * wanted.abs(), "{}: {got} instead of {wanted}", case.id);
        }
        let pass = |passes: bool| f64::from(u8::from(passes));
        assert_eq!(item["acc"], pass(case.pass()), "{}", case.id);
        assert_eq!(item["acc_norm"], pass(scores.passes_by_length), "{}", case.id);
    }
    let text = report.json();
    for name in ["acc", "acc_norm"] {
        let (got, wanted) = (text["total"]["choices"][name].as_f64(), expected[name].as_f64());
        assert!(
            got.is_some() && (got.unwrap_or(f64::NAN) - wanted.unwrap_or(f64::NAN)).abs() < 1e-9,
            "{name}: {got:?} {wanted:?}"
        );
    }
    assert_ne!(expected["acc"], expected["acc_norm"], "the items tell one from the other");
    assert_eq!(text["tasks"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_is_wrong_with_options_is_said() {
    let check = |expect: &str, asked: &str, wanted: &str| {
        let case = format!("{{\"id\": \"a\", \"task\": \"t\", {asked}, \"expect\": {{\"choice\": {expect}}}}}\n");
        let error = Suite::load(folder(&[("c.jsonl", &case)]).path()).expect_err("it is wrong").to_string();
        assert!(error.contains(wanted), "{error}");
    };
    let prompt = "\"prompt\": \"a\"";
    check(r#"{"options": ["a", "b"], "answer": 2}"#, prompt, "from 0 to 1");
    check(r#"{"options": ["a", "b"]}"#, prompt, "answer is missing");
    check(r#"{"options": ["a"], "answer": 0}"#, prompt, "fewer than two");
    check(r#"{"options": ["a", ""], "answer": 0}"#, prompt, "expect.choice.options");
    check(
        r#"{"options": ["a", "b"], "answer": 0}"#,
        r#""messages": [{"role": "user", "content": "a"}]"#,
        "write a prompt instead",
    );
}

#[test]
fn a_case_that_is_too_long_fails_alone() {
    let long = "a b c d e f ".repeat(200);
    let case = |id: &str, prompt: &str| {
        let expect = serde_json::json!({ "choice": { "options": ["a", "b"], "answer": 0 } });
        format!("{}\n", serde_json::json!({ "id": id, "task": "t", "prompt": prompt, "expect": expect }))
    };
    let folder = folder(&[("c.jsonl", &(case("long", &long) + &case("fine", "a b a b a")))]);
    let report = run(&model(), &Suite::load(folder.path()).expect("a suite"), &mut |_| {}).expect("it runs");
    let reason = report.cases[0].reason.clone().unwrap_or_default();
    assert!(reason.contains("context of 256"), "{reason}");
    assert_eq!(report.cases[1].scores.as_ref().map(|scores| scores.likelihoods.len()), Some(2));
    assert_eq!(report.total.accuracy.map(|accuracy| accuracy.cases), Some(2));
}
