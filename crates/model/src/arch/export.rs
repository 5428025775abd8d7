//! A model's numbers as the keys of a GGUF file: what the reader of `spec.rs` makes the same [`ModelSpec`] of, under the
//! names that llama.cpp reads.

mod recurrent;

use graph::{GateScoring, Squash};

use crate::checkpoint::LONGEST_TEXT;
use crate::gguf::GgufValue;
use crate::spec::{AttentionSpec, EncoderSpec, KeySource, LatentSpec, ModelSpec, NormKind, Norms};
use crate::{ModelError, PoolingType};

use super::config::{Config, Key};
use super::rope::{RopeNumbers, Scaling, Yarn, yarn_magnitude};
use super::{Arch, Windows, activation, altup, gemma4, latent, layers, rope_gguf, rope_hf, spec};

/// Numbers that both formats have under the same meaning.
const SAME: [Key; 4] = [spec::LOGIT_CAP, spec::EMBED_SCALE, spec::RESIDUAL_SCALE, spec::LOGIT_SCALE];
/// 1 is the mean of all rows, 2 the first, 3 the last, 4 what a head makes of one.
const POOLING: Key = Key("", "pooling_type");
/// MiniCPM's names are other ones in config.json.
const SCALES: [Key; 3] = [spec::EMBED_SCALE, spec::RESIDUAL_SCALE, spec::LOGIT_SCALE];

/// Families whose layer that predicts ahead llama.cpp's files have too.
pub(crate) const AHEAD: [&str; 6] = ["glm4moe", "deepseek2", "deepseek3", "qwen35", "qwen35moe", "qwen3next"];

/// The keys of a model that came with a config.json; the last `ahead` layers of `spec` are none of the model's, but predict ahead.
///
/// # Errors
/// If a number of config.json cannot be read.
pub(crate) fn keys(
    config: &Config<'_>,
    spec: &ModelSpec,
    ahead: usize,
) -> Result<Vec<(String, GgufValue)>, ModelError> {
    if config.arch.extras.unit_embed() {
        let problem = format!("\"{}\" has norms that GGUF has no key for; run it from its files", config.arch.name);
        return Err(config.checkpoint.metadata().unsupported("model_type", problem));
    }
    let known = !config.arch.gguf.is_empty() || spec.encoder.is_some() || like_llama(config.arch);
    if !known || UNWRITTEN.contains(&config.arch.name) {
        let problem = format!("\"{}\" has no form in GGUF that this program knows", config.arch.name);
        return Err(config.checkpoint.metadata().unsupported("model_type", problem));
    }
    let arch = config.arch.in_gguf();
    let mut keys = Keys { arch, name: name(arch, spec), ahead, all: Vec::new() };
    keys.all.push(("general.architecture".into(), GgufValue::Str(keys.name.into())));
    keys.sizes(config, spec)?;
    if arch.extras.recurrent.is_some() {
        keys.recurrent(config, spec)?;
    } else {
        keys.heads(config, spec)?;
        keys.windows(spec);
    }
    keys.read_texts(config, spec)?;
    spec.encoder.iter().for_each(|encoder| keys.encoder(spec.width, encoder));
    keys.kinds(spec);
    keys.experts(config, spec)?;
    keys.activation(config, spec)?;
    for key in SAME {
        keys.number(key, config.positive(key)?);
    }
    if config.arch.name == "minicpm" {
        let factors = [spec.scales.embed, spec.scales.residual, 1.0 / spec.scales.logits];
        SCALES.into_iter().zip(factors).for_each(|(key, factor)| keys.f32(key, factor.into()));
    }
    if !is_turned(spec) {
        return Ok(keys.all);
    }
    let (global, local) = (rope(config, spec, false)?, rope(config, spec, true)?);
    let latent_log = if config.arch.extras.latent { rope_hf::latent_log(config)? } else { None };
    keys.rope(&global, latent_log);
    if !global.factors.is_empty() && !stays(&global) {
        keys.size(rope_gguf::ORIGINAL, rope_hf::original(config)? as usize);
    }
    if local.base != global.base && spec.attentions().any(|a| a.window.is_some()) {
        keys.f32(rope_gguf::LOCAL_BASE, local.base);
    }
    if local.dims != global.dims {
        keys.size(rope_gguf::LOCAL_DIMS, local.dims);
    }
    Ok(keys.all)
}

