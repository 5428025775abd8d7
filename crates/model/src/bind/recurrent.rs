//! The weights of recurrent layers.

use graph::WeightId;
use tensor::Shape;

use crate::ModelError;

use super::binder::{Binder, Slice, elements};
use super::source::{Form, Source};

/// GGUF's name of a recurrent layer's tensor without its ending beside transformers' names of it.
pub(super) const LAYER: &[(&str, &[&str])] = &[
    ("attn_norm", &["operator_norm", "norm"]),
    ("attn_q", &["mixer.q_proj"]),
    ("attn_k", &["mixer.k_proj"]),
    ("attn_v", &["mixer.v_proj"]),
    ("attn_output", &["self_attn.out_proj", "mixer.o_proj"]),
    ("attn_q_norm", &["self_attn.q_layernorm"]),
    ("attn_k_norm", &["self_attn.k_layernorm"]),
    ("post_attention_norm", &["post_operator_norm"]),
    ("post_ffw_norm", &["post_ffn_norm"]),
    ("ffn_gate", &["feed_forward.w1", "feed_forward.gate_proj", "block_sparse_moe.gate_proj"]),
    ("ffn_up", &["feed_forward.w3", "feed_forward.up_proj", "block_sparse_moe.up_proj", "mixer.up_proj"]),
    ("ffn_gate_up", &["shared_mlp.input_linear"]),
    (
        "ffn_down",
        &[
            "feed_forward.w2",
            "feed_forward.down_proj",
            "block_sparse_moe.down_proj",
            "shared_mlp.output_linear",
            "mixer.down_proj",
        ],
    ),
    ("ffn_gate_inp", &["feed_forward.gate", "mixer.gate"]),
    ("ffn_up_shexp", &["mixer.shared_experts.up_proj"]),
    ("ffn_down_shexp", &["mixer.shared_experts.down_proj"]),
    ("ffn_latent_down", &["mixer.fc1_latent_proj"]),
    ("ffn_latent_up", &["mixer.fc2_latent_proj"]),
    ("shortconv.in_proj", &["conv.in_proj"]),
    ("shortconv.conv", &["conv.conv"]),
    ("shortconv.out_proj", &["conv.out_proj"]),
    ("attn_qkv", &["linear_attn.in_proj_qkv"]),
    ("attn_gate", &["linear_attn.in_proj_z"]),
    ("ssm_in", &["linear_attn.in_proj_qkvz", "mamba.in_proj", "mixer.in_proj"]),
    ("ssm_alpha", &["linear_attn.in_proj_a"]),
    ("ssm_beta", &["linear_attn.in_proj_b", "self_attn.b_proj"]),
    ("ssm_ba", &["linear_attn.in_proj_ba"]),
    ("ssm_conv1d", &["linear_attn.conv1d", "mamba.conv1d", "mixer.conv1d"]),
    ("ssm_norm", &["linear_attn.norm", "mamba.norm", "mixer.norm", "self_attn.o_norm"]),
    ("ssm_out", &["linear_attn.out_proj", "mamba.out_proj", "mixer.out_proj"]),
    ("ssm_conv1d_q", &["self_attn.q_conv1d"]),
    ("ssm_conv1d_k", &["self_attn.k_conv1d"]),
    ("ssm_conv1d_v", &["self_attn.v_conv1d"]),
    ("ssm_f_a", &["self_attn.f_a_proj"]),
    ("ssm_f_b", &["self_attn.f_b_proj"]),
    ("ssm_g_a", &["self_attn.g_a_proj"]),
    ("ssm_g_b", &["self_attn.g_b_proj"]),
];

/// What transformers calls a recurrent layer.
const MODULES: &[&str] = &["linear_attn", "mamba", "mixer", "self_attn"];

impl Binder<'_> {
    /// The taps of some channels of a layer's convolution, alone or as a slice of all. They are few, so always in full precision.
    pub(crate) fn taps(
        &mut self,
        layer: usize,
        name: &str,
        shape: Shape,
        slice: Option<Slice>,
    ) -> Result<WeightId, ModelError> {
        let places = self.places(layer, name, "weight", shape.rows, slice);
        self.bind(elements(format!("blk.{layer}.{name}.weight"), shape), Some(0.0), places)
    }

    /// A norm of a layer that files have whole, whatever they leave out of other norms.
    pub(crate) fn plain_norm(&mut self, layer: usize, name: &str, len: usize) -> Result<WeightId, ModelError> {
        let places = self.places(layer, name, "weight", len, None);
        self.bind(elements(format!("blk.{layer}.{name}.weight"), Shape::vector(len)), Some(0.0), places)
    }

    /// What is added to each head's time step.
    pub(crate) fn step_bias(&mut self, layer: usize, heads: usize) -> Result<WeightId, ModelError> {
        self.of_heads(layer, ("ssm_dt.bias", "dt_bias"), heads)
    }

    /// How fast each head's state decays: below 0. Safetensors files have the logarithm of its magnitude.
    pub(crate) fn decays(&mut self, layer: usize, heads: usize) -> Result<WeightId, ModelError> {
        let weight = self.of_heads(layer, ("ssm_a", "A_log"), heads)?;
        if let (false, Some(binding)) = (self.gguf, self.bindings.last_mut()) {
            binding.form = Form::MinusExp;
        }
        Ok(weight)
    }

    /// As [`Binder::decays`], of each row of each head's state: the same number for all rows of a head.
    pub(crate) fn row_decays(&mut self, layer: usize, heads: usize, rows: usize) -> Result<WeightId, ModelError> {
        let name = format!("blk.{layer}.ssm_a");
        let tensor = if self.gguf { name.clone() } else { self.names.module(layer, "self_attn.A_log") };
        let source = Source::Spread { tensor, each: rows };
        let weight = self.bind(elements(name, Shape::vector(heads * rows)), Some(0.0), vec![source])?;
        if let (false, Some(binding)) = (self.gguf, self.bindings.last_mut()) {
            binding.form = Form::MinusExp;
        }
        Ok(weight)
    }

    /// How much of each head's input goes past its state.
    pub(crate) fn skips(&mut self, layer: usize, heads: usize) -> Result<WeightId, ModelError> {
        self.of_heads(layer, ("ssm_d", "D"), heads)
    }

    /// A number for each head, under GGUF's name and transformers'.
    fn of_heads(&mut self, layer: usize, (gguf, hf): (&str, &str), heads: usize) -> Result<WeightId, ModelError> {
        let own = format!("blk.{layer}.{gguf}");
        let names = match self.gguf {
            true => vec![own.clone()],
            false => MODULES.iter().map(|module| self.names.module(layer, &format!("{module}.{hf}"))).collect(),
        };
        let place = |name| Source::Rows { tensors: vec![name], of: heads, first: 0 };
        self.bind(elements(own, Shape::vector(heads)), Some(0.0), names.into_iter().map(place).collect())
    }
}
