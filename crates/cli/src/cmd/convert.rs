//! `whinchat convert`: a model as one GGUF file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::Args;
use lab::{ConvertOptions, Converted};
use model::{Adapter, WeightType};

use crate::terminal::Bars;

/// Write a model as one GGUF file, its weights in another type if wanted
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat convert path/to/folder --out model.gguf --type Q8_0
  whinchat convert org/name --out model.gguf
  whinchat convert org/name --lora path/to/adapter --lora other.gguf=0.5 --out merged.gguf")]
pub(crate) struct Convert {
    /// A safetensors folder, a GGUF file, or a Hugging Face id.
    model: OsString,
    /// The file to write.
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// What the matrices become: F32, F16, BF16, Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0 … [default: what they are]
    #[arg(long = "type", value_name = "TYPE", value_parser = weight_type)]
    weights: Option<WeightType>,
    /// A LoRA adapter to merge, a PEFT folder or a GGUF file, and how many times it counts; may be given several times
    #[arg(long, value_name = "ADAPTER[=SCALE]", value_parser = lora)]
    lora: Vec<(PathBuf, f32)>,
    /// What the model is called in the file [default: as its folder, or its page on the hub]
    #[arg(long)]
    name: Option<String>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

/// A path, or a path and a number.
fn lora(text: &str) -> Result<(PathBuf, f32), String> {
    let scaled = text.rsplit_once('=').and_then(|(path, scale)| Some((path, scale.parse::<f32>().ok()?)));
    match scaled {
        Some((_, scale)) if !scale.is_finite() => Err(format!("the scale is {scale} and must be a number")),
        Some((path, scale)) => Ok((path.into(), scale)),
        None => Ok((text.into(), 1.0)),
    }
}

fn weight_type(name: &str) -> Result<WeightType, String> {
    WeightType::parse(name).ok_or_else(|| format!("unknown; known are {}", WeightType::names().join(", ")))
}

impl Convert {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let checkpoint = super::open(&self.model)?;
        let options = ConvertOptions {
            weights: self.weights.unwrap_or(WeightType::AsStored),
            name: self.name,
            adapters: adapters(&self.lora)?,
            force: self.force,
            stop: stop_at_signals()?,
            ..ConvertOptions::new(self.out)
        };
        let bars = Bars::new();
        let converted = lab::convert(&checkpoint, &options, &|stage, done, total| bars.show(stage, done, total))?;
        let mut out = std::io::stdout().lock();
        fallbacks(&mut out, &converted)?;
        writeln!(out, "{}: {}", options.out.display(), summary(&converted))?;
        Ok(())
    }
}

fn adapters(wanted: &[(PathBuf, f32)]) -> anyhow::Result<Vec<(Arc<Adapter>, f32)>> {
    wanted.iter().map(|(path, scale)| Ok((Arc::new(Adapter::open(path)?), *scale))).collect()
}

/// A flag that Ctrl-C and SIGTERM set: the file that is being written is removed first.
pub(super) fn stop_at_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("waiting for Ctrl-C")?;
    let wait = move || {
        runtime.block_on(signal());
        flag.store(true, Ordering::Relaxed);
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).context("starting the thread that hears Ctrl-C")?;
    Ok(stop)
}

async fn signal() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// The matrices that could not have the type that was asked for, by the reason, and what is left out.
pub(super) fn fallbacks(out: &mut impl Write, converted: &Converted) -> std::io::Result<()> {
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    for tensor in &converted.tensors {
        if let Some(wanted) = tensor.instead_of {
            let cols = tensor.dims.last().copied().unwrap_or_default();
            *groups
                .entry(format!("{} instead of {wanted}, rows of {cols} are not whole blocks", tensor.dtype))
                .or_default() += 1;
        }
    }
    groups.iter().try_for_each(|(why, count)| match count {
        1 => writeln!(out, "1 matrix became {why}"),
        _ => writeln!(out, "{count} matrices became {why}"),
    })?;
    converted.note.iter().try_for_each(|note| writeln!(out, "{note}"))
}

/// Sizes, types, bits per weight.
pub(super) fn summary(converted: &Converted) -> String {
    let mut types: BTreeMap<&str, usize> = BTreeMap::new();
    for tensor in &converted.tensors {
        *types.entry(tensor.dtype.name()).or_default() += 1;
    }
    let types: Vec<String> = types.iter().map(|(name, count)| format!("{count} {name}")).collect();
    format!(
        "{} (the weights were {}), {} tensors ({}), {:.2} bits per weight",
        indicatif::HumanBytes(converted.bytes),
        indicatif::HumanBytes(converted.input_bytes),
        converted.tensors.len(),
        types.join(", "),
        converted.bits_per_weight(),
    )
}
