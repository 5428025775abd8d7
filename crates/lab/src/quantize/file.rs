//! A model as a file of quantized weights, by what calibration found out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{Checkpoint, Export, Planned, Recipe, WeightType};
use tensor::DType;

use super::encoder::{Encoder, Rows, bits};
use crate::convert::{check_place, prepared};
use crate::prune::{Losses, PruneOptions, Recovered};
use crate::{Calibration, Converted, Error, Progress};

/// What matrices with experts that calibration never visited become at least.
const SAFE: DType = DType::Q8_0;

/// Which types a file's matrices get.
#[derive(Clone, Debug, PartialEq)]
pub enum Types {
    /// One, or one of llama.cpp's mixes.
    Plain(WeightType),
    /// Each its own, by name; those that are not named stay as they are.
    Each(BTreeMap<String, DType>),
}

/// What becomes of matrices with experts that calibration never visited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unvisited {
    /// They have eight bits at least.
    #[default]
    Safe,
    /// They are quantized as the others, these experts without knowledge of their use.
    Allowed,
}

/// What is written, and where.
#[derive(Clone, Debug)]
pub struct QuantizeOptions {
    /// The file.
    pub out: PathBuf,
    /// What the model is called (default: as its folder or its page on the hub).
    pub name: Option<String>,
    /// What the matrices become.
    pub types: Types,
    /// Replace a file that is there.
    pub force: bool,
    /// Whether types of few bits are made with error feedback, where there is a Gram matrix.
    pub feedback: bool,
    /// What becomes of experts that calibration never visited.
    pub unvisited: Unvisited,
    /// Whether weights become zero, and which.
    pub prune: Option<PruneOptions>,
    /// Set from elsewhere to stop; nothing is left then.
    pub stop: Arc<AtomicBool>,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The file.
    pub file: Converted,
    /// What the user should know: weights without statistics, experts that were never visited.
    pub notes: Vec<String>,
    /// What was pruned, and what its recovery came to.
    pub recovered: Vec<Recovered>,
}

/// A model that is being quantized.
pub struct Quantize<'c> {
    checkpoint: Arc<Checkpoint>,
    export: Export,
    encoder: Encoder<'c>,
}

impl QuantizeOptions {
    /// All matrices of a type, into a new file.
    pub fn new(out: impl Into<PathBuf>, types: Types) -> QuantizeOptions {
        let (name, force, feedback, unvisited, prune) = (None, false, true, Unvisited::Safe, None);
        QuantizeOptions { out: out.into(), name, types, force, feedback, unvisited, prune, stop: Arc::default() }
    }
}

impl<'c> Quantize<'c> {
    /// Reads what the file will hold.
    ///
    /// # Errors
    /// If the model cannot be used, or GGUF cannot say what it does.
    pub fn new(checkpoint: &Arc<Checkpoint>, calibration: &'c Calibration) -> Result<Quantize<'c>, Error> {
        let export = prepared(checkpoint, None)?;
        Ok(Quantize { checkpoint: checkpoint.clone(), export, encoder: Encoder::new(calibration) })
    }

    /// The matrices that may have another type, as they are stored.
    pub fn matrices(&self) -> Vec<Planned> {
        self.export.plan(WeightType::AsStored).into_iter().filter(|tensor| tensor.is_matrix).collect()
    }

    /// All tensors of the file, as they are stored.
    pub fn tensors(&self) -> Vec<Planned> {
        self.export.plan(WeightType::AsStored)
    }

    /// Bytes of the file that are not of matrices whose types may be chosen: vocabulary, numbers, norms, and what stands between tensors.
    pub fn fixed_bytes(&self) -> u64 {
        let tensors = self.tensors();
        let matrices = tensors.iter().filter(|tensor| tensor.is_matrix).map(|tensor| tensor.bytes() as u64);
        // Keys that are set at the end, and padding after tensors of other sizes.
        let more = 256 + 32 * tensors.len() as u64;
        self.export.file_bytes(&tensors).saturating_sub(matrices.sum()) + more
    }

    /// What encodes its rows.
    pub fn encoder(&self) -> &Encoder<'c> {
        &self.encoder
    }

