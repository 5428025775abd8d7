//! tokenizer.json as the vocabulary of a GGUF file: the same ids, or a refusal that says why.

use serde_json::{Value, json};
use text::{EncodeOptions, GgufVocab, TokenKind, Tokenizer};

use crate::common::asset;

const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As DeepSeek R1's distillations write Qwen's pattern.
const QWEN2_SPELLED: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn byte_level(regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex})
}

fn split(pattern: &str) -> Value {
    let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    json!({"type": "Sequence", "pretokenizers": [split, byte_level(false)]})
}

/// A byte-level vocabulary: GPT-2's alphabet, some merges, a control token and one that is text.
fn bytes(pre_tokenizer: Value) -> Value {
    let alphabet: Vec<char> =
        (0u32..0x144).filter(|c| !matches!(c, 0..=0x20 | 0x7F..=0xA0 | 0xAD)).filter_map(char::from_u32).collect();
    assert_eq!(alphabet.len(), 256);
    let merges = ["t h", "th e", "Ġ the", "1 2", "12 3", "Ċ Ċ", "' s"];
    let made = merges.iter().map(|merge| merge.replace(' ', ""));
    let pieces = alphabet.iter().map(char::to_string).chain(made);
    let vocab: serde_json::Map<String, Value> = pieces.enumerate().map(|(id, piece)| (piece, json!(id))).collect();
    let added = |id: usize, text: &str, special: bool| json!({"id": id, "content": text, "special": special, "normalized": false});
    let tokens = vocab.len();
    json!({
        "added_tokens": [added(tokens, "<|end|>", true), added(tokens + 2, "<|tool|>", false)],
        "normalizer": null, "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    })
}

fn converted(json: &Value, config: &Value) -> Result<GgufVocab, String> {
    GgufVocab::from_json(json.to_string().as_bytes(), Some(config)).map_err(|e| e.to_string())
}

#[test]
fn pre_tokenizers_are_recognised() {
    let digits =
        json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, byte_level(true)]});
    let cases = [
        (byte_level(true), "gpt-2"),
        (split(QWEN2), "qwen2"),
        (split(QWEN2_SPELLED), "qwen2"),
        (split(LLAMA3), "dbrx"),
        (split(TEKKEN), "tekken"),
        (digits, "starcoder"),
    ];
    for (pre_tokenizer, name) in cases {
        let vocab = converted(&bytes(pre_tokenizer), &json!({"eos_token": "<|end|>"})).expect(name);
        assert_eq!(vocab.pre.as_deref(), Some(name));
    }
    let mut whole = bytes(split(LLAMA3));
    whole["model"]["ignore_merges"] = json!(true);
    assert_eq!(converted(&whole, &Value::Null).expect("sound").pre.as_deref(), Some("llama3"));
}

#[test]
fn tokens_have_kinds_and_roles() {
    let vocab =
        converted(&bytes(split(QWEN2)), &json!({"eos_token": "<|end|>", "add_bos_token": false})).expect("sound");
    assert_eq!(vocab.model, "gpt2");
    assert_eq!(vocab.merges.len(), 7);
    let seen: Vec<(&str, TokenKind)> = (vocab.tokens.iter().zip(&vocab.kinds).skip(262))
        .map(|(piece, kind)| (std::str::from_utf8(piece).expect("text"), *kind))
        .collect();
    let expected = [
        ("'s", TokenKind::Normal),
        ("<|end|>", TokenKind::Control),
        ("[PAD264]", TokenKind::Unused),
        ("<|tool|>", TokenKind::UserDefined),
    ];
    assert_eq!(seen, expected);
    assert_eq!(vocab.special, [("eos".to_string(), 263)]);
    assert_eq!(vocab.flags, [("add_bos_token".to_string(), false), ("add_eos_token".to_string(), false)]);
}

