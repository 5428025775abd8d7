//! What Gemma 4 has: keys and values of several kinds, embeddings of layers, a dense part beside experts.

use graph::{Activation, Op, ValueId};
use tensor::Shape;

use crate::ModelError;
use crate::spec::{ExpertSpec, FfnSpec, KeySource};

use super::build::{Builder, Value};
use super::config::Key;
use super::spec::{FFN, KV_HEADS, Reader};

/// Width of a layer's own embedding.
pub(super) const LAYER_EMBED: Key = Key("hidden_size_per_layer_input", "embedding_length_per_layer_input");
/// How many of the last layers use keys and values of others.
pub(super) const SHARED: Key = Key("num_kv_shared_layers", "attention.shared_kv_layers");
const GLOBAL_KV_HEADS: Key = Key("num_global_key_value_heads", "");
const KEYS_ARE_VALUES: Key = Key("attention_k_eq_v", "");
const DOUBLE_WIDE: Key = Key("use_double_wide_mlp", "");

impl Reader<'_> {
    /// Where a layer's keys and values come from.
    pub(super) fn keys(&self, i: usize) -> Result<KeySource, ModelError> {
        if let Some(layer) = self.lender(i)? {
            return Ok(KeySource::Layer(layer));
        }
        if let Some(latent) = self.latent()? {
            return Ok(KeySource::Latent(latent));
        }
        if !self.config.arch.extras.value_norm {
            return Ok(KeySource::Projected);
        }
        let of_keys = match self.config.gguf() {
            true => !["attn_v.weight", "attn_qkv.weight"].iter().any(|name| self.config.names.has(i, name)),
            false => self.keys_are_values(i)?,
        };
        Ok(KeySource::Normalized { of_keys })
    }

    /// The layer that a layer without keys and values reads those of: the last before all such layers that is of the same kind.
    fn lender(&self, i: usize) -> Result<Option<usize>, ModelError> {
        let (count, shared) = (self.layers.count(), self.config.size(SHARED)?.unwrap_or(0));
        if shared >= count {
            return Err(self
                .config
                .invalid(SHARED, format!("{shared} of {count} layers leave none with keys and values")));
        }
        if i < count - shared {
            return Ok(None);
        }
        let local = |layer: usize| self.layers.window(layer).is_some();
        let lender = (0..count - shared).rfind(|&layer| local(layer) == local(i));
        let missing = || self.config.invalid(SHARED, format!("no layer before has keys and values for layer {i}"));
        lender.map(Some).ok_or_else(missing)
    }

    fn keys_are_values(&self, i: usize) -> Result<bool, ModelError> {
        Ok(self.layers.window(i).is_none() && self.config.flag(KEYS_ARE_VALUES)?.unwrap_or(false))
    }

    /// KV heads, if the file says how many.
    pub(super) fn kv_heads(&self, i: usize) -> Result<Option<usize>, ModelError> {
        if self.config.arch.name == "falcon" && !self.config.gguf() {
            return self.falcon_kv_heads().map(Some);
        }
        let own = self.config.own_size(KV_HEADS, i)?;
        let of_kind = if self.keys_are_values(i)? { self.config.size(GLOBAL_KV_HEADS)? } else { None };
        own.or(of_kind).map_or_else(|| self.config.layer_size(KV_HEADS, i), |heads| Ok(Some(heads)))
    }

    /// Width of a layer's dense feed-forward part.
    pub(super) fn dense_width(&self, i: usize) -> Result<Option<usize>, ModelError> {
        if self.config.arch.name == "falcon" {
            // Its number is another one, or none.
            return Ok(self.config.names.rows(i, "ffn_up.weight"));
        }
        if self.config.arch.extras.averaged && !self.config.names.has(i, "ffn_gate_inp.weight") {
            // The numbers are of the experts.
            return Ok(self.config.names.rows(i, "ffn_gate.weight"));
        }
        let wide = self.config.flag(DOUBLE_WIDE)?.unwrap_or(false) && self.lender(i)?.is_some();
        Ok(self.config.layer_size(FFN, i)?.map(|width| if wide { 2 * width } else { width }))
    }
}

impl Builder<'_> {
    /// The dense part, which reads h, and the experts, which read x, each with norms of its own.
    pub(super) fn beside(&mut self, i: usize, ffn: &FfnSpec, experts: &ExpertSpec, [x, h]: [ValueId; 2]) -> Value {
        let (width, eps) = (self.spec.width, self.spec.norm.eps);
        let dense = FfnSpec { width: experts.shared.map_or(0, |shared| shared.width), experts: None, ..ffn.clone() };
        let dense = self.dense(i, &dense, h)?;
        let dense = self.norm(i, "post_ffw_norm_1", width, dense)?;
        let weight = self.weights.elements(i, "ffn_gate_inp.scale", width)?;
        let routed = self.push(Op::RmsNorm { weight, eps, quantize: false }, &[x])?;
        let routed = self.scale((width as f64).powf(-0.5) as f32, routed)?;
        let chosen = self.choose(i, ffn, experts, routed)?;
        let h = self.norm(i, "pre_ffw_norm_2", width, x)?;
        let y = self.mixture(i, ffn, experts.count, h, chosen)?;
        let y = self.norm(i, "post_ffw_norm_2", width, y)?;
        self.push(Op::Add, &[dense, y])
    }

    /// What all layers add of their own embeddings, side by side: the token's, and a projection of its plain embedding.
    pub(super) fn layer_embeds(&mut self, width: usize, x: ValueId) -> Value {
        let (spec, all) = (self.spec, width * self.spec.layers);
        let table = self.weights.layer_embed_table(Shape::matrix(spec.vocab, all))?;
        let own = self.push(Op::Embed { table }, &[])?;
        let own = self.scale((width as f64).sqrt() as f32, own)?;
        let weight = self.weights.global("per_layer_model_proj", Shape::matrix(all, spec.width))?;
        let projected = self.push(Op::Linear { weight }, &[x])?;
        let projected = self.scale((spec.width as f64).powf(-0.5) as f32, projected)?;
        let weight = self.weights.global_norm("per_layer_proj_norm", width)?;
        let projected = self.push(Op::RmsNorm { weight, eps: spec.norm.eps, quantize: false }, &[projected])?;
        let sum = self.push(Op::Add, &[projected, own])?;
        self.scale(0.5f32.sqrt(), sum)
    }

    /// Adds a layer's part of them, gated by the residual stream.
    pub(super) fn add_layer_embed(&mut self, i: usize, embeds: ValueId, x: ValueId) -> Value {
        let h = self.layer_embed_part(i, embeds, x)?;
        self.push(Op::Add, &[x, h])
    }

    /// A layer's part of them, gated by x.
    pub(super) fn layer_embed_part(&mut self, i: usize, embeds: ValueId, x: ValueId) -> Value {
        let (spec, all) = (self.spec, self.weights.graph.value(embeds).width);
        let width = all / spec.layers;
        let part = self.push(Op::Slice { span: all, first: i * width, width }, &[embeds])?;
        let gate = self.project(i, "inp_gate", (width, None), false, x)?;
        let act = spec.layer(i).ffn.as_ref().map_or(Activation::GeluTanh, |ffn| ffn.act);
        let h = self.push(Op::Glu { act }, &[gate, part])?;
        let h = self.project(i, "proj", (spec.width, None), false, h)?;
        self.norm(i, "post_norm", spec.width, h)
    }
}
