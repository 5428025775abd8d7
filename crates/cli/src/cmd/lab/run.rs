//! `whinchat lab run`: variants made, compared with the reference and reported.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use kernels::Cpu;
use lab::{Calibration, Experiment, Materials, Report, Spec, SpeedOptions, Statistics, Target, Variant, Weights};
use model::Checkpoint;

use super::data::{Data, Reference};
use super::quantize::GRAM;
use super::{show, suite};
use crate::cmd::convert::stop_at_signals;
use crate::terminal::Bars;

/// The variants that are made where none are named: llama.cpp's usual ones, and mixtures of the same sizes.
const VARIANTS: [&str; 8] = ["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "mixed:5.5", "mixed:4.5"];

/// Sequences that are decoded at once to measure speed, as the report says.
const STREAMS: usize = 32;

/// Make variants of a model, compare them with it, and report
///
/// The folder gets the variants, and report.html, report.md and report.json. What is finished is kept: the same command goes on where it
/// was stopped.
#[derive(Args)]
pub(super) struct Run {
    #[command(flatten)]
    reference: Reference,
    #[command(flatten)]
    data: Data,
    /// Texts for evaluation alone; without them, a fifth of --data is set apart. No passage is calibrated and evaluated with.
    #[arg(long, value_name = "FILE")]
    eval_data: Vec<PathBuf>,
    /// Chunks to evaluate with, at most; of each the second half is scored.
    #[arg(long, value_name = "N", default_value = "40")]
    eval_chunks: NonZeroUsize,
    /// An importance matrix from `lab calibrate` or llama-imatrix; --data then only measures how sensitive matrices are.
    #[arg(long, value_name = "FILE")]
    imatrix: Option<PathBuf>,
    /// The variants: types (INT8, INT4, Q4_K_M …), plain:TYPE without calibration, mixed:BITS, size:SIZE, loss:NATS or speed:TIMES
    /// with a type for each matrix; sparse:SHARE or 2:4 with zeros, layers:SHARE with a share for each matrix, as :TYPE; file:PATH for a
    /// file that is there already.
    #[arg(long, value_delimiter = ',', value_name = "VARIANT,…", default_values = VARIANTS, value_parser = Spec::parse)]
    variants: Vec<Spec>,
    /// The folder.
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Score the reference and each variant on a suite (see `whinchat eval`).
    #[arg(long, value_name = "DIR|FILE")]
    suite: Option<PathBuf>,
    /// Measure speed too, in turns with the reference.
    #[arg(long)]
    speed: bool,
    /// Make types of three and four bits with error feedback (GPTQ).
    #[arg(long, conflicts_with = "imatrix")]
    error_feedback: bool,
    /// Tokens that each matrix's sensitivity is measured with; 0 only estimates it.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(0..=65536))]
    sensitivity_tokens: u32,
    /// Megabytes that the reference's outputs take at most.
    #[arg(long, value_name = "MB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    reference_size: u64,
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let checkpoint = self.reference.open()?;
        let tokenizer = whinchat::tokenizer(&checkpoint)?;
        let split = self.data.split(&self.eval_data, &checkpoint, &tokenizer)?;
        let chunks = self.data.calibration(&split, &tokenizer);
        let evaluated = split.evaluation(&tokenizer, self.data.context as usize, self.eval_chunks.get());
        let bars = Bars::or_lines();
        let progress = |stage: &str, done, total| show(&bars, stage, done, total);
        let cpu = self.reference.cpu();
        let experiment = Experiment::new(&cpu, &checkpoint, &self.out, stop_at_signals()?, &progress)?;
        let calibration = self.calibration(&experiment, &chunks, split.datasets())?;
        let mut reference = experiment.reference(evaluated, self.reference_size * 1_000_000)?;
        let mixed = self.variants.iter().any(|spec| matches!(spec, Spec::Mixed(_)));
        let probe: Vec<u32> = chunks.iter().flatten().copied().take(self.sensitivity_tokens as usize).collect();
        let mut sensitivities = if mixed { experiment.sensitivities(&calibration, &probe)? } else { vec![] };
        if self.variants.iter().any(|spec| matches!(spec, Spec::Mixed(Target::Speed(_)))) {
            experiment.set_times(&calibration, &mut sensitivities)?;
        }
        let by_layer = self.variants.iter().any(|spec| matches!(spec, Spec::Pruned(own) if own.by_layer));
        let share_losses = if by_layer { experiment.share_losses(&calibration, &probe)? } else { vec![] };
        let feedback = self.error_feedback;
        let materials = Materials {
            calibration: &calibration,
            sensitivities: &sensitivities,
            feedback,
            share_losses: &share_losses,
        };
        let mut variants = Vec::new();
        for spec in &self.variants {
            let variant = experiment.variant(spec, &materials, &mut reference)?;
            writeln!(std::io::stdout().lock(), "{}", line(&variant))?;
            variants.push(variant);
        }
        let mut report = experiment.report(variants, &materials);
        self.measure(&cpu, &checkpoint, &mut report)?;
        finish(&report, &self.out, &calibration)
    }

    /// What is known of the matrices' inputs; nothing where no variant needs it.
    fn calibration(
        &self,
        experiment: &Experiment<'_, Cpu>,
        chunks: &[Vec<u32>],
        datasets: Vec<String>,
    ) -> anyhow::Result<Calibration> {
        if let Some(file) = &self.imatrix {
            return Ok(Calibration::of(Statistics::read(file)?));
        }
        if !self.variants.iter().any(Spec::is_informed) {
            return Ok(Calibration::default());
        }
        let pruned = self.variants.iter().any(|spec| matches!(spec, Spec::Pruned(_)));
        Ok(experiment.calibrate(chunks, datasets, (self.error_feedback || pruned).then_some(GRAM))?)
    }

    /// Speed and the suite, where they are wanted.
    fn measure(&self, cpu: &Cpu, checkpoint: &std::sync::Arc<Checkpoint>, report: &mut Report) -> anyhow::Result<()> {
        let bars = Bars::or_lines();
        let progress = |stage: &str, done, total| show(&bars, stage, done, total);
        if self.speed {
            let options = SpeedOptions { prompt: 128, decode: 32, streams: STREAMS, turns: 5 };
            let reference = checkpoint.bind(None)?;
            let own = Weights::upload(cpu, &reference, &progress)?;
            let memory = |weights: &Weights<Cpu>| Some(weights.bytes(|weight| weight.packed().len() as u64));
            report.reference.memory = memory(&own);
            for variant in &mut report.variants {
                let model = Checkpoint::open(&self.out.join(&variant.path))?.bind(None)?;
                let weights = Weights::upload(cpu, &model, &progress)?;
                let speeds = lab::speed(cpu, &[(&reference, &own), (&model, &weights)], &options, &progress)?;
                report.reference.speed = Some(speeds[0]);
                let measured = &mut variant.measured;
                (measured.speed, measured.memory) = (Some(speeds[1]), memory(&weights));
                measured.relative = Some(speeds[1].relative(speeds[0]));
            }
        }
        if let Some(path) = &self.suite {
            suite::score(path, cpu, checkpoint, (report, &self.out))?;
        }
        Ok(())
    }
}

fn line(variant: &Variant) -> String {
    format!(
        "{}: {}, {:.2} bits per weight, mean divergence {:.5}, same most likely token {:.1} %, perplexity {:.4}",
        variant.name,
        indicatif::HumanBytes(variant.bytes),
        variant.bits_per_weight,
        variant.kl_mean,
        100.0 * variant.top1,
        variant.perplexity,
    )
}

/// Writes the report and says what it recommends.
fn finish(report: &Report, folder: &std::path::Path, calibration: &Calibration) -> anyhow::Result<()> {
    report.write(folder)?;
    let mut out = std::io::stdout().lock();
    for (name, experts) in calibration.statistics.unvisited() {
        writeln!(out, "{name}: {} experts were never visited; give more text", experts.len())?;
    }
    if let Some(pick) = &report.recommended {
        writeln!(out, "recommended: {}, {}", pick.name, pick.why)?;
    }
    writeln!(out, "{}", folder.join("report.html").display())?;
    Ok(())
}
