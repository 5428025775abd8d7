//! What Gemma 3n has besides Gemma 4's embeddings of layers: several residual streams, of which each layer computes one (alternating
//! updates, Baykal et al. 2023), and gates of which little stays.

use graph::{Op, ValueId, WeightId};
use tensor::Shape;

use crate::ModelError;
use crate::spec::{AltUpSpec, LayerEmbedSpec};

use super::build::{Builder, Value};
use super::config::{Config, Key};
use super::gemma4::LAYER_EMBED;
use super::spec::Reader;

pub(super) const STREAMS: Key = Key("altup_num_inputs", "altup.num_inputs");
pub(super) const ACTIVE: Key = Key("altup_active_idx", "altup.active_idx");
const SCALED: Key = Key("altup_correct_scale", "");
/// What stays of the gates of each layer: config.json has the part that does not, GGUF files have deviations.
pub(super) const SPARSITY: Key = Key("activation_sparsity_pattern", "activation_sparsity_scale");
/// Of config.json that does not say: so many layers have sparse gates, if there are more.
const SPARSE_LAYERS: usize = 10;
const USUAL_SPARSITY: f64 = 0.95;
/// Nothing that a model gives, but no division by 0.
const TINY: f32 = 1e-12;

/// The embeddings of layers.
pub(super) fn layer_embed(config: &Config<'_>) -> Result<Option<LayerEmbedSpec>, ModelError> {
    let Some(width) = config.size(LAYER_EMBED)? else { return Ok(None) };
    let Some(streams) = config.size(STREAMS)? else { return Ok(Some(LayerEmbedSpec { width, altup: None })) };
    let active = config.size(ACTIVE)?.unwrap_or(0);
    if active >= streams || streams < 2 {
        return Err(config.invalid(ACTIVE, format!("there is no stream {active} beside another one of {streams}")));
    }
    let rank = config.names.rows(0, "laurel_l.weight");
    let missing = || config.checkpoint.invalid("blk.0.laurel_l.weight", "the tensor is missing");
    let scaled = config.flag(SCALED)?.unwrap_or(true);
    let altup = AltUpSpec { streams, active, rank: rank.ok_or_else(missing)?, scaled };
    Ok(Some(LayerEmbedSpec { width, altup: Some(altup) }))
}

impl Reader<'_> {
    /// How many deviations above their mean a layer's gates must be to stay.
    pub(super) fn sparsity(&self, i: usize) -> Result<Option<f32>, ModelError> {
        let config = self.config;
        if config.size(STREAMS)?.is_none() {
            return Ok(None);
        }
        let usual = |i| if self.layers.count() > SPARSE_LAYERS && i < SPARSE_LAYERS { USUAL_SPARSITY } else { 0.0 };
        let part = match config.read::<Vec<f64>>(SPARSITY)? {
            Some(list) => *list
                .get(i)
                .ok_or_else(|| config.invalid(SPARSITY, format!("has {} values, none for layer {i}", list.len())))?,
            None if config.gguf() => return Ok(None),
            None => usual(i),
        };
        // Files have minus infinity for all that stay.
        if config.gguf() {
            return Ok(Some(part as f32).filter(|deviations| deviations.is_finite()));
        }
        if !(0.0..1.0).contains(&part) {
            return Err(config.invalid(SPARSITY, format!("must be at least 0 and below 1, not {part}")));
        }
        Ok(Some(part).filter(|&part| part > 0.0).map(|part| quantile(part) as f32))
    }
}

/// The deviations below which a normal distribution has that part, by halving an interval.
fn quantile(part: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if below(middle) < part { low = middle } else { high = middle }
    }
    low
}

