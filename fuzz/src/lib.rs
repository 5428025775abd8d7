//! Fuzz targets: everything that parses a stranger's bytes. Each body takes any bytes, must neither panic nor hang nor
//! take much more memory than the bytes justify, and says whether they were accepted (so that a test can tell that the
//! seeds reach past the parsers' first checks).
//!
//! `mkdir -p target/fuzz/gguf && cargo +nightly fuzz run --fuzz-dir fuzz --features libfuzzer gguf target/fuzz/gguf
//! fuzz/corpus/gguf` runs one and keeps what it grows out of the repository. What it stumbles over goes, made small
//! (`cargo fuzz tmin`), to `regressions/gguf/`, which the normal tests run too.

use std::sync::{Arc, LazyLock};

use model::{Checkpoint, ModelError};
use serde_json::json;
use serve::Endpoint;
use text::{
    CallOptions, ChatTemplate, Constrainer, Constraint, Conversation, Dialect, EncodeOptions, GgufVocab, Grammar, Part,
    StreamDecoder, TokenKind, Tokenizer,
};

/// What a target does with some bytes; whether they were accepted.
pub type Body = fn(&[u8]) -> bool;

/// Every target by name.
pub const TARGETS: [(&str, Body); 10] = [
    ("gguf", gguf),
    ("safetensors", safetensors),
    ("tokenizer_json", tokenizer_json),
    ("chat_template", chat_template),
    ("request_body", request_body),
    ("grammar", grammar),
    ("dialects", dialects),
    ("encode", encode),
    ("schema", schema),
    ("configuration", configuration),
];

/// A GGUF file.
pub fn gguf(data: &[u8]) -> bool {
    checkpoint(Checkpoint::from_gguf_bytes(data.to_vec()))
}

/// A safetensors file; its first line may be a config.json.
pub fn safetensors(data: &[u8]) -> bool {
    let line = data.iter().position(|&b| b == b'\n').filter(|_| data.first() == Some(&b'{'));
    let (config, file) = line.map_or((&b"{}"[..], data), |at| (&data[..at], &data[at + 1..]));
    let Ok(config) = std::str::from_utf8(config) else { return false };
    checkpoint(Checkpoint::from_safetensors_bytes(file.to_vec(), config))
}

fn checkpoint(opened: Result<Arc<Checkpoint>, ModelError>) -> bool {
    let Ok(checkpoint) = opened else { return false };
    for tensor in checkpoint.tensors() {
        assert_eq!(checkpoint.bytes(tensor).len(), tensor.bytes);
    }
    let _ = (checkpoint.name(), checkpoint.chat_template(), checkpoint.generation());
    if let Ok(tokenizer) = whinchat::tokenizer(&checkpoint) {
        round_trip(&tokenizer);
    }
    if let Ok(model) = checkpoint.bind(Some(64)) {
        for id in model.graph().weight_ids() {
            let _ = model.read(id);
        }
    }
    true
}

/// A tokenizer.json.
pub fn tokenizer_json(data: &[u8]) -> bool {
    let Ok(tokenizer) = Tokenizer::from_json(data, None) else { return false };
    round_trip(&tokenizer);
    true
}

fn round_trip(tokenizer: &Tokenizer) {
    for parse_special in [false, true] {
        let ids = tokenizer.encode("Hello  wörld 123\n<s> 你好 🦀", EncodeOptions { add_special: true, parse_special });
        let _ = tokenizer.decode(&ids, parse_special);
    }
}

/// Printable characters that stand for the bytes, as byte-level vocabularies write them.
fn alphabet() -> Vec<String> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..);
    let others = (0x100..).filter_map(char::from_u32);
    let mut others = others.take(256);
    let letter = |byte: u8| if printable(&byte) { char::from(byte) } else { others.next().unwrap_or(' ') };
    (0..=255u8).map(letter).map(String::from).collect()
}

/// A byte-level vocabulary with this pre-tokenizer, a few merges and a control token.
fn byte_level(pre: &str) -> Tokenizer {
    let merges = ["t h", "th e", "Ġ the", "a a", "aa aa", "1 2", "Ċ Ċ", "Ġ Ġ", "Ã ©"];
    let pieces = alphabet().into_iter().chain(merges.map(|merge| merge.replace(' ', ""))).chain(["<|end|>".into()]);
    let tokens: Vec<Vec<u8>> = pieces.map(String::into_bytes).collect();
    let mut kinds = vec![TokenKind::Normal; tokens.len()];
    kinds[tokens.len() - 1] = TokenKind::Control;
    let merges = merges.map(|merge| merge.as_bytes().to_vec()).to_vec();
    let (model, pre) = ("gpt2".into(), Some(pre.into()));
    Tokenizer::from_gguf(GgufVocab { model, pre, tokens, kinds, merges, ..GgufVocab::default() }).expect("valid")
}

/// A text to be encoded, by pre-tokenizers of every kind. Its tokens say what it says, in one piece, with others around it,
/// and as they come.
pub fn encode(data: &[u8]) -> bool {
    static TOKENIZERS: LazyLock<Vec<Arc<Tokenizer>>> = LazyLock::new(|| {
        let names =
            ["gpt-2", "llama-bpe", "qwen2", "gpt-4o", "tekken", "qwen35", "deepseek-v3", "falcon", "jais-2", "default"];
        names.iter().map(|name| Arc::new(byte_level(name))).collect()
    });
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let options = EncodeOptions { add_special: false, parse_special: false };
    for tokenizer in TOKENIZERS.iter() {
        let ids = tokenizer.encode(text, options);
        assert_eq!(tokenizer.decode(&ids, false), text);
        assert_eq!(tokenizer.encode_batch(&["", text], options)[1], ids);
        assert!(tokenizer.offsets(text, &ids).is_some_and(|offsets| offsets.len() == ids.len()));
        let mut decoder = StreamDecoder::new(Arc::clone(tokenizer));
        let streamed: String = ids.iter().map(|id| decoder.push(*id)).collect();
        assert_eq!(streamed + &decoder.finish(), text);
        let _ = tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: true });
    }
    !text.is_empty()
}

