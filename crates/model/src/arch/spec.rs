//! From a file's numbers and the table's row to a [`ModelSpec`].

use graph::{GateScoring, Groups, Rope, RopeStyle, Squash};

use crate::ModelError;
use crate::spec::{
    AttentionSpec, Biases, ExpertSpec, FfnSpec, Gate, LayerSpec, ModelSpec, NormKind, NormSpec, Norms, OutputSpec,
    QkNorm, SharedSpec,
};

use super::config::{Config, Key};
use super::layers::{Layers, refuse};
use super::{ExpertLayout, activation, altup, encoders, recurrent, rope_gguf, rope_hf, scales};

pub(super) const CONTEXT: Key = Key("max_position_embeddings", "context_length");
pub(super) const WIDTH: Key = Key("hidden_size", "embedding_length");
pub(super) const LAYERS: Key = Key("num_hidden_layers", "block_count");
pub(super) const HEADS: Key = Key("num_attention_heads", "attention.head_count");
const HEADS_OF_LAYERS: Key = Key("num_attention_heads_per_layer", "");
pub(super) const KV_HEADS: Key = Key("num_key_value_heads", "attention.head_count_kv");
pub(super) const HEAD_DIM: Key = Key("head_dim", "attention.key_length");
/// Where layers with a window have heads of another width than the others.
pub(super) const LOCAL_HEAD_DIM: Key = Key("", "attention.key_length_swa");
const GLOBAL_HEAD_DIM: Key = Key("global_head_dim", "");
pub(super) const EPS: Key = Key("rms_norm_eps", "attention.layer_norm_rms_epsilon");
pub(super) const LAYER_EPS: Key = Key("layer_norm_eps", "attention.layer_norm_epsilon");
const LAYER_EPS_OTHERS: [Key; 2] = [Key("norm_epsilon", ""), Key("norm_eps", "")];
pub(super) const PARALLEL: Key = Key("use_parallel_residual", "use_parallel_residual");
pub(super) const LOGIT_FACTOR: Key = Key("logit_scale", "logit_scale");
/// GGUF files do not say it.
const AFTER_EPS: Key = Key("post_norm_eps", "post_norm_eps");
/// Whether what parts add is normalized.
const POST_NORM: Key = Key("use_post_norm", "");
const QUERY_FACTOR: Key = Key("qk_scale_factor", "");
pub(super) const FFN: Key = Key("intermediate_size", "feed_forward_length");
pub(super) const EXPERT_FFN: Key = Key("moe_intermediate_size", "expert_feed_forward_length");
pub(super) const EXPERTS: Key = Key("num_local_experts", "expert_count");
const EXPERTS_OTHERS: [Key; 4] =
    [EXPERTS, Key("num_experts", ""), Key("n_routed_experts", ""), Key("moe_num_experts", "")];
pub(super) const EXPERTS_USED: Key = Key("num_experts_per_tok", "expert_used_count");
const EXPERTS_USED_OTHERS: [Key; 4] = [EXPERTS_USED, Key("moe_k", ""), Key("moe_topk", ""), Key("top_k_experts", "")];
pub(super) const EXPERTS_SCALE: Key = Key("routed_scaling_factor", "expert_weights_scale");
const EXPERTS_SCALE_OTHERS: [Key; 3] =
    [Key("route_scale", ""), Key("moe_routed_scaling_factor", ""), Key("router_scaling_factor", "")];
