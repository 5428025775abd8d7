//! What changes a model's numbers and is not handled is refused, and the error names it.

#[path = "support/golden.rs"]
mod golden;
mod support;

use model::Checkpoint;
use serde_json::{Value, json};

/// Fixture `name` with the value at `place` (a JSON pointer; null removes it) is refused, naming `field`.
fn check(name: &str, place: &str, value: Value, field: &str, problem: &str) {
    let mut recipe = golden::recipe(name);
    let (parent, key) = place.rsplit_once('/').expect("a pointer");
    match (recipe.pointer_mut(parent).expect("a place"), value) {
        (Value::Object(object), Value::Null) => _ = object.remove(key),
        (Value::Object(object), value) => _ = object.insert(key.to_owned(), value),
        (list, value) => list[key.parse::<usize>().expect("an index")] = value,
    }
    let bytes = golden::safetensors(&recipe);
    let opened =
        Checkpoint::from_safetensors_bytes(bytes, &recipe["config"].to_string()).and_then(|c| c.bind(Some(40)));
    let error = opened.map(|_| ()).expect_err(&format!("{name} with {place} must be refused")).to_string();
    assert!(error.contains(&format!("{field}: ")) && error.contains(problem), "{name}, {place}: {error}");
}

#[test]
fn numbers_are_checked() {
    check("llama", "/config/hidden_size", Value::Null, "hidden_size", "is missing");
    check("llama", "/config/num_hidden_layers", json!(1_000_000), "num_hidden_layers", "more than the file has");
    check("llama", "/config/num_hidden_layers", json!("two"), "num_hidden_layers", "must be an integer");
    check("llama", "/config/num_attention_heads", json!(0), "num_attention_heads", "is missing");
    check("llama", "/config/num_attention_heads", json!(usize::MAX), "num_attention_heads", "more than any model");
    check("llama", "/config/num_key_value_heads", json!(4), "model.layers.0.self_attn.k_proj.weight", "[160, 48]");
    check("llama", "/config/head_dim", json!(82), "model.layers.0.self_attn.q_proj.weight", "[492, 48]");
    check("llama", "/config/head_dim", json!(81), "head_dim", "81 cannot be rotated in pairs");
    check("llama", "/config/rms_norm_eps", json!(0), "rms_norm_eps", "is missing");
    check("llama", "/config/hidden_size", json!(1e300), "hidden_size", "not 1e300; the file is damaged");
    check("gpt-oss-mxfp4", "/config/rope_theta", json!(1), "rope", "a frequency is not finite");
    check("mixtral", "/config/num_experts_per_tok", json!(6), "num_experts_per_tok", "6 experts of 5");
    check("mixtral", "/config/num_local_experts", json!(6), "block_sparse_moe.gate.weight", "[6, 48]");
    check("deepseek3", "/config/topk_group", json!(5), "keep_groups", "cannot keep 5 of 4 groups");
    check("deepseek3", "/config/n_group", json!(3), "keep_groups", "a width of 8 is not 3 equal parts");
    check("deepseek3", "/config/qk_nope_head_dim", json!(21), "model.layers.0.self_attn.q_b_proj.weight", "[198, 40]");
    check("gemma4-layers", "/config/num_kv_shared_layers", json!(6), "num_kv_shared_layers", "leave none");
    check("gemma4-layers", "/config/num_kv_shared_layers", json!(5), "num_kv_shared_layers", "for layer 1");
    check("qwen3-types", "/config/layer_types", json!(["full_attention"]), "layer_types", "1 values for 3 layers");
    check("gemma3n", "/config/altup_active_idx", json!(4), "altup_active_idx", "no stream 4");
    check("gemma3n", "/config/activation_sparsity_pattern/1", json!(1.0), "activation_sparsity_pattern", "below 1");
    check(
        "gemma3n",
        "/config/activation_sparsity_pattern",
        json!([0.5]),
        "activation_sparsity_pattern",
        "none for layer 1",
    );
    check(
        "apertus",
        "/tensors/model.layers.1.mlp.act_fn.alpha_p",
        Value::Null,
        "model.layers.1.mlp.act_fn.alpha_p",
        "a number",
    );
}

#[test]
fn what_is_not_handled_is_refused() {
    check("llama", "/config/model_type", json!("abacus"), "model_type", "these are: afmoe, ");
    check(
        "llama",
        "/config/model_type",
        json!("falcon_mamba"),
        "model_type",
        "needs the selective scan of the first Mamba",
    );
    check("llama", "/config/hidden_act", json!("mish"), "hidden_act", "\"mish\"");
    check("olmo", "/config/clip_qkv", json!(8.0), "clip_qkv", "8 is not supported");
    check(
        "granite_swa",
        "/config/layer_rope_theta/2",
        json!(7),
        "layer_rope_theta",
        "another base in layers of one kind",
    );
    check("mellum", "/config/layer_types", Value::Null, "layer_types", "is missing");
    check("mobilellm", "/config/layer_sharing", json!(true), "layer_sharing", "not supported");
    check("llama", "/config/rope_scaling", json!({"type": "drope"}), "rope_type", "\"drope\"");
    check("llama-linear", "/config/rope_scaling/twist", json!(2), "rope_scaling.twist", "not supported");
    check("llama-linear", "/config/rope_scaling/factor", json!(-1), "rope_scaling.factor", "positive");
    check("llama-bf16", "/config/max_position_embeddings", json!(32), "rope_type", "a context of 32 or less");
    check("phi3-long", "/config/rope_scaling/long_factor", json!([1.0]), "long_factor", "must be 30 positive numbers");
    check("qwen3-types", "/config/layer_types/1", json!("x"), "layer_types", "\"x\"");
    check(
        "mistral",
        "/config/layer_types",
        json!(["full_attention", "sliding_attention"]),
        "layer_types",
        "every layer",
    );
    check("deepseek3", "/config/rope_interleave", json!(false), "rope_interleave", "only true");
    check("llama", "/config/quantization_config", json!({"quant_method": "hqq"}), "quant_method", "\"hqq\"");
}

