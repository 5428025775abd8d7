//! The numbers of models with recurrent layers. What a layer has its tensors say, whatever lists of layers a file has.

use graph::HeadOrder;

use crate::convert::FromValue;
use crate::spec::{ConvSpec, DeltaSpec, RecurrentSpec, ScanNorm, ScanScales, ScanSpec};
use crate::{List, Metadata, ModelError, Value};

use super::Recurrence;
use super::config::{Config, Key};
use super::spec::EPS;

pub(super) const KEY_HEADS: Key = Key("linear_num_key_heads", "ssm.group_count");
pub(super) const VALUE_HEADS: Key = Key("linear_num_value_heads", "ssm.time_step_rank");
pub(super) const KEY_DIM: Key = Key("linear_key_head_dim", "ssm.state_size");
const VALUE_DIM: Key = Key("linear_value_head_dim", "");
pub(super) const VALUES: Key = Key("", "ssm.inner_size");
pub(super) const TAPS: Key = Key("linear_conv_kernel_dim", "ssm.conv_kernel");
pub(super) const SHORT_TAPS: Key = Key("conv_L_cache", "shortconv.l_cache");
const SCAN_HEADS: [Key; 3] =
    [Key("mamba_n_heads", "ssm.time_step_rank"), Key("mamba_num_heads", ""), Key("num_heads", "")];
const SCAN_GROUPS: [Key; 2] = [Key("mamba_n_groups", "ssm.group_count"), Key("n_groups", "")];
const SCAN_STATE: [Key; 3] = [Key("mamba_d_state", "ssm.state_size"), Key("ssm_state_size", ""), Key("state_size", "")];
const SCAN_TAPS: [Key; 2] = [Key("mamba_d_conv", "ssm.conv_kernel"), Key("conv_kernel", "")];
const KIMI_HEADS: Key = Key("linear_num_heads", "attention.head_count");
const KIMI_HEAD_DIM: Key = Key("linear_head_dim", "kda.head_dim");
/// More than any model has.
const MOST: usize = 1 << 20;
const STEP_LIMIT: Key = Key("time_step_limit", "");
const NORM_BEFORE_GATE: Key = Key("mamba_norm_before_gate", "");
const OTHER_EPS: [Key; 2] = [Key("norm_eps", ""), Key("layer_norm_epsilon", "")];
const POSITIONS: Key = Key("position_embedding_type", "");
pub(super) const ROTATED: Key = Key("", "rope.scaling.finetuned");

/// Whether layer `i` has attention.
pub(super) fn attends(config: &Config<'_>, i: usize) -> bool {
    match config.arch.extras.recurrent {
        None => true,
        Some(Recurrence::Scan) => config.names.has(i, "attn_q.weight"),
        Some(Recurrence::Delta(_)) => !config.names.has(i, "ssm_conv1d.weight"),
        Some(Recurrence::DeltaByRow) => !config.names.has(i, "ssm_f_a.weight"),
        Some(Recurrence::Conv) => !config.names.has(i, "shortconv.conv.weight"),
    }
}

/// Whether layer `i` has a feed-forward part.
pub(super) fn feeds_forward(config: &Config<'_>, i: usize) -> bool {
    let has = |tensor| config.names.has(i, tensor);
    config.arch.extras.recurrent != Some(Recurrence::Scan) || has("ffn_down.weight") || has("ffn_gate_inp.weight")
}

/// Whether attention is rotated: of a Mamba-2 hybrid's, only if the file says so.
pub(super) fn rotated(config: &Config<'_>) -> Result<bool, ModelError> {
    Ok(match config.arch.extras.recurrent {
        Some(_) if !config.arch.attn.global_rope => false,
        Some(Recurrence::Scan) if config.gguf() => config.flag(ROTATED)?.unwrap_or(true),
        Some(Recurrence::Scan) if config.arch.name == "granitehybrid" => config.read(POSITIONS)? == Some("rope"),
        _ => true,
    })
}

/// How many layers there are, where the file does not say.
pub(super) fn layers(config: &Config<'_>) -> Option<usize> {
    config.arch.extras.recurrent?;
    let count = (0..config.checkpoint.tensors().len()).take_while(|&i| config.names.has(i, "attn_norm.weight")).count();
    Some(count).filter(|&count| count > 0)
}

