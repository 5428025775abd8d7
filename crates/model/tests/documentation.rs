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
Encoders (bert, xlm-roberta, nomic-bert, nomic-bert-moe, jina-bert-v3, modern-bert, gemma-embedding) give hidden states, or the scores of their heads,
of texts that are computed whole; they answer `/v1/embeddings` and `/v1/rerank` and write no text.
Qwen3-Embedding and Qwen3-Reranker are of the family qwen3: their vectors and scores are those that their makers compute (`tests/data/qwen3-*`).

| family | GGUF: `general.architecture` | safetensors: `model_type` | proven by |
|---|---|---|---|
";

const TYPES: &str = "
Models that see or hear run as the text models that they contain. Tensors that running does not need are left out, and
`whinchat inspect` names them: towers for images and sound, layers that predict tokens ahead (`nextn`), which draft for
the model if asked ([speculation.md](speculation.md)), keys and values of layers that use those of others.

## Weight types

Every architecture runs with every type: a model's matrices may each have another one. Codecs give the numbers of the PyPI package
`gguf`, or of ggml where that lacks a type, bit for bit (`crates/tensor/tests/codecs.rs`); whole graphs of every type give those of the
interpreter on every instruction set (`crates/kernels/tests/programs.rs`).

| type | bits a weight | GGUF | safetensors | proven by |
|---|---|---|---|---|
";

const QUANTIZED: &str = "
## Safetensors that others have quantized

A folder whose `config.json` has `quantization_config` is read as it is published. Each matrix becomes the smallest of the types above that
has its numbers; where none has, it is widened to the type in which its own programs would write it. `whinchat inspect` says which it is, and
`whinchat convert` makes a GGUF file of it. Each kind is compared bit for bit with the numbers of compressed-tensors, bitsandbytes, AutoAWQ or
transformers (GPTQ: with the formula of its first listing), and whole models with the logits that transformers gives for these numbers
(`crates/model/tests/quantized.rs`, `xtask/goldens/quantized.py`).

| weights | `quant_method` | read as | proven by |
|---|---|---|---|
";

/// What is read, what config.json calls it, what it becomes, and the fixtures whose names begin so.
const FORMATS: &[(&str, &str, &str, &[&str])] = &[
    (
        "GPTQ of 2, 3, 4 and 8 bits, v1 and v2",
        "gptq",
        "Q4_0 (symmetric, or of 2 and 3 bits), Q5_0 (asymmetric), Q8_0 (8 bits, symmetric): exactly; 8 bits asymmetric, and groups in the \
         order of activations that are not beside each other: F16",
        &["gptq"],
    ),
    ("AWQ of 4 bits, `gemm`", "awq", "Q5_0, or Q4_0 if all its zeros are 8: exactly", &["awq"]),
    (
        "compressed-tensors, `pack-quantized`, 2, 4 and 8 bits, groups or rows",
        "compressed-tensors",
        "as GPTQ; BF16 where that is F16, if its scales are BF16",
        &["compressed-4", "compressed-8"],
    ),
    (
        "compressed-tensors, `int-quantized`",
        "compressed-tensors",
        "W8A8 (a scale for each row, activations of 8 bits by tokens): Q8_ROW, exactly; others Q8_0: scales of more bits than half \
         precision has are rounded, and activations have a scale for each 32",
        &["compressed-int8", "compressed-w8a8"],
    ),
    (
        "FP8 (E4M3) with a scale for the tensor, each row or each block",
        "fp8, fbgemm_fp8, compressed-tensors, modelopt",
        "the type of its scales, or of the model (mostly BF16): twice the room, no number is rounded otherwise than by transformers",
        &["fp8", "compressed-fp8"],
    ),
    (
        "NVFP4",
        "compressed-tensors, modelopt",
        "NVFP4 with its factor, exactly; BF16 in experts and the output matrix",
        &["nvfp4"],
    ),
    ("MXFP4", "compressed-tensors", "MXFP4, exactly", &["mxfp4"]),
    ("MXFP4 of gpt-oss", "mxfp4", "MXFP4, exactly", &["gpt-oss-mxfp4"]),
    (
        "bitsandbytes NF4 and FP4, scales quantized or not",
        "bitsandbytes",
        "the type that it computes in: four times the room",
        &["nf4", "bitsandbytes-fp4"],
    ),
    ("bitsandbytes of 8 bits", "bitsandbytes", "Q8_0, scales rounded to half precision", &["bitsandbytes-int8"]),
];

const REFUSED: &str = "
Scales for activations and for the KV cache are left out: both have scales of their own here. Refused by name: other methods (EETQ, HQQ,
Quanto, AQLM, VPTQ, torchao, BitNet), GPTQ in the layout of Marlin, AWQ for `gemv`, compressed-tensors with sparse or rotated weights.

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
        let proofs = fixtures.iter().filter(|f| f.proves(&family)).map(|f| f.name.as_str());
        let proofs: Vec<&str> = proofs.filter(|name| !name.starts_with(PACKED)).collect();
        for (format, names) in [(Format::Gguf, family.gguf), (Format::Safetensors, family.model_types)] {
            let proven = fixtures.iter().any(|f| f.format == format && f.proves(&family));
            assert!(names.is_empty() || proven, "{}: nothing proves it in {format:?}", family.name);
        }
        let names = [family.gguf, family.model_types, &proofs].map(list);
        writeln!(page, "| {} | {} |", family.name, names.join(" | ")).expect("a string");
    }
    page.push_str(TYPES);
    DType::all().for_each(|dtype| page.push_str(&weight_type(dtype)));
    page.push_str(QUANTIZED);
    FORMATS.iter().for_each(|format| page.push_str(&quantized(format, &fixtures)));
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
    let bits = format!("{:.4}", (8 * layout.block_bytes) as f64 / layout.block_len as f64);
    let bits = if layout.row_head == 0 { bits } else { format!("{bits}, and {} a row", 8 * layout.row_head) };
    let plain = if layout.block_len == 1 { "yes" } else { "—" };
    let safetensors = if dtype == DType::MXFP4 { "gpt-oss" } else { plain };
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tensor/tests/data/{name}.blocks"));
    assert!(fixture.exists(), "{name}: nothing proves its codec");
    format!("| {name} | {bits} | yes | {safetensors} | `{name}.blocks` |\n")
}

/// Begins the names of fixtures with quantized weights.
const PACKED: &str = "quantized-";

/// A row of the table of formats; every one is proven by something.
fn quantized((what, methods, read, proofs): &(&str, &str, &str, &[&str]), fixtures: &[Fixture]) -> String {
    let proves = |name: &str| proofs.iter().any(|start| name.strip_prefix(PACKED).unwrap_or(name).starts_with(start));
    let names =
        fixtures.iter().map(|f| f.name.as_str()).filter(|name| name.contains("mxfp4") || name.starts_with(PACKED));
    let names: Vec<&str> = names.filter(|name| proves(name)).collect();
    assert!(!names.is_empty(), "{what}: nothing proves it");
    format!("| {what} | {} | {read} | {} |\n", list(&methods.split(", ").collect::<Vec<_>>()), list(&names))
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
