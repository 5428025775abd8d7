//! `whinchat lab calibrate`: an importance matrix.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lab::StatisticsFormat;

use super::data::{Data, Reference, calibrated, sums_beside};
use super::show;
use crate::cmd::convert::stop_at_signals;
use crate::terminal::Bars;

/// Find out which columns of a model's matrices count, and write an importance matrix
///
/// llama.cpp reads the file too (`llama-quantize --imatrix`).
#[derive(Args)]
pub(super) struct Calibrate {
    #[command(flatten)]
    reference: Reference,
    #[command(flatten)]
    data: Data,
    /// Texts that will be evaluated with: no passage of them is calibrated with. Without them, a fifth of --data is left out.
    #[arg(long, value_name = "FILE")]
    eval_data: Vec<PathBuf>,
    /// The file to write.
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Its format: gguf, or the older dat, which knows no counts of single experts.
    #[arg(long, value_enum, default_value_t = Format::Gguf)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Gguf,
    Dat,
}

impl Calibrate {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let checkpoint = self.reference.open()?;
        let tokenizer = whinchat::tokenizer(&checkpoint)?;
        let split = self.data.split(&self.eval_data, &checkpoint, &tokenizer)?;
        let chunks = self.data.calibration(&split, &tokenizer);
        let bars = Bars::or_lines();
        let progress = |stage: &str, done, total| show(&bars, stage, done, total);
        let (texts, work) = ((&chunks[..], split.datasets()), (&stop_at_signals()?, &progress as lab::Progress));
        let found = calibrated((&self.reference, &checkpoint), texts, (None, &self.out), work)?.statistics;
        let format = match self.format {
            Format::Gguf => StatisticsFormat::Gguf,
            Format::Dat => StatisticsFormat::Legacy,
        };
        found.write(&self.out, format)?;
        _ = std::fs::remove_file(sums_beside(&self.out));
        let mut out = std::io::stdout().lock();
        for (name, experts) in found.unvisited() {
            writeln!(out, "{name}: {} experts were never visited; give more text", experts.len())?;
        }
        let (weights, tokens) = (found.entries.len(), u64::from(found.chunks) * u64::from(found.chunk_size));
        writeln!(out, "{}: {weights} weights, {tokens} tokens of {}", self.out.display(), found.datasets.join(", "))?;
        Ok(())
    }
}
