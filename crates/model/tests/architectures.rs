//! Every architecture gives the logits that transformers gives, on the reference interpreter.

#[path = "support/golden.rs"]
mod golden;

use graph::Interpreter;
use model::{Checkpoint, Eagle3};
use serde_json::{Value, json};

#[test]
fn logits_are_those_of_transformers() {
    for name in golden::names() {
        golden::check(&name, &Interpreter, |_| false);
    }
}

/// Fixture `name` with `key` of its config.json at `value` has the spec that it has without the key, and another one where
/// the key is null.
fn check_default(name: &str, key: &str, value: Value) {
    let spec = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut recipe = golden::recipe(name);
        change(recipe["config"].as_object_mut().expect("an object"));
        let checkpoint =
            Checkpoint::from_safetensors_bytes(golden::safetensors(&recipe), &recipe["config"].to_string());
        checkpoint.and_then(|c| c.bind(Some(40))).map(|m| format!("{:?}", m.spec())).map_err(|e| e.to_string())
    };
    let given = spec(&|config| _ = config.insert(key.into(), value.clone()));
    let absent = spec(&|config| _ = config.remove(key));
    let null = spec(&|config| _ = config.insert(key.into(), Value::Null));
    assert_eq!(absent, given, "{name}: {key}");
    assert_ne!(null, given, "{name}: {key}");
}

/// Fixture `name` with another tensor has the spec and the logits that it has without.
fn check_idle(name: &str, tensor: &str, like: &str) {
    let mut recipe = golden::recipe(name);
    recipe["tensors"][tensor] = recipe["tensors"][like].clone();
    let checkpoint = Checkpoint::from_safetensors_bytes(golden::safetensors(&recipe), &recipe["config"].to_string());
    let model = checkpoint.and_then(|c| c.bind(Some(40))).unwrap_or_else(|e| panic!("{name} with {tensor}: {e}"));
    golden::check_model(name, &Interpreter, &model);
}

#[test]
fn tensors_that_running_does_not_need_are_left_out() {
    for part in ["k_proj", "v_proj", "k_norm"] {
        let of_layer = |i: usize| format!("model.layers.{i}.self_attn.{part}.weight");
        check_idle("gemma4-layers", &of_layer(4), &of_layer(2));
    }
    let down = "model.layers.0.mlp.down_proj.weight";
    check_idle("qwen35", "mtp.layers.0.mlp.down_proj.weight", down);
    check_idle("hy_v3", "model.layers.3.eh_proj.weight", down);
    check_idle("gemma3-vision", "model.audio_tower.conformer.0.down.weight", &format!("language_model.{down}"));
    let tower = "model.vision_tower.encoder.layers.0.self_attn.k_proj.weight";
    check_idle("gemma3-vision", tower, "language_model.model.layers.0.self_attn.k_proj.weight");
}

// The values are those of transformers' configuration classes.
#[test]
fn keys_left_out_of_config_json_mean_what_transformers_assumes() {
    for name in ["llama", "qwen3", "gemma2", "gemma3", "granite", "smollm3"] {
        check_default(name, "rms_norm_eps", json!(1e-6));
    }
    for (name, context) in [("llama", 2048), ("mistral", 131_072), ("qwen2", 32_768), ("phi3", 4096), ("gemma2", 8192)]
    {
        check_default(name, "max_position_embeddings", json!(context));
    }
    check_default("mistral", "sliding_window", json!(4096));
    check_default("gemma2", "attn_logit_softcapping", json!(50.0));
    check_default("gemma2", "final_logit_softcapping", json!(30.0));
    check_default("mixtral-fused", "num_experts_per_tok", json!(2));
}

#[test]
fn what_running_does_not_need_is_named() {
    let first = |name| golden::load(name).0.unused().first().map(|tensor| tensor.name.clone());
    assert_eq!(first("gguf-qwen35").as_deref(), Some("blk.4.nextn.enorm.weight"));
    assert!(first("qwen35-vision").is_some_and(|name| name.starts_with("model.visual.")));
    for name in ["qwen35", "gguf-phi3", "gguf-lfm2moe", "nemotron_h-latent", "gguf-falcon-h1"] {
        assert_eq!(first(name), None, "{name}");
    }
}

