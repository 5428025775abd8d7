//! Small GGUF vocabularies of every family: the main path where no files are at hand.

use std::sync::Arc;

use proptest::prelude::*;
use text::{EncodeOptions, GgufVocab, StreamDecoder, TokenKind, Tokenizer};

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };
const ALL: EncodeOptions = EncodeOptions { add_special: true, parse_special: true };

fn vocab(model: &str, pieces: &[&str]) -> GgufVocab {
    GgufVocab {
        model: model.into(),
        tokens: pieces.iter().map(|p| p.as_bytes().to_vec()).collect(),
        ..GgufVocab::default()
    }
}

/// SentencePiece BPE with all bytes; id 3 is the byte 0.
fn spm() -> GgufVocab {
    let bytes: Vec<String> = (0..256).map(|b| format!("<0x{b:02X}>")).collect();
    let mut pieces = vec!["<unk>", "<s>", "</s>"];
    pieces.extend(bytes.iter().map(String::as_str));
    let words = ["▁", "a", "b", "h", "e", "l", "o", "▁h", "el", "lo", "hel", "▁hel", "▁hello", "<|im_end|>", "<u>"];
    pieces.extend(words);
    let mut vocab = vocab("llama", &pieces);
    vocab.scores = (0..vocab.tokens.len()).map(|id| if id < 259 { 0.0 } else { -(id as f32) }).collect();
    vocab.scores[259 + 12] = -1.0;
    vocab.kinds = vec![TokenKind::Normal; vocab.tokens.len()];
    vocab.kinds[..3].copy_from_slice(&[TokenKind::Unknown, TokenKind::Control, TokenKind::Control]);
    vocab.kinds[3..259].fill(TokenKind::Byte);
    vocab.kinds[259 + 14] = TokenKind::UserDefined;
    vocab
}

fn bpe(pre: Option<&str>) -> GgufVocab {
    let alphabet: Vec<String> = ('!'..='~')
        .chain('\u{A1}'..='\u{AC}')
        .chain('\u{AE}'..='\u{FF}')
        .chain('\u{100}'..='\u{143}')
        .map(String::from)
        .collect();
    let mut pieces: Vec<&str> = alphabet.iter().map(String::as_str).collect();
    pieces.extend(["he", "Ġhe", "ll", "12", "<|im_start|>", "<|im_end|>"]);
    let mut vocab = vocab("gpt2", &pieces);
    vocab.pre = pre.map(str::to_owned);
    vocab.merges = ["h e", "Ġ he", "l l", "1 2", "x yz", "y z"].map(|m| m.as_bytes().to_vec()).into();
    vocab.kinds = vec![TokenKind::Normal; vocab.tokens.len()];
    vocab.kinds[260] = TokenKind::Control;
    vocab
}

fn check(tokenizer: &Tokenizer, text: &str, options: EncodeOptions, expected: &[&str]) {
    let ids = tokenizer.encode(text, options);
    let pieces: Vec<&str> = ids.iter().map(|id| tokenizer.piece(*id).expect("a piece")).collect();
    assert_eq!(pieces, expected, "{text:?}");
}

#[test]
fn sentencepiece() {
    let tokenizer = Tokenizer::from_gguf(spm()).expect("valid");
    check(&tokenizer, "hello", PLAIN, &["▁hello"]);
    check(&tokenizer, "hello  b", ALL, &["<s>", "▁hello", "▁", "▁", "b"]);
    check(&tokenizer, "é\n", PLAIN, &["▁", "<0xC3>", "<0xA9>", "<0x0A>"]);
    check(&tokenizer, "a</s>a<u>a", PLAIN, &["▁", "a", "<0x3C>", "<0x2F>", "<0x73>", "<0x3E>", "a", "<u>", "▁", "a"]);
    check(&tokenizer, "a</s>a<u>a", ALL, &["<s>", "▁", "a", "</s>", "▁", "a", "<u>", "▁", "a"]);
    check(&tokenizer, "", ALL, &["<s>"]);
    assert_eq!(tokenizer.decode(&tokenizer.encode(" hello é", ALL), false), " hello é");
    assert_eq!(tokenizer.decode(&tokenizer.encode("hello", ALL), true), "<s>hello");
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)));
    assert_eq!(tokenizer.ends(), [2, 259 + 13]);
    assert_eq!(tokenizer.bytes(1), b"");
    assert_eq!(tokenizer.bytes(271), b" hello");
    assert_eq!(tokenizer.bytes(9999), b"");
    assert_eq!(tokenizer.id("▁hello"), Some(271));
}

