//! tokenizer.json against Hugging Face's own library, on small tokenizers of every kind and on real ones.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use serde_json::{Value, json};
use text::{EncodeOptions, StreamDecoder, Tokenizer};

use crate::small;

const TEXTS: &[&str] = &[
    "",
    " ",
    "   the  hello, the the!\n\n\n  é aaaaaaaaa 1234 12\t\r\n",
    "<|end|>the <l> x <r>  y</s><s>a<unk> [CLS] 我们12 héllo HELLO it's I'LL",
    "the the<|end|>the the  <l><l>",
    "🚀 ½ ﬁ e\u{301} \u{200B}\u{FEFF}\u{AD} ﷺ ｆｕｌｌ Ⅷ ǅ \u{1680}x\u{2003}",
    "a-the--the-a, the!!hello",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

struct Pair {
    name: String,
    ours: Arc<Tokenizer>,
    theirs: tokenizers::Tokenizer,
    blind: tokenizers::Tokenizer,
}

impl Pair {
    fn new(name: &str, json: &[u8]) -> Pair {
        let ours = Arc::new(Tokenizer::from_json(json, None).unwrap_or_else(|e| panic!("{name}: {e}")));
        let theirs = tokenizers::Tokenizer::from_bytes(json).expect(name);
        let mut blind = theirs.clone();
        blind.set_encode_special_tokens(true);
        Pair { name: name.into(), ours, theirs, blind }
    }

    fn small(name: &str, json: &Value) -> Pair {
        Pair::new(name, json.to_string().as_bytes())
    }

    fn check(&self, text: &str) {
        for (add_special, parse_special) in [(true, true), (false, true), (false, false)] {
            let ours = self.ours.encode(text, EncodeOptions { add_special, parse_special });
            let theirs = if parse_special { &self.theirs } else { &self.blind };
            let theirs = theirs.encode_fast(text, add_special).expect("encodes");
            assert_eq!(ours, theirs.get_ids(), "{} {text:?} {parse_special}", self.name);
            let mut stream = StreamDecoder::after(self.ours.clone(), &[]);
            let streamed: String = ours.iter().map(|id| stream.push(*id)).collect();
            assert_eq!(streamed + &stream.finish(), self.ours.decode(&ours, false), "{} {text:?}", self.name);
        }
    }

    /// Where the tokens stand in the text, but for the spaces at their ends, which the library leaves out for some.
    fn check_offsets(&self, text: &str) {
        let encoding = self.theirs.encode(text, false).expect("encodes");
        let ours = self.ours.offsets(text, encoding.get_ids()).unwrap_or_else(|| panic!("{} {text:?}", self.name));
        let trimmed = |start: usize, end: usize| {
            let part = &text[start..end];
            let word = part.trim();
            (start + part.len() - part.trim_start().len(), word.len(), word.to_owned())
        };
        for (ours, &(start, end)) in ours.into_iter().zip(encoding.get_offsets()) {
            let (ours, theirs) = (trimmed(ours.start, ours.end), trimmed(start, end));
            assert!(ours == theirs || ours.1 + theirs.1 == 0, "{} {text:?}: {ours:?}, not {theirs:?}", self.name);
        }
    }
}

static SMALL: LazyLock<Vec<Pair>> = LazyLock::new(|| {
    let byte_level =
        |prefix| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true});
    let llama3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let cl100k = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";
    let mut pairs = vec![
        Pair::small("byte level", &small::bpe(byte_level(false))),
        Pair::small("byte level, prefix", &small::bpe(byte_level(true))),
        Pair::small("llama3", &small::bpe(small::by_pattern(llama3))),
        Pair::small("cl100k", &small::bpe(small::by_pattern(cl100k))),
        Pair::small("superbpe", &small::bpe(small::by_pattern(r"(?=(\d{3})+(?!\d))"))),
        Pair::small("digits", &small::bpe(small::by_pattern(r"\d{1,3}(?=(?:\d{3})*\b)"))),
        Pair::small("sentencepiece", &small::sentencepiece(true, true)),
        Pair::small("sentencepiece, unk", &small::sentencepiece(false, true)),
        Pair::small("sentencepiece, unks", &small::sentencepiece(false, false)),
        Pair::small("wordpiece", &small::wordpiece()),
        Pair::small("unigram", &small::unigram(false)),
        Pair::small("unigram, bytes", &small::unigram(true)),
    ];
    for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] {
        for (pattern, invert) in [(json!({"String": "-"}), false), (json!({"Regex": "-+|the"}), true)] {
            let split = json!({"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert});
            pairs.push(Pair::small(behavior, &small::words(split, json!({"type": "NFKD"}))));
        }
        pairs.push(Pair::small(
            "punctuation",
            &small::words(json!({"type": "Punctuation", "behavior": behavior}), Value::Null),
        ));
    }
    let steps = [
        json!({"type": "Whitespace"}),
        json!({"type": "WhitespaceSplit"}),
        json!({"type": "CharDelimiterSplit", "delimiter": "-"}),
        json!({"type": "Digits", "individual_digits": true}),
        json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": false}, {"type": "WhitespaceSplit"}]}),
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": false}),
        json!({"type": "FixedLength", "length": 3}),
    ];
    let normalizers = [
        json!({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]}),
        json!({"type": "Strip", "strip_left": true, "strip_right": false}),
        json!({"type": "ByteLevel"}),
    ];
    for (i, step) in steps.iter().enumerate() {
        pairs.push(Pair::small(&step.to_string(), &small::words(step.clone(), normalizers[i % 3].clone())));
    }
    pairs
});

