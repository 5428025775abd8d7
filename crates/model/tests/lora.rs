//! LoRA adapters: models that they are merged into have the logits that PEFT gives; what is no plain LoRA is refused.

#[path = "support/adapters.rs"]
mod adapters;
#[path = "support/golden.rs"]
mod golden;

use std::path::Path;
use std::sync::Arc;

use adapters::Fixture;
use graph::Interpreter;
use model::{Adapter, Checkpoint, Export, ModelError, WeightType};
use serde_json::{Value, json};
use tensor::DType;

fn merged(base: &Arc<Checkpoint>, adapters: &[(&Adapter, f32)], wanted: DType) -> Result<Arc<Checkpoint>, ModelError> {
    let mut export = Export::new(base)?;
    adapters.iter().try_for_each(|(adapter, scale)| export.merge(adapter, *scale))?;
    written(export, wanted)
}

fn written(mut export: Export, wanted: DType) -> Result<Arc<Checkpoint>, ModelError> {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("model.gguf");
    export.write(&out, WeightType::One(wanted), &|_, _| true)?;
    Checkpoint::from_gguf_bytes(std::fs::read(&out).expect("written"))
}

fn check_logits(name: &str, merged: &Arc<Checkpoint>) {
    golden::check_model(&format!("lora/{name}"), &Interpreter, &merged.bind(Some(40)).expect("sound"));
}

#[test]
fn merged_models_have_the_logits_of_peft() {
    for name in adapters::ALL {
        let fixture = Fixture::new(name);
        let adapter = fixture.adapter().unwrap_or_else(|e| panic!("{name}: {e}"));
        check_logits(
            name,
            &merged(&fixture.base, &[(&adapter, 1.0)], DType::F32).unwrap_or_else(|e| panic!("{name}: {e}")),
        );
        // Halves of it, one after the other.
        check_logits(name, &merged(&fixture.base, &[(&adapter, 0.75), (&adapter, 0.25)], DType::F32).expect("merged"));
    }
}

#[test]
fn models_with_an_adapter_beside_them_have_the_logits_of_peft() {
    adapters::ALL.iter().for_each(|name| Fixture::check(name, &Interpreter, |_| false));
}

#[test]
fn adapters_are_known_by_what_is_in_them() {
    let id = |name: &str| {
        let fixture = Fixture::new(name);
        let model = fixture.base.bind(Some(40)).expect("sound");
        fixture.adapter().and_then(|adapter| adapter.bind(&model)).expect("sound").id()
    };
    assert_eq!(id("llama"), id("llama"));
    assert_ne!(id("llama"), id("llama-gguf"));
}

#[test]
fn model_and_adapter_may_be_of_either_format() {
    let fixture = Fixture::new("llama-gguf");
    let [peft, llama_cpp] = [
        fixture.adapter().expect("sound"),
        Adapter::open(&golden::data().join("lora/llama-gguf.gguf")).expect("sound"),
    ];
    let gguf = written(Export::new(&fixture.base).expect("known"), DType::F32).expect("written");
    for (base, adapter) in [(&fixture.base, &llama_cpp), (&gguf, &peft), (&gguf, &llama_cpp)] {
        check_logits("llama-gguf", &merged(base, &[(adapter, 1.0)], DType::F32).expect("merged"));
        let model = base.bind(Some(40)).expect("sound");
        let beside = adapter.bind(&model).expect("of this model");
        golden::check_adapted(("llama-gguf", "llama"), &Interpreter, &model, Arc::new(beside), |_| false);
    }
    let phi = Fixture::new("qwen2");
    let gguf = written(Export::new(&phi.base).expect("known"), DType::F32).expect("written");
    check_logits("qwen2", &merged(&gguf, &[(&phi.adapter().expect("sound"), 1.0)], DType::F32).expect("merged"));
}

#[test]
fn an_adapter_that_counts_nothing_changes_nothing() {
    let fixture = Fixture::new("llama");
    let adapter = fixture.adapter().expect("sound");
    for dtype in [DType::F16, DType::Q8_0] {
        let plain = written(Export::new(&fixture.base).expect("known"), dtype).expect("written");
        let none = merged(&fixture.base, &[(&adapter, 0.0)], dtype).expect("merged");
        let once = merged(&fixture.base, &[(&adapter, 1.0)], dtype).expect("merged");
        for (tensor, other) in plain.tensors().iter().zip(none.tensors()) {
            assert_eq!((&tensor.name, &tensor.dtype), (&other.name, &other.dtype));
            assert_eq!(plain.bytes(tensor), none.bytes(other), "{}", tensor.name);
            let adapted = ["attn_", "ffn_", "output.weight"].iter().any(|part| tensor.name.contains(part));
            let adapted = adapted && !tensor.name.contains("norm");
            assert_eq!(plain.bytes(tensor) != once.bytes(other), adapted, "{}", tensor.name);
        }
    }
}

