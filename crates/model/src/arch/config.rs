//! Reads a model's numbers from config.json or GGUF metadata under one interface.

use crate::bind::Names;
use crate::convert::FromValue;
use crate::{Checkpoint, Format, Metadata, ModelError, Value};

use super::Arch;

/// A number's key in config.json and, after the architecture's name, in GGUF. An empty one means that the format has
/// no such key.
#[derive(Clone, Copy)]
pub(crate) struct Key(pub &'static str, pub &'static str);

/// Other names of keys in config.json.
const ALIASES: &[(&str, &str)] = &[
    ("num_hidden_layers", "num_layers"),
    ("rms_norm_eps", "layer_norm_epsilon"),
    ("layer_norm_eps", "layer_norm_epsilon"),
    ("hidden_act", "activation"),
    ("hidden_act", "activation_function"),
    ("attention_bias", "qkv_bias"),
    ("mlp_bias", "bias"),
    ("num_nextn_predict_layers", "num_mtp_layers"),
    ("max_position_embeddings", "model_max_length"),
    ("num_experts_per_tok", "num_experts_per_token"),
    ("norm_topk_prob", "moe_renormalize"),
    ("n_group", "num_expert_group"),
    ("hidden_size", "n_embd"),
    ("num_hidden_layers", "n_layer"),
    ("num_attention_heads", "n_head"),
    ("intermediate_size", "n_inner"),
    // What it was trained for, before what its table of positions has room for.
    ("max_position_embeddings", "max_trained_positions"),
    ("max_position_embeddings", "n_positions"),
    ("hidden_act", "hidden_activation"),
    ("sliding_window", "local_attention"),
    ("sliding_window_pattern", "global_attn_every_n_layers"),
    ("rope_theta", "global_rope_theta"),
    ("rope_local_base_freq", "local_rope_theta"),
];

/// More than any model has; bounds what a hostile file can make us allocate.
const MOST: usize = 1 << 20;

/// The numbers of one checkpoint.
pub(crate) struct Config<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) arch: &'static Arch,
    pub(crate) names: Names<'a>,
    /// The text model's: `text_config` where config.json describes more than text.
    pub(crate) metadata: &'a Metadata,
    prefix: String,
}

