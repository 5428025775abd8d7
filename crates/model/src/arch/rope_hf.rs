//! The rope of a config.json: `rope_parameters` of transformers 5 (maybe one for each layer type), `rope_scaling` and
//! `rope_theta` of before.

use std::sync::LazyLock;

use graph::Growth;

use crate::{Metadata, ModelError};

use super::config::{Config, Key};
use super::rope::{RopeNumbers, Scaling, Yarn, yarn_magnitude};
use super::{LocalRope, layers, spec};

/// Every key that a rope object may have; another one asks for something that we do not know.
const KNOWN: &[&str] = &[
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "truncate",
    "mscale",
    "mscale_all_dim",
    "short_factor",
    "long_factor",
    "finetuned",
    "alpha",
    "llama_4_scaling_beta",
    "max_position_embeddings",
    "mrope_section",
    "mrope_interleaved",
];

/// The rope object of one kind of layer beside the fields outside of it.
struct Reader<'a> {
    config: &'a Config<'a>,
    object: &'a Metadata,
    local: bool,
    context: usize,
}

/// What the frequency of a pair that stays in its place is divided by, as GGUF files have it.
pub(super) const UNTURNED: f64 = 1e30;

/// The rope of layers with (`local`) or without a window, for sequences up to `context`.
pub(super) fn read(
    config: &Config<'_>,
    head_dim: usize,
    local: bool,
    context: usize,
) -> Result<RopeNumbers, ModelError> {
    let reader = Reader::new(config, local, context)?;
    if let Some((key, _)) = reader.object.iter().find(|(key, _)| !KNOWN.contains(key)) {
        return Err(reader.object.unsupported(key, "this change of the rope is not supported"));
    }
    let theta = if local && config.arch.attn.local_rope == LocalRope::Unscaled { LOCAL_THETA } else { THETA };
    let base = match layers::own_base(config, local)?
        .map_or_else(|| reader.number("rope_theta"), |base| Ok(Some(base)))?
    {
        Some(base) => base,
        None => config.positive(theta)?.or(config.positive(THETA)?).or(config.positive(OLD_THETA)?).unwrap_or(10_000.0),
    };
    let partial = match reader.number("partial_rotary_factor")? {
        Some(part) => part,
        None if local && config.arch.attn.local_rope == LocalRope::Unscaled => 1.0,
        None => {
            let given = config.positive(PARTIAL)?.or(config.positive(OLD_PARTIAL)?);
            given.or(config.arch.extras.proportional).unwrap_or(1.0)
        }
    };
    if !(partial > 0.0 && partial <= 1.0) {
        return Err(config.invalid(PARTIAL, format!("must be above 0 and at most 1, not {partial}")));
    }
    if reader.kind()? == "proportional" {
        let kept = (head_dim as f64 * partial / 2.0) as usize;
        let factor = reader.number("factor")?.unwrap_or(1.0);
        let factors = (0..head_dim / 2).map(|i| if i < kept { factor } else { UNTURNED }).collect();
        return Ok(RopeNumbers { base, dims: head_dim, factors, scaling: Scaling::None, magnitude: 1.0 });
    }
    let dims = config.size(ROTARY)?.unwrap_or((head_dim as f64 * partial) as usize).min(head_dim);
    if dims % 2 == 1 {
        let problem = format!("{dims} elements of a head of {head_dim} cannot be rotated in pairs");
        return Err(config.unsupported(PARTIAL, problem));
    }
    let plain = RopeNumbers { base, dims, factors: vec![], scaling: Scaling::None, magnitude: 1.0 };
    reader.scale(plain)
}

/// The context of the first training of a model whose long rope has factors for what is beyond it.
pub(super) fn original(config: &Config<'_>) -> Result<f64, ModelError> {
    Reader::new(config, false, 0)?.original()
}

/// What YaRN multiplies the queries and keys of latent attention with.
pub(super) fn latent_magnitude(config: &Config<'_>) -> Result<f64, ModelError> {
    let Some(log) = latent_log(config)? else { return Ok(1.0) };
    Ok(yarn_magnitude(Reader::new(config, false, 0)?.require("factor")?, log))
}

