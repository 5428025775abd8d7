//! Writers of small model files, sound ones and (by their fields being public) unsound ones.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::path::PathBuf;

pub const U8: u32 = 0;
pub const I8: u32 = 1;
pub const U16: u32 = 2;
pub const I16: u32 = 3;
pub const U32: u32 = 4;
pub const I32: u32 = 5;
pub const F32: u32 = 6;
pub const BOOL: u32 = 7;
pub const STRING: u32 = 8;
pub const ARRAY: u32 = 9;
pub const U64: u32 = 10;
pub const I64: u32 = 11;
pub const F64: u32 = 12;

/// A GGUF file being written. `marks` are the offsets at which a field begins.
#[derive(Clone)]
pub struct Gguf {
    pub version: u32,
    pub alignment: usize,
    pub keys: Vec<(String, u32, Vec<u8>)>,
    pub tensors: Vec<Tensor>,
}

#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    /// Innermost first, as the file has them.
    pub dims: Vec<u64>,
    pub kind: u32,
    pub offset: u64,
    pub data: Vec<u8>,
}

impl Gguf {
    pub fn new() -> Gguf {
        Gguf { version: 3, alignment: 32, keys: Vec::new(), tensors: Vec::new() }
    }

    pub fn key(mut self, key: &str, kind: u32, value: impl AsRef<[u8]>) -> Gguf {
        self.keys.push((key.to_string(), kind, value.as_ref().to_vec()));
        self
    }

    pub fn text(self, key: &str, value: &str) -> Gguf {
        self.key(key, STRING, string(value.as_bytes()))
    }

    pub fn u32(self, key: &str, value: u32) -> Gguf {
        self.key(key, U32, value.to_le_bytes())
    }

    pub fn tensor(mut self, name: &str, dims: &[u64], kind: u32, bytes: usize) -> Gguf {
        let offset = self.tensors.last().map_or(0, |t| t.offset + t.data.len() as u64);
        let offset = offset.next_multiple_of(self.alignment as u64);
        let data = (0..bytes).map(|i| (i * 7 + self.tensors.len()) as u8).collect();
        self.tensors.push(Tensor { name: name.to_string(), dims: dims.to_vec(), kind, offset, data });
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.write().0
    }

    /// The file, and the offset of each of its fields.
    pub fn write(&self) -> (Vec<u8>, Vec<usize>) {
        let mut out = Vec::new();
        let mut marks = Vec::new();
        let mut put = |out: &mut Vec<u8>, bytes: &[u8]| {
            marks.push(out.len());
            out.extend(bytes);
        };
        put(&mut out, b"GGUF");
        put(&mut out, &self.version.to_le_bytes());
        put(&mut out, &(self.tensors.len() as u64).to_le_bytes());
        put(&mut out, &(self.keys.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.keys {
            put(&mut out, &(key.len() as u64).to_le_bytes());
            put(&mut out, key.as_bytes());
            put(&mut out, &kind.to_le_bytes());
            put(&mut out, value);
        }
        for tensor in &self.tensors {
            put(&mut out, &(tensor.name.len() as u64).to_le_bytes());
            put(&mut out, tensor.name.as_bytes());
            put(&mut out, &(tensor.dims.len() as u32).to_le_bytes());
            tensor.dims.iter().for_each(|dim| put(&mut out, &dim.to_le_bytes()));
            put(&mut out, &tensor.kind.to_le_bytes());
            put(&mut out, &tensor.offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        let start = out.len();
        for tensor in &self.tensors {
            out.resize(out.len().max(start + tensor.offset.min(1 << 22) as usize), 0);
            put(&mut out, &tensor.data);
        }
        (out, marks)
    }
}

/// A text as a GGUF value.
pub fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text].concat()
}

/// A list as a GGUF value.
pub fn array(kind: u32, items: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = kind.to_le_bytes().to_vec();
    out.extend((items.len() as u64).to_le_bytes());
    items.iter().for_each(|item| out.extend(item.as_ref()));
    out
}

/// A small sound file: every value type, quantized and plain tensors, one of a type that cannot be read.
pub fn sample() -> Gguf {
    let pieces: Vec<Vec<u8>> = [&b"a"[..], b"\xff\xfe", b"<|im_end|>", b"</s>"].iter().map(|p| string(p)).collect();
    let types: Vec<[u8; 4]> = [1i32, 1, 3, 1].iter().map(|t| t.to_le_bytes()).collect();
    let floats: Vec<[u8; 4]> = [0.5f32, -1.0].iter().map(|t| t.to_le_bytes()).collect();
    Gguf::new()
        .text("general.architecture", "llama")
        .text("general.name", "Sample")
        .u32("llama.block_count", 2)
        .key("k.u8", U8, [200])
        .key("k.i8", I8, [200])
        .key("k.u16", U16, 65535u16.to_le_bytes())
        .key("k.i16", I16, (-2i16).to_le_bytes())
        .key("k.i32", I32, (-3i32).to_le_bytes())
        .key("k.f32", F32, 1.5f32.to_le_bytes())
        .key("k.bool", BOOL, [1])
        .key("k.u64", U64, u64::MAX.to_le_bytes())
        .key("k.i64", I64, i64::MIN.to_le_bytes())
        .key("k.f64", F64, 2.5f64.to_le_bytes())
        .key("k.bools", ARRAY, array(BOOL, &[[1], [0]]))
        .key("k.floats", ARRAY, array(F32, &floats))
        .key("k.lists", ARRAY, array(ARRAY, &[array(U8, &[[1], [2]]), array(U8, &[[3]])]))
        .key("k.wide", ARRAY, array(U64, &[u64::MAX.to_le_bytes()]))
        .text("tokenizer.ggml.model", "gpt2")
        .key("tokenizer.ggml.tokens", ARRAY, array(STRING, &pieces))
        .key("tokenizer.ggml.token_type", ARRAY, array(I32, &types))
        .u32("tokenizer.ggml.eos_token_id", 0)
        .text("tokenizer.chat_template", "{{ messages }}")
        .tensor("token_embd.weight", &[64, 4], 8, 4 * 68)
        .tensor("output_norm.weight", &[64], 0, 256)
        .tensor("blk.0.ffn_up_exps.weight", &[32, 3, 2], 1, 384)
        .tensor("blk.0.odd.weight", &[256], 15, 292)
}

/// A safetensors file with this header.
pub fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend((0..data).map(|i| i as u8));
    out
}

/// A small sound file.
pub fn sample_safetensors() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},
        "model.embed_tokens.weight":{"dtype":"BF16","shape":[4,8],"data_offsets":[0,64]},
        "model.norm.weight":{"dtype":"F32","shape":[8],"data_offsets":[64,96]},
        "experts.gate_up_proj_blocks":{"dtype":"U8","shape":[2,3],"data_offsets":[96,102]},
        "scalar":{"dtype":"F8_E4M3","shape":[],"data_offsets":[102,103]},
        "empty":{"dtype":"F16","shape":[0,3],"data_offsets":[103,103]}}"#;
    safetensors(header, 103)
}

/// A file of the shared assets, where they are.
pub fn shared(path: &str) -> Option<PathBuf> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets").join(path);
    if !file.exists() {
        eprintln!("skipped: ../shared/assets/{path} is absent");
        return None;
    }
    Some(file)
}
