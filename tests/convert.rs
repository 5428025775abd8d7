//! `whinchat convert`: the small model in tests/data as GGUF files that answer as it does, and what is refused.

#[path = "support/predicting.rs"]
#[expect(dead_code, reason = "heads of files of their own are not converted")]
mod predicting;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::ConvertOptions;
use predicting::predicting;
use serde_json::Value;
use whinchat::{GenerateOptions, Model, Sampling};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tiny")
}

fn whinchat(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
    command.args(args).env("HF_HUB_OFFLINE", "1").env_remove("WHINCHAT_MODEL").output().expect("the program starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What the command prints.
fn convert(model: &Path, out: &Path, more: &[&str]) -> String {
    let output = whinchat(&[&["convert", text(model), "--out", text(out)], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The command fails with `problem` and leaves the folder of `out` as it was.
#[track_caller]
fn check_refused(args: &[&str], folder: &Path, problem: &str) {
    let names = || std::fs::read_dir(folder).map_or(0, Iterator::count);
    let before = names();
    let output = whinchat(args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.contains(problem), "{args:?}: {stderr}");
    assert_eq!(names(), before, "{args:?} left something behind");
}

fn greedy(max_tokens: usize) -> GenerateOptions {
    let sampling = Sampling::greedy();
    GenerateOptions { sampling, ..GenerateOptions::max_tokens(max_tokens) }
}

#[test]
fn converted_models_answer_as_transformers_does() {
    let expected = std::fs::read_to_string(tiny().join("expected.json")).expect("the fixture");
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    let stored = folder.path().join("stored.gguf");
    let again = folder.path().join("again.gguf");
    convert(&tiny(), &stored, &["--name", "small bird"]);
    convert(&stored, &again, &["--type", "f32"]);
    for file in [&stored, &again] {
        let model = Model::load(text(file)).expect("it loads");
        for case in expected["cases"].as_array().expect("cases") {
            let prompt = case["prompt"].as_str().expect("a prompt");
            if prompt != "@chat" {
                let answer = model.generate(prompt, &greedy(24)).expect("an answer");
                assert_eq!(Some(answer.as_str()), case["text"].as_str(), "{}: {prompt}", file.display());
            }
        }
    }
}

#[test]
fn a_layer_that_is_left_out_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = predicting(&tiny(), false);
    let said = convert(files.path(), &folder.path().join("out.gguf"), &[]);
    let line = said.lines().next().unwrap_or_default();
    assert!(line.starts_with("the layer that predicts ahead (--draft-model mtp) is left out: "), "{said}");
}

#[test]
fn tokenizer_template_and_name_are_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("tiny.gguf");
    convert(&tiny(), &out, &["--name", "small bird"]);
    let (own, made) = [tiny(), out].map(|path| model::Checkpoint::open(&path).expect("it opens")).into();
    assert_eq!(made.name(), "small bird");
    assert_eq!(made.chat_template().expect("sound"), own.chat_template().expect("sound"));
    assert_eq!(made.generation().expect("sound").eos, own.generation().expect("sound").eos);
    let (own, made) = [own, made].map(|c| whinchat::tokenizer(&c).expect("a tokenizer")).into();
    let options = text::EncodeOptions { add_special: true, parse_special: true };
    for text in ["<|user|>Where? 12 naïve ☕\n\n  <|end|>", "", " ", "The whinchat's 1234567"] {
        assert_eq!(made.encode(text, options), own.encode(text, options), "{text:?}");
    }
    assert_eq!((made.bos(), made.eos(), made.vocab()), (own.bos(), own.eos(), own.vocab()));
}

#[test]
fn the_summary_tells_types_and_what_did_not_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    let printed = convert(&tiny(), &folder.path().join("m.gguf"), &["--type", "Q4_K_M"]);
    let fallen = "10 matrices became F16 instead of Q4_K, rows of 48 are not whole blocks";
    assert!(printed.contains(fallen), "{printed}");
    let last = printed.lines().last().expect("a line");
    assert!(last.contains("21 tensors (") && last.ends_with("bits per weight"), "{printed}");
}

#[test]
fn what_cannot_be_written_is_refused_early() {
    let folder = tempfile::tempdir().expect("a folder");
    let (here, model) = (folder.path(), tiny());
    let (model, out) = (text(&model), here.join("m.gguf"));
    let out = text(&out);
    check_refused(&["convert", model, "--out", out, "--type", "Q9"], here, "unknown; known are F32, F16, BF16, Q8_0");
    check_refused(&["convert", model, "--out", text(here)], here, "is a folder; name the file to write");
    let deep = here.join("no/m.gguf");
    check_refused(&["convert", model, "--out", text(&deep)], here, "its folder does not exist; make it first");
    check_refused(&["convert", text(&here.join("none")), "--out", out], here, "does not exist");
    std::fs::write(out, "of before").expect("written");
    check_refused(&["convert", model, "--out", out], here, "exists already; --force replaces it");
    assert_eq!(std::fs::read(out).expect("still there"), b"of before");
    convert(Path::new(model), Path::new(out), &["--force"]);
}

#[test]
fn a_model_without_its_tokenizer_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source");
    std::fs::create_dir(&source).expect("made");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(tiny().join(name), source.join(name)).expect("copied");
    }
    let out = folder.path().join("m.gguf");
    let args = ["convert", text(&source), "--out", text(&out)];
    check_refused(&args, folder.path(), "tokenizer.json: is missing; put the model's own beside the weights");
    let small = r#"{"model": {"type": "WordLevel", "vocab": {"a": 0}}}"#;
    std::fs::write(source.join("tokenizer.json"), small).expect("written");
    check_refused(
        &args,
        folder.path(),
        "vocabularies can be written to GGUF; run the model from its safetensors files",
    );
}