#[test]
fn what_is_no_plain_lora_is_refused() {
    let check = |change: &dyn Fn(&mut Value), expected: &str| {
        let mut fixture = Fixture::new("llama-gguf");
        change(&mut fixture.recipe);
        fixture.save();
        let adapter = || fixture.adapter();
        let into = adapter().and_then(|adapter| merged(&fixture.base, &[(&adapter, 1.0)], DType::F32).map(drop));
        let model = fixture.base.bind(Some(40)).expect("sound");
        let beside = adapter().and_then(|adapter| adapter.bind(&model).map(drop));
        for refused in [into, beside] {
            let error = refused.expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}\n does not say\n{expected}");
        }
    };
    for (key, value, expected) in [
        ("use_dora", json!(true), "use_dora: is DoRA"),
        ("bias", json!("all"), "bias: trains biases too"),
        ("modules_to_save", json!(["lm_head"]), "modules_to_save: replaces whole modules"),
        ("lora_bias", json!(true), "lora_bias: adds biases"),
        ("target_parameters", json!(["mlp.experts.gate_up_proj"]), "stacked experts"),
        ("init_lora_weights", json!("pissa_niter_4"), "changes the base model's matrices as well"),
        ("peft_type", json!("IA3"), "is IA3; LORA alone is read"),
        ("r", json!(3), "has the rank 2, adapter_config.json says 3"),
        ("rank_pattern", json!({ "^q.*": 3 }), "is a regular expression"),
        ("lora_alpha", json!("much"), "invalid type"),
    ] {
        check(&|recipe| recipe["config"][key] = value.clone(), expected);
    }
    const Q: &str = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight";
    let renamed = |name: &'static str| {
        move |recipe: &mut Value| {
            let tensors = recipe["tensors"].as_object_mut().expect("tensors");
            let tensor = tensors.remove(Q).expect("it is there");
            tensors.insert(name.into(), tensor);
        }
    };
    let q = "base_model.model.model.layers.0.self_attn.q_proj";
    check(&renamed("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"), "is DoRA's");
    check(&renamed("base_model.model.model.embed_tokens.lora_embedding_A"), "changes the embedding");
    check(&renamed("base_model.model.lm_head.base_layer.weight"), "is a copy of the base model's matrix");
    check(&renamed("base_model.model.model.layers.0.self_attn.q.lora_B.weight"), "has only one of lora_A and lora_B");
    check(&|recipe| recipe["tensors"][Q][1] = json!([479, 2]), "changes a matrix of [479, 48]");
    check(&|recipe| recipe["tensors"][Q][1] = json!([480, 3]), "their ranks differ");
    check(&|recipe| recipe["tensors"][Q][1] = json!([480, 1, 2]), "not a matrix");
    check(&|recipe| recipe["tensors"][Q][2] = json!(1e39), "holds infinities");
    check(&|recipe| recipe["tensors"] = json!({}), "there are none");
    check(
        &|recipe| {
            let tensors = recipe["tensors"].as_object_mut().expect("tensors");
            for factor in ["A", "B"] {
                let tensor = tensors.remove(&format!("{q}.lora_{factor}.weight")).expect("it is there");
                tensors.insert(format!("{}.lora_{factor}.weight", q.replace("layers.0", "layers.9")), tensor);
            }
        },
        "has no such matrix; take the adapter's own base model",
    );
}

#[test]
fn matrices_that_are_no_plain_products_are_refused_beside_a_model() {
    for (base, module, stored, expected) in [
        (
            "mixtral",
            "model.layers.0.block_sparse_moe.experts.0.w1",
            "weight",
            "is read by expert_linear, where adapters are not computed",
        ),
        ("quantized-nvfp4", "model.layers.0.self_attn.q_proj", "weight", "is stored with a factor beside it"),
    ] {
        let mut fixture = Fixture::new("llama-gguf");
        let recipe = golden::recipe(base);
        let found = Checkpoint::from_safetensors_bytes(golden::safetensors(&recipe), &recipe["config"].to_string());
        fixture.base = found.expect("sound");
        let name = format!("{module}.{stored}");
        let tensor = fixture.base.tensors().iter().find(|tensor| tensor.name == name).expect("the matrix");
        let (rows, cols) = (tensor.dims[0], tensor.dims[1]);
        let factor = |which: &str, dims: [usize; 2]| {
            (format!("base_model.model.{module}.lora_{which}.weight"), json!(["F32", dims, 0, -9]))
        };
        fixture.recipe["tensors"] =
            Value::Object([factor("A", [2, cols]), factor("B", [rows, 2])].into_iter().collect());
        fixture.save();
        let model = fixture.base.bind(Some(40)).expect("sound");
        let error = fixture.adapter().and_then(|adapter| adapter.bind(&model)).expect_err(expected).to_string();
        assert!(
            error.contains(expected) && error.contains("whinchat convert --lora"),
            "{error}\n does not say\n{expected}"
        );
    }
}

#[test]
fn files_that_are_no_adapters_are_refused() {
    let check = |path: &Path, expected: &str| {
        let error = Adapter::open(path).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}\n does not say\n{expected}");
    };
    let folder = tempfile::tempdir().expect("a folder");
    check(&folder.path().join("nothing"), "does not exist; give the folder of a PEFT adapter or a GGUF file");
    check(folder.path(), "adapter_config.json: file: is missing");
    let config = golden::recipe("lora/llama")["config"].to_string();
    std::fs::write(folder.path().join("adapter_config.json"), config).expect("written");
    check(folder.path(), "adapter_model.safetensors: file: is missing; save the adapter as safetensors");
    check(&golden::data().join("gguf-qwen2.gguf"), "general.type: is \"absent\", not \"adapter\"");
}