const SECTIONS: Key = Key("", "rope.dimension_sections");
/// In GGUF: 1 is softmax, 2 is sigmoid.
pub(super) const GATING: Key = Key("", "expert_gating_func");
pub(super) const GUESSING: Key = Key("num_nextn_predict_layers", "nextn_predict_layers");
pub(super) const GROUPS: Key = Key("n_group", "expert_group_count");
pub(super) const GROUPS_USED: Key = Key("topk_group", "expert_group_used_count");
const SELECTION: Key = Key("expert_selection_fn", "");
const COMBINED: Key = Key("shared_expert_combination_strategy", "");
const GROUPS_METHOD: Key = Key("topk_method", "");
const QKV_BIASES: [&str; 3] = ["attn_q.bias", "attn_qkv.bias", "attn_kv_a_mqa.bias"];
pub(super) const NORM_TOP: Key = Key("norm_topk_prob", "expert_weights_norm");
pub(super) const SCORE_CAP: Key = Key("attn_logit_softcapping", "attn_logit_softcapping");
pub(super) const LOGIT_CAP: Key = Key("final_logit_softcapping", "final_logit_softcapping");
pub(super) const QUERY_SCALAR: Key = Key("query_pre_attn_scalar", "");
pub(super) const ATTENTION_SCALE: Key = Key("attention_multiplier", "attention.scale");
pub(super) const EMBED_SCALE: Key = Key("embedding_multiplier", "embedding_scale");
pub(super) const RESIDUAL_SCALE: Key = Key("residual_multiplier", "residual_scale");
pub(super) const LOGIT_SCALE: Key = Key("logits_scaling", "logit_scale");
pub(super) const ATTENTION_BIAS: Key = Key("attention_bias", "");
pub(super) const MLP_BIAS: Key = Key("mlp_bias", "");
pub(super) const TIED: Key = Key("tie_word_embeddings", "");
/// MobileLLM's name of it.
const SHARED_EMBED: Key = Key("share_embedding", "");

/// The spec of a checkpoint for sequences up to `context` (`None`: as long as the model was made for).
///
/// # Errors
/// If a key is missing or wrong, or asks for something that the graph does not have.
pub(crate) fn read_spec(config: &Config<'_>, context: Option<usize>) -> Result<ModelSpec, ModelError> {
    refuse(config)?;
    let (most, width) = (encoders::context(config)?, config.require(WIDTH)?);
    let layers = config.size(LAYERS)?.or_else(|| recurrent::layers(config)).ok_or_else(|| config.missing(LAYERS))?;
    // GGUF files count the layers that guess tokens ahead.
    let layers = if config.gguf() { layers.saturating_sub(guessing(config)?) } else { layers };
    if layers > config.checkpoint.tensors().len() {
        return Err(config.invalid(LAYERS, format!("{layers} layers are more than the file has tensors")));
    }
    let reader = Reader { config, layers: Layers::new(config, layers)?, width, context: context.unwrap_or(most) };
    let head = encoders::head(config)?;
    Ok(ModelSpec {
        architecture: config.arch.name,
        context: most,
        layers,
        width,
        vocab: config.names.vocab()?,
        norms: norms(config)?,
        norm: NormSpec {
            kind: norm_kind(config)?,
            eps: eps(config)? as f32,
            after_eps: config.positive(AFTER_EPS)?.map_or_else(|| eps(config), Ok)? as f32,
            embed: config.arch.extras.unit_embed(),
        },
        output: OutputSpec {
            // Beside a head there is no output matrix.
            tied: head.is_some() || tied(config)?,
            bias: config.names.output_bias().is_some(),
            cap: config.positive(LOGIT_CAP)?.map(|cap| cap as f32),
            head,
        },
        scales: scales::read(config, width, layers)?,
        layer_embed: altup::layer_embed(config)?,
        encoder: encoders::read(config, most)?,
        blocks: reader.blocks(layers)?,
    })
}

/// The spec of a checkpoint with one more layer after the last: the first of those that predict ahead; `None` if the files have none whose
/// tensors are as DeepSeek's or Qwen's.
///
/// # Errors
/// As [`read_spec`].
pub(crate) fn read_mtp(config: &mut Config<'_>, context: Option<usize>) -> Result<Option<ModelSpec>, ModelError> {
    let spec = read_spec(config, context)?;
    config.names.look_ahead(spec.layers);
    if !config.names.has(spec.layers, "nextn.eh_proj.weight") {
        return Ok(None);
    }
    let layers = Layers::new(config, spec.layers)?.and_another();
    let reader = Reader { config, layers, width: spec.width, context: context.unwrap_or(spec.context) };
    Ok(Some(ModelSpec { blocks: reader.blocks(spec.layers + 1)?, ..spec }))
}

