//! Every architecture gives the logits that transformers gives, on the reference interpreter.

#[path = "support/golden.rs"]
mod golden;

use graph::Interpreter;
use model::Checkpoint;
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
