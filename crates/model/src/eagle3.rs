//! Files of EAGLE-3 heads, as SafeAILab, SpecForge and speculators write them: what they leave out is the model's that they draft for.

use std::sync::Arc;

use crate::arch::Config;
use crate::checkpoint::Files;
use crate::{Checkpoint, Format, List, Metadata, Model, ModelError, ModelSpec, TensorInfo, Value};

/// Layers of the model; what goes into them is read. vLLM and speculators count so.
const LAYERS: &str = "eagle_aux_hidden_state_layer_ids";
/// The same inside of [`OTHER`], where SGLang and ModelOpt name the layers that it comes out of.
const OTHER: &str = "eagle_config";
/// The width of the model's hidden states.
const TARGET: &str = "target_hidden_size";
const CONTEXT: &str = "max_position_embeddings";
/// The projection of what is read of the model.
const FC: &str = "fc.weight";
const EMBED: &str = "embed_tokens.weight";
/// The output matrix.
pub(crate) const OUTPUT: &str = "lm_head.weight";
/// For each of the output's tokens, how far the model's own number of it is away.
const OFFSETS: &str = "d2t";
/// What training leaves in the files: which of the model's tokens the output has, and parts of the model.
const IDLE: [&str; 3] = ["t2d", "verifier_norm.", "verifier_lm_head."];
/// What the list of layers is called if there is one alone, and otherwise.
const NAMES: (&str, &str) = ("midlayer.", "layers.0.");

/// An EAGLE-3 head beside the model that it drafts for.
#[derive(Debug)]
pub struct Eagle3 {
    /// Its files, with what they leave out from those of the model: to be bound by [`Checkpoint::bind_eagle3`].
    pub checkpoint: Arc<Checkpoint>,
    /// The layers of the model whose inputs it reads: what the model is bound with ([`Checkpoint::bind_handing_over`]).
    pub layers: Vec<usize>,
    /// The model's token for each of its logits; `None` if they are the same.
    pub tokens: Option<Box<[u32]>>,
}

impl Checkpoint {
    /// Whether these are the files of an EAGLE-3 head, which is no model of its own.
    pub fn is_eagle3(&self) -> bool {
        let has = |name: &str| self.tensor(name).is_some();
        let (alone, first) = NAMES;
        let reads = [alone, first].iter().any(|layer| has(&format!("{layer}hidden_norm.weight")));
        self.format() == Format::Safetensors && has(FC) && reads
    }
}

impl Eagle3 {
    /// The head in these files, beside a model.
    ///
    /// # Errors
    /// If it is not made for this model, or a key or tensor is missing or does not fit.
    pub fn new(head: &Checkpoint, target: &Model) -> Result<Eagle3, ModelError> {
        let spec = target.spec();
        let layers = read_layers(head, spec)?;
        let wanted = layers.len() * spec.width;
        let fc = head.tensor(FC).map_or(&[][..], |tensor| &tensor.dims);
        if fc.last() != Some(&wanted) {
            let (count, width) = (layers.len(), spec.width);
            let why =
                format!("is {fc:?}: it must read {count} × {width} numbers of this model; the head is of another one");
            return Err(head.invalid(FC, why));
        }
        let metadata = completed(head, spec, &layers)?;
        let checkpoint = Arc::new(head.with_files(beside(head, metadata, target)?));
        let rows = |name: &str| checkpoint.tensor(name).and_then(|tensor| tensor.dims.first()).copied().unwrap_or(0);
        if rows(EMBED) < spec.vocab {
            let why = format!(
                "has rows for {} tokens, and the model has {}: the head is of another one",
                rows(EMBED),
                spec.vocab
            );
            return Err(head.invalid(EMBED, why));
        }
        let tokens = tokens(head, rows(OUTPUT), spec.vocab)?;
        Ok(Eagle3 { checkpoint, layers, tokens })
    }
}

/// The layers of a completed head ([`Eagle3::checkpoint`]).
///
/// # Errors
/// If it does not say them.
pub(crate) fn layers(head: &Checkpoint) -> Result<Vec<usize>, ModelError> {
    head.metadata().require(LAYERS)
}

/// The width of the hidden states that a completed head reads.
///
/// # Errors
/// If it does not say it.
pub(crate) fn target_width(head: &Checkpoint) -> Result<usize, ModelError> {
    head.metadata().require(TARGET)
}