/// How much of a normal distribution is below x: Marsaglia's series (2004).
fn below(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= x * x / f64::from(2 * n + 1);
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

/// What says, before and after a layer, by how much each stream counts.
#[derive(Clone, Copy)]
struct Router {
    norm: WeightId,
    matrix: WeightId,
}

impl Builder<'_> {
    /// All layers, from the embeddings to what the norm before the output reads.
    pub(super) fn streams(&mut self, altup: AltUpSpec, x: ValueId, embeds: ValueId) -> Value {
        let mut all = self.spread(altup, x)?;
        for i in 0..self.spec.layers {
            let router = self.router(i, altup)?;
            let predicted = self.predicted(i, (altup, router), all)?;
            let active = self.stream(altup, altup.active, predicted)?;
            let y = self.activated(i, active)?;
            let corrected = self.corrected(i, (altup, router), [predicted, active, y])?;
            all = self.embedded(i, altup, [corrected, embeds])?;
        }
        self.merged(altup, all)
    }

    /// The streams side by side: the embedding, and projections of it that are as large.
    fn spread(&mut self, altup: AltUpSpec, x: ValueId) -> Value {
        let copies = self.repeated(altup.streams - 1, x)?;
        let others = self.resized("altup_proj", altup, [copies, x])?;
        self.push(Op::Concat { parts: 1 }, &[x, others])
    }

    /// The mean of the first stream and projections of the others that are as large.
    fn merged(&mut self, altup: AltUpSpec, all: ValueId) -> Value {
        let (width, wide) = (self.spec.width, self.spec.width * altup.streams);
        let first = self.stream(altup, 0, all)?;
        let others = self.push(Op::Slice { span: wide, first: width, width: wide - width }, &[all])?;
        let others = self.resized("altup_unembd_proj", altup, [others, first])?;
        let mut sum = first;
        for i in 0..altup.streams - 1 {
            let one = self.push(Op::Slice { span: wide - width, first: i * width, width }, &[others])?;
            sum = self.push(Op::Add, &[sum, one])?;
        }
        self.scale(1.0 / altup.streams as f32, sum)
    }

    /// A projection of each of the other streams, as large as `like`: with the same root of the mean square.
    fn resized(&mut self, name: &str, altup: AltUpSpec, [others, like]: [ValueId; 2]) -> Value {
        let width = self.spec.width;
        let shape = Shape { outer: altup.streams - 1, rows: width, cols: width };
        let weight = self.weights.stream_matrices(name, shape)?;
        let projected = self.push(Op::HeadLinear { weight }, &[others])?;
        let projected = self.push(Op::UnitNorm { span: width, eps: TINY }, &[projected])?;
        // Σ x · x / rms(x) is the width times rms(x).
        let unit = self.push(Op::UnitNorm { span: width, eps: TINY }, &[like])?;
        let size = self.push(Op::ExpertSum, &[like, unit])?;
        let size = self.scale(1.0 / width as f32, size)?;
        let sizes = self.repeated(altup.streams - 1, size)?;
        self.push(Op::Mul, &[projected, sizes])
    }

    /// Every stream and what the layer makes of all of them for it.
    fn predicted(&mut self, i: usize, (altup, router): (AltUpSpec, Router), all: ValueId) -> Value {
        let n = altup.streams;
        let active = self.stream(altup, altup.active, all)?;
        let modes = self.modes(router, active)?;
        let factors = self.project(i, "altup_predict_coef", (n * n, None), false, modes)?;
        let mut sums = Vec::with_capacity(n);
        for to in 0..n {
            let of_stream = self.push(Op::Slice { span: n * n, first: to * n, width: n }, &[factors])?;
            sums.push(self.push(Op::ExpertSum, &[all, of_stream])?);
        }
        let sums = self.beside_each_other(&sums)?;
        self.push(Op::Add, &[sums, all])
    }

    fn router(&mut self, i: usize, altup: AltUpSpec) -> Result<Router, ModelError> {
        let width = self.spec.width;
        let norm = self.weights.norm(i, "altup_router_norm", width)?;
        Ok(Router { norm, matrix: self.weights.matrix(i, "altup_router", Shape::matrix(altup.streams, width), None)? })
    }

    /// By how much each stream counts, from −1 to 1.
    fn modes(&mut self, router: Router, x: ValueId) -> Value {
        let h = self.push(Op::RmsNorm { weight: router.norm, eps: self.spec.norm.eps, quantize: false }, &[x])?;
        let h = self.scale(1.0 / self.spec.width as f32, h)?;
        let h = self.push(Op::Linear { weight: router.matrix }, &[h])?;
        self.push(Op::SoftCap { cap: 1.0 }, &[h])
    }

    /// The layer's own computation, of the stream that it predicted for itself.
    fn activated(&mut self, i: usize, active: ValueId) -> Value {
        let spec = self.spec;
        let h = self.norm(i, "attn_norm", spec.width, active)?;
        let rank = spec.layer_embed.and_then(|embed| embed.altup).map_or(0, |altup| altup.rank);
        let low = self.project(i, "laurel_l", (rank, None), false, h)?;
        let low = self.project(i, "laurel_r", (spec.width, None), false, low)?;
        let low = self.norm(i, "laurel_post_norm", spec.width, low)?;
        let laurel = self.push(Op::Add, &[h, low])?;
        let mixed = self.mixed(i, h)?;
        let x = self.add(i, "post_attention_norm", active, mixed)?;
        let x = self.push(Op::Add, &[x, laurel])?;
        let x = self.scale(0.5f32.sqrt(), x)?;
        let Some(ffn) = &spec.layer(i).ffn else { return Ok(x) };
        let h = self.norm(i, "ffn_norm", spec.width, x)?;
        let f = self.fed(i, ffn, [x, h])?;
        self.add(i, "post_ffw_norm", x, f)
    }

    /// Every stream, and of what the layer found beyond its prediction as much as the stream takes.
    fn corrected(
        &mut self,
        i: usize,
        (altup, router): (AltUpSpec, Router),
        [predicted, active, y]: [ValueId; 3],
    ) -> Value {
        let modes = self.modes(router, y)?;
        let factors = self.project(i, "altup_correct_coef", (altup.streams, None), false, modes)?;
        let minus = self.scale(-1.0, active)?;
        let news = self.push(Op::Add, &[y, minus])?;
        let news = self.repeated(altup.streams, news)?;
        let part = self.push(Op::Mul, &[news, factors])?;
        let x = self.push(Op::Add, &[predicted, news])?;
        self.push(Op::Add, &[x, part])
    }

    /// The layer's own embedding, gated by the stream that it computed, onto all but the first.
    fn embedded(&mut self, i: usize, altup: AltUpSpec, [all, embeds]: [ValueId; 2]) -> Value {
        let (width, wide) = (self.spec.width, self.spec.width * altup.streams);
        let mut gate = self.stream(altup, altup.active, all)?;
        if altup.scaled {
            let weight = self.weights.elements(i, "altup_correct_scale.weight", width)?;
            gate = self.push(Op::ScaleBy { weight }, &[gate])?;
        }
        let h = self.layer_embed_part(i, embeds, gate)?;
        let h = self.repeated(altup.streams - 1, h)?;
        let first = self.stream(altup, 0, all)?;
        let others = self.push(Op::Slice { span: wide, first: width, width: wide - width }, &[all])?;
        let others = self.push(Op::Add, &[others, h])?;
        self.push(Op::Concat { parts: 1 }, &[first, others])
    }

    fn stream(&mut self, altup: AltUpSpec, which: usize, all: ValueId) -> Value {
        let width = self.spec.width;
        self.push(Op::Slice { span: width * altup.streams, first: which * width, width }, &[all])
    }

    fn repeated(&mut self, count: usize, x: ValueId) -> Value {
        self.beside_each_other(&vec![x; count])
    }

    fn beside_each_other(&mut self, parts: &[ValueId]) -> Value {
        let mut all = parts[0];
        for &part in &parts[1..] {
            all = self.push(Op::Concat { parts: 1 }, &[all, part])?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_agree_with_tables() {
        for (part, wanted) in [(0.5, 0.0), (0.841_344_746_1, 1.0), (0.95, 1.644_853_627), (0.001, -3.090_232_306)] {
            assert!((quantile(part) - wanted).abs() < 1e-8, "{part}: {}", quantile(part));
        }
    }
}
