//! Embeddings of tokens, what encoders have besides before their layers, and what judges a text after them.

use graph::{Op, ValueId, WeightId};
use tensor::Shape;

use crate::spec::{EncoderSpec, HeadActivation, HeadSpec, NormKind};

use super::{Builder, Value};

impl Builder<'_> {
    /// The rows of the batch's tokens.
    pub(in crate::arch) fn token_embeds(&mut self, table: WeightId) -> Value {
        let spec = self.spec;
        let x = self.push(Op::Embed { table }, &[])?;
        let x = if spec.norm.embed { self.unit_norm(spec.width, x)? } else { x };
        let x = spec.encoder.map_or(Ok(x), |encoder| self.whole_embeds(encoder, x))?;
        self.scale(spec.scales.embed, x)
    }

    /// Embeddings of tokens with those of their positions and types, normalized.
    pub(super) fn whole_embeds(&mut self, encoder: EncoderSpec, mut x: ValueId) -> Value {
        let width = self.spec.width;
        if let Some(positions) = encoder.positions {
            let table = self.weights.positions(positions, width)?;
            let positions = self.push(Op::EmbedPositions { table }, &[])?;
            x = self.push(Op::Add, &[x, positions])?;
        }
        if let Some(types) = encoder.types {
            let table = self.weights.global("token_types", Shape::matrix(types, width))?;
            let types = self.push(Op::EmbedTypes { table }, &[])?;
            x = self.push(Op::Add, &[x, types])?;
        }
        if encoder.embed_norm { self.global_norm("token_embd_norm", x) } else { Ok(x) }
    }

    /// Whether layer `i` normalizes what its first part reads.
    pub(super) fn normalizes(&self, i: usize) -> bool {
        self.spec.norms.before() && (i > 0 || self.spec.encoder.is_none_or(|encoder| encoder.first_norm))
    }

    /// What the last rows are multiplied with. As no more happens to them, it makes no difference whether it comes before or after a
    /// mean.
    pub(super) fn densed(&mut self, x: ValueId) -> Value {
        let Some([inner, outer]) = self.spec.encoder.and_then(|encoder| encoder.dense) else { return Ok(x) };
        let width = self.weights.graph.value(x).width;
        let weight = self.weights.global("dense_2", Shape::matrix(inner, width))?;
        let x = self.push(Op::Linear { weight }, &[x])?;
        let weight = self.weights.global("dense_3", Shape::matrix(outer, inner))?;
        self.push(Op::Linear { weight }, &[x])
    }

    /// A text's scores, of a row that stands for it.
    pub(super) fn scores(&mut self, head: HeadSpec, mut x: ValueId) -> Value {
        let width = self.spec.width;
        if let Some(act) = head.dense {
            x = self.judged("cls", width, x)?;
            x = match act {
                HeadActivation::Tanh => self.push(Op::SoftCap { cap: 1.0 }, &[x])?,
                HeadActivation::As(act) => self.push(Op::Activate { act }, &[x])?,
            };
        }
        x = if head.norm { self.global_norm("cls.norm", x)? } else { x };
        let scores = self.judged("cls.output", head.labels, x)?;
        self.push(Op::SelectOutputs, &[scores])
    }

    /// A projection of the head, and its bias if it has one.
    fn judged(&mut self, name: &str, rows: usize, x: ValueId) -> Value {
        let cols = self.weights.graph.value(x).width;
        let weight = self.weights.global(name, Shape::matrix(rows, cols))?;
        let x = self.push(Op::Linear { weight }, &[x])?;
        match self.weights.global_bias(name, rows)? {
            Some(bias) => self.push(Op::AddBias { bias }, &[x]),
            None => Ok(x),
        }
    }

    /// A norm outside of layers.
    fn global_norm(&mut self, name: &str, x: ValueId) -> Value {
        let width = self.weights.graph.value(x).width;
        let weight = self.weights.global_norm(name, width)?;
        let bias = match self.spec.norm.kind {
            NormKind::Layer { bias: true } => self.weights.global_bias(name, width)?,
            _ => None,
        };
        self.normalized(weight, bias, (width, self.spec.norm.eps), x)
    }
}
