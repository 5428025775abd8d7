//! Layers that bring a state forward along a sequence.

use graph::{Activation, GatedDelta, Memory, Op, Scan, ValueId, WeightId};
use tensor::Shape;

use crate::bind::Slice;
use crate::spec::{ConvSpec, DeltaSpec, RecurrentSpec, ScanNorm, ScanSpec};

use super::{Builder, Value};

/// What is added to the square of a query's or key's length.
const LENGTH_EPS: f32 = 1e-6;

/// Some channels of a convolution: the name of their taps, the first of them, and how many there are of all.
struct Channels {
    name: &'static str,
    first: usize,
    of: usize,
    bias: bool,
}

impl Builder<'_> {
    pub(super) fn recurrent(&mut self, i: usize, spec: &RecurrentSpec, h: ValueId) -> Value {
        match spec {
            RecurrentSpec::Delta(delta) if delta.by_row => self.delta_by_row(i, delta, h),
            RecurrentSpec::Delta(delta) => self.delta(i, delta, h),
            RecurrentSpec::Conv(conv) => self.short_conv(i, conv, h),
            RecurrentSpec::Scan(scan) => self.scan(i, scan, h),
        }
    }

    fn delta(&mut self, i: usize, d: &DeltaSpec, h: ValueId) -> Value {
        let (keys, values) = (d.key_heads * d.key_dim, d.heads * d.value_dim);
        let parts = [("attn_q", keys), ("attn_k", keys), ("attn_v", values), ("attn_gate", values)];
        let mut projected = [h; 4];
        for (n, (name, rows)) in parts.into_iter().enumerate() {
            projected[n] = self.project(i, name, (rows, self.delta_slice(i, d, n)), false, h)?;
        }
        let [q, k, v, z] = projected;
        let [decay, rate] = self.decay_and_rate(i, d, h)?;
        let y = self.delta_rule(i, d, [q, k, v, decay, rate])?;
        let y = self.push(Op::Glu { act: Activation::Silu }, &[z, y])?;
        self.project(i, "ssm_out", (self.spec.width, None), false, y)
    }

    /// Queries, keys and values convolved, queries and keys of length one, and what the rule makes of them, normalized head by head.
    fn delta_rule(&mut self, i: usize, d: &DeltaSpec, [q, k, v, decay, rate]: [ValueId; 5]) -> Value {
        let (keys, values) = (d.key_heads * d.key_dim, d.heads * d.value_dim);
        let channels = |name, first| Channels { name, first, of: 2 * keys + values, bias: false };
        let q = self.convolved(i, channels("ssm_conv1d_q", 0), d.taps, q)?;
        let k = self.convolved(i, channels("ssm_conv1d_k", keys), d.taps, k)?;
        let v = self.convolved(i, channels("ssm_conv1d_v", 2 * keys), d.taps, v)?;
        // A query is divided by the root of its width too.
        let q = self.of_length_one(d.key_dim, 1.0 / d.key_dim as f32, q)?;
        let k = self.of_length_one(d.key_dim, (d.key_dim as f32).powf(-0.5), k)?;
        let layer = self.weights.graph.memory(Memory::Recurrent { len: keys / d.key_heads * values });
        let &DeltaSpec { heads, key_heads, order, .. } = d;
        let y = self.push(Op::GatedDelta(GatedDelta { layer, heads, key_heads, order }), &[q, k, v, decay, rate])?;
        let weight = self.weights.plain_norm(i, "ssm_norm", d.value_dim)?;
        self.push(Op::RmsNorm { weight, eps: self.spec.norm.eps, quantize: false }, &[y])
    }

    /// Kimi Delta Attention (2025): a decay for each row of the state, and a gate, both by projections of low rank.
    fn delta_by_row(&mut self, i: usize, d: &DeltaSpec, h: ValueId) -> Value {
        let width = d.heads * d.key_dim;
        let mut projected = [h; 3];
        for (n, name) in ["attn_q", "attn_k", "attn_v"].into_iter().enumerate() {
            projected[n] = self.project(i, name, (width, None), false, h)?;
        }
        let [q, k, v] = projected;
        let step = self.low_rank(i, d, ["ssm_f_a", "ssm_f_b"], h)?;
        let bias = self.weights.step_bias(i, width)?;
        let step = self.push(Op::AddBias { bias }, &[step])?;
        let step = self.push(Op::Activate { act: Activation::Softplus }, &[step])?;
        let weight = self.weights.row_decays(i, d.heads, d.key_dim)?;
        let decay = self.push(Op::ScaleBy { weight }, &[step])?;
        let rate = self.project(i, "ssm_beta", (d.heads, None), false, h)?;
        let rate = self.push(Op::Activate { act: Activation::Sigmoid }, &[rate])?;
        let y = self.delta_rule(i, d, [q, k, v, decay, rate])?;
        let gate = self.low_rank(i, d, ["ssm_g_a", "ssm_g_b"], h)?;
        let y = self.push(Op::Glu { act: Activation::Sigmoid }, &[gate, y])?;
        self.project(i, "attn_output", (self.spec.width, None), false, y)
    }

    fn low_rank(&mut self, i: usize, d: &DeltaSpec, [low, high]: [&str; 2], h: ValueId) -> Value {
        let h = self.project(i, low, (d.key_dim, None), false, h)?;
        self.project(i, high, (d.heads * d.key_dim, None), false, h)
    }

    /// Where the `n`th of queries, keys, values and gates are, where they are not alone: one after the other without the gates, or
    /// all by the heads of keys.
    fn delta_slice(&self, i: usize, d: &DeltaSpec, n: usize) -> Option<Slice> {
        let of_head = d.heads / d.key_heads * d.value_dim;
        let first = [0, d.key_dim, 2 * d.key_dim, 2 * d.key_dim + of_head][n];
        let groups = d.key_heads;
        if self.weights.has(i, "ssm_in.weight") {
            return Some(Slice { of: "ssm_in", rows: 2 * (d.key_dim + of_head), first, groups });
        }
        let rows = groups * (2 * d.key_dim + of_head);
        (n < 3).then(|| Slice { of: "attn_qkv", rows, first: groups * first, groups: 1 })
    }

    /// The logarithm of each head's decay, and the rate at which it learns.
    fn decay_and_rate(&mut self, i: usize, d: &DeltaSpec, h: ValueId) -> Result<[ValueId; 2], crate::ModelError> {
        let each = d.heads / d.key_heads;
        let of = |first| Slice { of: "ssm_ba", rows: 2 * each, first, groups: d.key_heads };
        let together = self.weights.has(i, "ssm_ba.weight");
        let rate = self.project(i, "ssm_beta", (d.heads, together.then(|| of(0))), false, h)?;
        let decay = self.project(i, "ssm_alpha", (d.heads, together.then(|| of(each))), false, h)?;
        let rate = self.push(Op::Activate { act: Activation::Sigmoid }, &[rate])?;
        let bias = self.weights.step_bias(i, d.heads)?;
        let step = self.push(Op::AddBias { bias }, &[decay])?;
        let step = self.push(Op::Activate { act: Activation::Softplus }, &[step])?;
        let weight = self.weights.decays(i, d.heads)?;
        Ok([self.push(Op::ScaleBy { weight }, &[step])?, rate])
    }

    /// Spans of unit length, times `by` and the root of their width.
    fn of_length_one(&mut self, span: usize, by: f32, x: ValueId) -> Value {
        let x = self.push(Op::UnitNorm { span, eps: LENGTH_EPS / span as f32 }, &[x])?;
        self.push(Op::Scale { by }, &[x])
    }

    /// A gate times the convolution of a gated input.
    fn short_conv(&mut self, i: usize, c: &ConvSpec, h: ValueId) -> Value {
        let width = self.spec.width;
        let part = |n| Some(Slice { of: "shortconv.in_proj", rows: 3 * width, first: n * width, groups: 1 });
        let before = self.project(i, "shortconv.b", (width, part(0)), c.bias, h)?;
        let after = self.project(i, "shortconv.c", (width, part(1)), c.bias, h)?;
        let x = self.project(i, "shortconv.x", (width, part(2)), c.bias, h)?;
        let x = self.push(Op::Mul, &[before, x])?;
        let weight = self.weights.taps(i, "shortconv.conv", Shape::matrix(width, c.taps), None)?;
        let mut y = self.causal_conv(weight, c.taps, x)?;
        if c.bias {
            let bias = self.weights.bias(i, "shortconv.conv", width, None)?;
            y = self.push(Op::AddBias { bias }, &[y])?;
        }
        let y = self.push(Op::Mul, &[after, y])?;
        self.project(i, "shortconv.out_proj", (width, None), c.bias, y)
    }

    fn scan(&mut self, i: usize, m: &ScanSpec, h: ValueId) -> Value {
        let (inner, group) = (m.heads * m.head_dim, m.groups * m.state_dim);
        let rows = [inner, inner, group, group, m.heads];
        let names = ["ssm_in_z", "ssm_in_x", "ssm_in_b", "ssm_in_c", "ssm_in_dt"];
        let (mut projected, mut first) = ([h; 5], 0);
        for (n, (name, rows_of)) in names.into_iter().zip(rows).enumerate() {
            let slice = Slice { of: "ssm_in", rows: rows.iter().sum(), first, groups: 1 };
            let x = self.project(i, name, (rows_of, Some(slice)), m.bias, h)?;
            projected[n] = self.scale(m.scales.projected[n], x)?;
            first += rows_of;
        }
        let [z, x, b, c, step] = projected;
        let channels = |name, first| Channels { name, first, of: inner + 2 * group, bias: m.conv_bias };
        let x = self.convolved(i, channels("ssm_conv1d_x", 0), m.taps, x)?;
        let b = self.convolved(i, channels("ssm_conv1d_b", inner), m.taps, b)?;
        let c = self.convolved(i, channels("ssm_conv1d_c", inner + group), m.taps, c)?;
        let bias = self.weights.step_bias(i, m.heads)?;
        let step = self.push(Op::AddBias { bias }, &[step])?;
        let step = self.push(Op::Activate { act: Activation::Softplus }, &[step])?;
        let (decay, skip) = (self.weights.decays(i, m.heads)?, self.weights.skips(i, m.heads)?);
        let layer = self.weights.graph.memory(Memory::Recurrent { len: m.state_dim.saturating_mul(inner) });
        let scan = Scan { layer, heads: m.heads, groups: m.groups, decay, skip };
        let y = self.push(Op::Scan(scan), &[x, b, c, step])?;
        let y = if m.norm == ScanNorm::BeforeGate { self.normed_groups(i, m, y)? } else { y };
        let y = self.push(Op::Glu { act: Activation::Silu }, &[z, y])?;
        let y = if m.norm == ScanNorm::AfterGate { self.normed_groups(i, m, y)? } else { y };
        let y = self.project(i, "ssm_out", (self.spec.width, None), m.output_bias, y)?;
        self.scale(m.scales.output, y)
    }

    /// Each group normalized alone, with elements of its own.
    fn normed_groups(&mut self, i: usize, m: &ScanSpec, x: ValueId) -> Value {
        let inner = m.heads * m.head_dim;
        let y = self.push(Op::UnitNorm { span: inner / m.groups, eps: self.spec.norm.eps }, &[x])?;
        let weight = self.weights.plain_norm(i, "ssm_norm", inner)?;
        self.push(Op::ScaleBy { weight }, &[y])
    }

    /// The causal convolution of each channel, activated.
    fn convolved(&mut self, i: usize, channels: Channels, taps: usize, x: ValueId) -> Value {
        let count = self.weights.graph.value(x).width;
        let Channels { name, first, of: rows, bias } = channels;
        let slice = Some(Slice { of: "ssm_conv1d", rows, first, groups: 1 });
        let weight = self.weights.taps(i, name, Shape::matrix(count, taps), slice)?;
        let mut y = self.causal_conv(weight, taps, x)?;
        if bias {
            let bias = self.weights.bias(i, name, count, slice)?;
            y = self.push(Op::AddBias { bias }, &[y])?;
        }
        self.push(Op::Activate { act: Activation::Silu }, &[y])
    }

    fn causal_conv(&mut self, weight: WeightId, taps: usize, x: ValueId) -> Value {
        let len = self.weights.graph.value(x).width.saturating_mul(taps.saturating_sub(1));
        let layer = self.weights.graph.memory(Memory::Recurrent { len });
        self.push(Op::CausalConv { layer, weight }, &[x])
    }
}