#[test]
fn layers_that_predict_ahead_give_what_the_paper_says() {
    let all = ["glm4moe", "deepseek3", "qwen35", "qwen3next", "gguf-glm4moe"];
    all.iter().for_each(|name| golden::check_mtp(name, &Interpreter));
    // An embedding and an output matrix that are the model's over again are not another weight.
    let names = |name: &str| {
        let layer = golden::mtp(name).bind_mtp(None).expect("sound").expect("there is one");
        let all = layer.graph().weights().iter().map(|weight| weight.name.clone());
        all.filter(|name| !name.starts_with("blk.") || name.contains("embed") || name.contains("head_head"))
            .collect::<Vec<_>>()
    };
    assert_eq!(names("gguf-glm4moe"), ["token_embd.weight", "output.weight"]);
    assert_eq!(names("deepseek3"), ["token_embd.weight", "output.weight"]);
    assert_eq!(names("glm4moe"), ["blk.3.nextn.embed_tokens.weight", "blk.3.nextn.shared_head_head.weight"]);
}

#[test]
fn layers_that_predict_ahead_are_whole() {
    let bound = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut recipe = golden::recipe("mtp/glm4moe");
        change(recipe["tensors"].as_object_mut().expect("an object"));
        let checkpoint =
            Checkpoint::from_safetensors_bytes(golden::safetensors(&recipe), &recipe["config"].to_string());
        let checkpoint = checkpoint.expect("sound");
        // What is wrong there does not matter to the model.
        checkpoint.bind(None).expect("sound");
        checkpoint.bind_mtp(None).map(|layer| layer.is_some()).map_err(|e| e.to_string())
    };
    let without = |name: &str| bound(&|tensors| _ = tensors.remove(&format!("model.layers.3.{name}.weight")));
    assert_eq!(bound(&|_| ()), Ok(true));
    // It is known by its projection; norm, embedding and head of its own may be missing.
    assert_eq!(without("eh_proj"), Ok(false));
    for name in ["embed_tokens", "shared_head.head", "shared_head.norm"] {
        assert_eq!(without(name), Ok(true), "{name}");
    }
    for name in ["hnorm", "enorm", "self_attn.k_proj", "mlp.experts.2.up_proj"] {
        let why = without(name).expect_err("it is needed");
        assert!(why.contains(name) && why.contains("missing"), "{why}");
    }
    let strange = bound(&|tensors| {
        let like = tensors["model.layers.3.hnorm.weight"].clone();
        tensors.insert("model.layers.3.gate_norm.weight".into(), like);
    });
    let why = strange.expect_err("it would change the numbers");
    // Qwen's have names of their own.
    let qwen = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut recipe = golden::recipe("mtp/qwen35");
        change(recipe["tensors"].as_object_mut().expect("an object"));
        let config = recipe["config"].to_string();
        let checkpoint = Checkpoint::from_safetensors_bytes(golden::safetensors(&recipe), &config).expect("sound");
        checkpoint.bind_mtp(None).map(|layer| layer.is_some()).map_err(|e| e.to_string())
    };
    assert_eq!(qwen(&|tensors| _ = tensors.remove("mtp.fc.weight")), Ok(false));
    let missing = qwen(&|tensors| _ = tensors.remove("mtp.pre_fc_norm_hidden.weight")).expect_err("it is needed");
    assert!(missing.contains("mtp.pre_fc_norm_hidden.weight"), "{missing}");
    let second = qwen(&|tensors| {
        let like = tensors["mtp.norm.weight"].clone();
        tensors.insert("mtp.layers.1.input_layernorm.weight".into(), like);
    });
    assert!(second.expect_err("it has one layer").contains("mtp.layers.1.input_layernorm.weight"));
    assert!(why.contains("model.layers.3.gate_norm.weight") && why.contains("has no place"), "{why}");
    assert!(golden::load("glm4moe").0.unused().is_empty());
}

#[test]
fn eagle3_heads_give_what_speculators_says() {
    ["midlayer", "speculators", "shared"].iter().for_each(|name| golden::check_eagle3(name, &Interpreter));
}

