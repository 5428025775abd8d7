//! Which model and which texts the lab works with.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use kernels::{Cpu, CpuOptions};
use lab::{CalibrateOptions, Calibration, Kept, Split};
use model::Checkpoint;
use text::{ChatTemplate, Tokenizer};
use whinchat::bounds;

use super::super::{ModelArg, within};

/// The model, and the threads that compute it.
#[derive(Args)]
pub(super) struct Reference {
    #[command(flatten)]
    model: ModelArg,
    /// Threads that compute [default: every core]
    #[arg(long, short, value_name = "N", allow_negative_numbers = true, value_parser = within(bounds::THREADS))]
    pub(super) threads: Option<usize>,
}

/// Texts for calibration.
#[derive(Args)]
pub(super) struct Data {
    /// Texts: plain text, or conversations in a .jsonl file (`messages` or `text` in each line). Several are mixed.
    #[arg(long, value_name = "FILE")]
    pub(super) data: Vec<PathBuf>,
    /// Tokens of a chunk: texts are computed in such pieces.
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(8..=65536))]
    pub(super) context: u32,
    /// Chunks to calibrate with, at most.
    #[arg(long, value_name = "N", default_value = "128")]
    pub(super) chunks: NonZeroUsize,
}

impl Reference {
    pub(super) fn open(&self) -> anyhow::Result<Arc<Checkpoint>> {
        self.model.open()
    }

    pub(super) fn cpu(&self) -> Cpu {
        Cpu::new(CpuOptions { threads: self.threads, pin: false, isa: None })
    }
}

impl Data {
    /// Reads the texts, those of `evaluation` for that alone; without `evaluation`, a fifth of them is set apart.
    pub(super) fn split(
        &self,
        evaluation: &[PathBuf],
        checkpoint: &Checkpoint,
        tokenizer: &Tokenizer,
    ) -> anyhow::Result<Split> {
        let some = !self.data.is_empty() || !evaluation.is_empty();
        anyhow::ensure!(some, "there is no text; give some with --data FILE");
        let template = template(checkpoint, tokenizer)?;
        Ok(Split::read(&self.data, evaluation, template.as_ref())?)
    }

    /// The chunks to calibrate with.
    pub(super) fn calibration(&self, split: &Split, tokenizer: &Tokenizer) -> Vec<Vec<u32>> {
        split.calibration(tokenizer, self.context as usize, self.chunks.get())
    }
}

/// Calibrates with some chunks. What was added up is kept beside `out` ([`sums_beside`]), so that the same command goes on from there.
pub(super) fn calibrated(
    (reference, checkpoint): (&Reference, &Arc<Checkpoint>),
    (chunks, datasets): (&[Vec<u32>], Vec<String>),
    (gram, out): (Option<usize>, &Path),
    (stop, progress): (&Arc<AtomicBool>, lab::Progress),
) -> anyhow::Result<Calibration> {
    let kept = Some(Kept::new(sums_beside(out), checkpoint, chunks, gram));
    let options = CalibrateOptions { gram, datasets, kept, stop: stop.clone() };
    let found = lab::calibrate(&reference.cpu(), &checkpoint.bind(None)?, chunks, &options, progress)?;
    if found.statistics.chunks as usize == chunks.len() { Ok(found) } else { Err(lab::Error::Stopped.into()) }
}

/// Where it is kept until `out` is there.
pub(super) fn sums_beside(out: &Path) -> PathBuf {
    out.with_added_extension("sums")
}

/// The model's own chat template.
fn template(checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> anyhow::Result<Option<ChatTemplate>> {
    let Some(source) = checkpoint.chat_template()? else { return Ok(None) };
    let piece = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id)).unwrap_or_default();
    let special = [("bos_token", piece(tokenizer.bos())), ("eos_token", piece(tokenizer.eos()))];
    Ok(Some(ChatTemplate::new(&source, &special)?))
}
