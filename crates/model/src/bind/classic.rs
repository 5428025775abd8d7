//! Names of models from before Llama's became the usual ones.

/// GGUF's name of a layer's tensor without its ending beside others' names of it.
pub(super) const LAYER: &[(&str, &[&str])] = &[
    ("attn_norm", &["attention_layernorm", "ln_1", "ln_attn"]),
    ("attn_q", &["attn.attention.q_proj", "attn.q_proj"]),
    ("attn_k", &["attn.attention.k_proj", "attn.k_proj"]),
    ("attn_v", &["attn.attention.v_proj", "attn.v_proj"]),
    ("attn_qkv", &["attention.query_key_value", "self_attention.query_key_value"]),
    ("attn_q_norm", &["attention.query_layernorm"]),
    ("attn_k_norm", &["attention.key_layernorm"]),
    (
        "attn_output",
        &["self_attn.dense", "attention.dense", "self_attention.dense", "attn.attention.out_proj", "attn.out_proj"],
    ),
    ("ffn_gate", &["mlp.c_fc_0"]),
    ("ffn_up", &["mlp.c_fc", "mlp.fc1", "mlp.dense_h_to_4h", "mlp.c_fc_1", "mlp.fc_in"]),
    ("ffn_down", &["mlp.c_proj", "mlp.fc2", "mlp.dense_4h_to_h", "mlp.fc_out"]),
];

/// What the norm of the feed-forward part may be called, where no other norm has the first of these names.
pub(super) const FFN_NORM: &[&str] = &[
    "post_attention_layernorm",
    "ffn_norm",
    "pre_ff_layernorm",
    "pre_feedforward_layernorm",
    "feedforward_layernorm",
    "ln_2",
    "ln_mlp",
    "mlp_norm",
];

/// What the embedding may be called.
pub(super) const EMBED: &[&str] = &[
    "embed_tokens.weight",
    "embed_in.weight",
    "embeddings.word_embeddings.weight",
    "embeddings.tok_embeddings.weight",
    "word_embeddings.weight",
    "embeddings.weight",
    "wte.weight",
];

/// What the norm before the output may be called, in GGUF files or not.
pub(super) const OUTPUT_NORM: &[(bool, &str)] = &[
    (true, "output_norm"),
    // LFM 2, whose other format calls it so.
    (true, "token_embd_norm"),
    (false, "norm"),
    (false, "embedding_norm"),
    (false, "final_layernorm"),
    (false, "final_layer_norm"),
    (false, "final_norm"),
    (false, "norm_f"),
    (false, "ln_f"),
];

/// Endings of tensors that are no weights: masks, and frequencies of rope.
pub(super) const IDLE: &[&str] =
    &["rotary_emb.inv_freq", "attention.bias", "attention.masked_bias", ".attn.bias", ".attn.masked_bias"];

/// Part of the names of an activation's numbers, which are read with the model's others.
pub(super) const ACTIVATION: &str = ".mlp.act_fn.";
