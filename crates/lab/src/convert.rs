//! A model as one GGUF file: its weights in another type, its tokenizer, its chat template.

mod vocabulary;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{Adapter, Checkpoint, Export, GgufValue, Planned, WeightType};

use crate::Error;

/// Hears how it goes: bytes done and bytes in all, for a named stage.
pub type Progress<'a> = &'a dyn Fn(&str, u64, u64);

/// What to write.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// The file.
    pub out: PathBuf,
    /// What the model is called (default: as its folder or its page on the hub).
    pub name: Option<String>,
    /// What the matrices become.
    pub weights: WeightType,
    /// Adapters to merge, and how many times each counts.
    pub adapters: Vec<(Arc<Adapter>, f32)>,
    /// Replace a file that is there.
    pub force: bool,
    /// Set from elsewhere to stop; nothing is left then.
    pub stop: Arc<AtomicBool>,
}

impl ConvertOptions {
    /// Weights as they are, into a new file.
    pub fn new(out: impl Into<PathBuf>) -> ConvertOptions {
        let stop = Arc::new(AtomicBool::new(false));
        ConvertOptions {
            out: out.into(),
            name: None,
            weights: WeightType::AsStored,
            adapters: Vec::new(),
            force: false,
            stop,
        }
    }
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The tensors.
    pub tensors: Vec<Planned>,
    /// Bytes of the input's weights.
    pub input_bytes: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// What it lacks that the input has, if anything, and why.
    pub note: Option<String>,
}

impl Converted {
    /// What is in a file that was written.
    pub(crate) fn of(checkpoint: &Checkpoint, tensors: Vec<Planned>, out: &Path) -> Converted {
        let bytes = std::fs::metadata(out).map(|file| file.len()).unwrap_or_default();
        let input_bytes = checkpoint.tensors().iter().map(|t| t.bytes as u64).sum();
        Converted { tensors, input_bytes, bytes, note: None }
    }

    /// Bits that a weight takes on average.
    pub fn bits_per_weight(&self) -> f64 {
        let weights: usize = self.tensors.iter().map(|t| t.dims.iter().product::<usize>()).sum();
        let bytes: usize = self.tensors.iter().map(Planned::bytes).sum();
        bytes as f64 * 8.0 / weights.max(1) as f64
    }
}

/// Writes `checkpoint` as one GGUF file, or nothing.
///
/// # Errors
/// If the file is there already or cannot be written, the model cannot be used, or GGUF cannot say what it does.
pub fn convert(checkpoint: &Arc<Checkpoint>, options: &ConvertOptions, progress: Progress) -> Result<Converted, Error> {
    check_place(&options.out, options.force)?;
    let mut export = prepared(checkpoint, options.name.as_deref())?;
    for (adapter, scale) in &options.adapters {
        export.merge(adapter, *scale)?;
    }
    let going = |done, total| {
        progress("converting", done, total);
        !options.stop.load(Ordering::Relaxed)
    };
    let tensors = export.plan(options.weights);
    export.write(&options.out, options.weights, &going).map_err(stopped)?;
    let note = export.note().map(str::to_owned);
    Ok(Converted { note, ..Converted::of(checkpoint, tensors, &options.out) })
}

/// What a file will hold: weights, numbers, tokenizer, chat template.
pub(crate) fn prepared(checkpoint: &Arc<Checkpoint>, name: Option<&str>) -> Result<Export, Error> {
    let mut export = Export::new(checkpoint)?;
    vocabulary::set(&mut export, checkpoint)?;
    if let Some(name) = name {
        export.set("general.name", GgufValue::Str(name.to_owned()));
    }
    Ok(export)
}

/// An error of writing; one that somebody wanted says so.
pub(crate) fn stopped(error: model::ModelError) -> Error {
    match error {
        model::ModelError::Io { source, .. } if source.kind() == std::io::ErrorKind::Interrupted => {
            Error::Request("stopped; nothing was written".into())
        }
        other => other.into(),
    }
}

/// Refuses what could only fail after the work is done.
pub(crate) fn check_place(out: &Path, force: bool) -> Result<(), Error> {
    let refuse = |problem: &str| Err(Error::Request(format!("--out {}: {problem}", out.display())));
    if out.file_name().is_none() || out.is_dir() {
        return refuse("is a folder; name the file to write, such as model.gguf");
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return refuse("its folder does not exist; make it first");
    }
    if out.exists() && !force {
        return refuse("exists already; --force replaces it");
    }
    Ok(())
}
