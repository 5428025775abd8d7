//! Exported models: what is written is read as the same model, with the same logits; what GGUF cannot say is refused.

#[path = "support/golden.rs"]
mod golden;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use graph::testing::difference;
use graph::{Backend, Batch, Interpreter, KvType, Limits};
use model::{Checkpoint, Export, GgufValue, List, Model, Value, WeightType};
use proptest::prelude::*;
use serde_json::json;
use tensor::DType;

/// Fixtures with something that GGUF has no key for, and what makes them sayable.
const UNSAYABLE: [(&str, &str, &str); 3] = [
    ("llama-linear", "hidden_act", "act: GeluErf"),
    ("llama-bf16", "hidden_act", "act: GeluTanh"),
    ("gpt-oss-mxfp4", "swiglu_limit", "limit: 1.0"),
];

#[test]
fn every_architecture_is_the_same_model_afterwards() {
    for name in golden::names().iter().filter(|name| !is_refused(name)) {
        let (checkpoint, changed) = checkpoint(name);
        let again = exported(&checkpoint, WeightType::One(DType::F32)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let router = |name: &str| name.contains("ffn_gate_inp");
        assert!(again.tensors().iter().all(|t| t.dtype == Ok(DType::F32) || router(&t.name)), "{name}");
        let (own, other) = (logits(&checkpoint), logits(&again));
        // Rows of queries and keys in another order are summed in another order; some numbers are rounded to F32.
        let attention =
            |c: &Arc<Checkpoint>| c.bind(None).expect("bound").spec().attentions().cloned().collect::<Vec<_>>();
        let exact = (attention(&checkpoint) == attention(&again))
            // So are the columns of heads that change places.
            && checkpoint.bind(None).expect("bound").graph().state_len() == 0;
        let worst = difference(&other, &own);
        assert!(worst <= if exact { 0.0 } else { 1e-5 }, "{name}: off by {worst} of the largest");
        if !changed {
            golden::check_model(name, &Interpreter, &again.bind(Some(40)).expect("bound before"));
        }
    }
}

/// Fixtures that have no form in GGUF, or have numbers that GGUF has no keys for, and what is said of them.
const REFUSED: [(&str, &str); 19] = [
    ("bamba", "no form in GGUF"),
    ("cohere2moe-rms", "GGUF has no key for"),
    ("cwm", "no form in GGUF"),
    ("falcon", "no form in GGUF"),
    ("falcon-grouped", "no form in GGUF"),
    ("falcon-one-norm", "no form in GGUF"),
    ("falcon-h1", "GGUF has no key for"),
    ("falcon-h1-norm", "GGUF has no key for"),
    ("flint", "no form in GGUF"),
    ("hyperclovax", "no form in GGUF"),
    ("hyperclovax-pre", "no form in GGUF"),
    ("kimi_linear", "no form in GGUF"),
    ("lfm3", "no form in GGUF"),
    ("minicpm3", "no form in GGUF"),
    ("ministral", "no form in GGUF"),
    ("muse-glimmer", "GGUF has no key for"),
    ("nanochat", "GGUF has no key for"),
    ("solar_open", "no form in GGUF"),
    ("vaultgemma", "no form in GGUF"),
];

fn is_refused(name: &str) -> bool {
    REFUSED.iter().any(|(refused, _)| *refused == name)
}

#[test]
fn what_has_no_form_in_gguf_is_refused() {
    for (name, what) in REFUSED {
        let error = exported(&checkpoint(name).0, WeightType::AsStored).expect_err(name).to_string();
        assert!(error.contains(what), "{name}: {error}");
    }
}

#[test]
fn weights_stay_what_they_are_unless_asked() {
    for (name, dtype) in [("llama-bf16", DType::BF16), ("qwen2", DType::F16), ("gguf-qwen2", DType::Q8_0)] {
        let (checkpoint, _) = checkpoint(name);
        let again = exported(&checkpoint, WeightType::AsStored).expect("exported");
        assert_eq!(again.tensor("blk.0.ffn_up.weight").map(|t| t.dtype.clone()), Some(Ok(dtype)), "{name}");
        assert_eq!(again.tensor("blk.0.ffn_norm.weight").map(|t| t.dtype.clone()), Some(Ok(DType::F32)), "{name}");
    }
    let (checkpoint, _) = checkpoint("gpt-oss-mxfp4");
    let again = exported(&checkpoint, WeightType::AsStored).expect("exported");
    assert_eq!(again.tensor("blk.1.ffn_up_exps.weight").map(|t| t.dtype.clone()), Some(Ok(DType::MXFP4)));
}

#[test]
fn types_of_its_own_are_named_in_the_file() {
    let (checkpoint, _) = checkpoint("gpt-oss-mxfp4");
    let sparse = exported(&checkpoint, WeightType::One(DType::Q4_2OF4)).expect("exported");
    let check = |tensor: &str, expected: DType| {
        let tensor = sparse.tensor(tensor).unwrap_or_else(|| panic!("{tensor} is written"));
        assert_eq!(tensor.dtype, Ok(expected), "{}", tensor.name);
    };
    check("blk.0.attn_q.weight", DType::Q4_2OF4);
    // Rows that are no whole blocks, and what no other weights make up for.
    check("blk.0.attn_output.weight", DType::Q4_0);
    check("token_embd.weight", DType::Q4_0);
    check("output.weight", DType::Q4_0);
    let note = |checkpoint: &Checkpoint| {
        checkpoint.metadata().read::<&str>("whinchat.tensor_types").expect("text").map(str::to_owned)
    };
    assert_eq!(note(&sparse).as_deref(), Some("1464336384 is Q4_2OF4, read by Whinchat alone"));
    let plain = exported(&sparse, WeightType::One(DType::F16)).expect("exported");
    assert_eq!(note(&plain), None, "there is none any more");
}

#[test]
fn rows_with_one_scale_are_written_and_read_again() {
    let (checkpoint, _) = checkpoint("quantized-compressed-w8a8");
    let kept = exported(&checkpoint, WeightType::AsStored).expect("exported");
    let data = |checkpoint: &Checkpoint, name: &str| {
        let tensor = checkpoint.tensor(name).unwrap_or_else(|| panic!("{name} is there"));
        (tensor.dtype.clone(), checkpoint.data(tensor).into_owned())
    };
    let own = data(&checkpoint, "model.layers.0.mlp.up_proj.weight");
    assert_eq!(own.0, Ok(DType::Q8_ROW));
    assert_eq!(data(&kept, "blk.0.ffn_up.weight"), own, "the same integers and scales");
    assert!(difference(&logits(&kept), &logits(&checkpoint)) <= 1e-5);
    let file_type = |checkpoint: &Checkpoint| checkpoint.metadata().read::<u32>("general.file_type").expect("a number");
    assert_eq!(file_type(&kept).and_then(model::file_type_name), Some("Q8_ROW"));

    let (plain, _) = self::checkpoint("quantized-fp8-tensor");
    let made = exported(&plain, WeightType::One(DType::Q8_ROW)).expect("exported");
    assert_eq!(data(&made, "blk.0.ffn_up.weight").0, Ok(DType::Q8_ROW));
    for name in ["token_embd.weight", "output.weight"] {
        assert_eq!(data(&made, name).0, Ok(DType::Q8_0), "{name}: finer, for every logit is of it");
    }
    let note = made.metadata().read::<&str>("whinchat.tensor_types").expect("text");
    assert_eq!(note, Some("1464336385 is Q8_ROW, read by Whinchat alone"));
    assert!(difference(&logits(&made), &logits(&plain)) <= 5e-2);
}

#[test]
fn layers_that_predict_ahead_are_written_too() {
    for name in ["glm4moe", "deepseek3", "qwen35", "qwen3next"] {
        let checkpoint = golden::mtp(name);
        let again = exported(&checkpoint, WeightType::One(DType::F32)).unwrap_or_else(|e| panic!("{name}: {e}"));
        golden::check_mtp_of(name, &again, &Interpreter);
        let layers = checkpoint.bind(None).expect("sound").spec().layers;
        let arch: &str = again.metadata().require("general.architecture").expect("a name");
        let number = |key: &str| again.metadata().require::<usize>(&format!("{arch}.{key}")).expect("a number");
        assert_eq!((number("block_count"), number("nextn_predict_layers")), (layers + 1, 1), "{name}");
        for tensor in ["enorm", "hnorm", "eh_proj", "shared_head_norm"] {
            assert!(again.tensor(&format!("blk.{layers}.nextn.{tensor}.weight")).is_some(), "{name}: {tensor}");
        }
        let small = exported(&again, WeightType::One(DType::Q8_0)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(small.bind_mtp(None).is_ok_and(|layer| layer.is_some()), "{name}: from GGUF");
    }
}

#[test]
fn layers_that_predict_ahead_have_types_like_the_others() {
    let types = |export: &Export| -> BTreeMap<String, (DType, Option<DType>)> {
        let mixed = WeightType::parse("Q4_K_M").expect("a mix");
        export.plan(mixed).into_iter().map(|t| (t.name, (t.dtype, t.instead_of))).collect()
    };
    let plain = types(&Export::new(&checkpoint("glm4moe").0).expect("known"));
    let with = types(&Export::new(&golden::mtp("glm4moe")).expect("known"));
    for (name, dtype) in &plain {
        assert_eq!(with.get(name), Some(dtype), "{name}: as without the layer");
    }
    assert_eq!(with["blk.3.nextn.shared_head_head.weight"], with["output.weight"]);
    assert_eq!(with["blk.3.nextn.embed_tokens.weight"], with["token_embd.weight"]);
    assert_eq!(with["blk.3.nextn.eh_proj.weight"], (DType::Q5_0, Some(DType::Q4_K)));
    for norm in ["enorm", "hnorm", "shared_head_norm"] {
        assert_eq!(with[&format!("blk.3.nextn.{norm}.weight")].0, DType::F32, "{norm}");
    }
}

#[test]
fn a_layer_that_cannot_be_written_is_named() {
    let note = |fixture: &str, change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let mut recipe = golden::recipe(fixture);
        change(recipe["tensors"].as_object_mut().expect("an object"));
        let config = recipe["config"].to_string();
        let checkpoint = Checkpoint::from_safetensors_bytes(golden::safetensors(&recipe), &config).expect("sound");
        let mut export = Export::new(&checkpoint).expect("known");
        let again = written(&mut export, WeightType::AsStored).expect("written");
        let is_there = again.bind_mtp(None).expect("sound").is_some();
        assert!(!(is_there && export.note().is_some()), "{fixture}: {:?}", export.note());
        export.note().map(str::to_owned)
    };
    assert_eq!(note("mtp/glm4moe", &|_| ()), None);
    assert_eq!(note("glm4moe", &|_| ()), None);
    let check = |fixture: &str, missing: &str, why: &str| {
        let said =
            note(fixture, &|tensors| drop(tensors.remove(missing).expect("it was there"))).expect("it is missing");
        assert!(said.contains("is left out") && said.contains(why) && !said.contains('\n'), "{said}");
    };
    check("mtp/glm4moe", "model.layers.3.hnorm.weight", "model.layers.3.hnorm.weight");
    check("mtp/glm4moe", "model.layers.3.eh_proj.weight", "laid out as no model's");
    check("mtp/qwen35", "mtp.fc.weight", "laid out as no model's");
}

#[test]
fn what_gguf_cannot_say_is_refused() {
    for (name, _, what) in UNSAYABLE {
        let recipe = golden::recipe(name);
        let checkpoint =
            Checkpoint::from_safetensors_bytes(golden::safetensors(&recipe), &recipe["config"].to_string());
        let error = exported(&checkpoint.expect("sound"), WeightType::AsStored).expect_err(what).to_string();
        assert!(error.contains(&format!("GGUF has no key for this model's `{what}`")), "{name}: {error}");
    }
}

#[test]
fn numbers_that_spoil_a_model_are_refused() {
    let check = |dtype: DType, value: f64, expected: &str| {
        let mut recipe = golden::recipe("llama");
        recipe["tensors"]["model.layers.1.mlp.up_proj.weight"][2] = json!(value);
        let bytes = golden::safetensors(&recipe);
        let checkpoint = Checkpoint::from_safetensors_bytes(bytes, &recipe["config"].to_string()).expect("sound");
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("m.gguf");
        let mut export = Export::new(&checkpoint).expect("known");
        let error = export.write(&out, WeightType::One(dtype), &|_, _| true).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0, "something was left behind");
    };
    check(DType::F16, 70000.0, "more than F16 can; take BF16 or F32");
    check(DType::Q8_0, 1e39, "holds infinities");
}