#[test]
fn words_between_spaces() {
    let pieces = ["h", "e", "l", "o", "é", "我", "he", "ll", "hell", " ", "<|end|>"];
    let make = |model: &str, lowercase| {
        let mut vocab = vocab(model, &pieces);
        vocab.pre = Some("whitespace".into());
        vocab.merges = ["h e", "l l", "he ll"].map(|m| m.as_bytes().to_vec()).into();
        vocab.flags = vec![("normalizer.lowercase".into(), lowercase)];
        vocab.kinds = vec![TokenKind::Normal; pieces.len()];
        vocab.kinds[10] = TokenKind::Control;
        Tokenizer::from_gguf(vocab).expect("valid")
    };
    // Pieces are text, not bytes. Spaces are words of their own, or gone.
    check(&make("gpt2", false), "hello  é我 x", PLAIN, &["hell", "o", " ", " ", "é", "我", " "]);
    check(&make("whitespace", false), " hello\n é我 HE", PLAIN, &["hell", "o", "é", "我"]);
    check(&make("whitespace", true), "HELLO<|end|> É", ALL, &["hell", "o", "<|end|>", "é"]);
}

#[test]
fn flags_of_the_file() {
    let mut vocab = spm();
    vocab.flags =
        vec![("add_space_prefix".into(), false), ("add_bos_token".into(), false), ("add_eos_token".into(), true)];
    vocab.special = vec![("eos".into(), 272), ("bos".into(), 99_999)];
    let tokenizer = Tokenizer::from_gguf(vocab).expect("valid");
    check(&tokenizer, "hello", ALL, &["hel", "lo", "<|im_end|>"]);
    assert_eq!(tokenizer.decode(&tokenizer.encode(" a", PLAIN), false), " a");
}

#[test]
fn phi3_strips_after_control_tokens() {
    let mut vocab = spm();
    vocab.names = vec!["Phi-3-mini".into()];
    let tokenizer = Tokenizer::from_gguf(vocab).expect("valid");
    check(
        &tokenizer,
        "a<|im_end|> \n a<s> a",
        EncodeOptions { parse_special: true, ..PLAIN },
        &["▁", "a", "<|im_end|>", "▁", "a", "<s>", "▁", "▁", "a"],
    );
}

#[test]
fn byte_level_bpe() {
    let tokenizer = Tokenizer::from_gguf(bpe(Some("gpt-2"))).expect("valid");
    check(&tokenizer, "hell he1234", PLAIN, &["he", "ll", "Ġhe", "12", "3", "4"]);
    // Merged on the way to a piece that does not exist, then spelled out.
    check(&tokenizer, "xyz", PLAIN, &["x", "y", "z"]);
    check(&tokenizer, "<|im_start|>he<|im_end|>", ALL, &["<|im_start|>", "he", "<|im_end|>"]);
    let digits = Tokenizer::from_gguf(bpe(Some("qwen2"))).expect("valid");
    check(&digits, "12", PLAIN, &["1", "2"]);
    assert!(Tokenizer::from_gguf(bpe(None)).is_ok());
}

