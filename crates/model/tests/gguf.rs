//! The GGUF reader: what a sound file gives, and what each kind of unsound file is told.

mod support;

use model::{Checkpoint, Format, List, Metadata, TokenizerFiles, Value};
use support::*;
use tensor::DType;

#[test]
fn a_sound_file_is_read_whole() {
    let c = Checkpoint::from_gguf_bytes(sample().bytes()).unwrap();
    assert_eq!((c.format(), c.name().as_str()), (Format::Gguf, "Sample"));
    let m = c.metadata();
    let expected = [
        ("llama.block_count", Value::Int(2)),
        ("k.u8", Value::Int(200)),
        ("k.i8", Value::Int(-56)),
        ("k.u16", Value::Int(65535)),
        ("k.i16", Value::Int(-2)),
        ("k.i32", Value::Int(-3)),
        ("k.f32", Value::Float(1.5)),
        ("k.bool", Value::Bool(true)),
        ("k.u64", Value::Int(u64::MAX.into())),
        ("k.i64", Value::Int(i64::MIN.into())),
        ("k.f64", Value::Float(2.5)),
        ("k.bools", Value::List(List::Int(vec![1, 0]))),
        ("k.floats", Value::List(List::Float(vec![0.5, -1.0]))),
        ("k.wide", Value::List(List::Mixed(vec![Value::Int(u64::MAX.into())]))),
        ("k.lists", Value::List(List::Mixed([vec![1, 2], vec![3]].map(|v| Value::List(List::Int(v))).to_vec()))),
    ];
    for (key, value) in &expected {
        assert_eq!(m.get(key), Some(value), "{key}");
    }
    assert_eq!(m.read::<Vec<bool>>("k.bools").unwrap(), Some(vec![true, false]));
    assert_eq!(c.chat_template().unwrap().as_deref(), Some("{{ messages }}"));
    assert!(matches!(c.tokenizer().unwrap(), TokenizerFiles::Gguf(_)));
    // 0 is the file's own; 2 is <|im_end|>, a control token; 3 is </s>, but plain text.
    assert_eq!(c.generation().unwrap().eos, [0, 2]);
}

#[test]
fn tensors_are_found() {
    let file = sample();
    let c = Checkpoint::from_gguf_bytes(file.bytes()).unwrap();
    let seen: Vec<_> = c.tensors().iter().map(|t| (&t.name[..], &t.dims[..], t.dtype.clone(), t.bytes)).collect();
    assert_eq!(
        seen,
        [
            ("token_embd.weight", &[4, 64][..], Ok(DType::Q8_0), 272),
            ("output_norm.weight", &[64], Ok(DType::F32), 256),
            ("blk.0.ffn_up_exps.weight", &[2, 3, 32], Ok(DType::F16), 384),
            ("blk.0.odd.weight", &[256], Err("Q8_K".to_string()), 292),
        ]
    );
    for (written, read) in file.tensors.iter().zip(c.tensors()) {
        assert_eq!(c.bytes(read), written.data);
        assert_eq!(c.tensor(&written.name).unwrap().dims, read.dims);
    }
}

/// The file must be refused with an error that names it, the field, and the problem.
#[track_caller]
fn check(file: &Gguf, field: &str, problem: &str) {
    check_bytes(file.bytes(), field, problem);
}

#[track_caller]
fn check_bytes(bytes: Vec<u8>, field: &str, problem: &str) {
    let error = Checkpoint::from_gguf_bytes(bytes).expect_err("refused").to_string();
    assert!(error.starts_with(&format!("(memory): {field}: ")) && error.contains(problem), "{error}");
}

#[test]
fn headers_are_checked() {
    let versions = [(1, "versions 2 and 3"), (4, "is 4"), (3u32.swap_bytes(), "big-endian"), (0, "is 0")];
    for (version, problem) in versions {
        check(&Gguf { version, ..sample() }, "version", problem);
    }
    check_bytes(b"GGUF".to_vec(), "version", "the file ends at byte 4");
    check_bytes(b"GG".to_vec(), "magic", "cut short");
    check_bytes(b"GGML1234".to_vec(), "magic", "is not GGUF");
    for (at, field) in [(8, "tensor_count"), (16, "metadata_kv_count")] {
        let mut bytes = sample().bytes();
        bytes[at + 4] = 1;
        check_bytes(bytes, field, "cannot fit in the rest of the file");
    }
    Checkpoint::from_gguf_bytes(Gguf { version: 2, ..sample() }.bytes()).unwrap();
}

