//! Which tensor of a model an adapter's name means, where both may be of either format.

use graph::RopeStyle;

use super::{Adapter, LowRank};
use crate::arch::{self, Config};
use crate::bind::Names;
use crate::{Checkpoint, Format, ModelError, ModelSpec};

/// What an adapter changes of a checkpoint: the names of tensors, and the changes of their rows as they are stored.
pub(super) fn targets(adapter: &Adapter, checkpoint: &Checkpoint) -> Result<Vec<(String, LowRank)>, ModelError> {
    let config = Config::new(checkpoint)?;
    let same = adapter.format == checkpoint.format();
    if !same && config.arch.extras.recurrent.is_some() {
        let problem = "the model's recurrent layers are stored otherwise in the adapter's format; take model and adapter both \
                       as safetensors, or both as GGUF";
        return Err(adapter.invalid("tensors", problem));
    }
    let spec = if same { None } else { Some(arch::read_spec(&config, None)?) };
    let one = |(name, change): &(String, LowRank)| {
        let missing = || {
            adapter
                .invalid(name, format!("{} has no such matrix; take the adapter's own base model", checkpoint.name()))
        };
        let tensor = match (adapter.format, checkpoint.format()) {
            (Format::Gguf, Format::Gguf) => checkpoint.tensor(name).map(|tensor| tensor.name.clone()),
            (Format::Safetensors, Format::Safetensors) => module_tensor(checkpoint, name),
            (Format::Safetensors, Format::Gguf) => gguf_tensor(checkpoint, name),
            (Format::Gguf, Format::Safetensors) => stored_tensor(&config.names, checkpoint, name),
        };
        let tensor = tensor.ok_or_else(missing)?;
        let dims = checkpoint.tensor(&tensor).map(|info| info.dims.as_slice()).unwrap_or_default();
        if dims != [change.rows(), change.cols()] {
            let (rows, cols) = (change.rows(), change.cols());
            let problem = format!(
                "changes a matrix of [{rows}, {cols}], {tensor} is {dims:?}; take the adapter's own base model"
            );
            return Err(adapter.invalid(name, problem));
        }
        let gguf = if adapter.format == Format::Gguf { name } else { &tensor };
        let heads = spec.as_ref().filter(|_| pairs(&config)).and_then(|spec| turned_heads(spec, gguf));
        let change = match heads {
            Some(heads) => turned(change, heads, checkpoint.format() == Format::Gguf),
            None => change.clone(),
        };
        Ok((tensor, change))
    };
    adapter.changes.iter().map(one).collect()
}

/// The weight of a module, whatever stands before the model's own part of its name.
fn module_tensor(checkpoint: &Checkpoint, module: &str) -> Option<String> {
    let name = format!("{module}.weight");
    if checkpoint.tensor(&name).is_some() {
        return Some(name);
    }
    let layers = name.find("layers.").map(|at| &name[at..])?;
    let mut found = checkpoint.tensors().iter().filter(|tensor| {
        tensor.name.strip_suffix(layers).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    });
    let first = found.next()?;
    found.next().is_none().then(|| first.name.clone())
}

/// A module of transformers in a GGUF file.
fn gguf_tensor(checkpoint: &Checkpoint, module: &str) -> Option<String> {
    if module == "lm_head" {
        return checkpoint.tensor("output.weight").map(|tensor| tensor.name.clone());
    }
    let (_, rest) = module.split_once("layers.").or_else(|| module.split_once("h."))?;
    let (layer, module) = rest.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let mut names = Names::in_gguf(module).map(|stem| format!("blk.{layer}.{stem}.weight"));
    names.find(|name| checkpoint.tensor(name).is_some())
}

/// A tensor of a GGUF file in safetensors.
fn stored_tensor(names: &Names<'_>, checkpoint: &Checkpoint, name: &str) -> Option<String> {
    if name == "output.weight" {
        return names.output().map(str::to_owned);
    }
    let (layer, tensor) = name.strip_prefix("blk.")?.split_once('.')?;
    names.layer(layer.parse().ok()?, tensor).into_iter().find(|name| checkpoint.tensor(name).is_some())
}

/// Whether rows of queries and keys are in another order in GGUF: halves of heads have become neighbours.
fn pairs(config: &Config<'_>) -> bool {
    config.arch.in_gguf().attn.gguf_rope == RopeStyle::Pairs && config.arch.attn.hf_rope == RopeStyle::Halves
}

/// The heads of queries or keys of the layer of a tensor of that GGUF name.
fn turned_heads(spec: &ModelSpec, name: &str) -> Option<usize> {
    let (layer, tensor) = name.strip_prefix("blk.")?.split_once('.')?;
    let attention = spec.blocks.get(layer.parse::<usize>().ok()?)?.attention.as_ref()?;
    match tensor {
        "attn_q.weight" => Some(attention.heads),
        "attn_k.weight" => Some(attention.kv_heads),
        _ => None,
    }
}

/// A change with its rows in GGUF's order, or back.
fn turned(change: &LowRank, heads: usize, to_gguf: bool) -> LowRank {
    let (rank, dim) = (change.rank, change.rows() / heads);
    let mut b = change.b.clone();
    for row in 0..heads * dim {
        let (head, at) = (row / dim, row % dim);
        let stored = head * dim + at % 2 * (dim / 2) + at / 2;
        let (to, from) = if to_gguf { (row, stored) } else { (stored, row) };
        b[to * rank..][..rank].copy_from_slice(&change.b[from * rank..][..rank]);
    }
    LowRank { b, ..change.clone() }
}
