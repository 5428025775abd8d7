//! Safetensors: single files, shards, side files, and what each kind of unsound file or folder is told.

mod support;

use std::path::Path;

use model::{Checkpoint, Format, TokenizerFiles};
use support::*;
use tensor::DType;

const CONFIG: &str = r#"{"model_type": "llama", "eos_token_id": 2, "text_config": {"eos_token_id": [5]}}"#;

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

fn one(name: &str) -> Vec<u8> {
    safetensors(&format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#), 4)
}

#[test]
fn a_single_file_with_its_side_files() {
    let generation = br#"{"temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [7, 2], "do_sample": true}"#;
    let tokenizer = br#"{"eos_token": {"content": "<end>"}, "added_tokens_decoder": {"9": {"content": "<end>"}},
        "chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]}"#;
    let dir = folder(&[
        ("model.safetensors", &sample_safetensors()),
        ("config.json", CONFIG.as_bytes()),
        ("generation_config.json", generation),
        ("tokenizer.json", b"{}"),
        ("tokenizer_config.json", tokenizer),
    ]);
    for path in [dir.path().to_owned(), dir.path().join("model.safetensors")] {
        let c = Checkpoint::open(&path).unwrap();
        assert_eq!(c.format(), Format::Safetensors);
        let g = c.generation().unwrap();
        assert_eq!((g.temperature, g.top_k, g.top_p, g.min_p), (Some(0.6), Some(20), Some(0.95), None));
        assert_eq!(g.eos, [2, 5, 7, 9]);
        assert_eq!(c.chat_template().unwrap().as_deref(), Some("D"));
        assert!(matches!(c.tokenizer().unwrap(), TokenizerFiles::Json { config: Some(_), .. }));
        let seen: Vec<_> = c.tensors().iter().map(|t| (&t.dims[..], t.dtype.clone(), c.bytes(t).first())).collect();
        let name = |n: &str| Err(n.to_string());
        assert_eq!(seen[0], (&[4, 8][..], Ok(DType::BF16), Some(&0)));
        assert_eq!(seen[1], (&[8][..], Ok(DType::F32), Some(&64)));
        assert_eq!(seen[2], (&[2, 3][..], name("U8"), Some(&96)));
        assert_eq!(seen[3], (&[][..], name("F8_E4M3"), Some(&102)));
        assert_eq!(seen[4], (&[0, 3][..], Ok(DType::F16), None));
    }
    std::fs::write(dir.path().join("chat_template.jinja"), "J").unwrap();
    let c = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(c.chat_template().unwrap().as_deref(), Some("J"));
    let wrong = |text: &str, expected: &str| {
        std::fs::write(dir.path().join("generation_config.json"), text).unwrap();
        let error = c.generation().unwrap_err().to_string();
        assert!(error.contains(&format!("generation_config.json: {expected}")), "{error}");
    };
    wrong("{", "file: is not sound JSON");
    wrong(r#"{"repetition_penalty": 0}"#, "repetition_penalty: is 0 and must be more than 0");
    wrong(r#"{"repetition_penalty": -1.5}"#, "repetition_penalty: is -1.5 and must be more than 0");
    wrong(r#"{"temperature": -1}"#, "temperature: is -1 and must be at least 0");
    wrong(r#"{"top_p": 1.5}"#, "top_p: is 1.5 and must be from 0 to 1");
    wrong(r#"{"min_p": 1e300}"#, "min_p");
}

#[test]
fn the_header_agrees_with_the_safetensors_crate() {
    let bytes = sample_safetensors();
    let oracle = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let c = Checkpoint::from_safetensors_bytes(bytes.clone(), CONFIG).unwrap();
    assert_eq!(c.tensors().len(), oracle.len());
    for tensor in c.tensors() {
        let theirs = oracle.tensor(&tensor.name).unwrap();
        assert_eq!((theirs.shape(), theirs.data()), (&tensor.dims[..], c.bytes(tensor)));
    }
}

#[test]
fn shards_are_one_model() {
    let index = br#"{"metadata": {}, "weight_map": {"a": "m-00001-of-00002.safetensors", "b": "m-00002-of-00002.safetensors"}}"#;
    let files = [
        ("config.json", CONFIG.as_bytes()),
        ("m-00001-of-00002.safetensors", &one("a")[..]),
        ("m-00002-of-00002.safetensors", &one("b")),
    ];
    let with_index = [&files[..], &[("model.safetensors.index.json", &index[..])]].concat();
    for files in [&files[..], &with_index] {
        let dir = folder(files);
        let c = Checkpoint::open(dir.path()).unwrap();
        let seen: Vec<_> = c.tensors().iter().map(|t| t.name.as_str()).collect();
        assert_eq!(seen, ["a", "b"]);
        assert_eq!(c.files().len(), 2);
    }
}

/// Opening the folder must fail with an error about `file` that says `problem`.
#[track_caller]
fn check(files: &[(&str, &[u8])], file: &str, problem: &str) {
    let dir = folder(files);
    let error = Checkpoint::open(dir.path()).expect_err("refused").to_string();
    let expected = format!("{}: ", dir.path().join(file).display());
    assert!(error.starts_with(expected.replace("/: ", ": ").as_str()) && error.contains(problem), "{error}");
}

#[test]
fn unsound_folders_are_told_what_is_missing() {
    let config = ("config.json", CONFIG.as_bytes());
    let (a, b) = (one("a"), one("b"));
    let index = |map: &str| format!(r#"{{"weight_map": {{{map}}}}}"#).into_bytes();
    let name = "model.safetensors.index.json";
    check(&[], "", "holds no .gguf and no .safetensors file");
    check(&[("pytorch_model.bin", b"PK")], "", "PyTorch");
    check(&[("model.safetensors", &a)], "config.json", "is missing");
    check(&[("adapter_config.json", b"{}"), ("adapter_model.safetensors", &a)], "", "a LoRA adapter");
    check(&[("config.json", b"[]"), ("model.safetensors", &a)], "config.json", "must hold a JSON object");
    check(&[("config.json", b"{\"a\":"), ("model.safetensors", &a)], "config.json", "is not sound JSON");
    check(&[config, ("x.safetensors", &a), ("y.safetensors", &b)], "", "holds several .safetensors");
    check(&[config, ("m-00001-of-00002.safetensors", &a)], "", "1 of the 2 parts of m");
    check(&[config, (name, &index(r#""a": "gone.safetensors""#))], name, "names gone.safetensors, which is missing");
    for hostile in ["../../etc/passwd", "/etc/passwd", "..", "a/b.safetensors", "", "a\\\\b"] {
        check(&[config, (name, &index(&format!(r#""a": "{hostile}""#)))], name, "not a file of this folder");
    }
    check(&[config, (name, &index(""))], name, "weight_map: is empty");
    check(&[config, (name, b"{}")], name, "missing field `weight_map`");
    let wrong = index(r#""a": "x.safetensors", "b": "x.safetensors""#);
    check(&[config, (name, &wrong), ("x.safetensors", &a)], name, "weight_map.b: is not in x.safetensors");
    check(&[("a.gguf", b"GGUF"), ("b.gguf", b"GGUF")], "", "several models; give one of a.gguf, b.gguf");
    check(&[("a.gguf", b"GGUF"), ("mmproj-a.gguf", b"GGUF")], "a.gguf", "version: ");
}

#[test]
fn unsound_headers_name_the_tensor() {
    let check = |header: &str, data: usize, field: &str, problem: &str| {
        let error = Checkpoint::from_safetensors_bytes(safetensors(header, data), CONFIG).unwrap_err().to_string();
        assert!(error.starts_with(&format!("(memory): {field}: ")) && error.contains(problem), "{error}");
    };
    let entry = |shape: &str, offsets: &str| format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#);
    let (x, y) = (entry("[1]", "[0,4]"), entry("[1]", "[4,8]"));
    check(&format!(r#"{{"x":{x}}}"#), 3, "data", "1 are missing");
    check(&format!(r#"{{"x":{x}}}"#), 5, "data", "1 bytes follow the last tensor");
    check(&format!(r#"{{"x":{x},"y":{x}}}"#), 4, "tensor y", "where the tensor before ends at 4");
    check(&format!(r#"{{"y":{y}}}"#), 8, "tensor y", "where the tensor before ends at 0");
    check(&format!(r#"{{"x":{x},"x":{y}}}"#), 8, "header", "x stands twice");
    check(&format!(r#"{{"x":{}}}"#, entry("[2]", "[0,4]")), 4, "tensor x", "4 bytes, which a F32 of [2] does not take");
    check(&format!(r#"{{"x":{}}}"#, entry("[1]", "[0,-4]")), 4, "header", "tensor x: invalid value");
    check(&format!(r#"{{"x":{}}}"#, entry("[4611686018427387904,4]", "[0,0]")), 0, "tensor x", "does not take");
    check(r#"{"x":{"dtype":"Q9","shape":[],"data_offsets":[0,0]}}"#, 0, "header", "tensor x: unknown");
    let huge = entry("[2305843009213693952]", "[0,18446744073709551615]");
    check(&format!(r#"{{"x":{huge}}}"#), 0, "data", "are missing");
    check("[]", 0, "header", "an object with the tensors");
    check(&"[".repeat(100_000), 0, "header", "damaged");
    for (bytes, problem) in [
        (&b"123"[..], "has 3 bytes and must have 8"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff{", "more than any model's"),
        (b"\x10\0\0\0\0\0\0\0{}", "14 of its 16 bytes are missing"),
    ] {
        let error = Checkpoint::from_safetensors_bytes(bytes, CONFIG).unwrap_err().to_string();
        assert!(error.starts_with("(memory): header") && error.contains(problem), "{error}");
    }
}

#[test]
fn other_files_are_called_by_their_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    for (content, problem) in [
        (&b""[..], "is empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b"PK\x03\x04....", "PyTorch"),
        (b"\x80\x02}q\x00", "pickle"),
        (b"tjgg\x01\0\0\0", "GGJT"),
        (b"\x08\x08\x12\x07pytorch", "ONNX"),
        (b"{\"a\": 1}", "JSON"),
        (b"\x1f\x8b\x08", "gzip"),
        (&[0; 4096], "zeros only"),
        (b"hello world", "is not a model that Whinchat reads"),
        (b"GGUF", "version"),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = Checkpoint::open(&path).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()) && error.contains(problem), "{error}");
    }
    let error = Checkpoint::open(Path::new("no/such/file")).unwrap_err().to_string();
    assert!(error.starts_with("no/such/file: file: does not exist; give"), "{error}");
}

#[test]
fn a_tokenizer_alone_can_be_opened() {
    let dir = folder(&[("tokenizer.json", b"{}")]);
    for path in [dir.path().to_owned(), dir.path().join("tokenizer.json")] {
        let c = Checkpoint::open(&path).unwrap();
        assert!(c.tensors().is_empty());
        assert!(matches!(c.tokenizer().unwrap(), TokenizerFiles::Json { config: None, .. }));
    }
}

#[test]
fn names_are_for_people() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, file, name) in [
        ("models--org--tiny/snapshots/0123abcd", "model.safetensors", "org/tiny"),
        ("Tiny-1.5B", "model.safetensors", "Tiny-1.5B"),
    ] {
        let folder = dir.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.json"), CONFIG).unwrap();
        std::fs::write(folder.join(file), one("a")).unwrap();
        assert_eq!(Checkpoint::open(&folder).unwrap().name(), name);
    }
    let unnamed = Gguf::new().tensor("a", &[4], 0, 16).bytes();
    let path = dir.path().join("tiny-q8_0.gguf");
    std::fs::write(&path, unnamed).unwrap();
    assert_eq!(Checkpoint::open(&path).unwrap().name(), "tiny-q8_0");
}

#[test]
fn a_shared_file_without_config_says_so() {
    let Some(path) = shared("models/phi-tiny-random.safetensors") else { return };
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("config.json: file: is missing"), "{error}");
    let c = Checkpoint::from_safetensors_bytes(std::fs::read(&path).unwrap(), CONFIG).unwrap();
    assert!(c.tensors().iter().all(|t| t.dtype.is_ok()) && !c.tensors().is_empty());
}