#[test]
fn eagle3_heads_are_whole_and_of_the_model() {
    let opened = |change: &dyn Fn(&mut Value)| {
        let (target, head) = golden::eagle3("midlayer", change);
        let head = head.and_then(|head| Eagle3::new(&head, &target)).map_err(|e| e.to_string())?;
        head.checkpoint.bind_eagle3(None).map_err(|e| e.to_string())?;
        Ok::<_, String>((head.layers, head.tokens))
    };
    let (layers, tokens) = opened(&|_| ()).expect("sound");
    let tokens = tokens.expect("they are others");
    assert_eq!((layers, tokens.len(), tokens[19], tokens[20], tokens[39]), (vec![1, 2], 40, 19, 51, 70));
    let refused = |change: &dyn Fn(&mut Value), parts: [&str; 2]| {
        let why = opened(change).expect_err(parts[0]);
        assert!(parts.iter().all(|part| why.contains(part)), "{why}");
    };
    let layers =
        |ids: Value| move |recipe: &mut Value| recipe["config"]["eagle_aux_hidden_state_layer_ids"] = ids.clone();
    refused(&layers(json!([0, 1, 2])), ["fc.weight", "3 × 48 numbers of this model; the head is of another one"]);
    refused(&layers(json!([1, 3])), ["eagle_aux_hidden_state_layer_ids", "has 3, and this model has 2 layers"]);
    refused(&|recipe| recipe["config"]["norm_before_fc"] = true.into(), ["input_norm.weight", "missing"]);
    refused(&|recipe| recipe["config"]["model_type"] = "gemma".into(), ["model_type", "those of llama or qwen3"]);
    refused(
        &|recipe| recipe["tensors"]["d2t"][4][20] = 51.into(),
        ["d2t", "takes 20 to a token that the model does not have"],
    );
    refused(&|recipe| recipe["tensors"]["d2t"][4][20] = (-21).into(), ["d2t", "does not have; it has 71"]);
    refused(
        &|recipe| recipe["tensors"]["d2t"] = json!(["I64", [39], 0, 0, [0]]),
        ["d2t", "39 numbers for 40 rows of lm_head"],
    );
    let embedding = |rows: u64| {
        move |recipe: &mut Value| {
            recipe["tensors"]["embed_tokens.weight"] = json!(["F32", [rows, 48], 0, -7]);
        }
    };
    refused(&embedding(70), ["embed_tokens.weight", "has rows for 70 tokens, and the model has 71"]);
    assert!(opened(&embedding(72)).is_ok());
    let without = |name: &'static str| {
        move |recipe: &mut Value| _ = recipe["tensors"].as_object_mut().and_then(|all| all.remove(name))
    };
    refused(&without("midlayer.self_attn.k_proj.weight"), ["k_proj.weight", "missing"]);
    refused(
        &|recipe| recipe["tensors"]["midlayer.gate_norm.weight"] = json!(["F32", [48], 1, -8]),
        ["gate_norm.weight", "has no place"],
    );
    let llama = golden::recipe("llama");
    let llama = Checkpoint::from_safetensors_bytes(golden::safetensors(&llama), &llama["config"].to_string());
    let why = llama.expect("sound").bind_handing_over(None, &[0, 3]).expect_err("it has two layers").to_string();
    assert!(why.contains("there is none before 3: the model has 2"), "{why}");
    // It is no model of its own.
    let why = golden::eagle3("midlayer", |_| ()).1.expect("sound").bind(None).expect_err("it has a part of a model");
    assert!(why.to_string().contains("give that model, and the head as its draft model"), "{why}");
}

#[test]
fn limits_of_time_steps() {
    let check = |limit: &str, refused: bool| {
        let recipe = golden::recipe("mamba2");
        let config = recipe["config"].to_string().replacen('{', &format!("{{\"time_step_limit\": {limit}, "), 1);
        let bound =
            Checkpoint::from_safetensors_bytes(golden::safetensors(&recipe), &config).and_then(|c| c.bind(None));
        assert_eq!(
            bound.as_ref().err().map(|e| e.to_string().contains("time_step_limit: ")),
            refused.then_some(true),
            "{limit}"
        );
    };
    for limit in ["[0.0, Infinity]", "[0, Infinity]", r#"[0.0, {"__float__": "Infinity"}]"#, "[0.0, 1e300]", "null"] {
        check(limit, false);
    }
    for limit in
        ["[0.001, Infinity]", "[0.0, 0.5]", "[0, 1]", "[1.0]", r#"[0.0, {"__float__": "NaN"}]"#, "[0.0, -Infinity]"]
    {
        check(limit, true);
    }
}
