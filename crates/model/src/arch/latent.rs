//! Multi-head latent attention: keys and values of all heads are one vector, kept as it is; what each head makes of it is
//! multiplied into its queries and out of its results (DeepSeek-V2, 2024).

use graph::{Attention, KvShape, Op, ValueId};
use tensor::Shape;

use crate::ModelError;
use crate::spec::{AttentionSpec, LatentSpec};

use super::build::{Builder, Value};
use super::config::Key;
use super::spec::Reader;
use super::{rope_gguf, rope_hf};

pub(super) const RANK: Key = Key("kv_lora_rank", "attention.kv_lora_rank");
pub(super) const QUERY_RANK: Key = Key("q_lora_rank", "attention.q_lora_rank");
pub(super) const TURNED: Key = Key("qk_rope_head_dim", "rope.dimension_count");
const PLAIN: Key = Key("qk_nope_head_dim", "");
pub(super) const VALUE: Key = Key("v_head_dim", "attention.value_length_mla");
pub(super) const KEY: Key = Key("", "attention.key_length_mla");
/// Files from before keys and values were kept as one.
const OLD_VALUE: Key = Key("", "attention.value_length");
const OLD_KEY: Key = Key("", "attention.key_length");
const INTERLEAVED: Key = Key("rope_interleave", "");

/// What is added in the norms of latent vectors, whatever the model's own number is.
const EPS: f32 = 1e-6;

impl Reader<'_> {
    /// The latent attention of the family, if it is one with that.
    pub(super) fn latent(&self) -> Result<Option<LatentSpec>, ModelError> {
        let config = self.config;
        if !config.arch.extras.latent {
            return Ok(None);
        }
        if config.flag(INTERLEAVED)? == Some(false) {
            return Err(config.unsupported(INTERLEAVED, "only true is supported"));
        }
        let turned = config.require(TURNED)?;
        let plain = match config.gguf() {
            false => config.require(PLAIN)?,
            true => {
                let whole = config.size(KEY)?.map_or_else(|| config.require(OLD_KEY), Ok)?;
                let short = || config.invalid(KEY, format!("{whole} is not more than what rope turns, {turned}"));
                whole.checked_sub(turned).filter(|&plain| plain > 0).ok_or_else(short)?
            }
        };
        let value = config.size(VALUE)?.or(config.size(OLD_VALUE)?);
        let value = match value {
            // MiniCPM 3's files leave it out.
            None if config.arch.name == "minicpm3" => self.width / self.heads(0)?,
            value => value.ok_or_else(|| config.missing(VALUE))?,
        };
        if turned % 2 == 1 {
            return Err(config.unsupported(TURNED, format!("{turned} elements cannot be rotated in pairs")));
        }
        let (queries, rank) = (config.size(QUERY_RANK)?, config.require(RANK)?);
        Ok(Some(LatentSpec { queries, rank, plain, turned, value }))
    }

    /// What scores are multiplied with.
    pub(super) fn latent_scale(&self, latent: &LatentSpec) -> Result<f32, ModelError> {
        let magnitude = match self.config.gguf() {
            true => rope_gguf::latent_magnitude(self.config)?,
            false => rope_hf::latent_magnitude(self.config)?,
        };
        Ok((((latent.plain + latent.turned) as f64).powf(-0.5) * magnitude * magnitude) as f32)
    }
}

impl Builder<'_> {
    /// What the heads find, before the output projection.
    pub(super) fn latent(&mut self, i: usize, a: &AttentionSpec, latent: LatentSpec, x: ValueId) -> Value {
        let LatentSpec { rank, plain, turned, value, .. } = latent;
        let (keys, of) = (rank + turned, plain + value);
        let q = self.latent_queries(i, a, latent, x)?;
        let q_turned = self.part(plain + turned, plain, turned, q)?;
        let q_turned = self.turned(a, q_turned)?;
        let q = self.part(plain + turned, 0, plain, q)?;
        let shape = Shape { outer: a.heads, rows: rank, cols: plain };
        let weight = self.weights.head_matrix(i, "attn_k_b", shape, (of, 0, true))?;
        let q = self.push(Op::HeadLinear { weight }, &[q])?;
        let q = self.push(Op::Concat { parts: a.heads }, &[q, q_turned])?;
        let k = self.project(i, "attn_kv_a_mqa", (keys, None), a.biases.qkv, x)?;
        let k_turned = self.part(keys, rank, turned, k)?;
        let k_turned = self.turned(a, k_turned)?;
        let k = self.part(keys, 0, rank, k)?;
        let k = self.latent_norm(i, "attn_kv_a_norm", rank, k)?;
        let k = self.push(Op::Concat { parts: 1 }, &[k, k_turned])?;
        let layer = self.weights.graph.kv_layer(KvShape { heads: 1, head_dim: keys });
        self.kv.push(layer);
        self.weights.graph.kv_write(layer, k, k).map_err(|e| self.broken(e))?;
        let attention = Attention {
            layer,
            heads: a.heads,
            scale: a.scale,
            window: a.window,
            causal: true,
            softcap: a.softcap,
            sinks: None,
        };
        let found = self.weights.graph.attention(attention, q).map_err(|e| self.broken(e))?;
        let found = self.part(keys, 0, rank, found)?;
        let shape = Shape { outer: a.heads, rows: value, cols: rank };
        let weight = self.weights.head_matrix(i, "attn_v_b", shape, (of, plain, false))?;
        self.push(Op::HeadLinear { weight }, &[found])
    }

    fn latent_queries(&mut self, i: usize, a: &AttentionSpec, latent: LatentSpec, x: ValueId) -> Value {
        let rows = a.heads * (latent.plain + latent.turned);
        let Some(rank) = latent.queries else { return self.project(i, "attn_q", (rows, None), false, x) };
        let q = self.project(i, "attn_q_a", (rank, None), a.biases.qkv, x)?;
        let q = self.latent_norm(i, "attn_q_a_norm", rank, q)?;
        self.project(i, "attn_q_b", (rows, None), false, q)
    }

    fn latent_norm(&mut self, i: usize, name: &str, len: usize, x: ValueId) -> Value {
        let weight = self.weights.norm(i, name, len)?;
        self.push(Op::RmsNorm { weight, eps: EPS, quantize: false }, &[x])
    }

    fn turned(&mut self, a: &AttentionSpec, x: ValueId) -> Value {
        a.rope.as_ref().map_or(Ok(x), |rope| self.push(Op::Rope(rope.clone()), &[x]))
    }

    fn part(&mut self, span: usize, first: usize, width: usize, x: ValueId) -> Value {
        self.push(Op::Slice { span, first, width }, &[x])
    }
}