/// Families whose GGUF files have weights in another form than the graph.
const UNWRITTEN: [&str; 3] = ["falcon", "kimi-linear", "minicpm3"];

/// Whether a family without a name in GGUF is what GGUF's Llama is.
fn like_llama(arch: &Arch) -> bool {
    let windows = matches!(arch.attn.windows, Windows::Gguf | Windows::All);
    let plain = arch.norms == Norms::Pre && arch.squash.is_none() && !arch.attn.sinks && !arch.embed_sqrt;
    windows && plain && arch.extras.recurrent.is_none()
}

/// Whether queries and keys are turned by their positions, or some are.
fn is_turned(spec: &ModelSpec) -> bool {
    let learned = spec.encoder.is_some_and(|encoder| encoder.positions.is_some());
    !learned && spec.attentions().next().is_some()
}

/// Whether some pairs stay in their places, for which there is no key but factors.
fn stays(rope: &RopeNumbers) -> bool {
    rope.factors.contains(&rope_hf::UNTURNED)
}

/// A layer with (`local`) or without a window; another one if there is none.
fn of_kind(spec: &ModelSpec, local: bool) -> &AttentionSpec {
    let wanted = spec.attentions().find(|a| a.window.is_some() == local);
    wanted.or(spec.attentions().next()).expect("asked of models with attention alone")
}

/// The factors that frequencies of the rope are divided by, as tensors: Llama 3's for every length, long rope's for short
/// and for long contexts.
///
/// # Errors
/// If a number of config.json cannot be read.
pub(crate) fn rope_factors(config: &Config<'_>, spec: &ModelSpec) -> Result<Vec<(&'static str, Vec<f32>)>, ModelError> {
    if !is_turned(spec) {
        return Ok(Vec::new());
    }
    let head_dim = of_kind(spec, false).head_dim;
    let numbers = rope(config, spec, false)?;
    let narrow = |factors: &[f64]| factors.iter().map(|&f| f as f32).collect();
    if let Scaling::Llama3 { .. } = numbers.scaling {
        return Ok(vec![("rope_freqs.weight", narrow(&numbers.divisors()))]);
    }
    if numbers.factors.is_empty() {
        return Ok(Vec::new());
    }
    if stays(&numbers) {
        return Ok(vec![("rope_freqs.weight", narrow(&numbers.factors))]);
    }
    let of = |context| Ok(narrow(&rope_hf::read(config, head_dim, false, context)?.factors));
    Ok(vec![("rope_factors_long.weight", of(usize::MAX)?), ("rope_factors_short.weight", of(1)?)])
}

fn rope(config: &Config<'_>, spec: &ModelSpec, local: bool) -> Result<RopeNumbers, ModelError> {
    let head_dim = match spec.layer(0).keys {
        KeySource::Latent(latent) => latent.turned,
        _ => of_kind(spec, local).head_dim,
    };
    rope_hf::read(config, head_dim, local, spec.context)
}

