//! The rope of a GGUF file: `rope.*` keys, and factors of frequencies in tensors of their own.

use graph::Growth;

use crate::{Checkpoint, ModelError};

use super::LocalRope;
use super::config::{Config, Key};
use super::rope::{RopeNumbers, Scaling, Yarn, yarn_magnitude};
use super::spec::CONTEXT;

pub(super) const BASE: Key = Key("", "rope.freq_base");
pub(super) const LOCAL_BASE: Key = Key("", "rope.freq_base_swa");
pub(super) const DIMS: Key = Key("", "rope.dimension_count");
pub(super) const LOCAL_DIMS: Key = Key("", "rope.dimension_count_swa");
pub(super) const TYPE: Key = Key("", "rope.scaling.type");
pub(super) const FACTOR: Key = Key("", "rope.scaling.factor");
pub(super) const OLD_FACTOR: Key = Key("", "rope.scale_linear");
pub(super) const ORIGINAL: Key = Key("", "rope.scaling.original_context_length");
pub(super) const MAGNITUDE: Key = Key("", "rope.scaling.attn_factor");
pub(super) const YARN_MAGNITUDE: Key = Key("", "rope.scaling.yarn_attn_factor");
pub(super) const YARN_MIX: Key = Key("", "rope.scaling.yarn_ext_factor");
pub(super) const YARN_LOG: Key = Key("", "rope.scaling.yarn_log_multiplier");
pub(super) const YARN_FAST: Key = Key("", "rope.scaling.yarn_beta_fast");
pub(super) const YARN_SLOW: Key = Key("", "rope.scaling.yarn_beta_slow");
pub(super) const GROWTH: Key = Key("", "attention.temperature_scale");
pub(super) const YARN_TRUNCATE: Key = Key("", "rope.scaling.yarn_truncate");

/// The rope of layers with (`local`) or without a window, for sequences up to `context`.
pub(super) fn read(
    config: &Config<'_>,
    head_dim: usize,
    local: bool,
    context: usize,
) -> Result<RopeNumbers, ModelError> {
    let base = config.positive(BASE)?.unwrap_or(10_000.0);
    let own = if local { config.size(LOCAL_DIMS)? } else { None };
    let dims = own.map_or_else(|| config.size(DIMS), |own| Ok(Some(own)))?.unwrap_or(head_dim);
    if dims > head_dim || dims % 2 == 1 {
        return Err(config.invalid(DIMS, format!("{dims} elements of a head of {head_dim} cannot be rotated in pairs")));
    }
    let plain = RopeNumbers { base, dims, factors: vec![], scaling: Scaling::None, magnitude: 1.0 };
    if local && config.arch.attn.local_rope == LocalRope::Unscaled {
        let base = config.positive(LOCAL_BASE)?.unwrap_or(base);
        return Ok(RopeNumbers { base, ..plain });
    }
    let base = if local { config.positive(LOCAL_BASE)?.unwrap_or(base) } else { base };
    scale(config, RopeNumbers { base, ..plain }, context)
}

fn scale(config: &Config<'_>, plain: RopeNumbers, context: usize) -> Result<RopeNumbers, ModelError> {
    let magnitude = config.positive(MAGNITUDE)?.unwrap_or(1.0);
    let factor = config.positive(FACTOR)?.or(config.positive(OLD_FACTOR)?).unwrap_or(1.0);
    let kind: Option<&str> = config.read(TYPE)?;
    let original = config.size(ORIGINAL)?.map_or_else(|| config.require(CONTEXT), Ok)?;
    let factors = factors(config.checkpoint, plain.dims / 2, context > original)?;
    let numbers = RopeNumbers { factors, magnitude, ..plain };
    match kind {
        None | Some("linear") if factor == 1.0 => Ok(numbers),
        Some("none" | "longrope") => Ok(numbers),
        None | Some("linear") => Ok(RopeNumbers { scaling: Scaling::Linear(factor), ..numbers }),
        Some("yarn") => yarn(config, numbers, factor, original as f64),
        Some(other) => Err(config.unsupported(TYPE, format!("\"{other}\" is not supported"))),
    }
}

fn yarn(config: &Config<'_>, numbers: RopeNumbers, factor: f64, original: f64) -> Result<RopeNumbers, ModelError> {
    if let Some(mix) = config.number(YARN_MIX)?.filter(|&mix| mix >= 0.0 && mix != 1.0) {
        return Err(config.unsupported(YARN_MIX, format!("only 1 is supported, not {mix}")));
    }
    let all = match config.positive(YARN_LOG)? {
        // Multiplied into the scores' scale instead.
        Some(_) if config.arch.extras.latent => yarn_magnitude(factor, 1.0),
        Some(log) => yarn_magnitude(factor, log),
        None => 1.0,
    };
    let given = config.positive(YARN_MAGNITUDE)?.filter(|&m| m != 1.0);
    let magnitude = numbers.magnitude * given.unwrap_or(yarn_magnitude(factor, 1.0) / all);
    let yarn = Yarn {
        factor,
        original,
        beta_fast: config.positive(YARN_FAST)?.unwrap_or(32.0),
        beta_slow: config.positive(YARN_SLOW)?.unwrap_or(1.0),
        truncate: config.number(YARN_TRUNCATE)?.unwrap_or(1.0) != 0.0,
    };
    Ok(RopeNumbers { scaling: Scaling::Yarn(yarn), magnitude, ..numbers })
}

/// What YaRN multiplies the queries and keys of latent attention with. Its files have a tenth of the number.
pub(super) fn latent_magnitude(config: &Config<'_>) -> Result<f64, ModelError> {
    let factor = config.positive(FACTOR)?.unwrap_or(1.0);
    let log = config.positive(YARN_LOG)?.filter(|_| config.arch.extras.latent);
    Ok(log.map_or(1.0, |log| yarn_magnitude(factor, 10.0 * log)))
}

/// What queries are multiplied with by their positions.
pub(super) fn growth(config: &Config<'_>) -> Result<Option<Growth>, ModelError> {
    let Some(rate) = config.positive(GROWTH)? else { return Ok(None) };
    let every = config.size(ORIGINAL)?.map_or_else(|| config.require(CONTEXT), Ok)?;
    Ok(Some(Growth { rate: rate as f32, every }))
}

/// What frequencies are divided by: Llama 3's tensor, or long rope's for a long or short context.
fn factors(checkpoint: &Checkpoint, pairs: usize, long: bool) -> Result<Vec<f64>, ModelError> {
    let of_length = if long { "rope_factors_long.weight" } else { "rope_factors_short.weight" };
    for name in ["rope_freqs.weight", of_length] {
        let Some(tensor) = checkpoint.tensor(name) else { continue };
        let mut factors = vec![0.0; pairs];
        let decoded = match tensor.dtype {
            Ok(dtype) => tensor::decode(dtype, checkpoint.bytes(tensor), &mut factors).is_ok(),
            Err(_) => false,
        };
        if !decoded || factors.iter().any(|f| !f.is_finite() || *f <= 0.0) {
            let problem = format!("must hold {pairs} positive numbers, half of what rope turns");
            return Err(checkpoint.invalid(name, problem));
        }
        return Ok(factors.into_iter().map(f64::from).collect());
    }
    Ok(vec![])
}
