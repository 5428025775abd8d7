//! Names of encoders' tensors.

/// GGUF's name of a layer's tensor without its ending beside others' names of it.
pub(super) const LAYER: &[(&str, &[&str])] = &[
    ("attn_norm", &["attn_norm"]),
    ("attn_q", &["attention.self.query"]),
    ("attn_k", &["attention.self.key"]),
    ("attn_v", &["attention.self.value"]),
    ("attn_qkv", &["attn.Wqkv", "mixer.Wqkv"]),
    ("attn_output", &["attention.output.dense", "attn.out_proj", "mixer.out_proj", "attn.Wo"]),
    // What is activated is the second matrix there.
    ("ffn_gate", &["mlp.fc12"]),
    ("ffn_up", &["intermediate.dense", "mlp.fc11"]),
    ("ffn_gate_up", &["mlp.Wi"]),
    ("ffn_down", &["output.dense", "mlp.Wo"]),
];

/// As [`LAYER`], of norms of sums.
pub(super) const SUM: &[(&str, &[&str])] = &[
    ("attn_output_norm", &["attention.output.LayerNorm", "post_attention_layernorm", "norm1"]),
    ("layer_output_norm", &["output.LayerNorm", "post_mlp_layernorm", "norm2"]),
];

/// As [`LAYER`], of tensors outside of layers.
pub(super) const GLOBAL: &[(&str, &str)] = &[
    ("position_embd", "embeddings.position_embeddings"),
    ("token_types", "embeddings.token_type_embeddings"),
    ("token_embd_norm", "embeddings.LayerNorm"),
    ("token_embd_norm", "embeddings.norm"),
    ("token_embd_norm", "emb_ln"),
    // RoBERTa's head has its own projection, BERT's is that of its pooler.
    ("dense_2", "dense_2"),
    ("dense_3", "dense_3"),
    ("cls", "classifier.dense"),
    ("cls", "head.dense"),
    ("cls", "pooler.dense"),
    ("cls.norm", "head.norm"),
    ("cls.output", "classifier.out_proj"),
    ("cls.output", "classifier"),
    // Of models that look back only.
    ("cls.output", "score"),
];

/// Beginnings of the names of what embedding a text does not need: heads that guess left-out words or label tokens, numbers of positions.
pub(super) const IDLE: &[&str] = &[
    "pooler.",
    "cls.",
    "lm_head.",
    "head.",
    "decoder.",
    "classifier.",
    "embeddings.position_ids",
    "embeddings.token_type_ids",
];