/// The layers of the model whose inputs a head reads; early, in the middle and late, if it does not say which.
fn read_layers(head: &Checkpoint, target: &ModelSpec) -> Result<Vec<usize>, ModelError> {
    let (root, all) = (head.metadata(), target.layers);
    let other: Option<&Metadata> = root.read(OTHER)?;
    let named = |of: &Metadata| Ok::<_, ModelError>(of.read::<Vec<usize>>(LAYERS)?.filter(|layers| !layers.is_empty()));
    let inputs = named(root)?;
    let outputs = other.map_or(Ok(None), named)?;
    let usual = || vec![2, all / 2, all.saturating_sub(3)];
    let layers =
        inputs.or(outputs.map(|layers| layers.iter().map(|i| i.saturating_add(1)).collect())).unwrap_or_else(usual);
    match layers.iter().find(|&&layer| layer > all) {
        Some(layer) => {
            let why = format!("has {layer}, and this model has {all} layers: the head is of another one");
            Err(root.invalid(LAYERS, why))
        }
        None => Ok(layers),
    }
}

/// The head's config.json with what follows from the model. The layers' numbers are where those of a text model are.
fn completed(head: &Checkpoint, target: &ModelSpec, layers: &[usize]) -> Result<Metadata, ModelError> {
    let mut root = head.metadata().clone();
    let mut text: Metadata = root.read::<&Metadata>("transformer_layer_config")?.unwrap_or(&root).clone();
    // It is trained on shorter texts than the model is asked for.
    let context = text.read::<usize>(CONTEXT)?.unwrap_or(0).max(target.context);
    text.insert(CONTEXT.into(), Value::Int(context as i128));
    root.insert("text_config".into(), Value::Map(text));
    root.insert(TARGET.into(), Value::Int(target.width as i128));
    root.insert(LAYERS.into(), Value::List(List::Int(layers.iter().map(|&layer| layer as i64).collect())));
    Ok(root)
}

/// The head's tensors under their usual names, with the model's embedding and output matrix if it has none.
fn beside(head: &Checkpoint, metadata: Metadata, target: &Model) -> Result<Files, ModelError> {
    let is_idle = |name: &str| name == OFFSETS || IDLE.iter().any(|start| name.starts_with(start));
    let own = head.tensors().iter().filter(|tensor| !is_idle(&tensor.name));
    let (alone, first) = NAMES;
    let mut tensors: Vec<TensorInfo> = own
        .map(|tensor| match tensor.name.strip_prefix(alone) {
            Some(rest) => TensorInfo { name: format!("{first}{rest}"), ..tensor.clone() },
            None => tensor.clone(),
        })
        .collect();
    let mut files = head.files.files.clone();
    let names = Config::new(target.checkpoint())?.names;
    let (embed, output) = (names.embed(), names.output().map_or_else(|| names.embed(), str::to_owned));
    for (name, of_model) in [(EMBED, embed), (OUTPUT, output)] {
        if head.tensor(name).is_some() {
            continue;
        }
        let Some(tensor) = target.checkpoint().tensor(&of_model).filter(|tensor| tensor.packed.is_none()) else {
            let why = "the tensor is missing, and the model's own is not stored as one; take a head that has it";
            return Err(head.invalid(name, why));
        };
        tensors.push(TensorInfo { name: name.into(), file: files.len(), ..tensor.clone() });
        files.push(target.checkpoint().files.files[tensor.file].clone());
    }
    Files::new(metadata, tensors, files).indexed()
}

/// The model's token for each of so many logits.
fn tokens(head: &Checkpoint, logits: usize, vocab: usize) -> Result<Option<Box<[u32]>>, ModelError> {
    let Some(tensor) = head.tensor(OFFSETS) else {
        return match logits <= vocab {
            true => Ok(None),
            false => Err(head.invalid(OUTPUT, format!("has {logits} rows, and the model {vocab} tokens"))),
        };
    };
    let bytes = head.bytes(tensor);
    let offsets: Vec<i64> = match &tensor.dtype {
        Err(dtype) if dtype == "I64" => bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
        Err(dtype) if dtype == "I32" => bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect(),
        _ => return Err(head.unsupported(OFFSETS, "is not of integers; I64 and I32 are read")),
    };
    if offsets.len() != logits {
        return Err(head.invalid(OFFSETS, format!("has {} numbers for {logits} rows of {OUTPUT}", offsets.len())));
    }
    let token = |(id, offset): (i64, &i64)| {
        let token = id.checked_add(*offset).and_then(|token| u32::try_from(token).ok());
        token.filter(|&token| (token as usize) < vocab).ok_or_else(|| {
            head.invalid(OFFSETS, format!("takes {id} to a token that the model does not have; it has {vocab}"))
        })
    };
    (0..).zip(&offsets).map(token).collect::<Result<_, _>>().map(Some)
}