impl<'a> Config<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint) -> Result<Config<'a>, ModelError> {
        let arch = Arch::of(checkpoint)?;
        let root = checkpoint.metadata();
        let (metadata, prefix) = match checkpoint.format() {
            Format::Gguf => (root, root.require::<String>("general.architecture")?),
            Format::Safetensors => (root.read("text_config")?.unwrap_or(root), String::new()),
        };
        Ok(Config { checkpoint, arch, names: Names::new(checkpoint, arch)?, metadata, prefix })
    }

    pub(crate) fn gguf(&self) -> bool {
        self.checkpoint.format() == Format::Gguf
    }

    /// The key as this checkpoint's format spells it.
    pub(crate) fn name(&self, key: Key) -> String {
        if self.gguf() { format!("{}.{}", self.prefix, key.1) } else { self.spelled(key.0).to_owned() }
    }

    /// The key, or another name of it if config.json has that.
    fn spelled(&self, key: &'static str) -> &'static str {
        if self.metadata.get(key).is_some() {
            return key;
        }
        let mut others = ALIASES.iter().filter(|(name, _)| *name == key).map(|(_, other)| *other);
        others.find(|other| self.metadata.get(other).is_some()).unwrap_or(key)
    }

    fn absent(&self, key: Key) -> bool {
        if self.gguf() { key.1.is_empty() } else { key.0.is_empty() }
    }

    pub(crate) fn read<T: FromValue<'a>>(&self, key: Key) -> Result<Option<T>, ModelError> {
        if self.absent(key) { Ok(None) } else { self.metadata.read(&self.name(key)) }
    }

    /// What the table says for an absent key; null is an answer.
    pub(crate) fn default(&self, key: Key) -> Option<f64> {
        let (gguf, hf) = (self.gguf(), self.name(key));
        let wanted = |name: &str| if gguf { name.strip_prefix('.') == Some(key.1) } else { name == key.0 };
        let mut all = self.arch.defaults.iter().chain(super::defaults::COMMON_DEFAULTS);
        all.find(|(name, _)| wanted(name) && !self.metadata.is_null(&hf)).map(|d| d.1)
    }

    /// A number, from the file or the table.
    pub(crate) fn number(&self, key: Key) -> Result<Option<f64>, ModelError> {
        let number = self.read::<f64>(key)?.or_else(|| self.default(key));
        match number {
            Some(n) if !n.is_finite() || n.abs() > 1e30 => Err(self.invalid(key, format!("must be finite, not {n:?}"))),
            _ => Ok(number),
        }
    }

    /// A number above zero; zero counts as absent, as llama.cpp and transformers mean it.
    pub(crate) fn positive(&self, key: Key) -> Result<Option<f64>, ModelError> {
        match self.number(key)? {
            Some(n) if n < 0.0 => Err(self.invalid(key, format!("must be positive, not {n:?}"))),
            n => Ok(n.filter(|&n| n > 0.0)),
        }
    }

    pub(crate) fn flag(&self, key: Key) -> Result<Option<bool>, ModelError> {
        Ok(self.read::<bool>(key)?.or_else(|| self.default(key).map(|n| n != 0.0)))
    }

    /// A size: a whole number above zero.
    pub(crate) fn size(&self, key: Key) -> Result<Option<usize>, ModelError> {
        let size = self.read::<usize>(key)?.or_else(|| self.default(key).map(|n| n as usize));
        match size {
            Some(n) if n > MOST && key.0 != "max_position_embeddings" && key.0 != "sliding_window" => {
                Err(self.invalid(key, format!("{n} is more than any model has")))
            }
            _ => Ok(size.filter(|&n| n > 0)),
        }
    }

    pub(crate) fn require(&self, key: Key) -> Result<usize, ModelError> {
        self.size(key)?.ok_or_else(|| self.missing(key))
    }

    /// A size that either format may give for each layer.
    pub(crate) fn layer_size(&self, key: Key, layer: usize) -> Result<Option<usize>, ModelError> {
        if let Some(own) = self.own_size(key, layer)? {
            return Ok(Some(own));
        }
        let Some(Value::List(_)) = self.metadata.get(&self.name(key)) else { return self.size(key) };
        let list = self.read::<Vec<usize>>(key)?.unwrap_or_default();
        let Some(&n) = list.get(layer) else {
            return Err(self.invalid(key, format!("has {} values, none for layer {layer}", list.len())));
        };
        if n > MOST { Err(self.invalid(key, format!("{n} is more than any model has"))) } else { Ok(Some(n)) }
    }

    /// What config.json says of that layer alone.
    pub(crate) fn own_size(&self, key: Key, layer: usize) -> Result<Option<usize>, ModelError> {
        if self.gguf() {
            return Ok(None);
        }
        let layers: Option<&Metadata> = self.metadata.read("per_layer_config")?;
        let own: Option<&Metadata> = layers.map_or(Ok(None), |layers| layers.read(&layer.to_string()))?;
        let size = own.map_or(Ok(None), |own| own.read::<usize>(key.0))?;
        match size {
            Some(n) if n > MOST => Err(self.invalid(key, format!("{n} is more than any model has"))),
            size => Ok(size),
        }
    }

    pub(crate) fn missing(&self, key: Key) -> ModelError {
        self.invalid(key, "is missing; take a complete copy of the model")
    }

    pub(crate) fn invalid(&self, key: Key, problem: impl Into<String>) -> ModelError {
        self.metadata.invalid(&self.name(key), problem)
    }

    pub(crate) fn unsupported(&self, key: Key, problem: impl Into<String>) -> ModelError {
        self.metadata.unsupported(&self.name(key), problem)
    }
}