/// The number that this is made from.
pub(super) fn latent_log(config: &Config<'_>) -> Result<Option<f64>, ModelError> {
    let reader = Reader::new(config, false, 0)?;
    if reader.kind()? == "default" { Ok(None) } else { reader.number("mscale_all_dim") }
}

/// What queries are multiplied with by their positions.
pub(super) fn growth(config: &Config<'_>) -> Result<Option<Growth>, ModelError> {
    let reader = Reader::new(config, false, 0)?;
    let Some(rate) = reader.number("llama_4_scaling_beta")? else { return Ok(None) };
    Ok(Some(Growth { rate: rate as f32, every: reader.original()? as usize }))
}

const ROTARY: Key = Key("rotary_dim", "");
const THETA: Key = Key("rope_theta", "");
const LOCAL_THETA: Key = Key("rope_local_base_freq", "");
/// GPT-NeoX's names.
const OLD_THETA: Key = Key("rotary_emb_base", "");
const OLD_PARTIAL: Key = Key("rotary_pct", "");
const PARTIAL: Key = Key("partial_rotary_factor", "");
const ORIGINAL: Key = Key("original_max_position_embeddings", "");

/// The old name goes first, as transformers has it.
fn object<'a>(config: &Config<'a>) -> Result<Option<&'a Metadata>, ModelError> {
    let old: Option<&Metadata> = config.metadata.read("rope_scaling")?;
    let object = match old.filter(|m| m.iter().next().is_some()) {
        Some(old) => Some(old),
        None => config.metadata.read("rope_parameters")?,
    };
    Ok(object.filter(|m: &&Metadata| m.iter().next().is_some()))
}

fn nested(object: &Metadata) -> bool {
    object.get("full_attention").is_some() || object.get("sliding_attention").is_some()
}

static NONE: LazyLock<Metadata> = LazyLock::new(Metadata::default);

