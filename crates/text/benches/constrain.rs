//! How long a constraint takes to be compiled, and a mask of the tokens that may come next, for a vocabulary of 150,000 tokens.

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use text::{Constrainer, Constraint, EncodeOptions, GgufVocab, Grammar, Tokenizer};

/// Every byte, and words of up to three syllables, with a space before or not.
fn tokenizer() -> Arc<Tokenizer> {
    let syllables: Vec<String> =
        "bcdfghklmnprstvz".chars().flat_map(|c| "aeiou".chars().map(move |v| [c, v].iter().collect())).collect();
    let mut tokens: Vec<Vec<u8>> = (0x21u8..0x7F).map(|byte| vec![byte]).collect();
    tokens.extend(["Ġ", "Ċ", "</s>"].map(|token| token.as_bytes().to_vec()));
    'all: for a in &syllables {
        for b in &syllables {
            for (c, space) in syllables.iter().flat_map(|c| [(c, ""), (c, "Ġ")]) {
                tokens.push(format!("{space}{a}{b}{c}").into_bytes());
                if tokens.len() == 150_000 {
                    break 'all;
                }
            }
        }
    }
    let vocab = GgufVocab { model: "gpt2".into(), tokens, merges: vec![b"b a".to_vec()], ..GgufVocab::default() };
    Arc::new(Tokenizer::from_gguf(vocab).expect("a vocabulary"))
}

fn constraints(c: &mut Criterion) {
    let tokenizer = tokenizer();
    let constrainer = Constrainer::new(&tokenizer, &[]).expect("a vocabulary");
    let schema = json!({ "type": "object", "required": ["name", "tags", "age"], "properties": {
        "name": { "type": "string" }, "age": { "type": "integer" }, "tags": { "type": "array", "items": { "enum": ["a", "b"] } } } });
    let schema = Constraint::JsonSchema(schema);
    let mut group = c.benchmark_group("constrain");
    group.bench_function("compile a schema", |b| b.iter(|| constrainer.compile(&schema).expect("right")));
    let source = "root ::= item (\", \" item)*\nitem ::= [a-z]+ \"=\" [0-9]{1,3}";
    group.bench_function("compile a grammar", |b| b.iter(|| Grammar::parse(source).expect("right")));
    let options = EncodeOptions { add_special: false, parse_special: false };
    let answer = tokenizer.encode("{\"name\": \"bacado feguha\", \"age\": 31, \"tags\": [\"a\", \"b\"]}", options);
    let fresh = constrainer.compile(&schema).expect("right");
    group.bench_function("masks of an answer", |b| {
        let mut words = vec![0; tokenizer.vocab().div_ceil(32)];
        b.iter(|| {
            let mut matcher = fresh.clone();
            for &token in &answer {
                matcher.fill(&mut words).expect("in bounds");
                matcher.accept(token).expect("it fits");
            }
        });
    });
}

criterion_group!(benches, constraints);
criterion_main!(benches);