#[test]
fn who_stops_leaves_nothing_behind() {
    let (checkpoint, _) = checkpoint("llama");
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("m.gguf");
    std::fs::write(&out, "of before").expect("written");
    let mut export = Export::new(&checkpoint).expect("known");
    let error = export.write(&out, WeightType::AsStored, &|done, total| done < total / 2).expect_err("stopped");
    assert!(error.to_string().contains("interrupted"), "{error}");
    assert_eq!(std::fs::read(&out).expect("still there"), b"of before");
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What is written of keys is read again.
    #[test]
    fn keys_are_read_as_they_were_written(keys in prop::collection::btree_map("[a-z.]{1,12}", value(), 0..12)) {
        let (checkpoint, _) = checkpoint("gguf-granite");
        let mut export = Export::new(&checkpoint).expect("known");
        keys.iter().for_each(|(key, (value, _))| export.set(&format!("test.{key}"), value.clone()));
        let again = written(&mut export, WeightType::AsStored).expect("written");
        for (key, (_, expected)) in &keys {
            prop_assert_eq!(again.metadata().get(&format!("test.{key}")), Some(expected));
        }
        for (tensor, other) in checkpoint.tensors().iter().zip(again.tensors()) {
            prop_assert_eq!((&tensor.name, &tensor.dims), (&other.name, &other.dims));
            prop_assert_eq!(checkpoint.bytes(tensor), again.bytes(other));
        }
    }
}

