//! Names of models from before Llama's became the usual ones.

/// GGUF's name of a layer's tensor without its ending beside others' names of it.
pub(super) const LAYER: &[(&str, &[&str])] = &[
    ("attn_qkv", &["attention.query_key_value"]),
    ("attn_output", &["self_attn.dense", "attention.dense"]),
    ("ffn_up", &["mlp.c_fc", "mlp.fc1", "mlp.dense_h_to_4h"]),
    ("ffn_down", &["mlp.c_proj", "mlp.fc2", "mlp.dense_4h_to_h"]),
];

/// What the embedding may be called.
pub(super) const EMBED: &[&str] = &["embed_tokens.weight", "embed_in.weight", "embeddings.weight"];

/// What the norm before the output may be called, in GGUF files or not.
pub(super) const OUTPUT_NORM: &[(bool, &str)] = &[
    (true, "output_norm"),
    // LFM 2, whose other format calls it so.
    (true, "token_embd_norm"),
    (false, "norm"),
    (false, "embedding_norm"),
    (false, "final_layernorm"),
    (false, "final_layer_norm"),
    (false, "norm_f"),
];

/// Endings of tensors that are no weights: masks, and frequencies of rope.
pub(super) const IDLE: &[&str] = &["rotary_emb.inv_freq", "attention.bias", "attention.masked_bias"];
