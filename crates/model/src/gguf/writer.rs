//! Writes GGUF files, version 3: header, metadata and the table of tensors at once, then tensor after tensor.

use std::io::{self, Write};

use tensor::DType;

use super::reader::kind;

/// Offsets of tensors are multiples of it: the format's default, so that no key has to say it.
const ALIGNMENT: usize = 32;

/// A metadata value with the type that it has in a GGUF file; llama.cpp reads a key in one type only.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum GgufValue {
    Bool(bool),
    U32(u32),
    I32(i32),
    U64(u64),
    F32(f32),
    Str(String),
    Bools(Vec<bool>),
    U8s(Vec<u8>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    /// Texts; not always UTF-8.
    Strs(Vec<Vec<u8>>),
    /// A value as a GGUF file has it, with the number of its type before it.
    Raw(Vec<u8>),
}

/// A tensor of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Outermost first.
    pub(crate) dims: Vec<usize>,
    pub(crate) dtype: DType,
}

impl Entry {
    /// Bytes it takes; 0 if its rows are not whole blocks.
    pub(crate) fn bytes(&self) -> usize {
        let rows: usize = self.dims.iter().rev().skip(1).product();
        rows * self.dims.last().and_then(|&cols| self.dtype.row_bytes(cols)).unwrap_or(0)
    }

    /// Bytes up to where the next tensor may start.
    pub(crate) fn padded_bytes(&self) -> usize {
        self.bytes().next_multiple_of(ALIGNMENT)
    }
}

/// A file whose table is written and whose tensors come one by one, in the table's order.
pub(crate) struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Writes all that stands before the tensors.
    pub(crate) fn new(mut out: W, keys: &[(String, GgufValue)], tensors: &[Entry]) -> io::Result<Writer<W>> {
        let mut head = Vec::new();
        head.extend(b"GGUF");
        head.extend(3u32.to_le_bytes());
        head.extend((tensors.len() as u64).to_le_bytes());
        head.extend((keys.len() as u64).to_le_bytes());
        for (key, value) in keys {
            put_text(&mut head, key.as_bytes());
            value.put(&mut head);
        }
        let mut offset = 0;
        for tensor in tensors {
            put_entry(&mut head, tensor, offset);
            offset += tensor.padded_bytes() as u64;
        }
        pad(&mut head);
        out.write_all(&head)?;
        Ok(Writer { out })
    }

    /// Writes the bytes of the next tensor.
    pub(crate) fn tensor(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.write_all(&[0; ALIGNMENT][..bytes.len().next_multiple_of(ALIGNMENT) - bytes.len()])
    }

    /// What it was writing to.
    pub(crate) fn finish(self) -> W {
        self.out
    }
}

fn put_entry(out: &mut Vec<u8>, tensor: &Entry, offset: u64) {
    put_text(out, tensor.name.as_bytes());
    out.extend((tensor.dims.len() as u32).to_le_bytes());
    tensor.dims.iter().rev().for_each(|&dim| out.extend((dim as u64).to_le_bytes()));
    out.extend(tensor.dtype.layout().ggml_id.to_le_bytes());
    out.extend(offset.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

impl GgufValue {
    /// Appends the number of the type and the value.
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            GgufValue::Bool(b) => scalar(out, kind::BOOL, [u8::from(*b)]),
            GgufValue::U32(n) => scalar(out, kind::U32, n.to_le_bytes()),
            GgufValue::I32(n) => scalar(out, kind::I32, n.to_le_bytes()),
            GgufValue::U64(n) => scalar(out, kind::U64, n.to_le_bytes()),
            GgufValue::F32(x) => scalar(out, kind::F32, x.to_le_bytes()),
            GgufValue::Str(text) => {
                out.extend(kind::STRING.to_le_bytes());
                put_text(out, text.as_bytes());
            }
            GgufValue::Bools(list) => array(out, kind::BOOL, list, |out, b| out.push(u8::from(*b))),
            GgufValue::U8s(list) => array(out, kind::U8, list, |out, b| out.push(*b)),
            GgufValue::I32s(list) => array(out, kind::I32, list, |out, n| out.extend(n.to_le_bytes())),
            GgufValue::F32s(list) => array(out, kind::F32, list, |out, x| out.extend(x.to_le_bytes())),
            GgufValue::Strs(list) => array(out, kind::STRING, list, |out, text| put_text(out, text)),
            GgufValue::Raw(bytes) => out.extend(bytes),
        }
    }
}

fn scalar<const N: usize>(out: &mut Vec<u8>, kind: u32, bytes: [u8; N]) {
    out.extend(kind.to_le_bytes());
    out.extend(bytes);
}

fn array<T>(out: &mut Vec<u8>, kind: u32, list: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    out.extend(kind::ARRAY.to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend((list.len() as u64).to_le_bytes());
    list.iter().for_each(|item| put(out, item));
}