#[test]
fn tensors_are_checked() {
    let gate = "model.layers.1.mlp.gate_proj.weight";
    check("llama", &format!("/tensors/{gate}"), Value::Null, gate, "is missing");
    check("llama", "/tensors/lm_head.weight", Value::Null, "lm_head.weight", "is missing");
    check("llama", "/tensors/model.embed_tokens.weight", Value::Null, "model.embed_tokens.weight", "is missing");
    check("llama", &format!("/tensors/{gate}/1"), json!([48, 56]), gate, "[48, 56], the model's numbers need [56, 48]");
    check("llama", &format!("/tensors/{gate}/0"), json!("U8"), gate, "is stored as U8");
    check("llama", "/config/attention_bias", json!(true), "model.layers.0.self_attn.q_proj.bias", "is missing");
    check("llama-llama3", "/config/attention_bias", json!(false), "model.layers.0.self_attn.k_proj.bias", "no place");
    let sinks = "model.layers.0.self_attn.sinks";
    check("llama", &format!("/tensors/{sinks}"), json!(["F32", [6], 0, 0]), sinks, "no place for this tensor");
    let expert = "model.layers.0.block_sparse_moe.experts.3.w2.weight";
    check("mixtral", &format!("/tensors/{expert}"), Value::Null, expert, "is missing");
    let scales = "model.layers.0.mlp.experts.down_proj_scales";
    check("gpt-oss-mxfp4", &format!("/tensors/{scales}"), Value::Null, scales, "is missing");
}

#[test]
fn gguf_keys_are_checked() {
    let base = support::Gguf::new().tensor("token_embd.weight", &[8, 4], 0, 128);
    let check = |file: support::Gguf, field: &str, problem: &str| {
        let error = Checkpoint::from_gguf_bytes(file.bytes()).and_then(|c| c.bind(None)).map(|_| ()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(&format!("{field}: ")) && error.contains(problem), "{error}");
    };
    check(base.clone().text("general.architecture", "abacus"), "general.architecture", "these are: afmoe, ");
    check(base.clone().text("general.architecture", "bloom"), "general.architecture", "scores (ALiBi)");
    let base = base.text("general.architecture", "llama");
    check(base.clone(), "llama.context_length", "is missing");
    let eps = 1e-5f32.to_le_bytes();
    let sized = base.u32("llama.context_length", 64).u32("llama.embedding_length", 8).u32("llama.block_count", 1);
    check(sized.clone(), "llama.attention.layer_norm_rms_epsilon", "is missing");
    let sized = sized.key("llama.attention.layer_norm_rms_epsilon", support::F32, eps);
    check(sized.clone(), "llama.attention.head_count", "is missing");
    let whole = sized.u32("llama.attention.head_count", 2).u32("llama.feed_forward_length", 16);
    check(whole.clone(), "blk.0.attn_norm.weight", "is missing");
    check(whole.clone().text("llama.rope.scaling.type", "dynamic"), "llama.rope.scaling.type", "\"dynamic\"");
    check(whole.clone().u32("llama.rope.dimension_count", 6), "llama.rope.dimension_count", "a head of 4");
    check(whole.clone().key("llama.attention.causal", support::BOOL, [0]), "llama.attention.causal", "not supported");
    check(whole.tensor("rope_freqs.weight", &[3], 0, 12), "rope_freqs.weight", "must hold 2 positive numbers");
}

#[test]
fn strange_numbers_never_panic() {
    let odd = [json!(0), json!(-1), json!(1), json!(3), json!(1u64 << 62), json!(1e300), json!(1e-300), json!(0.5)];
    let others =
        [json!(true), json!("x"), json!([]), json!([0, 1]), json!({}), json!({"rope_type": "yarn", "factor": 2})];
    for name in [
        "llama-llama3",
        "phi3-long",
        "gemma3",
        "qwen3moe-sparse",
        "gpt-oss-mxfp4",
        "smollm3",
        "gemma4-layers",
        "deepseek3",
        "gemma3n",
        "granite_swa",
        "apertus",
    ] {
        let recipe = golden::recipe(name);
        let bytes: &'static [u8] = golden::safetensors(&recipe).leak();
        let keys = recipe["config"].as_object().expect("an object").keys();
        for key in keys.map(String::as_str).chain(["rope_parameters", "layer_types", "decoder_sparse_step"]) {
            for value in odd.iter().chain(&others) {
                let mut config = recipe["config"].clone();
                config[key] = value.clone();
                let opened = Checkpoint::from_safetensors_bytes(bytes, &config.to_string());
                if let Ok(model) = opened.and_then(|c| c.bind(Some(40))) {
                    model.graph().weight_ids().for_each(|id| assert!(model.read(id).is_ok(), "{name}: {key} {value}"));
                }
            }
        }
    }
}