    /// The values of a tensor, row after row.
    ///
    /// # Errors
    /// If there is no such tensor or it cannot be read.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, Error> {
        Ok(self.export.values(name)?)
    }

    /// The tensors of a file of these types.
    pub fn plan(&self, types: &Types, unvisited: Unvisited) -> Vec<Planned> {
        let typed = |tensor: Planned| match types {
            Types::Each(each) => match each.get(&tensor.name) {
                Some(dtype) if tensor.is_matrix => tensor.with_type(*dtype),
                _ => tensor,
            },
            Types::Plain(_) => tensor,
        };
        let plain = if let Types::Plain(plain) = types { *plain } else { WeightType::AsStored };
        let safe = |tensor: Planned| if unvisited == Unvisited::Safe { self.safe(tensor) } else { tensor };
        self.export.plan(plain).into_iter().map(typed).map(safe).collect()
    }

    /// A matrix as it is when it is wanted to be of a type: its rows may not be whole blocks, or its experts not known.
    pub fn safe_type(&self, tensor: &Planned, dtype: DType) -> Planned {
        self.safe(tensor.with_type(dtype))
    }

    /// A tensor with experts that calibration never visited has [`SAFE`] or more.
    fn safe(&self, tensor: Planned) -> Planned {
        let risky =
            bits(tensor.dtype) < bits(SAFE) && tensor.dtype != tensor.stored && self.encoder.unvisited(&tensor) > 0;
        if risky { tensor.with_type(SAFE) } else { tensor }
    }

    /// Writes the file, or nothing.
    ///
    /// # Errors
    /// If the file is there already or cannot be written, or a weight cannot be converted.
    pub fn write(&mut self, options: &QuantizeOptions, progress: Progress) -> Result<Quantized, Error> {
        check_place(&options.out, options.force)?;
        if let Some(name) = &options.name {
            self.export.set("general.name", model::GgufValue::Str(name.clone()));
        }
        let tensors = self.plan(&options.types, options.unvisited);
        let (notes, losses) = (self.notes(&tensors), Losses::default());
        let file_type = match options.types {
            Types::Plain(WeightType::AsStored) => None,
            Types::Plain(plain) => Some(plain.file_type_of(&tensors)),
            Types::Each(_) => Some(WeightType::AsStored.file_type_of(&tensors)),
        };
        let going = |done, total| {
            progress("quantizing", done, total);
            !options.stop.load(Ordering::Relaxed)
        };
        let encoder = &self.encoder;
        let encode = |tensor: &Planned, first: usize, values: &[f32], out: &mut [u8]| {
            let prune = options.prune.as_ref().filter(|prune| prune.applies(tensor, encoder));
            let pruned =
                prune.map(|prune| prune.prune(Rows { tensor, first, values }, encoder, &losses)).transpose()?;
            let rows = Rows { tensor, first, values: pruned.as_deref().unwrap_or(values) };
            if options.feedback { encoder.encode_with_feedback(rows, out) } else { encoder.encode(rows, out) }
        };
        let every_matrix = options.prune.is_some();
        let recipe = Recipe { tensors: tensors.clone(), file_type, encode: &encode, every_matrix };
        self.export.write_by(&options.out, &recipe, &going).map_err(crate::convert::stopped)?;
        let note = self.export.note().map(str::to_owned);
        let file = Converted { note, ..Converted::of(&self.checkpoint, tensors, &options.out) };
        Ok(Quantized { file, notes, recovered: losses.recovered() })
    }

    /// What is not as one might think.
    fn notes(&self, plan: &[Planned]) -> Vec<String> {
        let mut notes = Vec::new();
        let changed = || plan.iter().filter(|tensor| tensor.is_matrix && tensor.dtype != tensor.stored);
        for tensor in changed() {
            let unvisited = self.encoder.unvisited(tensor);
            if unvisited > 0 {
                let kept = if bits(tensor.dtype) >= bits(SAFE) { " and it is kept at a safe type" } else { "" };
                let (name, dtype) = (&tensor.name, tensor.dtype);
                notes.push(format!("{name} ({dtype}): calibration never visited {unvisited} of its experts{kept}"));
            }
        }
        let without = |tensor: &&Planned| {
            let cols = tensor.dims.last().copied().unwrap_or(0);
            self.encoder.is_informed() && self.encoder.importance(tensor, 0, cols).is_none()
        };
        let names: Vec<&str> = changed().filter(without).map(|tensor| tensor.name.as_str()).collect();
        if !names.is_empty() {
            notes.push(format!("without statistics of their inputs, by the type's own codec: {}", names.join(", ")));
        }
        notes
    }
}
