//! EAGLE-3 (Li et al. 2025, arXiv 2503.01840): a small model that reads what goes into several layers of a large one beside the token that
//! came next, and predicts the one after that.

use graph::{Op, ValueId};

use crate::bind::Binder;
use crate::spec::{ModelSpec, Norms};
use crate::{Checkpoint, ModelError, eagle3};

use super::build::{Builder, Built, Value};

/// What some heads have and others have not.
struct Form {
    /// What goes around attention is normalized.
    norm_before_residual: bool,
    /// What is read of the model is normalized, all of it together.
    norm_before_fc: bool,
    /// Likewise, what goes into each layer alone.
    fc_norm: bool,
    /// Rows of its own that it reads are normalized.
    norm_output: bool,
}

impl Form {
    fn read(checkpoint: &Checkpoint) -> Result<Form, ModelError> {
        let flag = |key: &str| Ok(checkpoint.metadata().read::<bool>(key)?.unwrap_or(false));
        Ok(Form {
            norm_before_residual: flag("norm_before_residual")?,
            norm_before_fc: flag("norm_before_fc")?,
            fc_norm: flag("fc_norm")?,
            norm_output: flag("norm_output")?,
        })
    }
}

/// The graph of a head. Of rows of the model it reads what goes into `eagle_aux_hidden_state_layer_ids`, each `target_hidden_size` wide,
/// through the projection `fc`; what it has made itself is as it comes out of there. As one of the two is zeros, their sum is either.
///
/// # Errors
/// If a tensor is missing, does not fit, or has no place in the graph.
pub(crate) fn build_eagle3(
    checkpoint: &Checkpoint,
    spec: &ModelSpec,
    weights: Binder<'_>,
) -> Result<Built, ModelError> {
    if spec.norms != Norms::Pre || !["llama", "qwen3"].contains(&spec.architecture) {
        let why = format!("is {:?}: layers of EAGLE-3 heads are those of llama or qwen3", spec.architecture);
        return Err(checkpoint.unsupported("model_type", why));
    }
    let (form, mut builder) = (Form::read(checkpoint)?, Builder::new(checkpoint, spec, weights));
    let (target, read) = (eagle3::target_width(checkpoint)?, eagle3::layers(checkpoint)?.len());
    let span = (read + 1) * target + spec.width;
    let given = builder.push(Op::Input { width: span }, &[])?;
    let of_model = builder.push(Op::Slice { span, first: 0, width: read * target }, &[given])?;
    let of_model = builder.read(&form, target, of_model)?;
    let of_model = builder.project(0, "eagle3.fc", (spec.width, None), false, of_model)?;
    let own = builder.push(Op::Slice { span, first: span - spec.width, width: spec.width }, &[given])?;
    let x = builder.push(Op::Add, &[of_model, own])?;
    let table = builder.weights.embed(spec.vocab, spec.width)?;
    let embedded = builder.token_embeds(table)?;
    let mut x = builder.first_layer(&form, embedded, x)?;
    for layer in 1..spec.layers {
        x = builder.layer(layer, x)?;
    }
    let normalized = builder.hidden(x)?;
    let rows = checkpoint.tensor(eagle3::OUTPUT).and_then(|tensor| tensor.dims.first()).copied();
    let weight = builder.weights.output(rows.unwrap_or(spec.vocab), spec.width)?;
    let logits = builder.push(Op::Linear { weight }, &[normalized])?;
    let logits = builder.finished(logits)?;
    builder.weights.refuse_rest(spec)?;
    let own = if form.norm_output { normalized } else { x };
    builder.finish(("logits", logits), own, own)
}

impl Builder<'_> {
    /// What is read of the model, normalized if that is the head's form.
    fn read(&mut self, form: &Form, target: usize, x: ValueId) -> Value {
        let span = self.weights.graph.value(x).width;
        if form.norm_before_fc {
            return self.norm(0, "eagle3.input_norm", span, x);
        }
        if !form.fc_norm {
            return Ok(x);
        }
        let mut parts = (0..span / target).map(|i| {
            let part = self.push(Op::Slice { span, first: i * target, width: target }, &[x])?;
            self.norm(0, &format!("eagle3.fc_norm.{i}"), target, part)
        });
        let parts = parts.by_ref().collect::<Result<Vec<_>, _>>()?;
        let (first, others) = (parts[0], &parts[1..]);
        others.iter().try_fold(first, |a, &b| self.push(Op::Concat { parts: 1 }, &[a, b]))
    }

    /// The layer whose attention reads the token beside the row, each normalized alone.
    fn first_layer(&mut self, form: &Form, embedded: ValueId, x: ValueId) -> Value {
        let (spec, width) = (self.spec, self.spec.width);
        let embedded = self.norm(0, "attn_norm", width, embedded)?;
        let h = self.norm(0, "hidden_norm", width, x)?;
        let around = if form.norm_before_residual { h } else { x };
        let both = self.push(Op::Concat { parts: 1 }, &[embedded, h])?;
        let mixed = self.mixed(0, both)?;
        let x = self.add(0, "post_attention_norm", around, mixed)?;
        let Some(ffn) = &spec.layer(0).ffn else { return Ok(x) };
        let h = self.norm(0, "ffn_norm", width, x)?;
        let f = self.fed(0, ffn, [x, h])?;
        self.add(0, "post_ffw_norm", x, f)
    }
}