/// BERT's: words in pieces, lower case or not, a token before a text and one after.
fn wordpiece(lowercase: bool) -> Value {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let letters = ('a'..='z').chain('A'..='Z').map(String::from);
    let inner = ('a'..='z').map(|c| format!("##{c}"));
    let others =
        ["the", "##ing", "##é", "é", "ᄒ", "##ᅡ", "##ᆫ", "中", "文", ",", ".", "!", "1", "##2", "##", "[unused0]"]
            .map(String::from);
    let pieces = special.map(String::from).into_iter().chain(letters).chain(inner).chain(others);
    let vocab: serde_json::Map<String, Value> = pieces.enumerate().map(|(id, piece)| (piece, json!(id))).collect();
    let added = |(id, text): (usize, &&str)| json!({"id": id, "content": text, "special": true, "normalized": false});
    json!({
        "added_tokens": special.iter().enumerate().map(added).collect::<Vec<_>>(),
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": lowercase},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    })
}

#[test]
fn words_in_pieces_are_marked_where_they_begin() {
    let config = json!({"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]"});
    for lowercase in [true, false] {
        let vocab = converted(&wordpiece(lowercase), &config).expect("sound");
        assert_eq!(vocab.model, "bert");
        let piece = |id: usize| std::str::from_utf8(&vocab.tokens[id]).expect("text");
        assert_eq!([2, 5, 57, 83, 84, 96].map(piece), ["[CLS]", "▁a", "a", "▁the", "ing", "2"]);
        let roles = [("bos", 2), ("eos", 3), ("seperator", 3), ("unknown", 1), ("padding", 0), ("mask", 4)];
        assert_eq!(vocab.special, roles.map(|(role, id)| (role.to_owned(), id)));
        let flags = ["normalizer.lowercase", "normalizer.strip_accents"].map(|name| (name.to_owned(), lowercase));
        assert_eq!(vocab.flags, flags);
        let made = Tokenizer::from_gguf(vocab).expect("sound");
        let options = EncodeOptions { add_special: true, parse_special: true };
        assert_eq!(made.encode("the", options), [2, 83, 3]);
        assert_eq!(made.encode("Y", options), if lowercase { [2, 29, 3] } else { [2, 55, 3] });
    }
    let mut json = wordpiece(true);
    json["normalizer"]["handle_chinese_chars"] = json!(false);
    assert!(converted(&json, &config).expect_err("GGUF has no key").contains("BERT's"));
}

#[test]
fn what_gguf_cannot_say_is_refused() {
    let check = |change: &dyn Fn(&mut Value), problem: &str| {
        let mut json = bytes(split(QWEN2));
        change(&mut json);
        let error = converted(&json, &Value::Null).map(|_| ()).expect_err(problem);
        assert!(error.contains(problem) && error.contains("; run the model from its safetensors files"), "{error}");
    };
    check(&|json| json["normalizer"] = json!({"type": "Lowercase"}), "normalizer: a byte-level vocabulary");
    check(
        &|json| json["model"]["end_of_word_suffix"] = json!("</w>"),
        "model.end_of_word_suffix: a GGUF vocabulary has no",
    );
    check(&|json| json["pre_tokenizer"] = split(r"\p{L}\p{N}"), "cuts text as none of the pre-tokenizers");
    check(&|json| json["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = json!(true), "add_prefix_space");
    check(&|json| json["pre_tokenizer"] = json!({"type": "Whitespace"}), "BPE with byte_fallback");
    check(
        &|json| json["model"] = json!({"type": "WordLevel", "vocab": {"a": 0}}),
        "only BPE, WordPiece and unigram vocabularies can be written",
    );
    let twice = json!({"type": "TemplateProcessing", "special_tokens": {"<|end|>": {"ids": [263]}},
        "single": [{"SpecialToken": {"id": "<|end|>"}}, {"SpecialToken": {"id": "<|end|>"}}, {"Sequence": {"id": "A"}}]});
    check(&|json| json["post_processor"] = twice.clone(), "puts 2 tokens before a text");
    // A token that is found in the middle of words of the original only.
    let word = json!({"id": 300, "content": "he", "single_word": true, "normalized": false});
    check(&|json| json["added_tokens"] = json!([word]), "would be others in GGUF");
}

#[test]
fn real_tokenizers_give_the_same_ids() {
    let texts: Vec<String> =
        ["wiki.test.raw", "tinyshakespeare.txt", "code.hpp.txt", "lipsum/Japanese-Lipsum.utf8.txt"]
            .iter()
            .filter_map(|name| std::fs::read_to_string(asset(&format!("text/{name}"))?).ok())
            .map(|text| text.chars().take(200_000).collect())
            .collect();
    for (name, model, pre) in [
        ("gpt2", "gpt2", Some("gpt-2")),
        ("phi-2", "gpt2", Some("gpt-2")),
        ("llama2", "llama", None),
        ("t5-small", "t5", None),
    ] {
        let Some(folder) = asset(&format!("tokenizers/hf/{name}")) else { return };
        let json = std::fs::read(folder.join("tokenizer.json")).expect("readable");
        let config = std::fs::read(folder.join("tokenizer_config.json")).ok();
        let config: Option<Value> = config.map(|bytes| serde_json::from_slice(&bytes).expect("JSON"));
        let vocab = GgufVocab::from_json(&json, config.as_ref()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((vocab.model.as_str(), vocab.pre.as_deref()), (model, pre), "{name}");
        let original = Tokenizer::from_json(&json, config.as_ref()).expect("sound");
        let made = Tokenizer::from_gguf(vocab).expect("sound");
        let options = EncodeOptions { add_special: true, parse_special: true };
        for text in &texts {
            assert!(original.encode(text, options) == made.encode(text, options), "{name}");
        }
    }
}
