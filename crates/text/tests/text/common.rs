//! For tests: shared assets, and the metadata of GGUF files read just well enough to make a tokenizer.

use std::path::PathBuf;

use text::{GgufVocab, TokenKind};

/// A shared asset, or `None` (said on stderr) where there is none.
pub(crate) fn asset(path: &str) -> Option<PathBuf> {
    let shared = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets").join(path);
    if !shared.exists() {
        eprintln!("skipped: ../shared/assets/{path} is absent");
        return None;
    }
    Some(shared)
}

/// The vocabulary of a GGUF file.
pub(crate) fn gguf_vocab(file: &[u8]) -> GgufVocab {
    let mut reader = Reader { bytes: file, at: 16 };
    let count = reader.u64();
    let mut vocab = GgufVocab::default();
    for _ in 0..count {
        let key = String::from_utf8(reader.bytes().to_vec()).expect("text");
        let kind = reader.u32();
        let value = reader.value(kind);
        take(&mut vocab, &key, value);
    }
    vocab
}

fn take(vocab: &mut GgufVocab, key: &str, value: Value) {
    match (key.strip_prefix("tokenizer.ggml.").unwrap_or(key), value) {
        ("general.name" | "general.architecture", Value::Bytes(b)) => {
            vocab.names.push(String::from_utf8_lossy(&b).into());
        }
        ("model", Value::Bytes(b)) => vocab.model = String::from_utf8_lossy(&b).into(),
        ("pre", Value::Bytes(b)) => vocab.pre = Some(String::from_utf8_lossy(&b).into()),
        ("tokens", Value::List(list)) => vocab.tokens = list.into_iter().map(Value::bytes).collect(),
        ("merges", Value::List(list)) => vocab.merges = list.into_iter().map(Value::bytes).collect(),
        ("scores", Value::List(list)) => vocab.scores = list.into_iter().map(|v| v.number() as f32).collect(),
        ("token_type", Value::List(list)) => vocab.kinds = list.into_iter().map(|v| kind(v.number() as i64)).collect(),
        ("precompiled_charsmap", Value::List(list)) => {
            vocab.charsmap = list.into_iter().map(|v| v.number() as i64 as u8).collect();
        }
        (name, Value::Bool(b)) => vocab.flags.push((name.into(), b)),
        (name, Value::Number(n)) => {
            if let Some(name) = name.strip_suffix("_token_id") {
                vocab.special.push((name.into(), n as u32));
            }
        }
        _ => {}
    }
}

fn kind(number: i64) -> TokenKind {
    match number {
        2 => TokenKind::Unknown,
        3 => TokenKind::Control,
        4 => TokenKind::UserDefined,
        5 => TokenKind::Unused,
        6 => TokenKind::Byte,
        _ => TokenKind::Normal,
    }
}

enum Value {
    Number(f64),
    Bool(bool),
    Bytes(Vec<u8>),
    List(Vec<Value>),
}

impl Value {
    fn bytes(self) -> Vec<u8> {
        match self {
            Value::Bytes(bytes) => bytes,
            _ => panic!("not a string"),
        }
    }

    fn number(self) -> f64 {
        match self {
            Value::Number(number) => number,
            _ => panic!("not a number"),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        self.at += N;
        self.bytes[self.at - N..self.at].try_into().expect("N bytes")
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn bytes(&mut self) -> &[u8] {
        let len = self.u64() as usize;
        self.at += len;
        &self.bytes[self.at - len..self.at]
    }

    fn value(&mut self, kind: u32) -> Value {
        match kind {
            0 => Value::Number(f64::from(self.take::<1>()[0])),
            1 => Value::Number(f64::from(i8::from_le_bytes(self.take()))),
            2 => Value::Number(f64::from(u16::from_le_bytes(self.take()))),
            3 => Value::Number(f64::from(i16::from_le_bytes(self.take()))),
            4 => Value::Number(f64::from(self.u32())),
            5 => Value::Number(f64::from(i32::from_le_bytes(self.take()))),
            6 => Value::Number(f64::from(f32::from_le_bytes(self.take()))),
            7 => Value::Bool(self.take::<1>()[0] != 0),
            8 => Value::Bytes(self.bytes().to_vec()),
            9 => {
                let (kind, count) = (self.u32(), self.u64());
                Value::List((0..count).map(|_| self.value(kind)).collect())
            }
            10 => Value::Number(self.u64() as f64),
            11 => Value::Number(i64::from_le_bytes(self.take()) as f64),
            _ => Value::Number(f64::from_le_bytes(self.take())),
        }
    }
}

/// How byte-level vocabularies write a byte: printable Latin-1 as it is, the others moved up to U+0100 in order.
pub(crate) fn letter(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return byte.into();
    }
    let before = (0..byte).filter(|b| !printable(*b)).count() as u32;
    char::from_u32(0x100 + before).unwrap_or('?')
}
