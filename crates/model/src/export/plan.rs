//! The tensors of a GGUF file: their names and order, where their rows come from, and which type each gets.

use std::ops::Range;

use graph::{RopeStyle, WeightId, WeightInfo, WeightRole};
use tensor::DType;

use super::mixes::{ModelShape, Place};
use super::recurrent;
use super::types::{WeightType, fitting};
use crate::arch::{Arch, ExpertLayout};
use crate::gguf::Entry;
use crate::{Checkpoint, Model, ModelError};

/// A tensor as it will be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first.
    pub dims: Vec<usize>,
    /// Its type in the input.
    pub stored: DType,
    /// Its type in the file.
    pub dtype: DType,
    /// The type it should have had, where its rows are not whole blocks of that.
    pub instead_of: Option<DType>,
    /// Whether rows are multiplied with it, so that it may have another type than the input's.
    pub is_matrix: bool,
    /// Whether its columns stand in another order than the graph's weight has them.
    pub is_reordered: bool,
}

impl Planned {
    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        self.entry().bytes()
    }

    /// The same as `wanted`, or the nearest type that its rows are whole blocks of.
    #[must_use]
    pub fn with_type(&self, wanted: DType) -> Planned {
        let dtype = fitting(wanted, self.dims.last().copied().unwrap_or(0));
        Planned { dtype, instead_of: (dtype != wanted).then_some(wanted), ..self.clone() }
    }

    pub(super) fn entry(&self) -> Entry {
        Entry { name: self.name.clone(), dims: self.dims.clone(), dtype: self.dtype }
    }
}

/// A tensor of the file to be.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) dims: Vec<usize>,
    pub(super) stored: DType,
    /// Whose rows follow each other.
    pub(super) parts: Vec<Part>,
    /// The columns in the order that they are to have; none if they stay as they are.
    pub(super) columns: Vec<Range<usize>>,
}

/// Rows of a tensor.
#[derive(Debug)]
pub(super) enum Part {
    /// A weight of the graph; of so many heads, if the halves of each are to become neighbours.
    Weight(WeightId, Option<usize>),
    /// Some rows of a weight of the graph.
    Rows(WeightId, Range<usize>),
    /// A tensor of a GGUF input.
    Same(String),
    /// Numbers.
    Made(Vec<f32>),
}

impl Tensor {
    pub(super) fn made(name: &str, values: Vec<f32>) -> Tensor {
        let (dims, parts) = (vec![values.len()], vec![Part::Made(values)]);
        Tensor { name: name.into(), dims, stored: DType::F32, parts, columns: vec![] }
    }

    /// How wide its rows are; those of a bias whose elements change places, or come from several, are one element wide.
    pub(super) fn cols(&self) -> usize {
        match (self.dims.as_slice(), &self.parts[..]) {
            ([_], [Part::Weight(_, Some(_)) | Part::Rows(..)] | [_, _, ..]) => 1,
            (dims, _) => dims.last().copied().unwrap_or(0),
        }
    }

    /// Its type in a file of `wanted` weights: vectors, norms and what chooses experts stay what they are.
    pub(super) fn planned(&self, wanted: WeightType, shape: ModelShape) -> Planned {
        let cols = self.cols();
        // Rows that llama.cpp adds to others only as F32.
        let is_added = ["position_embd.", "token_types."].iter().any(|start| self.name.starts_with(start));
        let is_matrix = self.dims.len() > 1
            && !is_added
            && self.name.ends_with(".weight")
            && !UNQUANTIZED.iter().any(|part| self.name.contains(part));
        let place = Place { stem: stem(&self.name), layer: layer(&self.name).unwrap_or(0), cols, shape };
        // A head for scores is small, and every score is of it: it gets no fewer bits than a float has.
        let is_head = self.name.starts_with("cls.");
        let wished = match wanted.of(self.stored, &place) {
            _ if is_added => DType::F32,
            wished if is_matrix || is_head && wished.layout().block_len == 1 => wished,
            _ => self.stored,
        };
        let dtype = fitting(wished, cols);
        let instead_of = (dtype != wished).then_some(wished);
        let (name, dims, is_reordered) = (self.name.clone(), self.dims.clone(), !self.columns.is_empty());
        Planned { name, dims, stored: self.stored, dtype, instead_of, is_matrix, is_reordered }
    }
}

/// Parts of the names of what stays as it is: rows are not multiplied with it, or too much depends on it.
const UNQUANTIZED: [&str; 6] = ["_norm.", "ffn_gate_inp.", "rope_f", "conv1d", "shortconv.conv.", "cls."];

/// What of the model decides on types.
pub(super) fn shape(tensors: &[Tensor]) -> ModelShape {
    let experts = tensors.iter().find(|t| t.name.ends_with("_exps.weight")).and_then(|t| t.dims.first());
    // Beside a layer that predicts ahead the others have the types that they have without it.
    let ahead = tensors.iter().filter(|t| t.name.contains(".nextn.")).filter_map(|t| layer(&t.name)).min();
    let layers = tensors.iter().filter_map(|t| layer(&t.name)).max().map_or(0, |last| last + 1);
    ModelShape {
        layers: ahead.unwrap_or(layers),
        experts: experts.copied().unwrap_or(0),
        tied: !tensors.iter().any(|t| t.name == "output.weight"),
    }
}