/// A JSON schema; an answer is taken a few tokens along, as the masks allow.
pub fn schema(data: &[u8]) -> bool {
    static CONSTRAINER: LazyLock<(Constrainer, usize)> = LazyLock::new(|| {
        let tokenizer = Arc::new(byte_level("gpt-2"));
        let vocab = tokenizer.vocab();
        (Constrainer::new(&tokenizer, &[vocab as u32 - 1]).expect("a vocabulary of bytes"), vocab)
    });
    let Ok(schema) = serde_json::from_slice(data) else { return false };
    let (constrainer, vocab) = &*CONSTRAINER;
    let Ok(mut matcher) = constrainer.compile(&Constraint::JsonSchema(schema)) else { return false };
    let mut words = vec![0u32; vocab.div_ceil(32)];
    for step in 0..32 {
        if matcher.fill(&mut words).is_err() {
            return true;
        }
        let allowed: Vec<u32> =
            (0..*vocab as u32).filter(|id| words[*id as usize / 32] >> (id % 32) & 1 == 1).collect();
        let forced = matcher.forced();
        assert!(forced.first().is_none_or(|first| allowed.contains(first)), "{forced:?} of {allowed:?}");
        let Some(&token) = allowed.get(step * 7 % allowed.len().max(1)) else { return true };
        match matcher.accept(token) {
            Ok(false) => {}
            Ok(true) => return true,
            Err(error) => panic!("{token} was allowed: {error}"),
        }
    }
    true
}

/// A chat template.
pub fn chat_template(data: &[u8]) -> bool {
    let Ok(source) = std::str::from_utf8(data) else { return false };
    let Ok(template) = ChatTemplate::new(source, &[("bos_token", "<s>"), ("eos_token", "</s>")]) else { return false };
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi {{ bos_token }}"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"type": "function", "id": "1", "function": {"name": "f", "arguments": {"x": 1}}}
        ]},
        {"role": "tool", "tool_call_id": "1", "content": "2"},
    ]);
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    template.render(&Conversation { tools: Some(&tools), ..Conversation::new(&messages) }).is_ok()
}

/// The body of a request.
pub fn request_body(data: &[u8]) -> bool {
    let parse = |endpoint| serve::parse_request_body(endpoint, data).is_ok();
    Endpoint::ALL.iter().copied().map(parse).fold(false, |any, one| any | one)
}

/// A grammar; it is asked about its own beginning, which is short because time grows with both.
pub fn grammar(data: &[u8]) -> bool {
    let Ok(source) = std::str::from_utf8(data) else { return false };
    let Ok(matcher) = Grammar::parse(source).and_then(|grammar| grammar.matcher()) else { return false };
    matcher.matches(&source[..source.floor_char_boundary(64)]);
    true
}

/// A dialect's name in the first line, and an answer. However the answer is cut, its parts are the same.
pub fn dialects(data: &[u8]) -> bool {
    let Some((name, answer)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once('\n')) else {
        return false;
    };
    let Some(dialect) = Dialect::named(name) else { return false };
    let tools = json!([{"function": {"name": "f", "parameters": {"properties": {"a": {"type": "string"}}}}}]);
    let mut separated = false;
    for pieces in [false, true] {
        let options = CallOptions { tools: Some(&tools), parallel: true, pieces };
        let parts = |step: usize| {
            let mut parser = dialect.parser("", &options);
            let chars: Vec<char> = answer.chars().collect();
            let mut parts: Vec<Part> =
                chars.chunks(step).flat_map(|cut| parser.push(&cut.iter().collect::<String>())).collect();
            parts.extend(parser.finish());
            separated |= parts.iter().any(|part| !matches!(part, Part::Text(_)));
            joined(&parts)
        };
        let cuts = [usize::MAX, 1, 7].map(parts);
        assert!(cuts.iter().all(|cut| *cut == cuts[0]), "{cuts:?}");
    }
    separated
}

/// Parts of a kind put together: texts, reasoning and each call's arguments.
fn joined(parts: &[Part]) -> Vec<(usize, String)> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    for part in parts {
        let (kind, text) = match part {
            Part::Text(text) => (0, text.clone()),
            Part::Reasoning(text) => (1, text.clone()),
            Part::ToolCall(delta) => (2 + delta.index, delta.name.clone().unwrap_or_default() + &delta.arguments),
        };
        match joined.last_mut() {
            Some((last, before)) if *last == kind => before.push_str(&text),
            _ => joined.push((kind, text)),
        }
    }
    joined
}

/// A file with the settings of a server. What is shown of it is a file that says the same.
pub fn configuration(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let read = |text: &str| {
        let file = Some(config::File { name: "file", text });
        config::resolve(&config::Sources { file, ..config::Sources::default() })
    };
    match read(text) {
        Ok(resolved) => {
            let again = read(&config::yaml(&resolved)).unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(again.config, resolved.config);
            true
        }
        Err(problems) => problems.to_string().is_empty(),
    }
}