/// A value and how it is read.
fn value() -> impl Strategy<Value = (GgufValue, Value)> {
    let bytes = prop::collection::vec(any::<u8>(), 0..9);
    prop_oneof![
        any::<bool>().prop_map(|b| (GgufValue::Bool(b), Value::Bool(b))),
        any::<u32>().prop_map(|n| (GgufValue::U32(n), Value::Int(n.into()))),
        any::<i32>().prop_map(|n| (GgufValue::I32(n), Value::Int(n.into()))),
        any::<u64>().prop_map(|n| (GgufValue::U64(n), Value::Int(n.into()))),
        (-1e30f32..1e30).prop_map(|x| (GgufValue::F32(x), Value::Float(x.into()))),
        ".{0,20}".prop_map(|text| (GgufValue::Str(text.clone()), Value::Str(text))),
        prop::collection::vec(any::<i32>(), 1..9)
            .prop_map(|v| (GgufValue::I32s(v.clone()), ints(v.into_iter().map(i64::from)))),
        prop::collection::vec(any::<bool>(), 1..9)
            .prop_map(|v| (GgufValue::Bools(v.clone()), ints(v.into_iter().map(i64::from)))),
        bytes.clone().prop_map(|v| (GgufValue::U8s(v.clone()), ints(v.into_iter().map(i64::from)))),
        prop::collection::vec(-1e9f32..1e9, 1..9).prop_map(|v| {
            let read = v.iter().map(|&x| x.into()).collect();
            (GgufValue::F32s(v), Value::List(List::Float(read)))
        }),
        prop::collection::vec(bytes, 1..5)
            .prop_map(|v| (GgufValue::Strs(v.clone()), Value::List(List::Bytes(v.iter().collect())))),
    ]
}

