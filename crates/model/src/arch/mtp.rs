//! Multi-token prediction: a layer after the last that reads the model's hidden row of a token and the token after it, and predicts the
//! one after that (DeepSeek-V3, 2024, section 2.2).

use graph::{Op, ValueId, WeightId};
use tensor::Shape;

use crate::bind::Binder;
use crate::spec::ModelSpec;
use crate::{Checkpoint, ModelError};

use super::build::{Builder, Built, Value};

/// The graph of the layer after the last of `spec`, with its embedding and its head. A batch gives it the normalized rows that the model's
/// head reads, each beside the token that came next; its own rows before its head are such rows for the token after that.
///
/// # Errors
/// If a tensor is missing, does not fit, or has no place in the graph.
pub(crate) fn build_mtp(checkpoint: &Checkpoint, spec: &ModelSpec, weights: Binder<'_>) -> Result<Built, ModelError> {
    let (mut builder, layer) = (Builder::new(checkpoint, spec, weights), spec.layers);
    let given = builder.push(Op::Input { width: spec.width }, &[])?;
    let table = match builder.has_own_table(layer) {
        true => builder.weights.matrix(layer, "nextn.embed_tokens", Shape::matrix(spec.vocab, spec.width), None)?,
        false => builder.weights.embed(spec.vocab, spec.width)?,
    };
    let embedded = builder.token_embeds(table)?;
    let embedded = builder.norm(layer, "nextn.enorm", spec.width, embedded)?;
    let given = builder.norm(layer, "nextn.hnorm", spec.width, given)?;
    let both = builder.push(Op::Concat { parts: 1 }, &[embedded, given])?;
    let x = builder.project(layer, "nextn.eh_proj", (spec.width, None), false, both)?;
    let x = builder.layer(layer, x)?;
    let hidden = builder.mtp_hidden(layer, x)?;
    let output = builder.mtp_logits(layer, table, hidden)?;
    builder.weights.refuse_rest_of_layer(layer, spec)?;
    builder.finish(("logits", output), hidden, hidden)
}

impl Builder<'_> {
    /// Whether the layer has another embedding than the model; the paper has them share it.
    fn has_own_table(&self, layer: usize) -> bool {
        self.weights.has_own(layer, "nextn.embed_tokens", &self.weights.names.embed())
    }

    /// What the head reads: by a norm of the layer's own, or by the model's.
    fn mtp_hidden(&mut self, layer: usize, x: ValueId) -> Value {
        match self.weights.has(layer, "nextn.shared_head_norm.weight") {
            true => self.norm(layer, "nextn.shared_head_norm", self.spec.width, x),
            false => self.hidden(x),
        }
    }

    /// By an output matrix of the layer's own if it is another one than the model's.
    fn mtp_logits(&mut self, layer: usize, table: WeightId, hidden: ValueId) -> Value {
        let (spec, names) = (self.spec, self.weights.names);
        let shared = names.output().map_or_else(|| names.embed(), str::to_owned);
        if self.weights.has_own(layer, "nextn.shared_head_head", &shared) {
            let logits = self.project(layer, "nextn.shared_head_head", (spec.vocab, None), false, hidden)?;
            return self.finished(logits);
        }
        let is_its = !spec.output.tied || !self.has_own_table(layer);
        let table = if is_its { table } else { self.weights.embed(spec.vocab, spec.width)? };
        self.logits(table, hidden)
    }
}
