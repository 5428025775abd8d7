//! The fast path against the pipeline on every real vocabulary there is, whole and in parts.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Memo, Work};
use crate::Tokenizer;
use crate::added::Special;
use crate::common::{asset, gguf_vocab};

/// Every vocabulary under the shared assets.
fn tokenizers() -> Vec<(String, Tokenizer)> {
    let Some(root) = asset("tokenizers") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in ["gguf", "sentencepiece", "tiktoken", "hf"].iter().flat_map(|form| {
        let mut entries: Vec<_> = std::fs::read_dir(root.join(form)).expect("a folder").flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::path);
        entries
    }) {
        let path = entry.path();
        let name = path.display().to_string();
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path };
        if name.ends_with(".inp") || name.ends_with(".out") {
            continue;
        }
        let bytes = std::fs::read(&file).expect("a file");
        let tokenizer = match name.ends_with(".gguf") {
            true => Tokenizer::from_gguf(gguf_vocab(&bytes)),
            false if file.ends_with("tokenizer.json") => Tokenizer::from_json(&bytes, None),
            false => Tokenizer::from_model(&bytes, None),
        };
        found.push((name.clone(), tokenizer.unwrap_or_else(|e| panic!("{name}: {e}"))));
    }
    assert!(found.len() >= 18, "{}", found.len());
    found
}

fn plainly(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    tokenizer.pipeline.encode_plainly(text, Special::None, &mut ids);
    ids
}

/// The ids of `text` fast, in one piece.
fn fast(tokenizer: &Tokenizer, text: &str, memo: &mut Memo) -> Vec<u32> {
    let fast = tokenizer.fast.as_ref().expect("a fast path");
    let mut ids = Vec::new();
    fast.encode(&mut Work { pipeline: &tokenizer.pipeline, memo, threads: None }, text, Special::None, &mut ids);
    ids
}

/// The ids of `text` cut at `cuts`, if it is one that parts can be made of.
fn in_parts(tokenizer: &Tokenizer, text: &str, cuts: &[usize], memo: &mut Memo) -> Vec<u32> {
    let fast = tokenizer.fast.as_ref().expect("a fast path");
    let pipeline = &tokenizer.pipeline;
    let mut ids = Vec::new();
    pipeline.encode(text, Special::None, &mut ids, &mut |part, first, out| {
        let mut work = Work { pipeline, memo: &mut *memo, threads: None };
        let Some(scan) = fast.scan else { return fast.words(&mut work, part, first, out) };
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| part.floor_char_boundary(*cut)).collect();
        cuts.extend([0, part.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let parts = cuts.windows(2).map(|w| fast.part(pipeline, scan, (part, w[0]..w[1]), work.memo)).collect();
        fast.join(&mut work, scan, part, parts, out);
    });
    ids
}

#[test]
fn every_vocabulary_is_served_fast() {
    let Some(folder) = asset("text/lipsum") else { return };
    let mut texts: Vec<String> = Vec::new();
    for path in [folder.join("../wiki.test.raw"), folder.join("../code.hpp.txt")] {
        texts.push(std::fs::read_to_string(path).expect("a text").chars().skip(10_000).take(15_000).collect());
    }
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a text");
        texts.push(text.chars().take(1500).collect());
    }
    for (name, tokenizer) in tokenizers() {
        assert!(tokenizer.fast.is_some(), "{name}");
        let mut memo = Memo::new();
        for text in &texts {
            assert_eq!(fast(&tokenizer, text, &mut memo), plainly(&tokenizer, text), "{name}");
        }
    }
}

#[test]
fn any_text_in_any_parts_has_the_same_ids() {
    let words = "(the|The|DON'T|'ll|camelCase|é|e\u{301}|\u{301}|1|12345|½|-|/|'| |  |\t|\r\n|\n|\n\n|\u{a0}|\u{3000}|▁|我们|ไทย|😀|</s>|<\\|x\\|>|[ -~]|\\PC)";
    let text = prop::collection::vec(words, 0..60).prop_map(|words| words.concat());
    let cuts = prop::collection::vec(0usize..200, 0..8);
    let tokenizers = tokenizers();
    let mut memos: Vec<Memo> = tokenizers.iter().map(|_| Memo::new()).collect();
    let memos = std::cell::RefCell::new(&mut memos);
    TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() })
        .run(&(text, cuts), |(text, cuts)| {
            for ((name, tokenizer), memo) in tokenizers.iter().zip(memos.borrow_mut().iter_mut()) {
                let expected = plainly(tokenizer, &text);
                prop_assert_eq!(&fast(tokenizer, &text, memo), &expected, "{} {:?}", name, text);
                prop_assert_eq!(&in_parts(tokenizer, &text, &cuts, memo), &expected, "{} {:?} {:?}", name, text, cuts);
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}
