//! Weights as others have quantized them: each number is the one that their own programs give (xtask/goldens/quantized.py), in the type that
//! is said; what cannot be read is refused by name. Their logits are tested with those of all other fixtures.

#[path = "support/golden.rs"]
mod golden;

use std::sync::Arc;

use model::{Checkpoint, Fidelity, ModelError};
use serde_json::{Value, json};
use tensor::DType;

fn open(recipe: &Value) -> Result<Arc<Checkpoint>, ModelError> {
    Checkpoint::from_safetensors_bytes(golden::safetensors(recipe), &recipe["config"].to_string())
}

/// The matrices of fixture `name` are read as `dtype`, with the numbers of the oracle where nothing is rounded that it does not round.
#[track_caller]
fn check(name: &str, stored: &str, dtype: DType, fidelity: Fidelity) {
    let recipe = golden::recipe(&format!("quantized-{name}"));
    let checkpoint = open(&recipe).unwrap_or_else(|e| panic!("{name}: {e}"));
    let digests = recipe["digests"].as_object().expect("digests");
    let repacked = checkpoint.repacked();
    assert!(repacked.iter().any(|(kind, _)| kind.stored == stored), "{name}: {repacked:?}");
    assert!(
        repacked.iter().all(|(kind, _)| kind.dtype == dtype.name() && kind.fidelity == fidelity),
        "{name}: {repacked:?}"
    );
    assert_eq!(repacked.iter().map(|(_, count)| count).sum::<usize>(), digests.len(), "{name}");
    for (tensor, digest) in digests {
        let info = checkpoint.tensor(tensor).unwrap_or_else(|| panic!("{name}: {tensor} is missing"));
        assert_eq!(info.dtype, Ok(dtype), "{name}: {tensor}");
        let data = checkpoint.data(info);
        let [rows, cols] = info.dims[..] else { panic!("{name}: {tensor} is no matrix") };
        assert_eq!(Some(data.len()), dtype.row_bytes(cols).map(|row| rows * row), "{name}: {tensor}");
        let ours = format!("{:016x}", fnv1a(&decoded(dtype, &data, rows * cols)));
        // Without one, the oracle has rounded on its way, or a factor comes later.
        assert_eq!(digest.as_str().unwrap_or(&ours), ours, "{name}: {tensor}");
    }
}

fn decoded(dtype: DType, bytes: &[u8], elements: usize) -> Vec<f32> {
    let mut values = vec![0.0; elements];
    tensor::decode(dtype, bytes, &mut values).expect("whole blocks");
    values
}

