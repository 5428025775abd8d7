//! `tokenizer.model` and ranks against SentencePiece and tiktoken: hashes of ids, made by xtask/goldens/tokenizer_files.py.

use serde_json::Value;
use sha2::{Digest, Sha256};
use text::{EncodeOptions, Tokenizer};

use crate::common::asset;

fn digest(ids: &[u32]) -> String {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn text(golden: &Value, title: &str) -> Option<String> {
    if let Some(at) = title.strip_prefix("carried ") {
        let at: usize = at.parse().expect("a number");
        return golden["carried"][at].as_str().map(str::to_owned);
    }
    let whole = std::fs::read_to_string(asset(&format!("text/{title}"))?).expect("a text");
    Some(whole.chars().take(golden["longest"].as_u64().expect("a number") as usize).collect())
}

fn check(name: &str) {
    let golden: Value = serde_json::from_str(include_str!("fixtures/tokenizers.json")).expect("JSON");
    let Some(file) = asset(&format!("tokenizers/{name}")) else { return };
    let tokenizer = Tokenizer::from_model(&std::fs::read(file).expect("a file"), None).expect(name);
    let hashes = golden["hashes"][name].as_object().expect(name);
    assert!(hashes.len() > 15, "{name}");
    for (title, expected) in hashes {
        let Some(text) = text(&golden, title) else { return };
        let ids = tokenizer.encode(&text, EncodeOptions { add_special: false, parse_special: false });
        assert_eq!(digest(&ids), expected.as_str().expect("a hash"), "{name} {title} {:?}", &ids[..ids.len().min(20)]);
        // SentencePiece does not tell its mark of a space from one that was written.
        let expected = if name.starts_with("tiktoken") { text } else { text.replace('▁', " ") };
        assert_eq!(tokenizer.decode(&ids, false), expected, "{name} {title}");
    }
}

#[test]
fn sentencepiece() {
    ["llama2.model", "mistral_instruct_tokenizer_240323.model.v3", "tokenizer.model.v1"]
        .iter()
        .for_each(|name| check(&format!("sentencepiece/{name}")));
}

#[test]
fn cl100k() {
    check("tiktoken/cl100k_base.tiktoken");
}

#[test]
fn o200k() {
    check("tiktoken/o200k_base.tiktoken");
}

#[test]
fn llama3() {
    check("tiktoken/llama3.tiktoken");
}

#[test]
fn damaged_models_are_refused() {
    let check = |bytes: &[u8], says: &str| {
        let problem = Tokenizer::from_model(bytes, None).expect_err("refused").to_string();
        assert!(problem.contains(says), "{problem}");
    };
    check(b"", "cut off");
    check(b"\x0a\xff", "cut off");
    check(b"\x0a\x03\x0a\x01a\x12\x02\x18\x03", "WORD");
    check(b"\x0a\x03\x0a\x01a\x12\x02\x18\x02", "remove_extra_whitespaces");
    let Some(file) = asset("tokenizers/sentencepiece/llama2.model") else { return };
    let whole = std::fs::read(file).expect("a file");
    for len in [1, 100, 5000, whole.len() - 1] {
        _ = Tokenizer::from_model(&whole[..len], None);
    }
}
