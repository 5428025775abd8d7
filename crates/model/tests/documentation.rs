//! docs/models.md is what the table of architectures, the storage types and their fixtures say.

#[path = "support/golden.rs"]
mod golden;

use std::fmt::Write as _;
use std::path::Path;

use model::{Checkpoint, Family, Format, Metadata};
use tensor::DType;

const HEAD: &str = "# Models

What Whinchat runs, in which files, and what proves it. This page is written by `cargo xtask docs` from the table of architectures in
`crates/model/src/arch`, the storage types in `crates/tensor`, and the fixtures of their tests; a test compares.

## Architectures

Each fixture is a tiny random model in `crates/model/tests/data` with the logits that `transformers` computes for the same weights.
Prefill, decode and mixed batches give them within 2·10⁻⁴ of the largest, in F32, on the reference interpreter
(`crates/model/tests/architectures.rs`) and on every instruction set (`crates/kernels/tests/architectures.rs`). Families whose own
code is not part of `transformers` are compared with a model there that computes the same; `xtask/goldens/architectures*.py` say which.

| family | GGUF: `general.architecture` | safetensors: `model_type` | proven by |
|---|---|---|---|
";

const TYPES: &str = "
Models that see or hear run as the text models that they contain. Tensors that running does not need are left out, and
`whinchat inspect` names them: towers for images and sound, layers that guess tokens ahead (`nextn`), keys and values of layers that
use those of others.

## Weight types

Every architecture runs with every type: a model's matrices may each have another one. Codecs give the numbers of the PyPI package
`gguf`, or of ggml where that lacks a type, bit for bit (`crates/tensor/tests/codecs.rs`); whole graphs of every type give those of the
interpreter on every instruction set (`crates/kernels/tests/programs.rs`).

| type | bits a weight | GGUF | safetensors | proven by |
|---|---|---|---|---|
";

const REFUSED: &str = "
Safetensors weights that others have quantized (GPTQ, AWQ, FP8, bitsandbytes) are refused, but for the MXFP4 of gpt-oss: take the GGUF
file or the plain one.

## What is refused

A file that asks for what there is no operator for is refused, and the error says what is missing; it is never run with other
numbers. Known architectures that do not run:

| architecture | what is missing |
|---|---|
";

#[test]
fn the_page_of_models_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/models.md");
    let page = page();
    if std::env::var_os("WHINCHAT_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/models.md differs from what the code says: run `cargo xtask docs`");
}

fn page() -> String {
    let fixtures: Vec<Fixture> = golden::names().into_iter().map(Fixture::new).collect();
    let mut page = HEAD.to_owned();
    for family in model::families() {
        let proofs: Vec<&str> = fixtures.iter().filter(|f| f.proves(&family)).map(|f| f.name.as_str()).collect();
        for (format, names) in [(Format::Gguf, family.gguf), (Format::Safetensors, family.model_types)] {
            let proven = fixtures.iter().any(|f| f.format == format && f.proves(&family));
            assert!(names.is_empty() || proven, "{}: nothing proves it in {format:?}", family.name);
        }
        let names = [family.gguf, family.model_types, &proofs].map(list);
        writeln!(page, "| {} | {} |", family.name, names.join(" | ")).expect("a string");
    }
    page.push_str(TYPES);
    DType::all().for_each(|dtype| page.push_str(&weight_type(dtype)));
    page.push_str(REFUSED);
    for (names, missing) in model::refused() {
        writeln!(page, "| {} | {missing} |", list(names)).expect("a string");
    }
    page
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "—".into() } else { names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ") }
}

fn weight_type(dtype: DType) -> String {
    let (layout, name) = (dtype.layout(), dtype.name());
    let bits = (8 * layout.block_bytes) as f64 / layout.block_len as f64;
    let plain = if layout.block_len == 1 { "yes" } else { "—" };
    let safetensors = if dtype == DType::MXFP4 { "gpt-oss" } else { plain };
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tensor/tests/data/{name}.blocks"));
    assert!(fixture.exists(), "{name}: nothing proves its codec");
    format!("| {name} | {bits:.4} | yes | {safetensors} | `{name}.blocks` |\n")
}

/// A fixture and what its file calls its architecture.
struct Fixture {
    name: String,
    format: Format,
    architecture: String,
}

impl Fixture {
    fn new(name: String) -> Fixture {
        let file = golden::data().join(format!("{name}.gguf"));
        let Ok(bytes) = std::fs::read(file) else {
            let config = golden::recipe(&name)["config"].clone();
            let text = config.get("text_config").and_then(|text| text.get("model_type")).or(config.get("model_type"));
            let architecture = text.and_then(|text| text.as_str()).expect("a model type").to_owned();
            return Fixture { name, format: Format::Safetensors, architecture };
        };
        let checkpoint = Checkpoint::from_gguf_bytes(bytes).expect("a sound file");
        let metadata: &Metadata = checkpoint.metadata();
        let architecture = metadata.require::<String>("general.architecture").expect("a name");
        Fixture { name, format: Format::Gguf, architecture }
    }

    fn proves(&self, family: &Family) -> bool {
        let names = if self.format == Format::Gguf { family.gguf } else { family.model_types };
        names.contains(&self.architecture.as_str())
    }
}