/// Width of a dense feed-forward part: files have other numbers, which it is made of.
pub(super) fn dense_width(config: &Config<'_>, i: usize) -> Option<usize> {
    config.arch.extras.recurrent?;
    let names = config.names.layer(i, "ffn_down.weight");
    names.iter().find_map(|name| config.names.dims(name))?.last().copied()
}

/// Width of what the layer's experts read and give, if that is not the residual stream's.
pub(super) fn latent_width(config: &Config<'_>, i: usize) -> Option<usize> {
    let names = config.names.layer(i, "ffn_latent_down.weight");
    names.iter().find_map(|name| config.names.dims(name))?.first().copied()
}

/// Added to the mean square in norms.
pub(super) fn eps(config: &Config<'_>) -> Result<Option<f64>, ModelError> {
    if config.arch.extras.recurrent.is_some() {
        for key in OTHER_EPS {
            if let Some(eps) = config.positive(key)? {
                return Ok(Some(eps));
            }
        }
    }
    config.positive(EPS)
}

fn factor(config: &Config<'_>, name: &'static str) -> Result<f64, ModelError> {
    Ok(config.positive(Key(name, ""))?.unwrap_or(1.0))
}

/// The numbers of a list, or ones.
fn factors<const N: usize>(config: &Config<'_>, name: &'static str) -> Result<[f32; N], ModelError> {
    let Some(list) = config.read::<Vec<f32>>(Key(name, ""))? else { return Ok([1.0; N]) };
    let finite = <[f32; N]>::try_from(list).ok().filter(|list| list.iter().all(|x| x.is_finite()));
    finite.ok_or_else(|| config.invalid(Key(name, ""), format!("must be {N} numbers")))
}

/// What scores are multiplied with besides: Falcon-H1's factors of keys, and of what queries and keys are made from.
pub(super) fn score_scale(config: &Config<'_>) -> Result<f32, ModelError> {
    let input = factor(config, "attention_in_multiplier")?;
    Ok((factor(config, "key_multiplier")? * input * input) as f32)
}

/// What attention's output is multiplied with: Falcon-H1's factors of values and of it.
pub(super) fn attention_scale(config: &Config<'_>) -> Result<f32, ModelError> {
    Ok((factor(config, "attention_in_multiplier")? * factor(config, "attention_out_multiplier")?) as f32)
}

/// What the gate and the output of the feed-forward part are multiplied with.
pub(super) fn ffn_scales(config: &Config<'_>) -> Result<[f32; 2], ModelError> {
    factors(config, "mlp_multipliers")
}

/// What logits are multiplied with.
pub(super) fn logit_scale(config: &Config<'_>) -> Result<f64, ModelError> {
    factor(config, "lm_head_multiplier")
}

/// What layer `i` brings forward along a sequence.
pub(super) fn read(config: &Config<'_>, i: usize) -> Result<Option<RecurrentSpec>, ModelError> {
    let has = |tensor| config.names.has(i, tensor);
    match config.arch.extras.recurrent {
        Some(Recurrence::Delta(order)) if has("ssm_conv1d.weight") => {
            delta(config, order).map(|delta| Some(RecurrentSpec::Delta(delta)))
        }
        Some(Recurrence::DeltaByRow) if has("ssm_f_a.weight") => {
            delta_by_row(config).map(|delta| Some(RecurrentSpec::Delta(delta)))
        }
        Some(Recurrence::Conv) if has("shortconv.conv.weight") => {
            let (taps, bias) = (config.require(SHORT_TAPS)?, has("shortconv.in_proj.bias"));
            Ok(Some(RecurrentSpec::Conv(ConvSpec { taps, bias })))
        }
        Some(Recurrence::Scan) if has("ssm_in.weight") => scan(config, i).map(|scan| Some(RecurrentSpec::Scan(scan))),
        _ => Ok(None),
    }
}