fn ints(values: impl Iterator<Item = i64>) -> Value {
    Value::List(List::Int(values.collect()))
}

/// A fixture, and whether its config.json was changed so that GGUF can say it.
fn checkpoint(name: &str) -> (Arc<Checkpoint>, bool) {
    if let Ok(bytes) = std::fs::read(golden::data().join(format!("{name}.gguf"))) {
        return (Checkpoint::from_gguf_bytes(bytes).expect("sound"), false);
    }
    let mut recipe = golden::recipe(name);
    let key = UNSAYABLE.iter().find(|(n, ..)| *n == name).map(|(_, key, _)| *key);
    let changed = key.and_then(|key| recipe["config"].as_object_mut().expect("an object").remove(key)).is_some();
    let checkpoint = Checkpoint::from_safetensors_bytes(golden::safetensors(&recipe), &recipe["config"].to_string());
    (checkpoint.expect("sound"), changed)
}

fn exported(checkpoint: &Arc<Checkpoint>, wanted: WeightType) -> Result<Arc<Checkpoint>, model::ModelError> {
    written(&mut Export::new(checkpoint)?, wanted)
}

fn written(export: &mut Export, wanted: WeightType) -> Result<Arc<Checkpoint>, model::ModelError> {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("model.gguf");
    export.write(&out, wanted, &|_, _| true)?;
    read(&out)
}

fn read(path: &Path) -> Result<Arc<Checkpoint>, model::ModelError> {
    Checkpoint::from_gguf_bytes(std::fs::read(path).expect("written"))
}

/// The logits of a text of 40 tokens.
fn logits(checkpoint: &Arc<Checkpoint>) -> Vec<f32> {
    let model: Model = checkpoint.bind(Some(40)).expect("bound");
    let graph = model.graph();
    let upload = |id| {
        let bytes = model.read(id).expect("readable");
        Arc::new(Interpreter.upload(graph.weight(id), &bytes).expect("fits"))
    };
    let (kv_type, state_slots) = (KvType::F32, 1);
    let limits = Limits { max_tokens: 40, max_outputs: 40, kv_blocks: 3, block_len: 16, kv_type, state_slots };
    let weights = graph.weight_ids().map(upload).collect();
    let mut program = Interpreter.compile(graph, weights, limits).expect("compiles");
    let mut batch = Batch::default();
    let tokens: Vec<u32> = (0..40).map(|i| ((7 * i * i + 13 * i + 5) % graph.output_width()) as u32).collect();
    batch.push_with_state(&tokens, 0, 0..3, Some(0));
    batch.outputs.extend(0..40);
    Interpreter.run(&mut program, &batch).expect("runs");
    Interpreter.download(&program).to_vec()
}