/// Over words of 32 bits, and zeros without a sign.
fn fnv1a(values: &[f32]) -> u64 {
    let bits = values.iter().map(|value| u64::from((value + 0.0).to_bits()));
    bits.fold(0xcbf2_9ce4_8422_2325, |h, bits| (h ^ bits).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn numbers_are_those_of_the_programs_that_wrote_them() {
    use DType::{BF16, F16, MXFP4, NVFP4, Q4_0, Q5_0, Q8_0, Q8_ROW};
    use Fidelity::{Exact, Widened};
    check("gptq", "GPTQ of 4 bits, groups of 64", Q4_0, Exact);
    check("gptq-asymmetric", "GPTQ of 4 bits, groups of 32", Q5_0, Exact);
    check("gptq-v2", "GPTQ of 4 bits, groups of 32", Q5_0, Exact);
    check("gptq-ordered", "GPTQ of 4 bits, in the order of activations", F16, Widened);
    check("gptq-8", "GPTQ of 8 bits, groups of 32", Q8_0, Exact);
    check("gptq-8-asymmetric", "GPTQ of 8 bits, groups of 32", F16, Widened);
    check("gptq-3", "GPTQ of 3 bits, groups of 32", Q4_0, Exact);
    check("gptq-2", "GPTQ of 2 bits, groups of 32", Q4_0, Exact);
    check("gptq-experts", "GPTQ of 4 bits, groups of 64", Q5_0, Exact);
    check("awq", "AWQ of 4 bits, groups of 32", Q5_0, Exact);
    check("awq-symmetric", "AWQ of 4 bits, groups of 64", Q4_0, Exact);
    check("compressed-4", "compressed-tensors of 4 bits, groups of 32", Q4_0, Exact);
    check("compressed-4-asymmetric", "compressed-tensors of 4 bits, groups of 32", Q5_0, Exact);
    check("compressed-4-channels", "compressed-tensors of 4 bits, a scale for each row", Q4_0, Exact);
    check("compressed-4-ordered", "compressed-tensors of 4 bits, in the order of activations", BF16, Widened);
    check("compressed-8", "compressed-tensors of 8 bits, groups of 32", Q8_0, Exact);
    check("compressed-8-asymmetric", "compressed-tensors of 8 bits, a scale for each row", BF16, Widened);
    check("compressed-int8", "compressed-tensors of 8 bits, a scale for each row", Q8_0, Exact);
    let w8a8 = "compressed-tensors of 8 bits, a scale for each row, activations of 8 bits";
    check("compressed-w8a8", w8a8, Q8_ROW, Exact);
    check("compressed-fp8", "FP8, a scale for each row", BF16, Widened);
    check("fp8-blocks", "FP8, blocks of 32 × 32", BF16, Widened);
    check("fp8-powers", "FP8, blocks of 64 × 64", BF16, Widened);
    check("fp8-tensor", "FP8, one scale", BF16, Widened);
    check("fp8-experts", "FP8, blocks of 32 × 32", BF16, Widened);
    check("nvfp4", "NVFP4", NVFP4, Exact);
    check("nvfp4-modelopt", "NVFP4", NVFP4, Exact);
    check("mxfp4", "MXFP4", MXFP4, Exact);
    check("nf4", "bitsandbytes NF4, blocks of 64", BF16, Widened);
    check("nf4-nested", "bitsandbytes NF4, blocks of 64, scales of 8 bits", F16, Widened);
    check("bitsandbytes-fp4", "bitsandbytes FP4, blocks of 64", BF16, Widened);
    check("bitsandbytes-int8", "bitsandbytes of 8 bits, a scale for each row", Q8_0, Exact);
}

/// Fixture `name` with `value` at `place` (a JSON pointer; null removes it) is refused, and the error names `field`.
#[track_caller]
fn refused(name: &str, place: &str, value: Value, field: &str, problem: &str) {
    let mut recipe = golden::recipe(&format!("quantized-{name}"));
    let (parent, key) = place.rsplit_once('/').expect("a pointer");
    match (recipe.pointer_mut(parent).expect("a place"), value) {
        (Value::Object(object), Value::Null) => _ = object.remove(key),
        (Value::Object(object), value) => _ = object.insert(key.to_owned(), value),
        (list, value) => list[key.parse::<usize>().expect("an index")] = value,
    }
    let opened = open(&recipe).and_then(|c| c.bind(Some(40)));
    let error = opened.map(|_| ()).expect_err(&format!("{name} with {place} must be refused")).to_string();
    assert!(error.contains(&format!("{field}: ")) && error.contains(problem), "{name}, {place}: {error}");
}

const Q: &str = "model.layers.0.self_attn.q_proj";

#[test]
fn layouts_that_are_not_read_are_refused_by_name() {
    let check = |name: &str, key: &str, value: Value, problem: &str| {
        refused(name, &format!("/config/quantization_config/{key}"), value, key, problem);
    };
    for method in ["eetq", "hqq", "quanto", "aqlm", "vptq", "torchao", "bitnet", "mxfp4"] {
        check("gptq", "quant_method", json!(method), &format!("\"{method}\""));
    }
    check("gptq", "checkpoint_format", json!("marlin"), "\"marlin\"");
    check("gptq", "bits", json!(5), "is 5; 2, 3, 4 and 8");
    check("awq", "version", json!("gemv"), "\"gemv\"");
    refused("awq", "/config/quantization_config/backend", json!("llm-awq"), "version", "llm-awq");
    check("compressed-4", "format", json!("marlin-24"), "\"marlin-24\"");
    check("compressed-4", "transform_config", json!({"config_groups": {}}), "rotations");
    let place = "/config/quantization_config/sparsity_config";
    refused(
        "compressed-4",
        place,
        json!({"format": "sparse-24-bitmask"}),
        "sparsity_config.format",
        "zeros are stored",
    );
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let tensor = |part: &str| format!("/tensors/{Q}.{part}");
    let check = |name: &str, part: &str, value: Value, field: &str, problem: &str| {
        refused(name, &tensor(part), value, &format!("{Q}.{field}"), problem);
    };
    check("gptq", "scales", Value::Null, "scales", "is missing");
    check("gptq", "qzeros", Value::Null, "qzeros", "is missing");
    check("gptq", "qzeros/1", json!([1, 12]), "qzeros", "[1, 12], the module's others need [1, 16]");
    check("gptq", "qweight/1", json!([5, 128]), "qweight", "[5, 128]");
    check("gptq", "qweight/0", json!("I8"), "qweight", "stored as I8");
    check("gptq", "g_idx/1", json!([63]), "qweight", "63 numbers");
    check("gptq-ordered", "g_idx/4/5", json!(9), "g_idx", "not one of 2");
    check("gptq-ordered", "g_idx/4/5", json!(-2), "g_idx", "not one of 2");
    check("compressed-4", "weight_shape/4", json!([128, -64]), "weight_shape", "negative");
    check("compressed-4", "weight_shape/4", json!([128, 640]), "weight_packed", "128 × 640");
    check("compressed-4", "weight_scale/1", json!([128, 3]), "weight_scale", "3 groups");
    check("compressed-4-asymmetric", "weight_zero_point/1", json!([16, 3]), "weight_zero_point", "need [16, 2]");
    check("fp8-blocks", "weight_scale_inv/1", json!([0, 2]), "weight_scale_inv", "no blocks");
    check("fp8-blocks", "weight_scale_inv", Value::Null, "weight_scale", "is missing");
    check("nvfp4", "weight_scale/1", json!([128, 5]), "weight_scale", "need [128, 4]");
    check("nvfp4", "weight_global_scale/1", json!([2]), "weight_global_scale", "one number");
    check("nf4", "weight.absmax/1", json!([127]), "weight.absmax", "need [128]");
    check(
        "nf4",
        "weight.quant_state.bitsandbytes__nf4/4/0",
        json!(0),
        "weight.quant_state.bitsandbytes__nf4",
        "writes",
    );
    check("nf4-nested", "weight.nested_quant_map", Value::Null, "weight.nested_quant_map", "is missing");
    check("bitsandbytes-int8", "SCB/1", json!([127]), "SCB", "need [128]");
}

#[test]
fn scales_that_are_rounded_are_said_to_be() {
    let check = |center: f64, exponent: i64, kinds: &[(&str, Fidelity)]| {
        let mut recipe = golden::recipe("quantized-compressed-int8");
        recipe["tensors"][format!("{Q}.weight_scale")] = json!(["F32", [128, 1], center, exponent]);
        let repacked = open(&recipe).unwrap_or_else(|e| panic!("{e}")).repacked();
        let found: Vec<_> = repacked.iter().map(|(kind, _)| (kind.dtype, kind.fidelity)).collect();
        assert_eq!(found, kinds, "{center} + k * 2^{exponent}");
    };
    check(0.0078125, -16, &[("Q8_0", Fidelity::Exact)]);
    check(0.0078125, -22, &[("Q8_0", Fidelity::Exact), ("Q8_0", Fidelity::Scales)]);
    // Beyond what half precision has.
    check(1e6, -16, &[("BF16", Fidelity::Widened), ("Q8_0", Fidelity::Exact)]);
}

/// Only what rounds activations by tokens, when they come, and symmetrically, is a type that does; all else stays in blocks.
#[test]
fn what_is_not_w8a8_is_read_in_blocks() {
    let check = |place: &str, value: Value, expected: DType| {
        let mut recipe = golden::recipe("quantized-compressed-w8a8");
        let (parent, key) = place.rsplit_once('/').expect("a pointer");
        recipe.pointer_mut(parent).expect("a place")[key] = value;
        // Scales that half precision has.
        for (name, tensor) in recipe["tensors"].as_object_mut().expect("tensors") {
            if name.ends_with(".weight_scale") {
                (tensor[2], tensor[3]) = (json!(0.0078125), json!(-16));
            }
        }
        let checkpoint = open(&recipe).unwrap_or_else(|e| panic!("{place}: {e}"));
        let dtype = checkpoint.tensor(&format!("{Q}.weight")).map(|tensor| tensor.dtype.clone());
        assert_eq!(dtype, Some(Ok(expected)), "{place}");
    };
    let group = "/config/quantization_config/config_groups/group_0";
    check(&format!("{group}/targets"), json!(["Linear"]), DType::Q8_ROW);
    check(&format!("{group}/input_activations"), Value::Null, DType::Q8_0);
    for (key, value) in [
        ("dynamic", json!(false)),
        ("dynamic", json!("local")),
        ("strategy", json!("tensor")),
        ("num_bits", json!(4)),
        ("symmetric", json!(false)),
        ("type", json!("float")),
    ] {
        check(&format!("{group}/input_activations/{key}"), value, DType::Q8_0);
    }
    check(&format!("{group}/weights/strategy"), json!("group"), DType::Q8_0);
    check(&format!("/tensors/{Q}.input_scale"), json!(["F32", [1], 1, -10]), DType::Q8_0);
    // Another kind of module rounds otherwise: which is which, names do not say.
    let other = json!({"weights": {"num_bits": 8, "strategy": "channel", "symmetric": true, "type": "int"}});
    check("/config/quantization_config/config_groups/group_1", other, DType::Q8_0);
}

#[test]
fn biases_of_zeros_and_scales_of_the_cache_are_left_out() {
    let mut recipe = golden::recipe("quantized-gptq");
    recipe["tensors"][format!("{Q}.bias")] = json!(["I32", [64], 0, 0, [0]]);
    recipe["tensors"]["model.layers.0.self_attn.k_scale"] = json!(["F32", [1], 1, -60]);
    let model = open(&recipe).and_then(|c| c.bind(Some(40))).unwrap_or_else(|e| panic!("{e}"));
    golden::check_model("quantized-gptq", &graph::Interpreter, &model);
    recipe["tensors"][format!("{Q}.bias")] = json!(["I32", [64], 0, 0, [1]]);
    let error = open(&recipe).and_then(|c| c.bind(Some(40))).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("no place for this tensor"), "{error}");
}
