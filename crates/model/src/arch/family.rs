//! What a row of the table of architectures can say.

use std::collections::BTreeSet;

use graph::{Activation, HeadOrder, RopeStyle, Squash};

use crate::spec::{Gate, NormKind, Norms, QkNorm};
use crate::{Checkpoint, Format, Metadata, ModelError};

use super::config::Key;
use super::refused::{REFUSED, missing};

/// What config.json says of a decoder that was made an encoder.
pub(super) const BOTH_WAYS: &str = "use_bidirectional_attention";

/// A row: what a model family does differently.
pub(crate) struct Arch {
    /// The family's name.
    pub name: &'static str,
    /// `model_type` in config.json.
    pub model_types: &'static [&'static str],
    /// `general.architecture` in GGUF.
    pub gguf: &'static [&'static str],
    /// Values of keys that are absent, true as 1: of config.json, and of GGUF where the key starts with a dot.
    pub defaults: &'static [(&'static str, f64)],
    /// Where a layer has norms.
    pub norms: Norms,
    /// What safetensors files leave out of norm weights.
    pub norm_shift: f32,
    /// Whether embeddings are scaled by the square root of the width.
    pub embed_sqrt: bool,
    /// The activation, where the file does not say.
    pub act: Activation,
    /// Its attention.
    pub attn: Attn,
    /// How safetensors files keep matrices of all experts in one tensor.
    pub experts: ExpertLayout,
    /// What is applied to the router's products, where the file does not say.
    pub squash: Option<Squash>,
    /// What few families have.
    pub extras: Extras,
}

/// What few families have.
#[derive(Clone, Copy)]
pub(crate) struct Extras {
    /// Whether an activated gate is multiplied with what feed-forward parts read.
    pub gated: bool,
    /// What some of its layers bring forward along a sequence.
    pub recurrent: Option<Recurrence>,
    /// Whether values are normalized, without weights.
    pub value_norm: bool,
    /// Where config.json does not say: of heads without a window, how much is rotated, at their own places (Gemma 4).
    pub proportional: Option<f64>,
    /// Whether attention is latent.
    pub latent: bool,
    /// What norms do.
    pub norm: NormKind,
    /// Whether files have no elements of norms: those are 1.
    pub bare: bool,
    /// Whether the tensors alone say which projections have a bias.
    pub found_biases: bool,
    /// Whether safetensors files have the rows of queries, keys and values side by side for each head.
    pub mixed_heads: bool,
    /// How texts come in.
    pub input: Input,
    /// Whether experts are averaged with the shared one, and layers before the first with experts are rotated though they have no
    /// window (Cohere 2's mixture).
    pub averaged: bool,
    /// What logits are multiplied with, where the file does not say, if it may.
    pub logit_factor: Option<f64>,
}

impl Extras {
    /// Whether embeddings are brought to the same length.
    pub(crate) fn unit_embed(&self) -> bool {
        self.input == Input::Unit
    }

    /// What it has as an encoder, if it is one.
    pub(crate) fn encoder(&self) -> Option<Encoding> {
        if let Input::Whole(encoding) = self.input { Some(encoding) } else { None }
    }
}

/// How texts come in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// As embeddings, token after token.
    Plain,
    /// As that, but embeddings are normalized; the norm before the output is then stored whole, and those of queries and keys in GGUF
    /// files alone (Muse Glimmer).
    Unit,
    /// Whole: each token sees those after it as well.
    Whole(Encoding),
}

/// What a family of encoders does with embeddings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    /// How positions are added.
    pub positions: Positions,
    /// Whether the sum of all embeddings is normalized.
    pub norm: bool,
}

/// How positions are added to embeddings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Positions {
    /// They are not.
    None,
    /// From a table.
    Learned,
    /// From a table whose first position is in the row after that of the token for padding; GGUF files leave out what is before it.
    AfterPadding,
}

/// The attention of a family.
pub(crate) struct Attn {
    /// Pairs in GGUF files, as llama.cpp's converter orders the rows of queries and keys; most safetensors have halves.
    pub gguf_rope: RopeStyle,
    /// In safetensors files.
    pub hf_rope: RopeStyle,
    /// Norms of queries and keys.
    pub qk_norm: QkNorm,
    /// Whether some of the family's models have none.
    pub qk_norm_optional: bool,
    /// What the output is multiplied with.
    pub gate: Gate,
    /// Whether queries, keys and values always have a bias.
    pub qkv_bias: bool,
    /// What config.json calls the flag for a bias of the output projection.
    pub output_bias: Key,
    /// Whether heads have sinks.
    pub sinks: bool,
    /// Whether a cap on scores is obeyed.
    pub softcap: bool,
    /// Which layers have the sliding window.
    pub windows: Windows,
    /// The rope of layers with a window.
    pub local_rope: LocalRope,
    /// Whether layers without a window are rotated, where others have one; with recurrent layers, whether any are.
    pub global_rope: bool,
}

