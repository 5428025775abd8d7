//! The vocabularies of llama.cpp with the ids that each must give.

use text::{EncodeOptions, StreamDecoder, Tokenizer};

const BETWEEN: &str = "\n__ggml_vocab_test__\n";

fn check(name: &str) {
    let path = format!("tokenizers/gguf/ggml-vocab-{name}.gguf");
    let Some(file) = crate::common::asset(&path) else { return };
    let vocab = crate::common::gguf_vocab(&std::fs::read(&file).expect("a file"));
    let tokenizer = std::sync::Arc::new(Tokenizer::from_gguf(vocab).expect(name));
    let read = |end: &str| std::fs::read_to_string(format!("{}.{end}", file.display())).expect("a file");
    let (texts, ids) = (read("inp"), read("out"));
    let texts: Vec<&str> = texts.split(BETWEEN).collect();
    let ids: Vec<&str> = ids.lines().collect();
    assert!(texts.len() <= ids.len() + 1, "{name}");
    for (text, ids) in texts.iter().zip(ids) {
        let expected: Vec<u32> = ids.split_whitespace().map(|id| id.parse().expect("an id")).collect();
        let got = tokenizer.encode(text, EncodeOptions { add_special: false, parse_special: false });
        assert_eq!(got, expected, "{name} {text:?}");
        let mut stream = StreamDecoder::after(tokenizer.clone(), &[]);
        let mut streamed: String = got.iter().map(|id| stream.push(*id)).collect();
        streamed.push_str(&stream.finish());
        assert_eq!(streamed, tokenizer.decode(&got, false), "{name} {text:?}");
        if name != "bert-bge" {
            assert_eq!(streamed, *text, "{name}");
        }
    }
}

#[test]
fn bert_bge() {
    check("bert-bge");
}

#[test]
fn deepseek_llm() {
    check("deepseek-llm");
}

#[test]
fn falcon() {
    check("falcon");
}

#[test]
fn gpt_2() {
    check("gpt-2");
}

#[test]
fn llama_bpe() {
    check("llama-bpe");
}

#[test]
fn llama_spm() {
    check("llama-spm");
}

#[test]
fn phi_3() {
    check("phi-3");
}

#[test]
fn qwen2() {
    check("qwen2");
}