/// Where norms are: some families have models with both parts of a layer side by side and others.
fn norms(config: &Config<'_>) -> Result<Norms, ModelError> {
    Ok(match (config.arch.norms, config.flag(PARALLEL)?) {
        (Norms::Beside, Some(false)) => Norms::Pre,
        (Norms::Both, _) if config.flag(POST_NORM)? == Some(false) => Norms::Pre,
        (Norms::Beside, _) if !config.names.has(0, "ffn_norm.weight") => Norms::Shared,
        (Norms::Pre, Some(true)) if !config.names.has(0, "ffn_norm.weight") => Norms::Shared,
        (usual, _) => usual,
    })
}

/// What norms compute: those of Cohere 2's mixture what the file has an epsilon for.
fn norm_kind(config: &Config<'_>) -> Result<NormKind, ModelError> {
    let usual = config.arch.extras.norm;
    let other = config.arch.extras.averaged && config.read::<f64>(EPS)?.is_some();
    Ok(if other { NormKind::Rms } else { usual })
}

/// What norms add before they divide.
fn eps(config: &Config<'_>) -> Result<f64, ModelError> {
    if norm_kind(config)? == NormKind::Rms {
        return recurrent::eps(config)?.ok_or_else(|| config.missing(EPS));
    }
    let [one, other] = [config.positive(LAYER_EPS_OTHERS[0])?, config.positive(LAYER_EPS_OTHERS[1])?];
    config.positive(LAYER_EPS)?.or(one).or(other).ok_or_else(|| config.missing(LAYER_EPS))
}

/// GGUF files say it by leaving the output matrix out. A config.json that says so beside an output matrix of its own
/// is wrong, as transformers has it.
fn tied(config: &Config<'_>) -> Result<bool, ModelError> {
    if config.gguf() {
        return Ok(config.names.output().is_none());
    }
    if config.flag(SHARED_EMBED)? == Some(true) {
        return Ok(config.names.same_output());
    }
    let root = config.checkpoint.metadata().read::<bool>(TIED.0)?;
    Ok(root.map_or_else(|| config.flag(TIED), |tied| Ok(Some(tied)))?.unwrap_or(false) && config.names.same_output())
}

/// How many layers after the last guess tokens ahead; they are not run.
///
/// # Errors
/// If the number is not a size.
pub(crate) fn guessing(config: &Config<'_>) -> Result<usize, ModelError> {
    Ok(config.size(GUESSING)?.unwrap_or(0))
}

/// Reads a spec.
pub(super) struct Reader<'a> {
    pub(super) config: &'a Config<'a>,
    pub(super) layers: Layers,
    pub(super) width: usize,
    context: usize,
}

