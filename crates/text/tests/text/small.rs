//! Small tokenizers of every kind as tokenizer.json.

use serde_json::{Value, json};

fn added(id: u32, content: &str, special: bool, normalized: bool) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": content == "<l>", "rstrip": content == "<r>",
        "normalized": normalized, "special": special})
}

/// A byte-level vocabulary: the alphabet, then what `merges` make.
fn byte_level(merges: &[&str]) -> (Value, Value) {
    let mut pieces: Vec<String> =
        tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().map(String::from).collect();
    pieces.sort();
    pieces.extend(merges.iter().map(|m| m.replace(' ', "")));
    let vocab: serde_json::Map<String, Value> =
        pieces.into_iter().enumerate().map(|(id, piece)| (piece, id.into())).collect();
    (vocab.into(), merges.iter().map(|m| Value::from(*m)).collect())
}

const MERGES: [&str; 12] = ["Ġ t", "h e", "Ġt he", "l l", "e r", "Ġ Ġ", "ĠĠ ĠĠ", "a a", "aa aa", "Ã ©", "1 2", "Ċ Ċ"];

/// Byte-level BPE with the given `pre_tokenizer`.
pub(crate) fn bpe(pre_tokenizer: Value) -> Value {
    let (vocab, merges) = byte_level(&MERGES);
    json!({"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [added(268, "<|end|>", true, false), added(269, "<l>", false, false),
            added(270, "<r>", false, false), added(271, "the the", false, true)],
        "normalizer": {"type": "NFC"}, "pre_tokenizer": pre_tokenizer,
        "post_processor": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": true,
            "vocab": vocab, "merges": merges}})
}

/// A pre-tokenizer that splits by `pattern` and writes bytes.
pub(crate) fn by_pattern(pattern: &str) -> Value {
    json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})
}

/// SentencePiece's BPE: a space before the text, unknown characters as bytes (or `<unk>`).
pub(crate) fn sentencepiece(byte_fallback: bool, fuse_unk: bool) -> Value {
    let mut pieces: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    if byte_fallback {
        pieces.extend((0..256).map(|b| format!("<0x{b:02X}>")));
    }
    pieces.extend("▁ a b t h e l o r".split(' ').map(String::from));
    let merges = ["▁ t", "h e", "▁t he", "l l", "▁ ▁", "▁▁ ▁▁", "a a"];
    pieces.extend(merges.iter().map(|m| m.replace(' ', "")));
    let vocab: serde_json::Map<String, Value> =
        pieces.iter().enumerate().map(|(id, piece)| (piece.clone(), id.into())).collect();
    json!({"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [added(0, "<unk>", true, false), added(1, "<s>", true, false), added(2, "</s>", true, true)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": fuse_unk, "byte_fallback": byte_fallback, "vocab": vocab,
            "merges": merges}})
}

/// BERT's WordPiece.
pub(crate) fn wordpiece() -> Value {
    let pieces = "[PAD] [UNK] [CLS] [SEP] a b e h l o t the ##a ##e ##ll ##o hell ##lo , ! 我 1 ##2";
    let vocab: serde_json::Map<String, Value> =
        pieces.split(' ').enumerate().map(|(id, piece)| (piece.to_owned(), id.into())).collect();
    json!({"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [added(2, "[CLS]", true, false), added(3, "[SEP]", true, false)],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": false},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 12, "vocab": vocab}})
}

/// T5's unigram.
pub(crate) fn unigram(byte_fallback: bool) -> Value {
    let mut vocab: Vec<Value> = vec![json!(["<pad>", 0.0]), json!(["</s>", 0.0]), json!(["<unk>", 0.0])];
    if byte_fallback {
        vocab.extend((0..256).map(|b| json!([format!("<0x{b:02X}>"), -20.0])));
    }
    let pieces =
        [("▁", -2.0), ("▁the", -3.0), ("a", -4.0), ("aa", -7.5), ("t", -5.0), ("he", -4.5), ("l", -5.0), ("é", -6.0)];
    vocab.extend(pieces.map(|(piece, score)| json!([piece, score])));
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [added(1, "</s>", true, false)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Nmt"}, {"type": "NFKC"},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true},
        "model": {"type": "Unigram", "unk_id": 2, "byte_fallback": byte_fallback, "vocab": vocab}})
}

/// Whole words, cut by the given `pre_tokenizer`.
pub(crate) fn words(pre_tokenizer: Value, normalizer: Value) -> Value {
    let pieces = ["[UNK]", "the", "hello", " ", "a", "1", "12", ",", "!", "é", "aa", "-", "the-", "-the"];
    let vocab: serde_json::Map<String, Value> =
        pieces.iter().enumerate().map(|(id, piece)| ((*piece).to_owned(), id.into())).collect();
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocab}})
}