/// Whether time steps are kept within bounds that they can reach.
fn limits_steps(config: &Config<'_>) -> bool {
    const BEYOND: f64 = 1e30;
    // transformers writes what JSON has no number for as an object.
    let number = |value: &Value| match value {
        Value::Map(object) => {
            let infinite = matches!(object.read("__float__"), Ok(Some("Infinity")));
            infinite.then_some(f64::INFINITY)
        }
        value => f64::from_value(value),
    };
    match config.metadata.get(&config.name(STEP_LIMIT)) {
        _ if config.gguf() => false,
        Some(Value::List(List::Int(_))) => true,
        Some(Value::List(List::Float(list))) => !matches!(list[..], [low, high] if low <= 0.0 && high > BEYOND),
        Some(Value::List(List::Mixed(list))) => {
            let list: Vec<_> = list.iter().map(number).collect();
            !matches!(list[..], [Some(low), Some(high)] if low <= 0.0 && high > BEYOND)
        }
        _ => false,
    }
}

fn scan(config: &Config<'_>, i: usize) -> Result<ScanSpec, ModelError> {
    let has = |tensor| config.names.has(i, tensor);
    let require = |keys: &[Key]| {
        let sizes = keys.iter().map(|&key| config.size(key));
        let found = sizes.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().next();
        found.ok_or_else(|| config.missing(keys[0]))
    };
    let (heads, groups) = (require(&SCAN_HEADS)?, require(&SCAN_GROUPS)?);
    let out = config.names.layer(i, "ssm_out.weight");
    let inner = out.iter().find_map(|name| config.names.dims(name)).and_then(|dims| dims.last()).copied().unwrap_or(0);
    if !inner.is_multiple_of(heads) || !heads.is_multiple_of(groups) {
        let problem = format!("{heads} heads in {groups} groups do not divide a width of {inner}");
        return Err(config.invalid(SCAN_HEADS[0], problem));
    }
    if limits_steps(config) {
        return Err(
            config.unsupported(STEP_LIMIT, "time steps are not limited here; only from 0 to infinity is supported")
        );
    }
    let input = factor(config, "ssm_in_multiplier")? as f32;
    Ok(ScanSpec {
        heads,
        head_dim: inner / heads,
        groups,
        state_dim: require(&SCAN_STATE)?,
        taps: require(&SCAN_TAPS)?,
        conv_bias: has("ssm_conv1d.bias"),
        bias: has("ssm_in.bias"),
        output_bias: has("ssm_out.bias"),
        norm: match (has("ssm_norm.weight"), config.flag(NORM_BEFORE_GATE)?) {
            (false, _) => ScanNorm::None,
            (true, Some(true)) => ScanNorm::BeforeGate,
            (true, _) => ScanNorm::AfterGate,
        },
        scales: ScanScales {
            projected: factors(config, "ssm_multipliers")?.map(|x: f32| x * input),
            output: factor(config, "ssm_out_multiplier")? as f32,
        },
    })
}

fn delta(config: &Config<'_>, order: HeadOrder) -> Result<DeltaSpec, ModelError> {
    let (heads, key_heads) = (config.require(VALUE_HEADS)?, config.require(KEY_HEADS)?);
    if !heads.is_multiple_of(key_heads) {
        let problem = format!("{heads} heads of values are not a multiple of {key_heads} heads of keys");
        return Err(config.invalid(VALUE_HEADS, problem));
    }
    let value_dim = if config.gguf() { config.require(VALUES)? / heads } else { config.require(VALUE_DIM)? };
    Ok(DeltaSpec {
        heads,
        key_heads,
        key_dim: config.require(KEY_DIM)?,
        value_dim,
        order: if config.gguf() { order } else { HeadOrder::Grouped },
        taps: config.require(TAPS)?,
        by_row: false,
    })
}

/// Kimi's numbers, which published files have in an object of their own.
fn delta_by_row(config: &Config<'_>) -> Result<DeltaSpec, ModelError> {
    let object: Option<&Metadata> = if config.gguf() { None } else { config.metadata.read("linear_attn_config")? };
    let size = |key: Key, own: &str| match object.map_or(Ok(None), |object| object.read::<usize>(own))? {
        Some(n) if n == 0 || n > MOST => Err(config.invalid(key, format!("{own} is {n}"))),
        Some(n) => Ok(n),
        None => config.require(key),
    };
    let (heads, width) = (size(KIMI_HEADS, "num_heads")?, size(KIMI_HEAD_DIM, "head_dim")?);
    let taps = size(TAPS, "short_conv_kernel_size")?;
    let order = HeadOrder::Grouped;
    Ok(DeltaSpec { heads, key_heads: heads, key_dim: width, value_dim: width, order, taps, by_row: true })
}
