//! Texts are mixed, and those of calibration and evaluation have no passage in common.

use lab::{Source, Split};
use text::{EncodeOptions, Tokenizer};

/// A vocabulary of bytes.
fn tokenizer() -> Tokenizer {
    joining(&[])
}

/// A vocabulary of bytes, and of pairs that are joined.
fn joining(pairs: &[(&str, &str)]) -> Tokenizer {
    let piece = |byte: u8| char::from_u32(u32::from(byte) + if (33..127).contains(&byte) { 0 } else { 256 });
    let mut vocab: serde_json::Map<String, serde_json::Value> =
        (0..=255u8).filter_map(|byte| Some((piece(byte)?.to_string(), byte.into()))).collect();
    vocab.extend((256..).zip(pairs).map(|(id, (a, b))| (format!("{a}{b}"), id.into())));
    let merges: Vec<String> = pairs.iter().map(|(a, b)| format!("{a} {b}")).collect();
    let model = serde_json::json!({ "type": "BPE", "vocab": vocab, "merges": merges });
    let pre = serde_json::json!({ "type": "ByteLevel", "add_prefix_space": false, "use_regex": false });
    let json = serde_json::json!({ "model": model, "pre_tokenizer": pre, "decoder": { "type": "ByteLevel" } });
    Tokenizer::from_json(json.to_string().as_bytes(), None).expect("a vocabulary")
}

fn book(name: &str, paragraphs: std::ops::Range<usize>) -> Source {
    let paragraph = |i: usize| format!("{name} {i} {}\n\n", format!("word{i} ").repeat(60));
    Source::text(name, &paragraphs.map(paragraph).collect::<String>())
}

/// The paragraphs of chunks, by their numbers.
fn told(chunks: &[Vec<u32>], tokenizer: &Tokenizer) -> Vec<String> {
    let text: String = chunks.iter().map(|chunk| tokenizer.decode(chunk, false)).collect();
    let mut words: Vec<String> = text.split_whitespace().filter(|w| w.starts_with("word")).map(str::to_owned).collect();
    // A chunk's end may cut a word.
    words.dedup();
    words
}

#[test]
fn no_passage_is_on_both_sides() {
    let tokenizer = tokenizer();
    let split = Split::new(vec![book("a", 0..200), book("b", 0..200)], vec![]);
    let (own, other) = (split.calibration(&tokenizer, 64, 10_000), split.evaluation(&tokenizer, 64, 10_000));
    assert!(own.len() > 2 * other.len() && other.len() > own.len() / 10, "{} and {}", own.len(), other.len());
    let again = Split::new(vec![book("b", 0..200), book("a", 0..200)], vec![]);
    assert_eq!(again.evaluation(&tokenizer, 64, 10_000).len(), other.len(), "the order of files changes nothing");
}

#[test]
fn a_file_for_evaluation_is_taken_out_of_calibration() {
    let tokenizer = tokenizer();
    let split = Split::new(vec![book("a", 0..100)], vec![book("a", 40..60)]);
    let (own, other) = (split.calibration(&tokenizer, 64, 10_000), split.evaluation(&tokenizer, 64, 10_000));
    let (own, other) = (told(&own, &tokenizer), told(&other, &tokenizer));
    assert!(other.iter().any(|word| word == "word50"), "{other:?}");
    for i in 40..60 {
        let word = format!("word{i}");
        assert!(!own.contains(&word), "{word} is on both sides");
    }
    assert!(own.iter().any(|word| word == "word5") && own.iter().any(|word| word == "word95"), "{own:?}");
}

#[test]
fn files_are_mixed() {
    let tokenizer = tokenizer();
    let split = Split::new(vec![book("alpha", 0..300), book("beta", 0..30)], vec![book("other", 0..3)]);
    let text: String = split.calibration(&tokenizer, 64, 200).iter().map(|c| tokenizer.decode(c, false)).collect();
    let (first, second) = (text.find("alpha"), text.find("beta"));
    assert!(first.is_some_and(|at| at < 10) && second.is_some_and(|at| at < 5000), "{first:?} {second:?}");
    assert_eq!(split.datasets(), ["alpha", "beta"]);
}

#[test]
fn a_file_for_evaluation_is_tokenized_as_a_whole() {
    // A line's end and the letter after it are one token, also where passages part.
    let tokenizer = joining(&[("Ċ", "w")]);
    let text = format!("word {}\n\n", "of a passage ".repeat(30)).repeat(40);
    let split = Split::new(vec![], vec![Source::text("words", &text)]);
    let whole = tokenizer.encode(&text, EncodeOptions { add_special: false, parse_special: false });
    assert_eq!(whole.iter().filter(|token| **token == 256).count(), 39);
    let expected: Vec<Vec<u32>> = whole.chunks_exact(64).map(<[u32]>::to_vec).collect();
    assert_eq!(split.evaluation(&tokenizer, 64, 10_000), expected);
}