/// Matrices that files have as one, as llama.cpp reads Phi 3, GPT-NeoX and some encoders: the names of the parts without layer and ending, and the
/// name of the whole.
const FUSED: [(&[&str], &str); 2] =
    [(&["attn_q", "attn_k", "attn_v"], "attn_qkv"), (&["ffn_gate", "ffn_up"], "ffn_up")];

/// The tensors of a model: the weights of its graph, whose names are GGUF's.
pub(super) fn of_model(model: &Model, arch: &'static Arch) -> Vec<Tensor> {
    let pairs = arch.in_gguf().attn.gguf_rope == RopeStyle::Pairs && arch.attn.hf_rope == RopeStyle::Halves;
    let mut tensors: Vec<Tensor> = Vec::new();
    for id in model.graph().weight_ids().filter(|&id| model.is_stored(id)) {
        if arch.extras.recurrent.is_some() && recurrent::place(&mut tensors, model, id, arch) {
            continue;
        }
        let weight = model.graph().weight(id);
        let attention = model.spec().layer(layer(&weight.name).unwrap_or(0)).attention.as_ref();
        let heads = match stem(&weight.name) {
            "attn_q" if pairs => attention.map(|a| a.heads),
            "attn_k" if pairs => attention.map(|a| a.kv_heads),
            _ => None,
        };
        // A factor beside a matrix has no rows of heads.
        let part = Part::Weight(id, heads.filter(|_| !weight.name.ends_with(".scale")));
        let fused = fused(&weight.name).filter(|(_, whole)| match arch.name {
            "phi3" | "modern-bert" => true,
            "gptneox" | "sarvam_moe" | "bailingmoe2" | "nomic-bert" | "jina-bert-v3" => whole.contains("attn_qkv"),
            _ => false,
        });
        match fused {
            Some((first, whole)) if !first => {
                let rows = if weight.role == WeightRole::Elements { weight.shape.cols } else { weight.shape.rows };
                add(&mut tensors, &whole, part, rows);
            }
            Some((_, whole)) => tensors.push(tensor(whole, weight, part)),
            None => tensors.push(tensor(renamed(&weight.name, arch), weight, part)),
        }
    }
    tensors
}

/// The tensors of one layer of a model.
pub(super) fn of_layer(model: &Model, arch: &'static Arch, wanted: usize) -> Vec<Tensor> {
    let mut tensors = of_model(model, arch);
    tensors.retain(|tensor| layer(&tensor.name) == Some(wanted));
    tensors
}

/// More rows for a tensor that is there.
pub(super) fn add(tensors: &mut [Tensor], name: &str, part: Part, rows: usize) {
    if let Some(tensor) = tensors.iter_mut().rfind(|t| t.name == name) {
        tensor.dims[0] += rows;
        tensor.parts.push(part);
    }
}

pub(super) fn tensor(name: String, weight: &WeightInfo, part: Part) -> Tensor {
    let shape = weight.shape;
    let dims = match weight.role {
        _ if ["_exps.weight", ".attn_k_b.", ".attn_v_b.", "altup_proj.", "altup_unembd_proj."]
            .iter()
            .any(|part| name.contains(part)) =>
        {
            vec![shape.outer, shape.rows, shape.cols]
        }
        WeightRole::Elements if shape.rows == 1 => vec![shape.cols],
        _ => vec![shape.rows, shape.cols],
    };
    Tensor { name, dims, stored: weight.dtype, parts: vec![part], columns: vec![] }
}

/// Whether a weight is the first part of a matrix that such files have as one, and the whole's name.
fn fused(name: &str) -> Option<(bool, String)> {
    let (parts, whole) = FUSED.iter().find(|(parts, _)| parts.contains(&stem(name)))?;
    Some((parts[0] == stem(name), name.replacen(stem(name), whole, 1)))
}

/// gpt-oss's feed-forward norm goes by the name of a norm after attention.
fn renamed(name: &str, arch: &Arch) -> String {
    match arch.experts {
        ExpertLayout::Interleaved => name.replace(".ffn_norm.", ".post_attention_norm."),
        ExpertLayout::Rows | ExpertLayout::Columns => name.to_owned(),
    }
}

/// `blk.3.attn_q.weight` → 3.
pub(super) fn layer(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

/// `blk.3.attn_q.weight` → `attn_q`. What a layer that predicts ahead has for itself goes by the model's name of it.
fn stem(name: &str) -> &str {
    match name.rsplit('.').nth(1).unwrap_or(name) {
        "embed_tokens" => "token_embd",
        "shared_head_head" => "output",
        stem => stem,
    }
}

/// The tensors of a GGUF file.
pub(super) fn of_file(checkpoint: &Checkpoint) -> Result<Vec<Tensor>, ModelError> {
    let mut tensors = Vec::new();
    for tensor in checkpoint.tensors() {
        let unreadable = |name: &String| {
            let known: Vec<_> = DType::all().map(DType::name).collect();
            let problem = format!("is stored as {name}; take a file with {}", known.join(", "));
            checkpoint.unsupported(&tensor.name, problem)
        };
        let stored = *tensor.dtype.as_ref().map_err(unreadable)?;
        let (name, dims) = (tensor.name.clone(), tensor.dims.clone());
        tensors.push(Tensor { parts: vec![Part::Same(name.clone())], name, dims, stored, columns: vec![] });
    }
    Ok(tensors)
}