#[test]
fn metadata_is_checked() {
    check(&Gguf::new().u32("twice", 1).u32("twice", 2), "twice", "stands twice");
    check(&Gguf::new().u32("", 1), "metadata key 0 of 1", "must be a name");
    check(&Gguf::new().u32(&"k".repeat(65536), 1), "metadata key 0 of 1", "65536 bytes long");
    check(&Gguf::new().key("k", 13, [0; 8]), "k", "value type 13");
    check(&Gguf::new().key("k", ARRAY, array(77, &[[0; 8]])), "k", "value type 77");
    check(&Gguf::new().key("k", BOOL, [2]), "k", "the byte 2");
    check(&Gguf::new().key("k", STRING, u64::MAX.to_le_bytes()), "k", "cannot fit");
    let hostile = [&U8.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
    check(&Gguf::new().key("k", ARRAY, hostile), "k", "cannot fit");
    let deep = (0..6).fold(array(U8, &[[1]]), |inner, _| array(ARRAY, &[inner]));
    check(&Gguf::new().key("k", ARRAY, deep), "k", "deeper than");
    check(&Gguf::new().u32("general.alignment", 24), "general.alignment", "power of two");
    check(&Gguf::new().u32("general.alignment", 0), "general.alignment", "power of two");
    check(&Gguf::new().text("general.alignment", "32"), "general.alignment", "must be an integer");
    let mut bytes = Gguf::new().u32("kk", 1).bytes();
    bytes[32] = 0xff;
    check_bytes(bytes, "metadata key 0 of 1", "UTF-8");
}

#[test]
fn tensors_are_checked() {
    let with = |change: fn(&mut Tensor)| {
        let mut file = sample();
        change(&mut file.tensors[1]);
        file
    };
    let norm = "tensor output_norm.weight";
    check(&with(|t| t.dims = vec![]), norm, "0 dimensions");
    check(&with(|t| t.dims = vec![1; 5]), norm, "5 dimensions");
    check(&with(|t| t.dims = vec![64, 0]), norm, "dimension of 0");
    check(&with(|t| t.dims = vec![1 << 40, 1 << 40]), norm, "larger than any memory");
    check(&with(|t| t.dims = vec![u64::MAX]), norm, "larger than any memory");
    check(&with(|t| (t.kind, t.dims) = (8, vec![33])), norm, "not whole blocks of 32");
    check(&with(|t| t.offset += 1), norm, "not a multiple of 32");
    check(&with(|t| t.offset = 32), "tensor token_embd.weight", "overlaps tensor output_norm.weight");
    check(&with(|t| t.offset = 1 << 62), norm, "bytes are missing");
    check(&with(|t| t.name = "token_embd.weight".into()), "tensor token_embd.weight", "stands twice");
    check(&with(|t| t.name = String::new()), "tensor 1 of 4", "must be a name");
    let mut short = sample().bytes();
    short.truncate(short.len() - 10);
    check_bytes(short, "tensor blk.0.odd.weight", "10 bytes are missing");
    let unknown = Checkpoint::from_gguf_bytes(with(|t| t.kind = 99).bytes()).unwrap();
    assert_eq!(unknown.tensors()[1].dtype, Err("ggml type 99".to_string()));
}

fn part(no: u16, count: u16, total: i32, tensor: &str) -> Vec<u8> {
    let file = Gguf::new().key("split.no", U16, no.to_le_bytes()).key("split.count", U16, count.to_le_bytes()).key(
        "split.tensors.count",
        I32,
        total.to_le_bytes(),
    );
    file.tensor(tensor, &[4], 0, 16).bytes()
}

#[test]
fn split_files_are_one_model() {
    let dir = tempfile::tempdir().unwrap();
    let path = |no: usize| dir.path().join(format!("m-{no:05}-of-00002.gguf"));
    let error = |p: &std::path::Path| Checkpoint::open(p).unwrap_err().to_string();
    std::fs::write(path(1), part(0, 2, 2, "a")).unwrap();
    assert!(error(&path(1)).contains("m-00002-of-00002.gguf: file: this part of 2 is missing"));
    std::fs::write(path(2), part(1, 2, 2, "b")).unwrap();
    for opened in [&path(1), &path(2), &dir.path().to_owned()] {
        let c = Checkpoint::open(opened).unwrap();
        assert_eq!(c.files(), [path(1), path(2)]);
        let names: Vec<_> = c.tensors().iter().map(|t| (&t.name[..], c.bytes(t)[1])).collect();
        assert_eq!(names, [("a", 7), ("b", 7)]);
    }
    std::fs::write(path(2), part(1, 2, 2, "a")).unwrap();
    assert!(error(&path(1)).contains("m-00002-of-00002.gguf: tensor a: is also in"));
    std::fs::write(path(2), part(0, 2, 2, "b")).unwrap();
    assert!(error(&path(1)).contains("split.no: is 0 where 1 must stand"));
    std::fs::write(path(1), part(0, 2, 5, "a")).unwrap();
    std::fs::write(path(2), part(1, 2, 5, "b")).unwrap();
    assert!(error(&path(1)).contains("split.tensors.count: is 5"));
    let renamed = dir.path().join("model.gguf");
    std::fs::rename(path(1), &renamed).unwrap();
    assert!(error(&renamed).contains("split.count: the file is one of 2 parts"));
}

#[test]
fn getters_say_what_they_wanted() {
    let json = r#"{"a": {"n": -1, "x": 7.5, "t": "text", "l": [1, 2.5], "none": null, "big": 1e300}, "whole": 4.0}"#;
    let m = Metadata::from_json("dir/config.json".as_ref(), serde_json::from_str(json).unwrap()).unwrap();
    let a: &Metadata = m.require("a").unwrap();
    assert_eq!(m.read::<usize>("whole").unwrap(), Some(4));
    assert_eq!(a.read::<u32>("none").unwrap(), None);
    assert_eq!(a.read::<Vec<f32>>("l").unwrap(), Some(vec![1.0, 2.5]));
    let errors = [
        (a.require::<u32>("n").unwrap_err(), "a.n: must be an integer from 0 to 4294967295, not -1"),
        (a.require::<u64>("x").unwrap_err(), "a.x: must be an integer of 0 or more, not 7.5"),
        (a.require::<usize>("big").unwrap_err(), "a.big: must be an integer"),
        (a.require::<f32>("t").unwrap_err(), "a.t: must be a number, not \"text\""),
        (a.require::<bool>("gone").unwrap_err(), "a.gone: is missing and must be true or false"),
        (a.require::<&str>("l").unwrap_err(), "a.l: must be text, not a list of 2 values"),
        (m.require::<Vec<u32>>("a").unwrap_err(), "a: must be a list, each an integer"),
        (a.unsupported("t", "is new"), "a.t: is new"),
    ];
    for (error, expected) in errors {
        assert!(error.to_string().starts_with(&format!("dir/config.json: {expected}")), "{error}");
    }
}

#[test]
fn shared_models_are_read() {
    for (file, tensors, eos) in
        [("stories260K", 48, &[2][..]), ("llama-2-tiny-random", 12, &[2]), ("mmproj-tinygemma3", 71, &[])]
    {
        let Some(path) = shared(&format!("models/{file}.gguf")) else { return };
        let c = Checkpoint::open(&path).unwrap();
        assert_eq!(c.tensors().len(), tensors);
        assert_eq!(c.generation().unwrap().eos, eos);
    }
    for (vocabulary, tokens) in [("llama-bpe", 128256), ("phi-3", 32064), ("bert-bge", 30522)] {
        let Some(path) = shared(&format!("tokenizers/gguf/ggml-vocab-{vocabulary}.gguf")) else { return };
        let c = Checkpoint::open(&path).unwrap();
        assert_eq!(c.metadata().require::<&List>("tokenizer.ggml.tokens").unwrap().len(), tokens);
    }
}
