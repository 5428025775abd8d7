//! The weights of recurrent layers.

use graph::WeightId;
use tensor::Shape;

use crate::ModelError;

use super::binder::{Binder, Slice, elements};
use super::source::{Form, Source};

/// GGUF's name of a recurrent layer's tensor without its ending beside transformers' names of it.
pub(super) const LAYER: &[(&str, &[&str])] = &[
    ("attn_qkv", &["linear_attn.in_proj_qkv"]),
    ("attn_gate", &["linear_attn.in_proj_z"]),
    ("ssm_in", &["linear_attn.in_proj_qkvz"]),
    ("ssm_alpha", &["linear_attn.in_proj_a"]),
    ("ssm_beta", &["linear_attn.in_proj_b"]),
    ("ssm_ba", &["linear_attn.in_proj_ba"]),
    ("ssm_conv1d", &["linear_attn.conv1d"]),
    ("ssm_norm", &["linear_attn.norm"]),
    ("ssm_out", &["linear_attn.out_proj"]),
];

/// What transformers calls a recurrent layer.
const MODULES: &[&str] = &["linear_attn"];

impl Binder<'_> {
    /// The taps of some channels of a layer's convolution, alone or as a slice of all. They are few, so always in full precision.
    pub(crate) fn taps(
        &mut self,
        layer: usize,
        name: &str,
        shape: Shape,
        slice: Slice,
    ) -> Result<WeightId, ModelError> {
        let places = self.places(layer, name, "weight", shape.rows, Some(slice));
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
