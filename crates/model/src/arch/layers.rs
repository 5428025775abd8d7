//! What changes from layer to layer: windows, rope, experts; and what no layer can do.

use crate::{Format, ModelError, quantized};

use super::config::{Config, Key};
use super::family::BOTH_WAYS;
use super::spec::LAYERS;
use super::{Windows, encoders, recurrent};

pub(super) const WINDOW: Key = Key("sliding_window", "attention.sliding_window");
const USE_WINDOW: Key = Key("use_sliding_window", "");
const FROM_LAYER: Key = Key("max_window_layers", "");
pub(super) const PATTERN: Key = Key("sliding_window_pattern", "attention.sliding_window_pattern");
const OLD_PATTERN: Key = Key("_sliding_window_pattern", "");
const TYPES: Key = Key("layer_types", "");
pub(super) const ROPE_LAYERS: Key = Key("no_rope_layers", "attention.rope_pattern");
const DENSE_PATTERN: Key = Key("prefix_dense_sliding_window_pattern", "");
/// The rope's base in each layer; 0 where there is no rope.
const BASES: Key = Key("layer_rope_theta", "");
const ROPE_INTERVAL: Key = Key("no_rope_layer_interval", "");

/// What each layer has.
pub(super) struct Layers {
    windows: Vec<Option<usize>>,
    ropes: Vec<bool>,
}

impl Layers {
    pub(super) fn new(config: &Config<'_>, count: usize) -> Result<Layers, ModelError> {
        let mut ropes = ropes(config, count)?;
        let windows = windows(config, count, &ropes)?;
        if !config.arch.attn.global_rope && windows.iter().any(Option::is_some) {
            let always = |i: &usize| config.arch.extras.averaged && !config.names.has(*i, "ffn_gate_inp.weight");
            let plain = config.size(DENSE_PATTERN)?.unwrap_or(1) == 1;
            let rotated = |(i, window): (usize, &Option<usize>)| window.is_some() || plain && always(&i);
            ropes = windows.iter().enumerate().map(rotated).collect();
        }
        if !recurrent::rotated(config)? || !encoders::rotated(config) {
            ropes = vec![false; count];
        }
        Ok(Layers { windows, ropes })
    }

    /// With one more after them that sees all positions, rotated as others that do.
    pub(super) fn and_another(mut self) -> Layers {
        let alike = self.windows.iter().zip(&self.ropes).find(|(window, _)| window.is_none());
        let has_rope = alike.is_none_or(|(_, has_rope)| *has_rope);
        self.windows.push(None);
        self.ropes.push(has_rope);
        self
    }

    pub(super) fn count(&self) -> usize {
        self.ropes.len()
    }

    pub(super) fn window(&self, layer: usize) -> Option<usize> {
        self.windows[layer]
    }

    pub(super) fn has_rope(&self, layer: usize) -> bool {
        self.ropes[layer]
    }
}

/// The rope's base in layers with (`local`) or without a window, where config.json has one for each layer.
pub(super) fn own_base(config: &Config<'_>, local: bool) -> Result<Option<f64>, ModelError> {
    let Some(bases) = config.read::<Vec<f64>>(BASES)? else { return Ok(None) };
    let windows = windows(config, bases.len(), &vec![true; bases.len()])?;
    let of_kind = bases.iter().zip(&windows).filter(|&(&base, window)| window.is_some() == local && base != 0.0);
    let mut of_kind = of_kind.map(|(&base, _)| base);
    let first = of_kind.next();
    match of_kind.find(|&base| Some(base) != first) {
        Some(other) => Err(config.unsupported(BASES, format!("{other} beside another base in layers of one kind"))),
        None => Ok(first),
    }
}

/// The list in the file, or every layer but each n-th of the models that leave rope out.
fn ropes(config: &Config<'_>, count: usize) -> Result<Vec<bool>, ModelError> {
    if let Some(bases) = config.read::<Vec<f64>>(BASES)? {
        return long_enough(config, BASES, bases.into_iter().map(|base| base != 0.0).collect(), count);
    }
    let smollm = config.arch.attn.windows == Windows::NoRope;
    if !smollm && !config.gguf() {
        return Ok(vec![true; count]);
    }
    if let Some(list) = config.read::<Vec<bool>>(ROPE_LAYERS)? {
        return long_enough(config, ROPE_LAYERS, list, count);
    }
    let interval = match smollm {
        true => config.size(ROPE_INTERVAL)?.unwrap_or(4),
        false => usize::MAX,
    };
    Ok((0..count).map(|i| (i + 1) % interval != 0).collect())
}

fn windows(config: &Config<'_>, count: usize, ropes: &[bool]) -> Result<Vec<Option<usize>>, ModelError> {
    let row = config.arch.attn.windows;
    let types = layer_types(config, count)?;
    // SmolLM 3 obeys its list of layer types whatever this flag says.
    let listed = matches!(row, Windows::Gguf) || matches!(row, Windows::AfterFirst(_)) && types.is_none();
    let off = !config.gguf() && listed
        || config.flag(USE_WINDOW)? == Some(false) && (row != Windows::NoRope || types.is_none());
    let Some(window) = config.size(WINDOW)?.filter(|_| !off) else { return Ok(vec![None; count]) };
    // Encoders' files have what is seen on both sides.
    let window = if config.arch.extras.encoder().is_some() { window / 2 + 1 } else { window };
    let local = match types {
        Some(types) if row == Windows::All && types.contains(&false) => {
            let problem = "this architecture has its window in every layer or in none";
            return Err(config.unsupported(TYPES, problem));
        }
        Some(types) => types,
        None if config.arch.extras.recurrent.is_some() || row == Windows::Listed && !config.gguf() => {
            return Err(config.missing(TYPES));
        }
        None => pattern(config, count, ropes)?,
    };
    Ok(local.into_iter().map(|local| local.then_some(window)).collect())
}

