# Keys of GGUF files that only some families have, as llama.cpp's converter writes them of a config.

import gguf


def gemma4(w, c):
    local = [kind == "sliding_attention" for kind in c["layer_types"]]
    first = c["num_hidden_layers"] - c.get("num_kv_shared_layers", 0)
    wide = [first <= i and c.get("use_double_wide_mlp", False) for i in range(c["num_hidden_layers"])]
    few = c["num_global_key_value_heads" if c.get("attention_k_eq_v") else "num_key_value_heads"]
    w.add_feed_forward_length([c["intermediate_size"] * (2 if w else 1) for w in wide])
    w.add_head_count_kv([c["num_key_value_heads"] if is_local else few for is_local in local])
    w.add_shared_kv_layers(c.get("num_kv_shared_layers", 0))
    w.add_embedding_length_per_layer_input(c["hidden_size_per_layer_input"])
    w.add_sliding_window(c["sliding_window"])
    w.add_sliding_window_pattern(local)
    w.add_final_logit_softcapping(c["final_logit_softcapping"])
    w.add_rope_freq_base_swa(10000.0)
    for width, key, value, dims in ((c["global_head_dim"], w.add_key_length, w.add_value_length, w.add_rope_dimension_count),
                                    (c["head_dim"], w.add_key_length_swa, w.add_value_length_swa, w.add_rope_dimension_count_swa)):
        key(width)
        value(width)
        dims(width)
    if c.get("enable_moe_block"):
        w.add_expert_used_count(c["top_k_experts"])
        w.add_expert_count(c["num_experts"])


def latent(w, c, old):
    whole, turned = c["qk_nope_head_dim"] + c["qk_rope_head_dim"], c["qk_rope_head_dim"]
    if c["q_lora_rank"]:
        w.add_q_lora_rank(c["q_lora_rank"])
    w.add_kv_lora_rank(c["kv_lora_rank"])
    w.add_key_length(whole if old else c["kv_lora_rank"] + turned)
    w.add_value_length(c["v_head_dim"] if old else c["kv_lora_rank"])
    if not old:
        w.add_key_length_mla(whole)
        w.add_value_length_mla(c["v_head_dim"])
    w.add_rope_dimension_count(turned)
    w.add_leading_dense_block_count(c["first_k_dense_replace"])
    w.add_expert_shared_count(c["n_shared_experts"])
    w.add_expert_weights_scale(c.get("routed_scaling_factor", 1.0))
    if c["model_type"] == "deepseek_v3":
        w.add_expert_weights_norm(True)
        w.add_expert_group_count(c["n_group"])
        w.add_expert_group_used_count(c["topk_group"])
        w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
