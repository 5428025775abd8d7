//! One graph for all: what a [`ModelSpec`] says, block after block.

mod encoder;
mod experts;
mod recurrent;

use graph::{Activation, Attention, Graph, GraphError, KvShape, Op, ValueId, WeightId};
use tensor::Shape;

use crate::bind::{Binder, Binding, Slice};
use crate::spec::{AttentionSpec, FfnSpec, Gate, KeySource, ModelSpec, NormKind, Norms, QkNorm};
use crate::{Checkpoint, ModelError};

pub(super) type Value = Result<ValueId, ModelError>;

/// A graph, and where its weights come from.
pub(crate) struct Built {
    pub(crate) graph: Graph,
    /// Of each weight.
    pub(crate) bindings: Vec<Binding>,
    /// What the head reads: the normalized rows of the last layer.
    pub(crate) hidden: ValueId,
    /// What is handed over if the head is a stage of its own: these, after the rows that another head reads beside them.
    pub(crate) handed: ValueId,
}

/// The graph of a model, which hands over what goes into these layers too; the number of layers stands for what comes out of the last.
///
/// # Errors
/// If a tensor is missing, does not fit, or has no place in the graph.
pub(crate) fn build(
    checkpoint: &Checkpoint,
    spec: &ModelSpec,
    weights: Binder<'_>,
    layers: &[usize],
) -> Result<Built, ModelError> {
    let mut builder = Builder::new(checkpoint, spec, weights);
    let table = builder.weights.embed(spec.vocab, spec.width)?;
    let x = builder.token_embeds(table)?;
    let embeds = spec.layer_embed.map(|embed| builder.layer_embeds(embed.width, x)).transpose()?;
    let states = match (spec.layer_embed.and_then(|embed| embed.altup), embeds) {
        (Some(_), _) if !layers.is_empty() => {
            let why = "has several streams of hidden states, and heads that draft for it read one";
            return Err(checkpoint.unsupported("altup", why));
        }
        (Some(altup), Some(embeds)) => vec![builder.streams(altup, x, embeds)?],
        _ => builder.layers(embeds, x)?,
    };
    let hidden = builder.hidden(states[states.len() - 1])?;
    let hidden = builder.densed(hidden)?;
    let state = |&layer: &usize| {
        let none =
            || checkpoint.invalid("layers", format!("there is none before {layer}: the model has {}", spec.layers));
        states.get(layer).copied().ok_or_else(none)
    };
    let read = layers.iter().map(state).collect::<Result<Vec<_>, _>>()?;
    let (handed, rows) = builder.handed(&read, hidden)?;
    let (name, output) = builder.output(table, rows)?;
    builder.weights.refuse_rest(spec)?;
    builder.finish((name, output), hidden, handed)
}

/// Builds a graph.
pub(super) struct Builder<'a> {
    checkpoint: &'a Checkpoint,
    pub(super) spec: &'a ModelSpec,
    pub(super) weights: Binder<'a>,
    /// The memory that each layer's attention reads.
    pub(super) kv: Vec<usize>,
}

/// The rows of each head from `first` on, where its queries and its gate are side by side.
fn beside_gates(a: &AttentionSpec, first: usize) -> Option<Slice> {
    Some(Slice { of: "attn_q", rows: 2 * a.head_dim, first, groups: a.heads })
}

/// The numbers of a file contradict each other where no tensor's shape could tell.
fn broken(checkpoint: &Checkpoint, e: GraphError) -> ModelError {
    checkpoint.invalid(&e.op, format!("{}; the model's numbers contradict each other", e.reason))
}