#[test]
fn small_tokenizers_agree() {
    for pair in SMALL.iter() {
        TEXTS.iter().for_each(|text| pair.check(text));
    }
}

/// Two texts as one, of at most `most` tokens, as the library does it, and a text cut to as many: its last tokens stay.
fn check_whole(processor: &Value, most: usize) {
    let mut json = small::wordpiece();
    json["post_processor"] = processor.clone();
    let mut pair = Pair::small("whole", &json);
    let truncation = tokenizers::TruncationParams {
        max_length: most,
        strategy: tokenizers::TruncationStrategy::OnlySecond,
        ..tokenizers::TruncationParams::default()
    };
    pair.theirs.with_truncation(Some(truncation)).expect("a length");
    let (first, second) = ("the hello", "hello, aee ello 1 我 lo!");
    let theirs = pair.theirs.encode((first, second), true).expect("encodes");
    let plain = EncodeOptions { add_special: false, parse_special: false };
    let ids = [first, second].map(|text| pair.ours.encode(text, plain));
    let (ours, begin, cut) = pair.ours.pair([&ids[0], &ids[1]], most);
    assert_eq!(ours, theirs.get_ids(), "{processor} {most}");
    assert_eq!(cut, !theirs.get_overflowing().is_empty(), "{processor} {most}");
    let theirs = theirs.get_sequence_ids().iter().position(|&sequence| sequence == Some(1));
    assert_eq!(Some(begin), theirs, "{processor} {most}");
    let mut ours = pair.ours.encode(second, EncodeOptions { add_special: true, parse_special: false });
    pair.ours.cut(&mut ours, most);
    pair.theirs.with_truncation(None).expect("none");
    let theirs = pair.theirs.encode_fast(second, true).expect("encodes");
    let whole = theirs.get_ids();
    let end = pair.ours.encode("", EncodeOptions { add_special: true, parse_special: false }).len() / 2;
    let wanted = match whole.len() <= most {
        true => whole.to_vec(),
        false => [&whole[..most - end], &whole[whole.len() - end..]].concat(),
    };
    assert_eq!(ours, wanted, "{processor} {most}");
}

