//! How fast text becomes tokens and tokens text: one long text, many texts on two threads, a stream; beside Hugging Face's
//! library. With GPT-2's vocabulary and WikiText where the shared assets are, else with what is made here.

use std::path::PathBuf;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use text::{EncodeOptions, StreamDecoder, Tokenizer, TokenizerConfig};

const OPTIONS: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };

fn asset(path: &str) -> Option<Vec<u8>> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets").join(path)).ok()
}

/// A byte-level vocabulary without any merges to speak of.
fn made() -> Vec<u8> {
    let letter = |byte: u32| match byte {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => char::from_u32(byte),
        0..=0x20 => char::from_u32(0x100 + byte),
        0x7F..=0xA0 => char::from_u32(0x121 + byte - 0x7F),
        _ => char::from_u32(0x143),
    };
    let merges = ["t h", "th e", "Ġ the", "i n", "Ġ a"];
    let pieces = (0..256).filter_map(letter).map(String::from).chain(merges.map(|merge| merge.replace(' ', "")));
    let vocab: serde_json::Map<_, _> = pieces.enumerate().map(|(id, piece)| (piece, id.into())).collect();
    let level = serde_json::json!({ "type": "ByteLevel", "add_prefix_space": false, "use_regex": true });
    let model = serde_json::json!({ "type": "BPE", "vocab": vocab, "merges": merges });
    serde_json::json!({ "pre_tokenizer": level, "decoder": { "type": "ByteLevel" }, "model": model }).to_string().into()
}

fn tokenizing(c: &mut Criterion) {
    let vocabulary = asset("tokenizers/hf/gpt2/tokenizer.json").unwrap_or_else(made);
    let text = asset("text/wiki.test.raw").map(|text| String::from_utf8_lossy(&text).into_owned());
    let text = text.unwrap_or_else(|| "The whinchat is a small migratory bird, and it's shy. ".repeat(20_000));
    let with = |threads| {
        let config = TokenizerConfig { threads, pool: threads, ..TokenizerConfig::default() };
        Tokenizer::from_json(&vocabulary, None).expect("a tokenizer").with_config(config)
    };
    let (one, two) = (with(1), Arc::new(with(2)));
    let theirs = tokenizers::Tokenizer::from_bytes(&vocabulary).expect("a tokenizer");
    let mut group = c.benchmark_group("tokenize");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(10);
    group.bench_function("one text, one thread", |b| b.iter(|| one.encode(&text, OPTIONS)));
    group.bench_function("one text, nothing known", |b| {
        b.iter_batched(|| with(1), |new| new.encode(&text, OPTIONS), criterion::BatchSize::PerIteration);
    });
    group.bench_function("one text, two threads", |b| b.iter(|| two.encode(&text, OPTIONS)));
    group.bench_function("one text, tokenizers", |b| {
        b.iter(|| theirs.encode_fast(text.as_str(), false).expect("encodes"));
    });
    let texts: Vec<&str> = text.split_inclusive("\n \n").collect();
    group.bench_function("batch, one thread", |b| b.iter(|| one.encode_batch(&texts, OPTIONS)));
    group.bench_function("batch, two threads", |b| b.iter(|| two.encode_batch(&texts, OPTIONS)));
    let ids = one.encode(&text, OPTIONS);
    group.bench_function("decode", |b| b.iter(|| one.decode(&ids, false)));
    group.bench_function("decode as a stream", |b| {
        b.iter(|| {
            let mut decoder = StreamDecoder::new(Arc::clone(&two));
            ids.iter().map(|id| decoder.push(*id).len()).sum::<usize>() + decoder.finish().len()
        });
    });
}

criterion_group!(benches, tokenizing);
criterion_main!(benches);
