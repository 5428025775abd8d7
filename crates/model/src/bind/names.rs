//! What the two formats call a tensor.

use std::ops::Range;

use crate::arch::Arch;
use crate::spec::Norms;
use crate::{Checkpoint, Format, ModelError};

use super::{classic, encoders, recurrent};

/// The names of one checkpoint's tensors.
pub(crate) struct Names<'a> {
    checkpoint: &'a Checkpoint,
    norms: Norms,
    /// What stands before `embed_tokens`: `model.`, `language_model.model.` …; empty for GGUF.
    prefix: String,
    /// What the list of layers is called, in safetensors files.
    layers: &'static str,
    /// Whether it is an encoder.
    whole: bool,
    /// The layer whose tensors have names of their own ([`AHEAD`]).
    ahead: Option<usize>,
}

/// GGUF's name of a layer's tensor without its ending beside transformers' names of it. The feed-forward norm is not
/// here: its name depends on what other norms there are.
const LAYER: &[(&str, &[&str])] = &[
    ("attn_norm", &["input_layernorm"]),
    ("attn_q", &["self_attn.q_proj"]),
    ("attn_k", &["self_attn.k_proj"]),
    ("attn_v", &["self_attn.v_proj"]),
    ("attn_qkv", &["self_attn.qkv_proj"]),
    ("attn_output", &["self_attn.o_proj"]),
    ("attn_q_norm", &["self_attn.q_norm", "self_attn.query_layernorm"]),
    ("attn_k_norm", &["self_attn.k_norm", "self_attn.key_layernorm"]),
    ("attn_q_a", &["self_attn.q_a_proj"]),
    ("attn_q_a_norm", &["self_attn.q_a_layernorm"]),
    ("attn_q_b", &["self_attn.q_b_proj"]),
    ("attn_kv_a_mqa", &["self_attn.kv_a_proj_with_mqa"]),
    ("attn_kv_a_norm", &["self_attn.kv_a_layernorm"]),
    ("attn_kv_b", &["self_attn.kv_b_proj"]),
    ("post_attention_norm", &["post_norm1", "post_self_attn_layernorm", "post_attention_layernorm"]),
    ("post_ffw_norm", &["post_norm2", "post_feedforward_layernorm", "post_mlp_layernorm"]),
    ("ffn_gate", &["mlp.gate_proj"]),
    ("ffn_up", &["mlp.up_proj"]),
    ("ffn_gate_up", &["mlp.gate_up_proj"]),
    ("ffn_down", &["mlp.down_proj"]),
    (
        "ffn_gate_inp",
        &[
            "block_sparse_moe.gate",
            "block_sparse_moe.router.layer",
            "block_sparse_moe.router",
            "mlp.gate",
            "mlp.router",
            "mlp.gate.wg",
            "mlp.router.gate",
            "router.proj",
        ],
    ),
    (
        "ffn_gate_shexp",
        &[
            "mlp.shared_expert.gate_proj",
            "mlp.shared_experts.gate_proj",
            "mlp.shared_mlp.gate_proj",
            "block_sparse_moe.shared_experts.gate_proj",
        ],
    ),
    (
        "ffn_up_shexp",
        &[
            "mlp.shared_expert.up_proj",
            "mlp.shared_experts.up_proj",
            "mlp.shared_mlp.up_proj",
            "block_sparse_moe.shared_experts.up_proj",
        ],
    ),
    ("ffn_gate_up_shexp", &["shared_mlp.input_linear"]),
    (
        "ffn_down_shexp",
        &[
            "mlp.shared_expert.down_proj",
            "mlp.shared_experts.down_proj",
            "mlp.shared_mlp.down_proj",
            "block_sparse_moe.shared_experts.down_proj",
            "shared_mlp.output_linear",
        ],
    ),
    ("ffn_gate_inp_shexp", &["mlp.shared_expert_gate"]),
    ("attn_gate", &["self_attn.gate_proj", "self_attn.g_proj"]),
    ("pre_ffw_norm_2", &["pre_feedforward_layernorm_2"]),
    ("post_ffw_norm_1", &["post_feedforward_layernorm_1"]),
    ("post_ffw_norm_2", &["post_feedforward_layernorm_2"]),
    ("inp_gate", &["per_layer_input_gate"]),
    ("proj", &["per_layer_projection"]),
    ("post_norm", &["post_per_layer_input_norm"]),
    ("altup_correct_coef", &["altup.correction_coefs"]),
    ("altup_predict_coef", &["altup.prediction_coefs"]),
    ("altup_router", &["altup.modality_router"]),
    ("altup_router_norm", &["altup.router_norm"]),
    ("laurel_l", &["laurel.linear_left"]),
    ("laurel_r", &["laurel.linear_right"]),
    ("laurel_post_norm", &["laurel.post_laurel_norm"]),
    ("hidden_norm", &["hidden_norm"]),
    ("nextn.enorm", &["enorm"]),
    ("nextn.hnorm", &["hnorm"]),
    ("nextn.eh_proj", &["eh_proj"]),
    ("nextn.embed_tokens", &["embed_tokens"]),
    ("nextn.shared_head_norm", &["shared_head.norm"]),
    ("nextn.shared_head_head", &["shared_head.head"]),
];

