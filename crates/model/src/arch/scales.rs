//! Constant factors on embeddings, on what layers add, and on logits, under the names that families have for them.

use crate::ModelError;
use crate::spec::Scales;

use super::config::{Config, Key};
use super::recurrent;
use super::spec::{EMBED_SCALE, LOGIT_FACTOR, LOGIT_SCALE, RESIDUAL_SCALE};

/// Whether embeddings are scaled by the root of the width, where the family's are.
const SCALED_EMBED: Key = Key("mup_enabled", "");
const LOGIT_FACTOR_OTHERS: [Key; 2] = [Key("output_multiplier", ""), Key("logits_scaling", "")];
/// MiniCPM's names: of embeddings, of what all layers add, and the width that logits are made for.
const MINI: [Key; 3] = [Key("scale_emb", ""), Key("scale_depth", ""), Key("dim_model_base", "")];
/// Its numbers, which old GGUF files of it leave out.
const MINI_USUAL: [f64; 3] = [12.0, 1.4, 256.0];

/// The factors of a model of that width and so many layers.
pub(super) fn read(config: &Config<'_>, width: usize, layers: usize) -> Result<Scales, ModelError> {
    let mini = mini(config, width, layers)?;
    let or = |key, usual: f64| config.positive(key).map(|given| given.unwrap_or(usual));
    let root =
        if config.arch.embed_sqrt && config.flag(SCALED_EMBED)? != Some(false) { (width as f64).sqrt() } else { 1.0 };
    Ok(Scales {
        embed: (root * or(EMBED_SCALE, mini[0])?) as f32,
        residual: or(RESIDUAL_SCALE, mini[1])? as f32,
        logits: match config.arch.extras.logit_factor {
            Some(usual) => {
                let [one, other] = LOGIT_FACTOR_OTHERS.map(|key| config.positive(key));
                config.positive(LOGIT_FACTOR)?.or(one?).or(other?).unwrap_or(usual) as f32
            }
            None => (recurrent::logit_scale(config)? / or(LOGIT_SCALE, mini[2])?) as f32,
        },
    })
}

/// MiniCPM's factors as others have them.
fn mini(config: &Config<'_>, width: usize, layers: usize) -> Result<[f64; 3], ModelError> {
    let [embed, depth, base] = MINI.map(|key| config.positive(key));
    let mut given = [embed?, depth?, base?];
    if config.gguf() && config.arch.name.starts_with("minicpm") {
        given = MINI_USUAL.map(Some);
    }
    let depth = given[1].map_or(1.0, |depth| depth / (layers as f64).sqrt());
    Ok([given[0].unwrap_or(1.0), depth, given[2].map_or(1.0, |base| width as f64 / base)])
}