/// Which layers have the sliding window, where the file does not list them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Windows {
    /// All.
    All,
    /// All, in GGUF files only, where other families go by this one's name.
    Gguf,
    /// All but every n-th.
    Every(usize),
    /// All but the first of every n.
    ButFirst(usize),
    /// All but the first of every n; in safetensors files none.
    AfterFirst(usize),
    /// Only a list says it.
    Listed,
    /// From `max_window_layers` on.
    Last,
    /// Those without rope, if `use_sliding_window`.
    NoRope,
}

/// The rope of layers with a window.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocalRope {
    /// As in all others.
    Same,
    /// With its own base and no scaling.
    Unscaled,
}

/// How safetensors files keep matrices of all experts in one tensor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpertLayout {
    /// `[experts, rows, cols]`, the gate's rows before the up projection's.
    Rows,
    /// `[experts, cols, rows]`, the gate's columns before the up projection's; or as rows.
    Columns,
    /// `[experts, cols, rows]`, the gate's and the up projection's columns in turn; with biases.
    Interleaved,
}

/// What a recurrent layer is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recurrence {
    /// The gated delta rule; in GGUF files, heads of values are in this order.
    Delta(HeadOrder),
    /// The gated delta rule with a decay for each row of the state.
    DeltaByRow,
    /// A short convolution.
    Conv,
    /// The scan of Mamba-2.
    Scan,
}

impl Arch {
    /// The row that a GGUF file of this one is read by: some families go by the name of Llama there, encoders by BERT's.
    pub(crate) fn in_gguf(&'static self) -> &'static Arch {
        let name = if self.extras.encoder().is_some() { "bert" } else { "llama" };
        let known = super::architectures().find(|arch| arch.name == name);
        if self.gguf.is_empty() { known.unwrap_or(self) } else { self }
    }

    /// The row of a checkpoint: of its text model, where config.json describes more than text.
    ///
    /// # Errors
    /// If the checkpoint does not name its architecture or the table does not have it.
    pub(crate) fn of(checkpoint: &Checkpoint) -> Result<&'static Arch, ModelError> {
        let (key, names): (_, fn(&Arch) -> &'static [&'static str]) = match checkpoint.format() {
            Format::Gguf => ("general.architecture", |a| a.gguf),
            Format::Safetensors => ("model_type", |a| a.model_types),
        };
        let root = checkpoint.metadata();
        let text: Option<&Metadata> = if key == "model_type" { root.read("text_config")? } else { None };
        let of_text = text.map_or(Ok(None), |text| text.read(key))?;
        let known = |name: &&str| super::architectures().any(|a| names(a).contains(name));
        let name: &str = of_text.filter(known).map_or_else(|| root.require(key), Ok)?;
        let both_ways = text.unwrap_or(root).read::<bool>(BOTH_WAYS).unwrap_or(None).unwrap_or(false);
        let mut rows = super::architectures().filter(|a| names(a).contains(&name));
        let first = rows.next();
        // Some encoders go by the name of the decoder that they are made from.
        let encoder = rows.find(|a| both_ways && a.extras.encoder().is_some());
        encoder.or(first).ok_or_else(|| {
            let known: BTreeSet<_> = super::architectures().flat_map(names).copied().collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            let problem = match missing(name) {
                Some(missing) => format!("architecture \"{name}\" is not supported: it needs {missing}"),
                None => format!("architecture \"{name}\" is not supported; these are: {known}"),
            };
            checkpoint.metadata().unsupported(key, problem)
        })
    }
}

/// A family of models that Whinchat runs.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name, as [`crate::ModelSpec::architecture`].
    pub name: &'static str,
    /// `general.architecture` in its GGUF files.
    pub gguf: &'static [&'static str],
    /// `model_type` in its config.json.
    pub model_types: &'static [&'static str],
}

/// Every family that Whinchat runs, by name.
pub fn families() -> Vec<Family> {
    let family = |a: &'static Arch| Family { name: a.name, gguf: a.gguf, model_types: a.model_types };
    let mut families: Vec<_> = super::architectures().map(family).collect();
    families.sort_by_key(|family| family.name);
    families
}

/// Names of architectures that Whinchat does not run, and what they need that it does not have.
pub fn refused() -> impl Iterator<Item = (&'static [&'static str], &'static str)> {
    REFUSED.iter().copied()
}