#[test]
fn who_stops_it_gets_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = ConvertOptions::new(folder.path().join("m.gguf"));
    options.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let checkpoint = model::Checkpoint::open(&tiny()).expect("it opens");
    let error = lab::convert(&checkpoint, &options, &|_, _, _| {}).expect_err("stopped");
    assert_eq!(error.to_string(), "stopped; nothing was written");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn adapters_are_merged() {
    let folder = tempfile::tempdir().expect("a folder");
    let (adapter, out) = (folder.path().join("adapter"), folder.path().join("m.gguf"));
    std::fs::create_dir(&adapter).expect("made");
    let config = r#"{"peft_type": "LORA", "r": 1, "lora_alpha": 2, "target_modules": ["q_proj"]}"#;
    std::fs::write(adapter.join("adapter_config.json"), config).expect("written");
    let q = "base_model.model.model.layers.0.self_attn.q_proj";
    let header = format!(
        r#"{{"{q}.lora_A.weight":{{"dtype":"F32","shape":[1,48],"data_offsets":[0,192]}},"{q}.lora_B.weight":{{"dtype":"F32","shape":[96,1],"data_offsets":[192,576]}}}}"#
    );
    let factors: Vec<u8> = (0..144u8).flat_map(|i| (f32::from(i % 7) - 3.0).to_le_bytes()).collect();
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &factors].concat();
    std::fs::write(adapter.join("adapter_model.safetensors"), file).expect("written");
    let merged = |lora: &[&str]| {
        let lora: Vec<&str> = lora.iter().flat_map(|lora| ["--lora", *lora]).collect();
        convert(&tiny(), &out, &[&["--force", "--type", "f32"], &lora[..]].concat());
        std::fs::read(&out).expect("written")
    };
    let (plain, path) = (merged(&[]), text(&adapter));
    assert_eq!(merged(&[&format!("{path}=0")]), plain);
    assert!(merged(&[path]) != plain);
    let lora = format!("{path}=inf");
    let tiny = tiny();
    let args = ["convert", text(&tiny), "--out", text(&out), "--force", "--lora"];
    check_refused(&[&args[..], &[&lora]].concat(), folder.path(), "the scale is inf and must be a number");
    check_refused(
        &[&args[..], &["/nowhere"]].concat(),
        folder.path(),
        "does not exist; give the folder of a PEFT adapter",
    );
}