#[test]
fn texts_that_are_read_whole() {
    let special = |id| json!({ "SpecialToken": { "id": id, "type_id": 0 } });
    let text = |id, kind| json!({ "Sequence": { "id": id, "type_id": kind } });
    let processors = [
        json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}),
        json!({"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2], "trim_offsets": true,
            "add_prefix_space": true}),
        json!({"type": "TemplateProcessing",
            "single": [special("[CLS]"), text("A", 0), special("[SEP]")],
            "pair": [special("[CLS]"), text("A", 0), special("[SEP]"), text("B", 1), special("[SEP]")],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}}),
    ];
    for processor in &processors {
        for most in [10, 12, 15, 40] {
            check_whole(processor, most);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn small_tokenizers_agree_on_anything(
        texts in prop::collection::vec("(the|a|é|e\u{301}|1|-|,|'s| |\n|<\\|end\\|>|<l>|</s>|我|[ -~]|[\u{A1}-\u{22F}\u{391}-\u{3C9}\u{410}-\u{44F}\u{905}-\u{94D}\u{E01}-\u{E3A}\u{2000}-\u{206F}\u{3041}-\u{3096}\u{4E00}-\u{4FFF}\u{AC00}-\u{AFFF}\u{FF01}-\u{FF5E}\u{1F600}-\u{1F640}]){0,24}", 4)
    ) {
        for pair in SMALL.iter() {
            texts.iter().for_each(|text| pair.check(text));
        }
    }

    #[test]
    fn byte_level_loses_nothing(text in "(\\PC|.| |\n){0,40}") {
        let json = small::bpe(small::by_pattern(r"\p{L}+|\s+(?!\S)|\s+"));
        let json = json.to_string().replace("{\"type\":\"NFC\"}", "null");
        let tokenizer = Tokenizer::from_json(json.as_bytes(), None).expect("valid");
        let ids = tokenizer.encode(&text, EncodeOptions { add_special: false, parse_special: false });
        prop_assert_eq!(tokenizer.decode(&ids, false), text);
    }
}

fn real(name: &str) -> Option<Pair> {
    let file = crate::common::asset(&format!("tokenizers/hf/{name}/tokenizer.json"))?;
    Some(Pair::new(name, &std::fs::read(file).expect("a file")))
}

/// Ids of anything on every real vocabulary, and offsets where text is not changed before it is cut.
#[test]
fn real_tokenizers_agree_on_anything() {
    let words = "(the|The|DON'T|'ll|camelCase|é|e\u{301}|\u{301}|1|12345|½|-|/|'| |  |\t|\r\n|\n|\n\n|\u{a0}|\u{3000}|▁|我们|ไทย|😀|</s>|<\\|endoftext\\|>|<pad>|[ -~]|\\PC)";
    let texts = prop::collection::vec(words, 0..40).prop_map(|words| words.concat());
    let names = ["gpt2", "phi-2", "roberta-base", "t5-small"];
    let pairs: Vec<Pair> = names.iter().filter_map(|name| real(name)).collect();
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let checked = proptest::test_runner::TestRunner::new(config).run(&texts, |text| {
        for pair in &pairs {
            pair.check(&text);
            if ["gpt2", "phi-2"].contains(&pair.name.as_str()) {
                pair.check_offsets(&text);
            }
        }
        Ok(())
    });
    checked.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn real_tokenizers_agree() {
    for name in ["gpt2", "phi-2", "roberta-base", "t5-small"] {
        let Some(pair) = real(name) else { return };
        TEXTS.iter().for_each(|text| pair.check(text));
        for text in ["text/wiki.test.raw", "text/code.hpp.txt"] {
            let Some(text) = crate::common::asset(text) else { return };
            let text = std::fs::read_to_string(text).expect("text");
            text.split_inclusive("\n\n")
                .map(|part| &part[..part.floor_char_boundary(2000)])
                .take(15)
                .for_each(|part| pair.check(part));
        }
        let Some(folder) = crate::common::asset("text/lipsum") else { return };
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
            pair.check(&text);
        }
    }
}