impl<'a> Reader<'a> {
    fn new(config: &'a Config<'a>, local: bool, context: usize) -> Result<Reader<'a>, ModelError> {
        let object = match object(config)? {
            Some(all) if nested(all) => all.read(if local { "sliding_attention" } else { "full_attention" })?,
            _ if local && config.arch.attn.local_rope == LocalRope::Unscaled => None,
            flat => flat,
        };
        Ok(Reader { config, object: object.unwrap_or(&NONE), local, context })
    }

    fn kind(&self) -> Result<&'a str, ModelError> {
        let kind = self.object.read::<&str>("rope_type")?.or(self.object.read("type")?);
        // gpt-oss without any rope object means its own YaRN, and Phi 3 called its long rope by three names.
        Ok(match kind {
            None if self.assumed() => "yarn",
            None if !self.local && self.config.arch.extras.proportional.is_some() => "proportional",
            Some("su" | "yarn") if self.object.get("long_factor").is_some() => "longrope",
            kind => kind.unwrap_or("default"),
        })
    }

    fn scale(&self, plain: RopeNumbers) -> Result<RopeNumbers, ModelError> {
        match self.kind()? {
            // Tokens of text have the same position in each dimension.
            "default" | "mrope" => Ok(plain),
            "linear" => Ok(RopeNumbers { scaling: Scaling::Linear(self.require("factor")?), ..plain }),
            "llama3" => Ok(RopeNumbers { scaling: self.llama3()?, ..plain }),
            "yarn" => self.yarn(plain),
            "longrope" => self.longrope(plain),
            "dynamic" if self.number("alpha")?.is_some() => self.stretched(plain),
            "dynamic" if self.context <= self.most()? => Ok(plain),
            "dynamic" => Err(self.object.unsupported("rope_type", self.too_long()?)),
            other => Err(self.object.unsupported("rope_type", format!("\"{other}\" is not supported"))),
        }
    }

    fn assumed(&self) -> bool {
        self.config.arch.name == "gpt-oss" && self.object.iter().next().is_none()
    }

    fn llama3(&self) -> Result<Scaling, ModelError> {
        let (factor, low, high) =
            (self.require("factor")?, self.require("low_freq_factor")?, self.require("high_freq_factor")?);
        if high <= low {
            return Err(self.object.invalid("high_freq_factor", "must be above low_freq_factor"));
        }
        Ok(Scaling::Llama3 { factor, low, high, original: self.original()? })
    }

    fn yarn(&self, plain: RopeNumbers) -> Result<RopeNumbers, ModelError> {
        let assumed = self.assumed();
        let original = if assumed { 4096.0 } else { self.original()? };
        let factor = match self.number("factor")? {
            Some(factor) => factor,
            None if assumed => 32.0,
            None => self.most()? as f64 / original,
        };
        let magnitude = match (self.number("attention_factor")?, self.number("mscale")?, self.number("mscale_all_dim")?)
        {
            (Some(given), ..) => given,
            (_, Some(one), Some(all)) => yarn_magnitude(factor, one) / yarn_magnitude(factor, all),
            _ => yarn_magnitude(factor, 1.0),
        };
        let yarn = Yarn {
            factor,
            original,
            beta_fast: self.number("beta_fast")?.unwrap_or(32.0),
            beta_slow: self.number("beta_slow")?.unwrap_or(1.0),
            truncate: self.object.read("truncate")?.unwrap_or(!assumed),
        };
        Ok(RopeNumbers { scaling: Scaling::Yarn(yarn), magnitude, ..plain })
    }

    /// The base for contexts `alpha` times as long, whatever the sequence's length is.
    fn stretched(&self, plain: RopeNumbers) -> Result<RopeNumbers, ModelError> {
        let dims = plain.dims as f64;
        let base = plain.base * self.require("alpha")?.powf(dims / (dims - 2.0).max(1.0));
        Ok(RopeNumbers { base, ..plain })
    }

    fn longrope(&self, plain: RopeNumbers) -> Result<RopeNumbers, ModelError> {
        let original = self.original()?;
        let key = if self.context as f64 > original { "long_factor" } else { "short_factor" };
        let factors: Vec<f64> = self.object.require(key)?;
        if factors.len() != plain.dims / 2 || factors.iter().any(|f| !f.is_finite() || *f <= 0.0) {
            let problem = format!("must be {} positive numbers, half of what rope turns", plain.dims / 2);
            return Err(self.object.invalid(key, problem));
        }
        let factor = match self.number("factor")? {
            Some(factor) => factor,
            None => self.most()? as f64 / original,
        };
        let magnitude = match self.number("attention_factor")? {
            Some(given) => given,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / original.ln()).sqrt(),
        };
        Ok(RopeNumbers { factors, magnitude, ..plain })
    }

    /// The context of the first training: the model's own field before the rope object's.
    fn original(&self) -> Result<f64, ModelError> {
        let original = match self.config.positive(ORIGINAL)? {
            Some(outside) => outside,
            None => self.number("original_max_position_embeddings")?.unwrap_or(self.most()? as f64),
        };
        if original > 1.0 { Ok(original) } else { Err(self.config.invalid(ORIGINAL, "must be above 1")) }
    }

    fn most(&self) -> Result<usize, ModelError> {
        self.config.require(spec::CONTEXT)
    }

    fn too_long(&self) -> Result<String, ModelError> {
        let most = self.most()?;
        Ok(format!("\"dynamic\" changes the model beyond {most} positions; run it with a context of {most} or less"))
    }

    /// A number above zero; zero counts as absent, as transformers has it.
    fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        match self.object.read::<f64>(key)? {
            Some(n) if !n.is_finite() || n < 0.0 => {
                Err(self.object.invalid(key, format!("must be positive, not {n:?}")))
            }
            n => Ok(n.filter(|&n| n > 0.0)),
        }
    }

    fn require(&self, key: &str) -> Result<f64, ModelError> {
        self.number(key)?.ok_or_else(|| self.object.invalid(key, "is missing, and this rope needs it"))
    }
}