impl Reader<'_> {
    fn blocks(&self, layers: usize) -> Result<Vec<LayerSpec>, ModelError> {
        // Of each kind there is one rope, shared by all layers that have it.
        let turned = self.latent()?.map(|latent| latent.turned);
        let attends = |&i: &usize| recurrent::attends(self.config, i);
        let any = (0..layers).find(attends);
        let of_kind = |local: bool| (0..layers).filter(attends).find(|&i| self.layers.window(i).is_some() == local);
        let rope = |local: bool| {
            let layer = of_kind(local).or(any);
            let width = |layer| turned.map_or_else(|| self.head_dim(layer), Ok);
            layer.map(|layer| self.rope(width(layer)?, local)).transpose()
        };
        let ropes: Vec<Rope> = [rope(false)?, rope(true)?].into_iter().flatten().collect();
        let layer = |i: usize| {
            let feeds_forward = recurrent::feeds_forward(self.config, i);
            Ok(LayerSpec {
                attention: attends(&i).then(|| self.attention(i, &ropes)).transpose()?,
                attention_scale: recurrent::attention_scale(self.config)?,
                keys: self.keys(i)?,
                recurrent: recurrent::read(self.config, i)?,
                ffn: feeds_forward.then(|| self.ffn(i)).transpose()?,
                scaled: self.config.names.has(i, "layer_output_scale.weight"),
            })
        };
        (0..layers).map(layer).collect()
    }

    fn rope(&self, head_dim: usize, local: bool) -> Result<Rope, ModelError> {
        let (read, style): (fn(&Config<'_>, _, _, _) -> _, _) = match self.config.gguf() {
            true => (rope_gguf::read, self.config.arch.attn.gguf_rope),
            false => (rope_hf::read, self.config.arch.attn.hf_rope),
        };
        let rope = read(self.config, head_dim, local, self.context)?.rope(head_dim, style);
        // Where positions have several dimensions, GLM 4's files have halves of heads as all others.
        let rope = if style == RopeStyle::Pairs && self.has_sections()? {
            Rope { style: RopeStyle::Halves, ..rope }
        } else {
            rope
        };
        // NanoChat turns the other way.
        let backwards = self.config.arch.name == "nanochat";
        Ok(if backwards { Rope { freqs: rope.freqs.iter().map(|freq| -freq).collect(), ..rope } } else { rope })
    }

    /// Whether a GGUF file of GLM 4 has positions of several dimensions.
    fn has_sections(&self) -> Result<bool, ModelError> {
        let sections = match self.config.arch.name {
            "glm4" if self.config.gguf() => self.config.read::<Vec<u32>>(SECTIONS)?,
            _ => None,
        };
        Ok(sections.is_some_and(|sections| sections.iter().any(|&pairs| pairs > 0)))
    }

    fn head_dim(&self, layer: usize) -> Result<usize, ModelError> {
        if let Some(latent) = self.latent()? {
            return Ok(latent.rank + latent.turned);
        }
        let of_kind = match (self.layers.window(layer), self.config.gguf()) {
            (Some(_), _) => self.config.layer_size(LOCAL_HEAD_DIM, layer)?,
            (None, true) => None,
            (None, false) => self.config.size(GLOBAL_HEAD_DIM)?,
        };
        let given = match self.config.own_size(HEAD_DIM, layer)?.or(of_kind) {
            None => self.config.size(HEAD_DIM)?,
            own => own,
        };
        let head_dim = given.map_or_else(|| Ok(self.width / self.heads(layer)?), Ok)?;
        match head_dim {
            0 => Err(self.config.invalid(HEADS, format!("is more than the width, {}", self.width))),
            n if n % 2 == 1 => {
                Err(self.config.unsupported(HEAD_DIM, format!("heads of {n} cannot be rotated in pairs")))
            }
            n => Ok(n),
        }
    }

    pub(super) fn heads(&self, layer: usize) -> Result<usize, ModelError> {
        let own = self.config.read::<Vec<usize>>(HEADS_OF_LAYERS)?.and_then(|heads| heads.get(layer).copied());
        match own.map_or_else(|| self.config.layer_size(HEADS, layer), |own| Ok(Some(own)))? {
            Some(0) => Err(self.config.unsupported(HEADS, format!("layer {layer} has no attention"))),
            heads => heads.ok_or_else(|| self.config.missing(HEADS)),
        }
    }

    /// Falcon's first models have one head of keys and values or as many as of queries, whatever number stands beside.
    pub(super) fn falcon_kv_heads(&self) -> Result<usize, ModelError> {
        let flag = |name| self.config.flag(Key(name, ""));
        match (flag("new_decoder_architecture")?.unwrap_or(false), flag("multi_query")?.unwrap_or(true)) {
            (true, _) => self.config.size(Key("num_kv_heads", ""))?.map_or_else(|| self.heads(0), Ok),
            (false, true) => Ok(1),
            (false, false) => self.heads(0),
        }
    }

    fn attention(&self, i: usize, ropes: &[Rope]) -> Result<AttentionSpec, ModelError> {
        let (config, row) = (self.config, &self.config.arch.attn);
        let (heads, head_dim) = (self.heads(i)?, self.head_dim(i)?);
        let window = self.layers.window(i);
        let bias = config.flag(ATTENTION_BIAS)?.unwrap_or(false);
        let has = |what: &str| (config.gguf() || config.arch.extras.found_biases) && config.names.has(i, what);
        Ok(AttentionSpec {
            heads,
            kv_heads: if config.arch.extras.latent { 1 } else { self.kv_heads(i)?.unwrap_or(heads) },
            head_dim,
            scale: self.scale(head_dim, heads)? * recurrent::score_scale(config)?,
            window,
            softcap: if row.softcap { config.positive(SCORE_CAP)?.map(|cap| cap as f32) } else { None },
            rope: self.layers.has_rope(i).then(|| ropes[usize::from(window.is_some())].clone()),
            growth: match config.gguf() {
                true => rope_gguf::growth(config)?,
                false => rope_hf::growth(config)?,
            },
            qk_norm: match row.qk_norm_optional && !config.names.has(i, "attn_q_norm.weight") {
                true => QkNorm::None,
                false if config.arch.extras.unit_embed() && !config.gguf() => QkNorm::Unit,
                false => row.qk_norm,
            },
            gate: match row.gate {
                Gate::PerHead if !config.names.has(i, "attn_gate.weight") => Gate::None,
                Gate::Softplus if config.names.rows(i, "attn_gate.weight") == Some(heads) => Gate::SoftplusPerHead,
                gate => gate,
            },
            sinks: row.sinks,
            biases: Biases {
                qkv: row.qkv_bias || bias || QKV_BIASES.iter().any(|name| has(name)),
                output: config.flag(row.output_bias)?.unwrap_or(false) || has("attn_output.bias"),
            },
        })
    }

    fn scale(&self, head_dim: usize, heads: usize) -> Result<f32, ModelError> {
        if let Some(latent) = self.latent()? {
            return self.latent_scale(&latent);
        }
        if let Some(scale) = self.config.positive(ATTENTION_SCALE)? {
            return Ok(scale as f32);
        }
        // The 27B Gemmas scale by another width than the head's, which GGUF files do not say; llama.cpp knows them by
        // their layers as well.
        let of_width = match (self.config.arch.name, self.layers.count()) {
            ("gemma2", 46) | ("gemma3", 62) if self.config.gguf() => Some((self.width / heads) as f64),
            _ => self.config.positive(QUERY_SCALAR)?,
        };
        let factor = self.config.positive(QUERY_FACTOR)?.unwrap_or(1.0);
        Ok((factor * of_width.unwrap_or(head_dim as f64).powf(-0.5)) as f32)
    }

    fn ffn(&self, i: usize) -> Result<FfnSpec, ModelError> {
        let (config, experts) = (self.config, self.experts(i)?);
        let width = match experts {
            Some(_) => {
                config.layer_size(EXPERT_FFN, i)?.map_or_else(|| self.dense_width(i), |width| Ok(Some(width)))?
            }
            None => recurrent::dense_width(config, i).map_or_else(|| self.dense_width(i), |width| Ok(Some(width)))?,
        };
        let has = |what: &str| (config.gguf() || config.arch.extras.found_biases) && config.names.has(i, what);
        Ok(FfnSpec {
            width: width.filter(|&n| n > 0).ok_or_else(|| config.missing(FFN))?,
            act: activation::read(config, i)?,
            gated: config.arch.extras.gated,
            sparsity: self.sparsity(i)?,
            scales: recurrent::ffn_scales(config)?,
            bias: match experts {
                Some(_) => config.arch.experts == ExpertLayout::Interleaved || has("ffn_gate_inp.bias"),
                None => config.flag(MLP_BIAS)?.unwrap_or(false) || has("ffn_down.bias"),
            },
            experts,
        })
    }

    fn experts(&self, i: usize) -> Result<Option<ExpertSpec>, ModelError> {
        let config = self.config;
        let Some(count) = self.first_size(&EXPERTS_OTHERS, i)? else { return Ok(None) };
        if !config.names.has(i, "ffn_gate_inp.weight") {
            return Ok(None);
        }
        let used = self.first_size(&EXPERTS_USED_OTHERS, i)?.ok_or_else(|| config.missing(EXPERTS_USED))?;
        if used > count {
            return Err(config.invalid(EXPERTS_USED, format!("{used} experts of {count} cannot be chosen")));
        }
        let renormalized = config.flag(NORM_TOP)?.unwrap_or(true);
        let (gating, selection_bias) = (config.size(GATING)?, config.names.has_selection_bias(i));
        let squash = match gating {
            Some(2) => Some(Squash::Sigmoid),
            // Files of DeepSeek's third version and of GLM 4.7 Flash go by the name of the second.
            None if config.gguf() && config.arch.extras.latent && selection_bias => Some(Squash::Sigmoid),
            Some(1) if config.arch.extras.averaged => None,
            None if config.arch.extras.averaged && !config.gguf() && config.read(SELECTION)? != Some("sigmoid") => None,
            _ => config.arch.squash,
        };
        let mut scale = config.positive(EXPERTS_SCALE)?;
        for key in EXPERTS_SCALE_OTHERS {
            scale = scale.map_or_else(|| config.positive(key), |scale| Ok(Some(scale)))?;
        }
        Ok(Some(ExpertSpec {
            count,
            used,
            squash,
            selection_bias,
            groups: self.groups(squash)?,
            scoring: match (squash, renormalized) {
                (None, true) => GateScoring::SoftmaxChosen,
                (None, false) => GateScoring::SoftmaxAll,
                (Some(_), true) => GateScoring::Shared,
                (Some(_), false) => GateScoring::Kept,
            },
            scale: scale.unwrap_or(1.0) as f32,
            scaled: config.names.has(i, "ffn_down_exps.scale"),
            latent: recurrent::latent_width(config, i),
            shared: self.shared(i)?,
        }))
    }

    /// Groups of experts, where there are several. With sigmoids two experts speak for a group, with a softmax one, and only if
    /// config.json says so.
    fn groups(&self, squash: Option<Squash>) -> Result<Option<Groups>, ModelError> {
        let config = self.config;
        let Some(count) = config.size(GROUPS)?.filter(|&count| count > 1) else { return Ok(None) };
        let sigmoid = squash == Some(Squash::Sigmoid);
        if !sigmoid && !config.gguf() && config.read(GROUPS_METHOD)? != Some("group_limited_greedy") {
            return Ok(None);
        }
        Ok(Some(Groups { count, used: config.require(GROUPS_USED)?, best: if sigmoid { 2 } else { 1 } }))
    }

    /// Its width is its matrices': files have it under many names, and as a multiple of other numbers.
    fn shared(&self, i: usize) -> Result<Option<SharedSpec>, ModelError> {
        let names = &self.config.names;
        if names.has(i, "pre_ffw_norm_2.weight") {
            let width = self.dense_width(i)?.ok_or_else(|| self.config.missing(FFN))?;
            return Ok(Some(SharedSpec { width, gated: false, averaged: false, dense: true }));
        }
        let averaged = self.config.arch.extras.averaged && self.config.read(COMBINED)? != Some("sum");
        let dims = names.layer(i, "ffn_down_shexp.weight").iter().find_map(|name| names.dims(name));
        let Some(&width) = dims.and_then(|dims| dims.last()) else { return Ok(None) };
        let gated = names.has(i, "ffn_gate_inp_shexp.weight");
        Ok(Some(SharedSpec { width, gated, averaged, dense: false }))
    }

    fn first_size(&self, keys: &[Key], layer: usize) -> Result<Option<usize>, ModelError> {
        for &key in keys {
            if let Some(size) = self.config.layer_size(key, layer)? {
                return Ok(Some(size));
            }
        }
        Ok(None)
    }
}