#[test]
fn gemma_s_bpe_on_text() {
    let mut vocab = vocab("gemma4", &["<eos>", "<bos>", "▁", "a", "▁a", "\n\n", "<0xC3>", "<0xA9>", "\n"]);
    vocab.merges = vec!["▁ a".into()];
    vocab.kinds = vec![TokenKind::Normal; 9];
    vocab.kinds[6..8].fill(TokenKind::Byte);
    vocab.special = vec![("bos".into(), 1)];
    let tokenizer = Tokenizer::from_gguf(vocab).expect("valid");
    check(&tokenizer, "a aé\n\n", ALL, &["<bos>", "a", "▁a", "<0xC3>", "<0xA9>", "\n\n"]);
    assert_eq!(tokenizer.decode(&tokenizer.encode("a aé", PLAIN), false), "a aé");
}

#[test]
fn wordpiece() {
    let mut vocab = vocab("bert", &["[UNK]", "[CLS]", "[SEP]", "▁hel", "lo", "▁,", "▁我", "▁a"]);
    vocab.special = vec![("unknown".into(), 0), ("bos".into(), 1), ("seperator".into(), 2)];
    let tokenizer = Tokenizer::from_gguf(vocab).expect("valid");
    check(&tokenizer, "HÉLLO,我 xyz", ALL, &["[CLS]", "▁hel", "lo", "▁,", "▁我", "[UNK]", "[SEP]"]);
    assert_eq!(tokenizer.decode(&[3, 4, 7], false), "hello a");
}

#[test]
fn unigram() {
    let mut vocab = vocab("t5", &["<pad>", "</s>", "<unk>", "▁", "▁a", "a", "aa", "b"]);
    vocab.scores = vec![0.0, 0.0, 0.0, -2.0, -3.0, -4.0, -5.0, -4.0];
    vocab.kinds = vec![TokenKind::Normal; 8];
    vocab.kinds[..3].copy_from_slice(&[TokenKind::Control, TokenKind::Control, TokenKind::Unknown]);
    vocab.flags = vec![("add_space_prefix".into(), true), ("remove_extra_whitespaces".into(), true)];
    let tokenizer = Tokenizer::from_gguf(vocab).expect("valid");
    check(&tokenizer, "  aaa   xyb ", ALL, &["▁a", "aa", "▁", "<unk>", "b", "</s>"]);
}

#[test]
fn what_is_wrong_is_said() {
    let check = |vocab: GgufVocab, expected: &str| {
        let error = Tokenizer::from_gguf(vocab).expect_err("wrong").to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(GgufVocab::default(), "tokenizer.ggml.model: is missing");
    check(vocab("rwkv", &["a"]), "\"rwkv\" is not supported");
    check(vocab("llama", &[]), "tokenizer.ggml.tokens: is missing or empty");
    check(vocab("gpt2", &["a"]), "tokenizer.ggml.merges: is missing");
    check(bpe(Some("no-such")), "\"no-such\" is not known; known are default, llama3");
    check(GgufVocab { scores: vec![0.0], ..vocab("llama", &["a", "b"]) }, "has 1 entries for 2 tokens");
    check(
        GgufVocab { charsmap: vec![255; 9], ..vocab("t5", &["a"]) },
        "precompiled_charsmap: the character map is cut off",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn streams_say_what_the_whole_says(text in "(hello|[ a-zé\n]|\\PC){0,20}", keep in 0usize..6) {
        for vocab in [spm(), bpe(Some("llama-bpe")), bpe(None)] {
            let tokenizer = Arc::new(Tokenizer::from_gguf(vocab).expect("valid"));
            let ids = tokenizer.encode(&text, PLAIN);
            prop_assert_eq!(tokenizer.decode(&ids, false), text.clone());
            let ids = &ids[..ids.len().saturating_sub(keep)];
            let mut stream = StreamDecoder::after(tokenizer.clone(), &[1]);
            let mut streamed: String = ids.iter().map(|id| stream.push(*id)).collect();
            streamed.push_str(&stream.finish());
            prop_assert_eq!(&streamed, &tokenizer.decode(ids, false));
            let mut stream = StreamDecoder::new(tokenizer.clone());
            let mut all: String = ids.iter().map(|id| stream.push(*id)).collect();
            all.push_str(&stream.finish());
            prop_assert!(all.ends_with(&streamed));
        }
    }
}