/// The architecture's name: some mixtures have one of their own, the last.
fn name(arch: &'static Arch, spec: &ModelSpec) -> &'static str {
    let mixture = spec.blocks.iter().any(|layer| layer.ffn.as_ref().is_some_and(|ffn| ffn.experts.is_some()));
    let names = arch.gguf;
    if mixture && arch.extras.recurrent.is_some() { names[names.len() - 1] } else { names[0] }
}

/// Keys being collected.
struct Keys {
    arch: &'static Arch,
    /// The architecture's name in GGUF.
    name: &'static str,
    /// How many of the last layers predict ahead.
    ahead: usize,
    all: Vec<(String, GgufValue)>,
}

impl Keys {
    fn set(&mut self, key: Key, value: GgufValue) {
        self.all.push((format!("{}.{}", self.name, key.1), value));
    }

    fn size(&mut self, key: Key, n: usize) {
        self.set(key, GgufValue::U32(n as u32));
    }

    fn sizes_of_layers(&mut self, key: Key, sizes: &[usize]) {
        self.set(key, GgufValue::I32s(sizes.iter().map(|&n| n as i32).collect()));
    }

    fn f32(&mut self, key: Key, x: f64) {
        self.set(key, GgufValue::F32(x as f32));
    }

    /// A number, or zero where its absence would mean another one.
    fn number(&mut self, key: Key, x: Option<f64>) {
        if x.is_some() || self.default(key).is_some() {
            self.f32(key, x.unwrap_or(0.0));
        }
    }

    /// What the table says for a key that a GGUF file lacks.
    fn default(&self, key: Key) -> Option<f64> {
        self.arch.defaults.iter().find(|(name, _)| name.strip_prefix('.') == Some(key.1)).map(|d| d.1)
    }

    fn sizes(&mut self, config: &Config<'_>, spec: &ModelSpec) -> Result<(), ModelError> {
        self.size(spec::CONTEXT, spec.context);
        self.size(spec::WIDTH, spec.width);
        self.size(spec::LAYERS, spec.layers);
        if self.ahead > 0 {
            self.size(spec::GUESSING, self.ahead);
        }
        self.size(Key("", "vocab_size"), spec.vocab);
        let dense = |i: usize| spec.layer(i).ffn.as_ref().filter(|ffn| ffn.experts.is_none()).map(|ffn| ffn.width);
        match (0..spec.layers).map(dense).collect::<Option<Vec<usize>>>() {
            Some(widths) if widths.iter().any(|&width| width != widths[0]) => self.sizes_of_layers(spec::FFN, &widths),
            _ => config.size(spec::FFN)?.into_iter().for_each(|width| self.size(spec::FFN, width)),
        }
        match spec.norm.kind {
            NormKind::Rms => self.f32(spec::EPS, spec.norm.eps.into()),
            NormKind::Layer { .. } => self.f32(spec::LAYER_EPS, spec.norm.eps.into()),
        }
        if config.flag(spec::PARALLEL)?.is_some() {
            self.set(spec::PARALLEL, GgufValue::Bool(spec.norms.parallel()));
        }
        if self.arch.extras.logit_factor.is_some() {
            self.f32(spec::LOGIT_FACTOR, spec.scales.logits.into());
        }
        Ok(())
    }

    fn heads(&mut self, config: &Config<'_>, spec: &ModelSpec) -> Result<(), ModelError> {
        let (attention, local) = (of_kind(spec, false), of_kind(spec, true));
        let heads: Vec<usize> = spec.attentions().map(|a| a.heads).collect();
        if heads.iter().all(|&n| n == attention.heads) {
            self.size(spec::HEADS, attention.heads);
        } else {
            self.sizes_of_layers(spec::HEADS, &heads);
        }
        if local.kv_heads == attention.kv_heads {
            self.size(spec::KV_HEADS, attention.kv_heads);
        } else {
            let heads: Vec<usize> = spec.attentions().map(|a| a.kv_heads).collect();
            self.sizes_of_layers(spec::KV_HEADS, &heads);
        }
        if local.head_dim != attention.head_dim {
            self.size(spec::LOCAL_HEAD_DIM, local.head_dim);
            self.size(Key("", "attention.value_length_swa"), local.head_dim);
        }
        self.size(spec::HEAD_DIM, attention.head_dim);
        if let KeySource::Latent(latent) = spec.layer(0).keys {
            return self.latent(&latent);
        }
        self.size(Key("", "attention.value_length"), attention.head_dim);
        if let Some(growth) = attention.growth {
            self.f32(rope_gguf::GROWTH, growth.rate.into());
        }
        let usual = (attention.head_dim as f64).powf(-0.5) as f32;
        if attention.scale != usual {
            self.f32(spec::ATTENTION_SCALE, attention.scale.into());
        }
        if self.arch.attn.softcap {
            self.number(spec::SCORE_CAP, config.positive(spec::SCORE_CAP)?);
        }
        Ok(())
    }

    fn latent(&mut self, latent: &LatentSpec) -> Result<(), ModelError> {
        self.size(Key("", "attention.value_length"), latent.rank);
        self.size(latent::KEY, latent.plain + latent.turned);
        self.size(latent::VALUE, latent.value);
        self.size(latent::RANK, latent.rank);
        latent.queries.into_iter().for_each(|rank| self.size(latent::QUERY_RANK, rank));
        Ok(())
    }

    /// The window, and which layers have it where that is not the family's rule.
    fn windows(&mut self, spec: &ModelSpec) {
        let layers = || spec.attentions();
        let rule = self.arch.attn.windows;
        let ropes: Vec<bool> = layers().map(|a| a.rope.is_some()).collect();
        let left_out = |i: usize| rule == Windows::NoRope && (i + 1).is_multiple_of(4);
        if is_turned(spec) && (0..spec.layers).any(|i| ropes[i] == left_out(i)) {
            self.set(layers::ROPE_LAYERS, GgufValue::Bools(ropes));
        }
        let Some(window) = layers().find_map(|a| a.window) else {
            return self.no_window();
        };
        // Of encoders both sides are counted.
        self.size(layers::WINDOW, if spec.encoder.is_some() { 2 * (window - 1) } else { window });
        let local: Vec<bool> = layers().map(|a| a.window.is_some()).collect();
        let begin = usize::from(matches!(rule, Windows::Every(_)));
        let every = |n: usize| (0..spec.layers).all(|i| local[i] == ((i + begin) % n != 0));
        match rule {
            _ if self.arch.extras.proportional.is_some() => self.set(layers::PATTERN, GgufValue::Bools(local)),
            Windows::Every(n) | Windows::ButFirst(n) if every(n) => {}
            Windows::Every(_) | Windows::ButFirst(_) => match (2..=spec.layers).find(|&n| every(n)) {
                Some(n) => self.size(layers::PATTERN, n),
                None => self.set(layers::PATTERN, GgufValue::Bools(local)),
            },
            _ if local.iter().all(|&local| local) => {}
            _ => self.set(layers::PATTERN, GgufValue::Bools(local)),
        }
    }

    /// How rows become a vector or scores.
    fn read_texts(&mut self, config: &Config<'_>, spec: &ModelSpec) -> Result<(), ModelError> {
        if let Some(most) = config.checkpoint.longest_text()? {
            self.all.push((LONGEST_TEXT.into(), GgufValue::U32(most as u32)));
        }
        let pooling = config.checkpoint.pooling()?.map(|pooling| match pooling {
            PoolingType::Mean => 1,
            PoolingType::First => 2,
            PoolingType::Last => 3,
        });
        let Some(head) = spec.output.head else {
            pooling.into_iter().for_each(|pooling| self.size(POOLING, pooling));
            return Ok(());
        };
        self.size(POOLING, 4);
        let labels = config.checkpoint.labels()?.into_iter().take(head.labels);
        let labels: Vec<Vec<u8>> = labels.map(String::into_bytes).collect();
        if !labels.is_empty() {
            self.set(Key("", "classifier.output_labels"), GgufValue::Strs(labels));
        }
        Ok(())
    }

    /// What a model has that reads a text whole.
    fn encoder(&mut self, width: usize, encoder: &EncoderSpec) {
        self.set(Key("", "attention.causal"), GgufValue::Bool(false));
        if let Some(types) = encoder.types {
            self.all.push(("tokenizer.ggml.token_type_count".into(), GgufValue::U32(types as u32)));
        }
        let Some([inner, outer]) = encoder.dense else { return };
        self.size(Key("", "dense_2_feat_in"), width);
        self.size(Key("", "dense_2_feat_out"), inner);
        self.size(Key("", "dense_3_feat_in"), inner);
        self.size(Key("", "dense_3_feat_out"), outer);
    }

    /// What only some layers have of their own.
    fn kinds(&mut self, spec: &ModelSpec) {
        if !self.arch.extras.value_norm {
            return;
        }
        let shared = (0..spec.layers).filter(|&i| matches!(spec.layer(i).keys, KeySource::Layer(_))).count();
        self.size(gemma4::SHARED, shared);
        self.size(gemma4::LAYER_EMBED, spec.layer_embed.map_or(0, |embed| embed.width));
        let Some(altup) = spec.layer_embed.and_then(|embed| embed.altup) else { return };
        self.size(altup::STREAMS, altup.streams);
        self.size(altup::ACTIVE, altup.active);
        let of_layer = |i: usize| spec.layer(i).ffn.as_ref().and_then(|ffn| ffn.sparsity).unwrap_or(f32::NEG_INFINITY);
        self.set(altup::SPARSITY, GgufValue::F32s((0..spec.layers).map(of_layer).collect()));
    }

    /// The numbers of an activation that each layer has its own of.
    fn activation(&mut self, config: &Config<'_>, spec: &ModelSpec) -> Result<(), ModelError> {
        if config.arch.name != "apertus" {
            return Ok(());
        }
        let numbers = (0..spec.layers).map(|i| activation::xielu_numbers(config, i));
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        let names = activation::XIELU.map(|(name, _)| name).into_iter().chain([activation::XIELU_BETA]);
        for (which, name) in names.enumerate() {
            let list = numbers.iter().map(|of_layer| of_layer[which]).collect();
            self.all.push((name.into(), GgufValue::F32s(list)));
        }
        self.all.push((activation::XIELU_EPS.into(), GgufValue::F32(-1e-6)));
        Ok(())
    }

    fn no_window(&mut self) {
        if self.default(layers::WINDOW).is_some() {
            self.size(layers::WINDOW, 0);
        }
    }

    fn experts(&mut self, config: &Config<'_>, spec: &ModelSpec) -> Result<(), ModelError> {
        let sparse =
            spec.blocks.iter().filter_map(|layer| layer.ffn.as_ref()).find_map(|ffn| Some((ffn.width, ffn.experts?)));
        let Some((width, experts)) = sparse else { return Ok(()) };
        self.size(spec::EXPERTS, experts.count);
        self.size(spec::EXPERTS_USED, experts.used);
        if self.arch.name != "llama" {
            self.size(spec::EXPERT_FFN, width);
        } else if config.size(spec::FFN)?.is_none() {
            self.size(spec::FFN, width);
        }
        let renormalized = matches!(experts.scoring, GateScoring::SoftmaxChosen | GateScoring::Shared);
        if !renormalized || experts.squash.is_some() {
            self.set(spec::NORM_TOP, GgufValue::Bool(renormalized));
        }
        match experts.squash {
            Some(Squash::Sigmoid) => self.size(spec::GATING, 2),
            Some(Squash::Softmax) => self.size(spec::GATING, 1),
            None if self.arch.extras.averaged => self.size(spec::GATING, 1),
            None => {}
        }
        if let Some(groups) = experts.groups {
            self.size(spec::GROUPS, groups.count);
            self.size(spec::GROUPS_USED, groups.used);
        }
        let dense = |&i: &usize| spec.layer(i).ffn.as_ref().is_none_or(|ffn| ffn.experts.is_none());
        let leading = (0..spec.layers).take_while(dense).count();
        if leading > 0 {
            self.size(Key("", "leading_dense_block_count"), leading);
        }
        if experts.scale != 1.0 {
            self.f32(spec::EXPERTS_SCALE, experts.scale.into());
        }
        if let Some(shared) = experts.shared.filter(|shared| !shared.dense) {
            self.size(Key("", "expert_shared_feed_forward_length"), shared.width);
            self.size(Key("", "expert_shared_count"), 1);
        }
        Ok(())
    }

    fn rope(&mut self, rope: &RopeNumbers, latent_log: Option<f64>) {
        self.f32(rope_gguf::BASE, rope.base);
        self.size(rope_gguf::DIMS, rope.dims);
        match &rope.scaling {
            Scaling::None | Scaling::Llama3 { .. } => {}
            Scaling::Linear(factor) => self.scaling("linear", *factor),
            Scaling::Yarn(yarn) => return self.yarn(yarn, rope.magnitude, latent_log),
        }
        if rope.magnitude != 1.0 {
            self.f32(rope_gguf::MAGNITUDE, rope.magnitude);
        }
    }

    fn scaling(&mut self, kind: &str, factor: f64) {
        self.set(rope_gguf::TYPE, GgufValue::Str(kind.into()));
        self.f32(rope_gguf::FACTOR, factor);
    }

    fn yarn(&mut self, yarn: &Yarn, magnitude: f64, latent_log: Option<f64>) {
        self.scaling("yarn", yarn.factor);
        self.size(rope_gguf::ORIGINAL, yarn.original as usize);
        if let Some(log) = latent_log {
            self.f32(rope_gguf::YARN_LOG, 0.1 * log);
        }
        let usual = if latent_log.is_some() { 1.0 } else { yarn_magnitude(yarn.factor, 1.0) };
        if magnitude != usual {
            self.f32(rope_gguf::MAGNITUDE, magnitude / usual);
        }
        for (key, x, usual) in
            [(rope_gguf::YARN_FAST, yarn.beta_fast, 32.0), (rope_gguf::YARN_SLOW, yarn.beta_slow, 1.0)]
        {
            if x != usual {
                self.f32(key, x);
            }
        }
        if yarn.truncate != self.default(rope_gguf::YARN_TRUNCATE).is_none_or(|x| x != 0.0) {
            self.f32(rope_gguf::YARN_TRUNCATE, f64::from(u8::from(yarn.truncate)));
        }
    }
}