/// As [`LAYER`], of tensors whose ending differs.
const WHOLE: &[(&str, &str)] = &[
    ("layer_output_scale.weight", "layer_scalar"),
    ("ffn_gate_inp.scale", "router.scale"),
    ("ffn_down_exps.scale", "router.per_expert_scale"),
    ("altup_correct_scale.weight", "altup.correct_output_scale"),
];

/// As [`LAYER`], of tensors outside of layers.
const GLOBAL: &[(&str, &str)] = &[
    ("per_layer_token_embd", "embed_tokens_per_layer"),
    ("per_layer_model_proj", "per_layer_model_projection"),
    ("per_layer_proj_norm", "per_layer_projection_norm"),
];

/// Qwen's name of what a layer that predicts ahead has beside its block, which is `mtp.layers.0`, by that of others.
const AHEAD: &[(&str, &str)] = &[
    ("enorm", "pre_fc_norm_embedding"),
    ("hnorm", "pre_fc_norm_hidden"),
    ("eh_proj", "fc"),
    ("shared_head.norm", "norm"),
];

/// What the list of layers may be called, besides the usual name.
const LISTS: &[&str] = &["h", "encoder.layer", "encoder.layers"];

const SELECTION_BIAS: &[&str] = &[
    "mlp.gate.e_score_correction_bias",
    "mlp.gate.expert_bias",
    "block_sparse_moe.gate.e_score_correction_bias",
    "block_sparse_moe.e_score_correction_bias",
    "mlp.experts.e_score_correction_bias",
    "mlp.e_score_correction_bias",
    "mlp.moe_statics.e_score_correction_bias",
    "mlp.expert_bias",
    "feed_forward.expert_bias",
    "mixer.gate.e_score_correction_bias",
    "mixer.gate.e_score_correction.bias",
];

impl Names<'_> {
    /// What a module of a layer may be called in GGUF, without the layer.
    pub(crate) fn in_gguf(module: &str) -> impl Iterator<Item = &'static str> {
        let all = LAYER.iter().chain(recurrent::LAYER).chain(classic::LAYER);
        all.filter(move |(_, modules)| modules.contains(&module)).map(|(gguf, _)| *gguf)
    }
}