impl<'a> Builder<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint, spec: &'a ModelSpec, weights: Binder<'a>) -> Builder<'a> {
        Builder { checkpoint, spec, weights, kv: vec![] }
    }

    /// Ends the graph, whose output has this name.
    pub(super) fn finish(
        self,
        (name, output): (&str, ValueId),
        hidden: ValueId,
        handed: ValueId,
    ) -> Result<Built, ModelError> {
        let Builder { checkpoint, weights, .. } = self;
        let graph = weights.graph.finish(name, output).map_err(|e| broken(checkpoint, e))?;
        Ok(Built { graph, bindings: weights.bindings, hidden, handed })
    }

    /// What goes into each layer, and last what comes out of the last.
    fn layers(&mut self, embeds: Option<ValueId>, mut x: ValueId) -> Result<Vec<ValueId>, ModelError> {
        let mut states = vec![x];
        for layer in 0..self.spec.layers {
            x = self.layer(layer, x)?;
            x = embeds.map_or(Ok(x), |embeds| self.add_layer_embed(layer, embeds, x))?;
            x = if self.spec.layer(layer).scaled { self.scaled(layer, x)? } else { x };
            states.push(x);
        }
        Ok(states)
    }

    /// What is handed over to heads, and what of it the model's own head reads: all, or what stands after the others.
    fn handed(&mut self, read: &[ValueId], hidden: ValueId) -> Result<(ValueId, ValueId), ModelError> {
        let Some((&first, others)) = read.split_first() else { return Ok((hidden, hidden)) };
        let all = others.iter().chain([&hidden]);
        let handed = all.copied().try_fold(first, |a, b| self.push(Op::Concat { parts: 1 }, &[a, b]))?;
        let [span, width] = [handed, hidden].map(|value| self.weights.graph.value(value).width);
        Ok((handed, self.push(Op::Slice { span, first: span - width, width }, &[handed])?))
    }

    pub(super) fn layer(&mut self, i: usize, x: ValueId) -> Value {
        let spec = self.spec;
        if spec.norms.parallel() {
            return self.parallel(i, x);
        }
        // A layer that only feeds forward has one norm, which goes by the first one's name.
        let (mut x, mut norm) = (x, "attn_norm");
        if spec.layer(i).mixes() {
            let h = if self.normalizes(i) { self.norm(i, norm, spec.width, x)? } else { x };
            let mixed = self.mixed(i, h)?;
            let after = if spec.norms == Norms::Sum { "attn_output_norm" } else { "post_attention_norm" };
            (x, norm) = (self.add(i, after, x, mixed)?, "ffn_norm");
        }
        let Some(ffn) = &spec.layer(i).ffn else { return Ok(x) };
        let h = if spec.norms.before() { self.norm(i, norm, spec.width, x)? } else { x };
        let f = self.fed(i, ffn, [x, h])?;
        self.add(i, if spec.norms == Norms::Sum { "layer_output_norm" } else { "post_ffw_norm" }, x, f)
    }

    /// What the feed-forward part gives; some read x beside the normalized h.
    pub(super) fn fed(&mut self, i: usize, ffn: &FfnSpec, [x, h]: [ValueId; 2]) -> Value {
        match &ffn.experts {
            None => self.dense(i, ffn, h),
            Some(experts) if experts.shared.is_some_and(|shared| shared.dense) => self.beside(i, ffn, experts, [x, h]),
            Some(experts) => self.experts(i, ffn, experts, h),
        }
    }

    /// What the layer finds in the other rows of the sequence.
    pub(super) fn mixed(&mut self, i: usize, h: ValueId) -> Value {
        let layer = self.spec.layer(i);
        let attended = layer.attention.as_ref().map(|a| self.attended(i, a, h)).transpose()?;
        let recurrent = layer.recurrent.as_ref().map(|r| self.recurrent(i, r, h)).transpose()?;
        match (attended, recurrent) {
            (Some(a), Some(r)) => self.push(Op::Add, &[a, r]),
            (one, other) => Ok(one.or(other).unwrap_or(h)),
        }
    }

    /// Both parts read the layer's input.
    fn parallel(&mut self, i: usize, x: ValueId) -> Value {
        let (width, layer) = (self.spec.width, self.spec.layer(i));
        let h = self.norm(i, "attn_norm", width, x)?;
        let attended = layer.attention.as_ref().map(|a| self.attended(i, a, h)).transpose()?;
        let y = attended.map_or(Ok(x), |attended| self.push(Op::Add, &[x, attended]))?;
        let Some(ffn) = &layer.ffn else { return Ok(y) };
        let h = if self.spec.norms == Norms::Beside { self.norm(i, "ffn_norm", width, x)? } else { h };
        let f = self.fed(i, ffn, [x, h])?;
        self.push(Op::Add, &[y, f])
    }

    fn attended(&mut self, i: usize, attention: &AttentionSpec, h: ValueId) -> Value {
        let a = match self.spec.layer(i).keys {
            KeySource::Latent(latent) => self.latent(i, attention, latent, h)?,
            _ => self.attention(i, attention, h)?,
        };
        let a = if attention.gate == Gate::None { a } else { self.gated(i, attention, h, a)? };
        let a = self.project(i, "attn_output", (self.spec.width, None), attention.biases.output, a)?;
        self.scale(self.spec.layer(i).attention_scale, a)
    }

    fn attention(&mut self, i: usize, a: &AttentionSpec, x: ValueId) -> Value {
        let of_queries = if a.gate == Gate::WithQueries { beside_gates(a, 0) } else { self.slice(a, 0) };
        let q = self.project(i, "attn_q", (a.heads * a.head_dim, of_queries), a.biases.qkv, x)?;
        let q = self.rotated(i, "attn_q_norm", a, q)?;
        let q = a.growth.map_or(Ok(q), |growth| self.push(Op::Grow(growth), &[q]))?;
        let layer = match self.spec.layer(i).keys {
            KeySource::Layer(other) => self.kv[other],
            keys => self.keys(i, a, keys, x)?,
        };
        self.kv.push(layer);
        let sinks = if a.sinks { Some(self.weights.sinks(i, a.heads)?) } else { None };
        let (&AttentionSpec { heads, scale, window, softcap, .. }, causal) = (a, self.spec.encoder.is_none());
        let attention = Attention { layer, heads, scale, window, causal, softcap, sinks };
        self.weights.graph.attention(attention, q).map_err(|e| broken(self.checkpoint, e))
    }

    /// The rows of a layer's heads from `first` on, where queries, keys and values are one matrix: all queries before all keys, or a
    /// head's of all three before the next one's.
    fn slice(&self, a: &AttentionSpec, first: usize) -> Option<Slice> {
        let (rows, groups) = match self.weights.mixes_heads() {
            true => ((a.heads / a.kv_heads + 2) * a.head_dim, a.kv_heads),
            false => ((a.heads + 2 * a.kv_heads) * a.head_dim, 1),
        };
        Some(Slice { of: "attn_qkv", rows, first: first / groups * a.head_dim, groups })
    }

    /// Writes keys and values; gives the memory they are in.
    fn keys(&mut self, i: usize, a: &AttentionSpec, keys: KeySource, x: ValueId) -> Result<usize, ModelError> {
        let narrow = a.kv_heads * a.head_dim;
        let k = self.project(i, "attn_k", (narrow, self.slice(a, a.heads)), a.biases.qkv, x)?;
        let mut v = k;
        if keys != (KeySource::Normalized { of_keys: true }) {
            v = self.project(i, "attn_v", (narrow, self.slice(a, a.heads + a.kv_heads)), a.biases.qkv, x)?;
        }
        let k = self.rotated(i, "attn_k_norm", a, k)?;
        if let KeySource::Normalized { .. } = keys {
            v = self.unit_norm(a.head_dim, v)?;
        }
        let layer = self.weights.graph.kv_layer(KvShape { heads: a.kv_heads, head_dim: a.head_dim });
        self.weights.graph.kv_write(layer, k, v).map_err(|e| broken(self.checkpoint, e))?;
        Ok(layer)
    }

    /// The activated gate of h times what attention found.
    fn gated(&mut self, i: usize, spec: &AttentionSpec, h: ValueId, a: ValueId) -> Value {
        let width = self.weights.graph.value(a).width;
        let (rows, slice, bias) = match spec.gate {
            Gate::WithQueries => (width, beside_gates(spec, spec.head_dim), spec.biases.qkv),
            Gate::PerHead | Gate::SoftplusPerHead => (spec.heads, None, false),
            _ => (width, None, false),
        };
        let gate = self.project(i, "attn_gate", (rows, slice), bias, h)?;
        let act = match spec.gate {
            Gate::Softplus | Gate::SoftplusPerHead => Activation::Softplus,
            _ => Activation::Sigmoid,
        };
        if rows == width {
            return self.push(Op::Glu { act }, &[gate, a]);
        }
        let gate = self.push(Op::Activate { act }, &[gate])?;
        self.push(Op::Mul, &[a, gate])
    }

    /// Queries or keys, normalized and rotated.
    fn rotated(&mut self, i: usize, norm: &str, a: &AttentionSpec, x: ValueId) -> Value {
        let width = self.weights.graph.value(x).width;
        let x = match a.qk_norm {
            QkNorm::None | QkNorm::AfterRope => x,
            QkNorm::PerHead => self.norm(i, norm, a.head_dim, x)?,
            QkNorm::Unit => self.unit_norm(a.head_dim, x)?,
            QkNorm::EachHead => self.head_norm(i, norm, a.head_dim, x)?,
            QkNorm::Full => self.norm(i, norm, width, x)?,
        };
        let x = match &a.rope {
            Some(rope) => self.push(Op::Rope(rope.clone()), &[x])?,
            None => x,
        };
        if a.qk_norm == QkNorm::AfterRope { self.norm(i, norm, a.head_dim, x) } else { Ok(x) }
    }

    pub(super) fn dense(&mut self, i: usize, ffn: &FfnSpec, x: ValueId) -> Value {
        let of = if self.weights.fuses_up(i) { "ffn_up" } else { "ffn_gate_up" };
        let slice = |first| Some(Slice { of, rows: 2 * ffn.width, first, groups: 1 });
        let up_slice = slice(ffn.width);
        let h = if ffn.gated {
            let gate = self.project(i, "ffn_gate", (ffn.width, slice(0)), ffn.bias, x)?;
            let gate = self.scale(ffn.scales[0], gate)?;
            let gate = match ffn.sparsity {
                Some(deviations) => self.push(Op::GaussianTopK { deviations }, &[gate])?,
                None => gate,
            };
            let up = self.project(i, "ffn_up", (ffn.width, up_slice), ffn.bias, x)?;
            self.push(Op::Glu { act: ffn.act }, &[gate, up])?
        } else {
            let up = self.project(i, "ffn_up", (ffn.width, None), ffn.bias, x)?;
            self.push(Op::Activate { act: ffn.act }, &[up])?
        };
        let y = self.project(i, "ffn_down", (self.spec.width, None), ffn.bias, h)?;
        self.scale(ffn.scales[1], y)
    }

    /// A layer's output times its weight.
    fn scaled(&mut self, i: usize, x: ValueId) -> Value {
        let weight = self.weights.elements(i, "layer_output_scale.weight", 1)?;
        self.push(Op::ScaleBy { weight }, &[x])
    }

    /// What a part of a layer found, normalized and scaled, onto the residual stream.
    pub(super) fn add(&mut self, i: usize, norm: &str, x: ValueId, part: ValueId) -> Value {
        let eps = self.spec.norm.after_eps;
        let part = if self.spec.norms.after() { self.norm_by(i, norm, (self.spec.width, eps), part)? } else { part };
        let part = self.scale(self.spec.scales.residual, part)?;
        let sum = self.push(Op::Add, &[x, part])?;
        if self.spec.norms == Norms::Sum { self.norm_by(i, norm, (self.spec.width, eps), sum) } else { Ok(sum) }
    }

    /// Of every row, then of those whose logits are wanted: that only these are computed is a rule of fusion.
    pub(super) fn hidden(&mut self, x: ValueId) -> Value {
        let spec = self.spec;
        if spec.norms == Norms::Sum {
            return Ok(x);
        }
        let weight = self.weights.output_norm(spec.width)?;
        let bias = match spec.norm.kind {
            NormKind::Layer { bias: true } => Some(self.weights.output_norm_bias(spec.width)?),
            _ => None,
        };
        self.normalized(weight, bias, (spec.width, spec.norm.eps), x)
    }

    /// What is made of the last rows, and what that is called.
    fn output(&mut self, table: WeightId, x: ValueId) -> Result<(&'static str, ValueId), ModelError> {
        match (self.spec.output.head, self.spec.encoder) {
            (Some(head), _) => Ok(("scores", self.scores(head, x)?)),
            (None, Some(_)) => Ok(("hidden states", self.push(Op::SelectOutputs, &[x])?)),
            (None, None) => Ok(("logits", self.logits(table, x)?)),
        }
    }

    pub(super) fn logits(&mut self, table: WeightId, x: ValueId) -> Value {
        let spec = self.spec;
        let weight = if spec.output.tied { table } else { self.weights.output(spec.vocab, spec.width)? };
        let mut logits = self.push(Op::Linear { weight }, &[x])?;
        if !spec.output.tied
            && let Some(weight) = self.weights.output_factor()?
        {
            logits = self.push(Op::ScaleBy { weight }, &[logits])?;
        }
        self.finished(logits)
    }

    /// What products with the output matrix become: logits of the rows that are wanted.
    pub(super) fn finished(&mut self, mut logits: ValueId) -> Value {
        let spec = self.spec;
        if spec.output.bias {
            let bias = self.weights.output_bias(spec.vocab)?;
            logits = self.push(Op::AddBias { bias }, &[logits])?;
        }
        let logits = self.scale(spec.scales.logits, logits)?;
        let logits = match spec.output.cap {
            Some(cap) => self.push(Op::SoftCap { cap }, &[logits])?,
            None => logits,
        };
        self.push(Op::SelectOutputs, &[logits])
    }

    /// A matrix of `rows`, and its bias.
    pub(super) fn project(
        &mut self,
        i: usize,
        name: &str,
        of: (usize, Option<Slice>),
        bias: bool,
        x: ValueId,
    ) -> Value {
        let ((rows, slice), cols) = (of, self.weights.graph.value(x).width);
        let weight = self.weights.matrix(i, name, Shape::matrix(rows, cols), slice)?;
        let mut y = self.push(Op::Linear { weight }, &[x])?;
        if let Some(factor) = self.weights.factor(i, name, slice) {
            let weight = self.weights.elements(i, &factor, 1)?;
            y = self.push(Op::ScaleBy { weight }, &[y])?;
        }
        if !bias {
            return Ok(y);
        }
        let bias = self.weights.bias(i, name, rows, slice)?;
        self.push(Op::AddBias { bias }, &[y])
    }

    pub(super) fn norm(&mut self, i: usize, name: &str, span: usize, x: ValueId) -> Value {
        self.norm_by(i, name, (span, self.spec.norm.eps), x)
    }

    fn norm_by(&mut self, i: usize, name: &str, (span, eps): (usize, f32), x: ValueId) -> Value {
        let weight = self.weights.norm(i, name, span)?;
        let bias = match self.spec.norm.kind {
            NormKind::Layer { bias: true } => Some(self.weights.elements(i, &format!("{name}.bias"), span)?),
            _ => None,
        };
        self.normalized(weight, bias, (span, eps), x)
    }

    /// A norm of each head with elements of its own.
    fn head_norm(&mut self, i: usize, name: &str, span: usize, x: ValueId) -> Value {
        let heads = self.weights.graph.value(x).width / span;
        let weight = self.weights.head_norm(i, name, Shape::matrix(heads, span))?;
        self.normalized(weight, None, (span, self.spec.norm.eps), x)
    }

    fn unit_norm(&mut self, span: usize, x: ValueId) -> Value {
        self.push(Op::UnitNorm { span, eps: self.spec.norm.eps }, &[x])
    }

    pub(super) fn normalized(
        &mut self,
        weight: WeightId,
        bias: Option<WeightId>,
        (span, eps): (usize, f32),
        x: ValueId,
    ) -> Value {
        self.push(
            match self.spec.norm.kind {
                NormKind::Rms => Op::RmsNorm { weight, eps, quantize: false },
                NormKind::Layer { .. } => Op::LayerNorm { weight, bias, span, eps },
            },
            &[x],
        )
    }

    pub(super) fn scale(&mut self, by: f32, x: ValueId) -> Value {
        if by == 1.0 { Ok(x) } else { self.push(Op::Scale { by }, &[x]) }
    }

    pub(super) fn broken(&self, e: GraphError) -> ModelError {
        broken(self.checkpoint, e)
    }

    pub(super) fn push(&mut self, op: Op, inputs: &[ValueId]) -> Value {
        self.weights.graph.push(op, inputs).map_err(|e| broken(self.checkpoint, e))
    }
}