/// Which layers are local, where config.json lists it.
fn layer_types(config: &Config<'_>, count: usize) -> Result<Option<Vec<bool>>, ModelError> {
    let Some(types) = config.read::<Vec<String>>(TYPES)? else { return Ok(None) };
    let local = types.iter().map(|t| match t.as_str() {
        "sliding_attention" => Ok(true),
        "full_attention" => Ok(false),
        _ if config.arch.extras.recurrent.is_some() => Ok(false),
        other => Err(config
            .unsupported(TYPES, format!("\"{other}\" is not supported; full_attention and sliding_attention are"))),
    });
    long_enough(config, TYPES, local.collect::<Result<_, _>>()?, count).map(Some)
}

/// Which layers are local by the family's rule, or by GGUF's list or interval.
fn pattern(config: &Config<'_>, count: usize, ropes: &[bool]) -> Result<Vec<bool>, ModelError> {
    let row = config.arch.attn.windows;
    if config.gguf() && matches!(config.metadata.get(&config.name(PATTERN)), Some(crate::Value::List(_))) {
        let list = config.read::<Vec<bool>>(PATTERN)?.unwrap_or_default();
        return long_enough(config, PATTERN, list, count);
    }
    if row == Windows::Listed {
        return Err(config.missing(PATTERN));
    }
    let from = config.size(FROM_LAYER)?.unwrap_or(0);
    let every = match row {
        Windows::Every(n) | Windows::ButFirst(n) => config.size(PATTERN)?.or(config.size(OLD_PATTERN)?).unwrap_or(n),
        _ => 1,
    };
    Ok((0..count)
        .map(|i| match row {
            Windows::Every(_) => (i + 1) % every != 0,
            Windows::AfterFirst(n) => i % n != 0,
            Windows::ButFirst(_) => i % every != 0,
            Windows::Last => i >= from,
            Windows::NoRope => config.gguf() || !ropes[i],
            Windows::All | Windows::Gguf | Windows::Listed => true,
        })
        .collect())
}

fn long_enough(config: &Config<'_>, key: Key, list: Vec<bool>, count: usize) -> Result<Vec<bool>, ModelError> {
    if list.len() < count {
        return Err(config.invalid(key, format!("has {} values for {count} layers", list.len())));
    }
    Ok(list)
}

/// Keys that change the numbers in ways that no graph here has, with the values that do not.
const REFUSED: &[(Key, f64)] = &[
    (Key("norm_bias", ""), 0.0),
    (Key("clip_qkv", "attention.clamp_kqv"), 0.0),
    (Key("norm_head", ""), 0.0),
    (Key("alibi", ""), 0.0),
    (Key("layer_sharing", ""), 0.0),
    (Key("", "attention.max_alibi_bias"), 0.0),
    (Key("", "attention.output_scale"), 0.0),
    (Key("", "attention.value_scale"), 0.0),
    (Key("", "rope.scaling.alpha"), 0.0),
    (Key("moe_router_logit_softcapping", ""), 0.0),
    (Key("moe_apply_router_weight_on_input", ""), 0.0),
];

/// And those that say of a decoder what encoders are.
const REFUSED_OF_DECODERS: [(Key, f64); 2] = [(Key(BOTH_WAYS, ""), 0.0), (Key("", "attention.causal"), 1.0)];

/// Refuses what changes the numbers and is not handled.
pub(super) fn refuse(config: &Config<'_>) -> Result<(), ModelError> {
    let of_decoders = if config.arch.extras.encoder().is_none() { &REFUSED_OF_DECODERS[..] } else { &[] };
    for &(key, harmless) in REFUSED.iter().chain(of_decoders) {
        let value = match config.metadata.get(&config.name(key)) {
            Some(&crate::Value::Bool(b)) => f64::from(u8::from(b)),
            // Only parts of images see each other; texts are causal.
            Some(crate::Value::Str(of)) if of == "vision" => continue,
            Some(_) => config.read::<f64>(key)?.unwrap_or(harmless),
            None => continue,
        };
        if value != harmless && value != 0.0 || (value == 0.0 && harmless == 1.0 && key.1.ends_with("causal")) {
            return Err(config.unsupported(key, format!("{value} is not supported")));
        }
    }
    refuse_heads(config)?;
    match config.checkpoint.format() {
        Format::Gguf => Ok(()),
        Format::Safetensors => refuse_quantized(config),
    }
}

/// Values as wide as keys, and rope on at all.
fn refuse_heads(config: &Config<'_>) -> Result<(), ModelError> {
    for (keys, values) in
        [("attention.key_length", "attention.value_length"), ("attention.key_length_swa", "attention.value_length_swa")]
    {
        let [wide, other] = [config.size(Key("", keys))?, config.size(Key("", values))?];
        if other.is_some() && wide.is_some() && other != wide && !config.arch.extras.latent {
            return Err(config.unsupported(Key("", values), format!("must be the same as {keys}")));
        }
    }
    if config.arch.name == "baichuan" && config.size(LAYERS)? == Some(40) {
        return Err(config.unsupported(LAYERS, "Baichuan of 13 billion parameters needs ALiBi, which is not supported"));
    }
    let rope = Key("", "rope.scaling.finetuned");
    if config.arch.name == "granite" && config.flag(rope)? == Some(false) {
        return Err(config.unsupported(rope, "Granite without rope is not supported"));
    }
    Ok(())
}

/// Weights that were quantized by others in a way that is not read. gpt-oss's own MXFP4 has a layout of its own.
fn refuse_quantized(config: &Config<'_>) -> Result<(), ModelError> {
    quantized::refuse(config.checkpoint.metadata(), config.arch.name == "gpt-oss")
}