impl<'a> Names<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint, arch: &Arch) -> Result<Names<'a>, ModelError> {
        let prefix = match checkpoint.format() {
            Format::Gguf => String::new(),
            Format::Safetensors => {
                let ending = |name: &&str| checkpoint.tensors().iter().find_map(|t| t.name.strip_suffix(*name));
                let missing = || checkpoint.invalid("model.embed_tokens.weight", "the tensor is missing");
                classic::EMBED.iter().find_map(ending).ok_or_else(missing)?.to_owned()
            }
        };
        let has =
            |layers: &&&str| checkpoint.tensors().iter().any(|t| t.name.starts_with(&format!("{prefix}{layers}.0.")));
        let layers = LISTS.iter().find(has).copied().unwrap_or("layers");
        let whole = arch.extras.encoder().is_some();
        Ok(Names { checkpoint, norms: arch.norms, prefix, layers, whole, ahead: None })
    }

    /// As names of a model that has this layer after its last, which predicts ahead.
    pub(crate) fn look_ahead(&mut self, layer: usize) {
        let is_apart = self.checkpoint.tensor("mtp.fc.weight").is_some();
        self.ahead = Some(layer).filter(|_| is_apart && !self.gguf());
    }

    fn gguf(&self) -> bool {
        self.checkpoint.format() == Format::Gguf
    }

    /// The embedding.
    pub(crate) fn embed(&self) -> String {
        if self.gguf() {
            return "token_embd.weight".into();
        }
        self.present(classic::EMBED.iter().map(|name| format!("{}{name}", self.prefix)))
    }

    /// The norm before the output.
    pub(crate) fn output_norm(&self) -> String {
        let names = classic::OUTPUT_NORM.iter().filter(|(gguf, _)| *gguf == self.gguf());
        self.present(names.map(|(_, name)| format!("{}{name}.weight", self.prefix)))
    }

    /// The first of the names that the file has, or the first.
    fn present(&self, mut names: impl Iterator<Item = String>) -> String {
        let first = names.next().unwrap_or_default();
        let present = |name: &String| self.checkpoint.tensor(name).is_some();
        if present(&first) { first } else { names.find(present).unwrap_or(first) }
    }

    /// The bias of the output matrix, if the file has one.
    pub(crate) fn output_bias(&self) -> Option<&'a str> {
        let name = if self.gguf() { "output.bias" } else { "lm_head.bias" };
        self.checkpoint.tensor(name).map(|t| t.name.as_str())
    }

    /// The output matrix, if the file has one of its own.
    pub(crate) fn output(&self) -> Option<&'a str> {
        let names: &[&str] = match self.checkpoint.format() {
            Format::Gguf => &["output.weight"],
            Format::Safetensors => &["lm_head.weight", "language_model.lm_head.weight", "embed_out.weight"],
        };
        names.iter().find_map(|name| self.checkpoint.tensor(name)).map(|t| t.name.as_str())
    }

    /// Whether the output matrix is absent or the embedding over again.
    pub(crate) fn same_output(&self) -> bool {
        let output = self.output().and_then(|name| self.checkpoint.tensor(name));
        let embed = self.checkpoint.tensor(&self.embed());
        output.is_none() || output.map(|t| self.checkpoint.bytes(t)) == embed.map(|t| self.checkpoint.bytes(t))
    }

    /// Size of the vocabulary: the rows of the embedding.
    pub(crate) fn vocab(&self) -> Result<usize, ModelError> {
        let name = self.embed();
        match self.checkpoint.tensor(&name).map(|t| t.dims.as_slice()) {
            Some(&[vocab, _]) => Ok(vocab),
            Some(dims) => Err(self.checkpoint.invalid(&name, format!("is {dims:?}; it must have two dimensions"))),
            None => Err(self.checkpoint.invalid(&name, "the tensor is missing; take a complete copy of the model")),
        }
    }

    /// Whether the layer has the tensor of that GGUF name.
    pub(crate) fn has(&self, layer: usize, tensor: &str) -> bool {
        self.layer(layer, tensor).iter().any(|name| self.checkpoint.tensor(name).is_some())
    }

    /// What the layer's tensor of that GGUF name may be called in this checkpoint.
    pub(crate) fn layer(&self, layer: usize, tensor: &str) -> Vec<String> {
        if self.gguf() {
            // gpt-oss's feed-forward norm goes by the name of a norm after attention, Falcon-H1's has no ending.
            let others: &[&str] = match (self.norms, tensor) {
                (Norms::Pre, "ffn_norm.weight") => &["post_attention_norm.weight", "ffn_norm"],
                // Falcon's norm of attention is the second one if there are two; the first one is then the feed-forward part's.
                (Norms::Beside, "attn_norm.weight" | "attn_norm.bias") if self.has_second_norm(layer) => {
                    return vec![format!("blk.{layer}.{}", tensor.replace("norm", "norm_2"))];
                }
                (Norms::Beside, "ffn_norm.weight") if self.has_second_norm(layer) => &["attn_norm.weight"],
                (Norms::Beside, "ffn_norm.bias") if self.has_second_norm(layer) => &["attn_norm.bias"],
                _ => &[],
            };
            return [tensor].iter().chain(others).map(|name| format!("blk.{layer}.{name}")).collect();
        }
        // A head of its own has these once, whatever its layers.
        if let Some(name) = tensor.strip_prefix("eagle3.") {
            return vec![name.to_owned()];
        }
        if let Some((_, whole)) = WHOLE.iter().find(|(gguf, _)| *gguf == tensor) {
            return vec![self.module(layer, whole)];
        }
        let (stem, ending) = tensor.rsplit_once('.').unwrap_or((tensor, ""));
        let stems = match (stem, self.norms) {
            ("ffn_norm", Norms::Both) => {
                vec!["pre_feedforward_layernorm", "pre_mlp_layernorm", "ffn_norm", "post_attention_layernorm"]
            }
            ("ffn_norm", _) => classic::FFN_NORM.to_vec(),
            (stem, Norms::Sum) if encoders::SUM.iter().any(|(gguf, _)| *gguf == stem) => {
                encoders::SUM.iter().filter(|(gguf, _)| *gguf == stem).flat_map(|(_, hf)| *hf).copied().collect()
            }
            _ => LAYER
                .iter()
                .chain(recurrent::LAYER)
                .chain(classic::LAYER)
                .chain(encoders::LAYER)
                .filter(|(gguf, _)| *gguf == stem)
                .flat_map(|(_, hf)| *hf)
                .copied()
                .collect(),
        };
        stems.iter().map(|stem| self.module(layer, &format!("{stem}.{ending}"))).collect()
    }

    /// One of several weights outside of layers that safetensors files have for each residual stream.
    pub(crate) fn numbered(&self, name: &str, i: usize) -> String {
        let module = if name == "altup_proj" { "altup_projections" } else { "altup_unembed_projections" };
        format!("{}{module}.{i}.weight", self.prefix)
    }

    fn has_second_norm(&self, layer: usize) -> bool {
        self.checkpoint.tensor(&format!("blk.{layer}.attn_norm_2.weight")).is_some()
    }

    /// A weight outside of layers, by GGUF's name without its ending.
    pub(crate) fn global(&self, name: &str) -> String {
        if self.gguf() {
            return format!("{name}.weight");
        }
        let named = |hf: &str| [format!("{}{hf}.weight", self.prefix), format!("{hf}.weight")];
        let others = GLOBAL.iter().chain(encoders::GLOBAL).filter(|(gguf, _)| *gguf == name);
        self.present(others.flat_map(|(_, hf)| named(hf)))
    }

    /// What the bias that decides on a layer's experts may be called.
    pub(crate) fn selection_bias(&self, layer: usize) -> Vec<String> {
        if self.gguf() {
            return vec![format!("blk.{layer}.exp_probs_b.bias")];
        }
        SELECTION_BIAS.iter().map(|name| self.module(layer, name)).collect()
    }

    /// Whether the layer has such a bias.
    pub(crate) fn has_selection_bias(&self, layer: usize) -> bool {
        self.selection_bias(layer).iter().any(|name| self.checkpoint.tensor(name).is_some())
    }

    /// The full name of a tensor of a layer in safetensors files.
    pub(crate) fn module(&self, layer: usize, tensor: &str) -> String {
        if self.ahead == Some(layer) {
            let (stem, ending) = tensor.rsplit_once('.').unwrap_or((tensor, ""));
            let beside = AHEAD.iter().find(|(name, _)| *name == stem);
            return beside.map_or_else(|| format!("mtp.layers.0.{tensor}"), |(_, name)| format!("mtp.{name}.{ending}"));
        }
        format!("{}{}.{layer}.{tensor}", self.prefix, self.layers)
    }

    /// Rows of the layer's matrix of that GGUF name.
    pub(crate) fn rows(&self, layer: usize, tensor: &str) -> Option<usize> {
        self.layer(layer, tensor).iter().find_map(|name| self.dims(name))?.first().copied()
    }

    /// The dimensions of a tensor.
    pub(crate) fn dims(&self, tensor: &str) -> Option<&[usize]> {
        self.checkpoint.tensor(tensor).map(|t| t.dims.as_slice())
    }

    /// The layer that a tensor belongs to by its name.
    pub(crate) fn layer_of(&self, tensor: &str) -> Option<usize> {
        if tensor.starts_with("mtp.") {
            return self.ahead;
        }
        let stem = if self.gguf() { "blk." } else { &format!("{}{}.", self.prefix, self.layers) };
        tensor.strip_prefix(stem)?.split('.').next()?.parse().ok()
    }

    /// Whether a tensor that no weight was made from belongs to the text model and changes its numbers. Those of the
    /// layers `guessing`, which guess tokens ahead, and of towers for images and sound do not.
    pub(crate) fn matters(&self, tensor: &str, guessing: Range<usize>) -> bool {
        if self.layer_of(tensor).is_some_and(|layer| guessing.contains(&layer)) {
            return false;
        }
        if self.gguf() {
            // Factors for activations in 4 bits: here activations have 8.
            if tensor.ends_with(".input_scale") {
                return false;
            }
            return !["rope_f", "v.", "a.", "mm."].iter().any(|start| tensor.starts_with(start));
        }
        tensor.starts_with(&self.prefix)
            && tensor.len() > self.prefix.len()
            && !classic::IDLE.iter().any(|ending| tensor.ends_with(ending))
            && !(self.whole && encoders::IDLE.iter().any(|start| tensor[self.prefix.len()..].starts_with(start)))
            && !tensor.contains(classic::ACTIVATION)
            && tensor != "lm_head.weight"
    }
}

/// The name of the bias beside a weight.
pub(super) fn bias_of(weight: &str) -> String {
    format!("{}.bias", weight.strip_suffix(".weight").unwrap_or(weight))
}
