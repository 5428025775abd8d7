//! Tiny models of every architecture with the logits (of encoders: the hidden states or scores) that transformers gives (xtask/goldens/architectures*.py), for any
//! backend: `#[path]` includes it where a backend is tested.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use graph::{Adapted, Backend, Batch, Graph, KvType, Limits, WeightInfo};
use model::{Checkpoint, Eagle3, Model, ModelError};
use serde_json::Value;
use tensor::DType;

/// Tokens of the text, as `_models.py` has them.
const LENGTH: usize = 40;
const BLOCK: usize = 16;
/// The first token of the second type, as `architectures_encoders.py` has it.
const SECOND: usize = 25;
/// What logits of `f32` arithmetic may be off by, of the largest one.
const EXACT: f32 = 2e-4;
/// Of weights that are rounded to half precision.
const HALVES: f32 = 2e-3;
/// What rounding rows to 8 bits may cost in models as small as these.
const ROUNDED: f32 = 6e-2;

/// Every fixture's name.
pub fn names() -> Vec<String> {
    let files = std::fs::read_dir(data()).expect("the fixtures are there");
    let paths = files.map(|file| file.expect("the folder can be read").path());
    let npy = paths.filter(|path| path.extension().is_some_and(|e| e == "npy"));
    let mut names: Vec<_> = npy.map(|p| p.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Our logits are those of the fixture: of the whole text at once, token by token, and of two sequences that are
/// prefilled and decoded in the same batches, or whole in one if tokens see those after them; by the graph as it is built and as it is fused. `rounds` says with
/// which weights the backend multiplies rounded rows, besides the quantized ones of which the fused graph says so.
pub fn check<B: Backend>(name: &str, backend: &B, rounds: impl Fn(&WeightInfo) -> bool) {
    let (model, logits) = load(name);
    let any = |rounds: &dyn Fn(&WeightInfo) -> bool| model.graph().weights().iter().any(rounds);
    let mixed = [(0, 13), (0, 1), (1, 17), (0, 9), (1, 1), (1, 6), (0, 1), (0, 16), (1, 16)];
    let fused = graph::fuse(model.graph(), backend.device().rules, &[]).expect("no rule is disabled").graph;
    for graph in [model.graph(), &fused] {
        let rounded = any(&rounds) || std::ptr::eq(graph, &fused) && any(&WeightInfo::quantized);
        let tolerance = if rounded { ROUNDED } else { EXACT };
        let check = |batches: &[&[(usize, usize)]]| {
            run((name, tolerance), backend, (&model, graph), &Wanted::plain(&logits), batches);
        };
        check(&[&[(0, LENGTH)]]);
        if !graph.causal() {
            check(&[&[(0, LENGTH), (1, LENGTH)]]);
            continue;
        }
        check(&[&[(0, 1)][..]; LENGTH]);
        check(&[&mixed[..1], &mixed[1..3], &mixed[3..5], &mixed[5..7], &mixed[7..]]);
    }
}

/// As [`check`], of fewer batches and the fused graph alone, for a backend that takes long for each operator and keeps weights of other
/// types than `kept` as F16, which may take them out of their steps.
pub fn check_fused<B: Backend>(name: &str, backend: &B, kept: &[DType]) {
    let (model, logits) = load(name);
    let graph = graph::fuse(model.graph(), backend.device().rules, &[]).expect("no rule is disabled").graph;
    let mixed = [(0, 13), (0, 1), (1, 17), (0, 9), (1, 1), (1, 6), (0, 1), (0, 16), (1, 16)];
    let batches = [&mixed[..1], &mixed[1..3], &mixed[3..5], &mixed[5..7], &mixed[7..]];
    let is_kept = graph.weight_ids().all(|id| kept.contains(&graph.weight(id).dtype));
    let tolerance = if is_kept { EXACT } else { HALVES };
    run((name, tolerance), backend, (&model, &graph), &Wanted::plain(&logits), &batches);
}

/// The logits of a model that was made from the fixture are those of the fixture.
pub fn check_model<B: Backend>(name: &str, backend: &B, model: &Model) {
    let logits = npy(&data().join(format!("{name}.npy")));
    run((name, EXACT), backend, (model, model.graph()), &Wanted::plain(&logits), &[&[(0, LENGTH)]]);
}

/// With an adapter the logits of a model are those of PEFT, and beside them in the same batches those without one are its own.
/// `rounds` is as in [`check`].
pub fn check_adapted<B: Backend>(
    (name, base): (&str, &str),
    backend: &B,
    model: &Model,
    adapter: Arc<graph::Adapter>,
    rounds: impl Fn(&WeightInfo) -> bool,
) {
    let fused = graph::fuse(model.graph(), backend.device().rules, &[]).expect("no rule is disabled").graph;
    let [own, plain] = [format!("lora/{name}"), base.to_owned()].map(|name| npy(&data().join(format!("{name}.npy"))));
    let wanted = Wanted { logits: [&own, &plain], adapter: Some(adapter) };
    let mixed = [(0, 13), (0, 1), (1, 17), (1, 1), (0, 9), (1, 6), (0, 1), (0, 16), (1, 16)];
    for graph in [model.graph(), &fused] {
        let tolerance = if graph.weights().iter().any(&rounds) { ROUNDED } else { EXACT };
        let check = |batches: &[&[(usize, usize)]]| run((name, tolerance), backend, (model, graph), &wanted, batches);
        check(&[&[(0, LENGTH)]]);
        check(&[&[(1, LENGTH), (0, LENGTH)]]);
        check(&[&mixed[..1], &mixed[1..3], &mixed[3..5], &mixed[5..7], &mixed[7..]]);
    }
}

/// The layer that predicts ahead gives what the fixture says of every token but the first, whole and in pieces: its logits, and the rows
/// that its head reads.
pub fn check_mtp<B: Backend>(name: &str, backend: &B) {
    check_mtp_of(name, &mtp(name), backend);
}

/// As [`check_mtp`], of files that were made from the fixture.
pub fn check_mtp_of<B: Backend>(name: &str, checkpoint: &Arc<Checkpoint>, backend: &B) {
    let wanted = npy(&data().join(format!("mtp/{name}.npy")));
    let bound = checkpoint.bind(Some(LENGTH)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let layer = checkpoint.bind_mtp(Some(LENGTH)).unwrap_or_else(|e| panic!("{name}: {e}")).expect("there is one");
    let (vocab, width) = (bound.spec().vocab, bound.spec().width);
    let tokens: Vec<u32> = (0..LENGTH).map(|i| ((7 * i * i + 13 * i + 5) % vocab) as u32).collect();
    let hidden = stages(&bound, backend, &tokens, &[LENGTH], &[]).remove(0);
    for pieces in [&[LENGTH - 1][..], &[13, 1, 25]] {
        let given = stages(&layer, backend, &tokens[1..], pieces, &hidden[..(LENGTH - 1) * width]);
        for (found, (first, width)) in given.iter().zip([(vocab, width), (0, vocab)]) {
            let rows = wanted.chunks_exact(vocab + layer.spec().width).map(|row| &row[first..first + width]);
            close(name, found, &rows.flatten().copied().collect::<Vec<_>>());
        }
    }
}

/// An EAGLE-3 head gives what the fixture says of every token but the first, whole and in pieces: its logits and the rows that it would
/// read itself, beside rows of the model and then beside these.
pub fn check_eagle3<B: Backend>(name: &str, backend: &B) {
    let (target, head) = eagle3(name, |_| ());
    let wanted = npy(&data().join(format!("eagle3/{name}.npy")));
    let head = head.and_then(|head| Eagle3::new(&head, &target)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let model = head.checkpoint.bind_eagle3(Some(LENGTH)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let fixture = recipe(&format!("eagle3/{name}"));
    let reader = checkpoint(fixture["target"].as_str().expect("a name"))
        .bind_handing_over(Some(LENGTH), &head.layers)
        .expect("sound");
    let (vocab, width) = (model.graph().output_width(), model.handed());
    let tokens: Vec<u32> = (0..LENGTH).map(|i| ((7 * i * i + 13 * i + 5) % target.spec().vocab) as u32).collect();
    let handed = stages(&reader, backend, &tokens, &[LENGTH], &[]).remove(0);
    let row = 2 * (vocab + width);
    let part = |first: usize, width: usize| -> Vec<f32> {
        wanted.chunks_exact(row).flat_map(|row| row[first..first + width].to_vec()).collect()
    };
    let own = part(vocab, width);
    for pieces in [&[LENGTH - 1][..], &[13, 1, 25]] {
        let check = |inputs: &[f32], first: usize| {
            let given = stages(&model, backend, &tokens[1..], pieces, inputs);
            close(name, &given[1], &part(first, vocab));
            close(name, &given[0], &part(first + vocab, width));
        };
        let zeros = vec![0.0; width];
        let of_model = handed.chunks_exact(reader.handed()).take(LENGTH - 1).flat_map(|row| [row, &zeros].concat());
        check(&of_model.collect::<Vec<_>>(), 0);
        let zeros = vec![0.0; reader.handed()];
        check(&own.chunks_exact(width).flat_map(|row| [&zeros, row].concat()).collect::<Vec<_>>(), vocab + width);
    }
}

/// The largest difference is a small part of the largest number.
fn close(name: &str, found: &[f32], wanted: &[f32]) {
    let largest = wanted.iter().map(|x| x.abs()).max_by(f32::total_cmp).expect("numbers");
    let worst = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).max_by(f32::total_cmp).expect("numbers");
    assert!(found.len() == wanted.len() && worst <= EXACT * largest, "{name}: off by {worst} of {largest}");
}

/// The model that an EAGLE-3 head drafts for, and the head's files after a change of its recipe.
pub fn eagle3(name: &str, change: impl Fn(&mut Value)) -> (Model, Result<Arc<Checkpoint>, ModelError>) {
    let mut recipe = recipe(&format!("eagle3/{name}"));
    change(&mut recipe);
    let (target, _) = load(recipe["target"].as_str().expect("a name"));
    (target, Checkpoint::from_safetensors_bytes(safetensors(&recipe), &recipe["config"].to_string()))
}

/// The files of a model with a layer that predicts ahead.
pub fn mtp(name: &str) -> Arc<Checkpoint> {
    checkpoint(&format!("mtp/{name}"))
}

/// The files of a fixture.
fn checkpoint(name: &str) -> Arc<Checkpoint> {
    let checkpoint = match std::fs::read(data().join(format!("{name}.gguf"))) {
        Ok(bytes) => Checkpoint::from_gguf_bytes(bytes),
        Err(_) => {
            let recipe = recipe(name);
            Checkpoint::from_safetensors_bytes(safetensors(&recipe), &recipe["config"].to_string())
        }
    };
    checkpoint.unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// What a model gives before its head and after it, for tokens that come in pieces, each beside a row of `inputs` if it takes any.
fn stages<B: Backend>(model: &Model, backend: &B, tokens: &[u32], pieces: &[usize], inputs: &[f32]) -> Vec<Vec<f32>> {
    let limits = Limits {
        max_tokens: LENGTH,
        max_outputs: LENGTH,
        kv_blocks: LENGTH.div_ceil(BLOCK),
        block_len: BLOCK,
        kv_type: KvType::F32,
        state_slots: 1,
    };
    let stages = graph::split(model.graph(), &[model.head()]).expect("it can be cut there");
    let compile = |stage: &graph::Stage| {
        let upload = |id: &graph::WeightId| {
            let bytes = model.read(*id).expect("sound");
            Arc::new(backend.upload(model.graph().weight(*id), &bytes).expect("memory"))
        };
        backend.compile(&stage.graph, stage.weights.iter().map(upload).collect(), limits).expect("memory")
    };
    let mut programs: Vec<B::Program> = stages.iter().map(compile).collect();
    let (mut given, mut first) = (vec![Vec::new(); programs.len()], 0);
    for count in pieces {
        let (mut batch, end) = (Batch::default(), first + count);
        let rows = batch.push_with_state(&tokens[first..end], first, 0..end.div_ceil(BLOCK) as u32, Some(0));
        batch.outputs.extend(rows.map(|row| row as u32));
        let width = inputs.len() / tokens.len();
        batch.inputs.extend_from_slice(&inputs[first * width..end * width]);
        for (program, given) in programs.iter_mut().zip(&mut given) {
            backend.run(program, &batch).expect("a batch within limits");
            batch.inputs = backend.download(program).to_vec();
            given.extend_from_slice(&batch.inputs);
        }
        first = end;
    }
    given
}

/// The model and its logits, a row for each token.
pub fn load(name: &str) -> (Model, Vec<f32>) {
    let model = checkpoint(name).bind(Some(LENGTH)).unwrap_or_else(|e| panic!("{name}: {e}"));
    (model, npy(&data().join(format!("{name}.npy"))))
}

/// The config.json and the tensors of a fixture.
pub fn recipe(name: &str) -> Value {
    let text = std::fs::read_to_string(data().join(format!("{name}.json"))).expect("the fixture is there");
    serde_json::from_str(&text).expect("the fixture is JSON")
}

/// The safetensors file that a recipe describes.
pub fn safetensors(recipe: &Value) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, made) in recipe["tensors"].as_object().expect("tensors") {
        let start = data.len();
        fill(made[4].as_str().unwrap_or(name), made, &mut data);
        let entry = serde_json::json!({"dtype": made[0], "shape": made[1], "data_offsets": [start, data.len()]});
        header.insert(name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

/// The formula of `_models.py`.
fn fill(name: &str, made: &Value, out: &mut Vec<u8>) {
    let count: u64 = made[1].as_array().expect("a shape").iter().map(|d| d.as_u64().expect("a size")).product();
    let (center, exponent) = (made[2].as_f64().expect("a number"), made[3].as_i64().expect("an integer") as i32);
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let values = (0..count).map(|i| center + f64::from(top_byte(seed.wrapping_add(i))) * 2f64.powi(exponent));
    let kind = made[0].as_str().expect("a type");
    if let Some(given) = made[4].as_array() {
        return given.iter().cycle().take(count as usize).for_each(|number| literal(kind, number, out));
    }
    let dtype = match kind {
        // Blocks are the bytes themselves; scales are rounded down.
        "U8" if exponent != 0 || center == 0.0 => return out.extend(values.map(|v| v.floor() as i64 as u8)),
        "F8_E8M0" => return out.extend(values.map(|v| v.floor() as i64 as u8)),
        // Packed numbers: bytes of which the bits of the center are kept.
        "U8" | "I8" | "F8_E4M3" | "I32" => {
            let bytes = count * if kind == "I32" { 4 } else { 1 };
            return out.extend((0..bytes).map(|i| top_byte(seed.wrapping_add(i)) as u8 & center as u8));
        }
        other => DType::all().find(|d| d.name() == other).expect("a type"),
    };
    let values: Vec<f32> = values.map(|v| v as f32).collect();
    let start = out.len();
    out.resize(start + dtype.row_bytes(values.len()).expect("plain elements"), 0);
    tensor::encode(dtype, &values, &mut out[start..]).expect("plain types can be encoded");
}

/// A number that the recipe says itself.
fn literal(kind: &str, number: &Value, out: &mut Vec<u8>) {
    let integer = || number.as_i64().expect("an integer");
    match kind {
        "U8" => out.push(integer() as u8),
        "I32" => out.extend((integer() as i32).to_le_bytes()),
        "I64" => out.extend(integer().to_le_bytes()),
        "F32" => out.extend((number.as_f64().expect("a number") as f32).to_le_bytes()),
        other => panic!("{other} is not written as a list"),
    }
}

/// The top byte of splitmix64.
fn top_byte(z: u64) -> i8 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 56) as u8 as i8
}

/// The logits of both sequences, and the adapter of the first.
struct Wanted<'a> {
    logits: [&'a [f32]; 2],
    adapter: Option<Arc<graph::Adapter>>,
}

impl Wanted<'_> {
    fn plain(logits: &[f32]) -> Wanted<'_> {
        Wanted { logits: [logits; 2], adapter: None }
    }
}

/// Runs batches of (sequence, tokens of it) and compares every row.
fn run<B: Backend>(
    (name, tolerance): (&str, f32),
    backend: &B,
    (model, graph): (&Model, &Graph),
    wanted: &Wanted<'_>,
    batches: &[&[(usize, usize)]],
) {
    let (width, vocab) = (graph.output_width(), model.spec().vocab);
    let upload = |id| {
        let bytes = model.read(id).unwrap_or_else(|e| panic!("{name}: {e}"));
        Arc::new(backend.upload(graph.weight(id), &bytes).unwrap_or_else(|e| panic!("{name}: {e}")))
    };
    let limits = Limits {
        max_tokens: 2 * LENGTH,
        max_outputs: 2 * LENGTH,
        kv_blocks: 2 * LENGTH.div_ceil(BLOCK),
        block_len: BLOCK,
        kv_type: KvType::F32,
        state_slots: 2,
    };
    let weights = graph.weight_ids().map(upload).collect();
    let mut program = backend.compile(graph, weights, limits).unwrap_or_else(|e| panic!("{name}: {e}"));
    let largest = wanted.logits.iter().copied().flatten().map(|l| l.abs()).max_by(f32::total_cmp).expect("logits");
    assert!(largest.is_finite(), "{name}: {largest} among the logits");
    let (mut batch, mut done) = (Batch::default(), [0; 2]);
    for spans in batches {
        batch.clear();
        let mut positions = Vec::new();
        for &(sequence, count) in *spans {
            let (from, to) = (done[sequence], done[sequence] + count);
            // Blocks of the two sequences in turn, so that neither's are next to each other.
            let table = (0..to.div_ceil(BLOCK)).map(|b| (2 * b + sequence) as u32);
            let tokens: Vec<u32> = (from..to).map(|i| ((7 * i * i + 13 * i + 5) % vocab) as u32).collect();
            let rows = batch.push_with_state(&tokens, from, table, Some(sequence as u32));
            batch.outputs.extend(rows.clone().map(|r| r as u32));
            let adapter = wanted.adapter.iter().filter(|_| sequence == 0);
            batch.adapters.extend(adapter.map(|adapter| Adapted { rows: rows.clone(), adapter: Arc::clone(adapter) }));
            batch.types.extend((from..to).map(|i| u32::from(i >= SECOND && graph.types() > 1)));
            positions.extend((from..to).map(|position| (sequence, position)));
            done[sequence] = to;
        }
        backend.run(&mut program, &batch).unwrap_or_else(|e| panic!("{name}: {e}"));
        for (row, &(sequence, position)) in backend.download(&program).chunks(width).zip(&positions) {
            let wanted = &wanted.logits[sequence][position * width..(position + 1) * width];
            let worst = row.iter().zip(wanted).map(|(a, b)| (a - b).abs()).max_by(f32::total_cmp).expect("logits");
            assert!(
                worst <= tolerance * largest,
                "{name}, sequence {sequence}, position {position}: off by {worst}, largest {largest}, {tolerance} of it is allowed"
            );
        }
    }
}

/// Values of a `.npy` file of little-endian f32.
fn npy(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("the logits are there");
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[10 + header..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Where the fixtures are.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/data")
}
