//! `whinchat lab quantize`: one variant, by what calibration found out.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use lab::{CANDIDATES, Calibration, Pattern, PruneMethod, PruneOptions, Pruned, QuantizeOptions};
use lab::{Spec, Statistics, Target, Types, Unvisited};
use model::{Checkpoint, Model};

use super::data::{Data, Reference, calibrated, sums_beside};
use super::show;
use crate::cmd::convert::{fallbacks, stop_at_signals, summary};
use crate::terminal::Bars;

/// Columns that are correlated with each other for error feedback.
pub(super) const GRAM: usize = 2048;

/// Write a model with smaller weights, by what calibration found out
///
/// Say which type, or how large or how good: then each matrix gets a type of its own.
#[derive(Args)]
pub(super) struct Quantize {
    #[command(flatten)]
    reference: Reference,
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    wanted: Wanted,
    /// The file to write.
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// An importance matrix from `lab calibrate` or llama-imatrix; --data then only measures how sensitive matrices are.
    #[arg(long, value_name = "FILE")]
    imatrix: Option<PathBuf>,
    /// Make types of three and four bits with error feedback (GPTQ); needs --data.
    #[arg(long, requires = "data", conflicts_with = "imatrix")]
    error_feedback: bool,
    /// Quantize matrices with experts that calibration never visited as all others; else they have eight bits at least.
    #[arg(long)]
    allow_unvisited: bool,
    /// Tokens that each matrix's sensitivity is measured with; 0 only estimates it.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(0..=65536))]
    sensitivity_tokens: u32,
    #[command(flatten)]
    prune: Prune,
    /// What the model is called in the file [default: as its folder, or its page on the hub]
    #[arg(long)]
    name: Option<String>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

/// What is wanted: one of these.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Wanted {
    /// What the matrices become: INT8, INT4, Q4_K_M, Q5_0 …
    #[arg(long = "type", value_name = "TYPE", value_parser = kind)]
    spec: Option<Spec>,
    /// Bytes of the file at most, such as 90MB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    target_size: Option<Spec>,
    /// Bits that a weight takes on average, at most.
    #[arg(long, value_name = "BITS", value_parser = |text: &str| Spec::parse(&format!("mixed:{text}")))]
    target_bpw: Option<Spec>,
    /// Mean divergence from the model at most, in nats, as it is predicted.
    #[arg(long, value_name = "NATS", value_parser = |text: &str| Spec::parse(&format!("loss:{text}")))]
    max_loss: Option<Spec>,
    /// Decode speed at least, as a multiple of the model's: each type's is measured on this machine.
    #[arg(long, value_name = "TIMES", value_parser = |text: &str| Spec::parse(&format!("speed:{text}")))]
    min_speed: Option<Spec>,
}

/// Weights that become zero.
#[derive(Args)]
struct Prune {
    /// The share of weights in the layers' matrices that become zero, 0.3 to 0.7 in use; needs --data.
    #[arg(long, value_name = "SHARE", requires = "data", conflicts_with = "imatrix")]
    sparsity: Option<f64>,
    /// Which may be zero together: free, 2:4, 4:8 (zeros of so many neighbours) or block16.
    #[arg(long, value_name = "PATTERN", default_value = "free", requires = "sparsity")]
    pattern: String,
    /// Choose the share of each matrix by what the model's output loses with it; --sparsity is that of all together.
    #[arg(long, requires = "sparsity")]
    by_layer: bool,
    /// By what they are chosen.
    #[arg(long, value_enum, default_value_t = PruneBy::Sparsegpt, requires = "sparsity")]
    prune_by: PruneBy,
    /// Steps in which the other weights are moved to make up for them.
    #[arg(long, value_name = "N", default_value_t = 20, requires = "sparsity", value_parser = clap::value_parser!(u16).range(0..=1000))]
    steps: u16,
}

/// By what weights are chosen that become zero.
#[derive(Clone, Copy, ValueEnum)]
enum PruneBy {
    /// Their size.
    Magnitude,
    /// Their size and that of their inputs.
    Wanda,
    /// How well others make up for them.
    Sparsegpt,
}

impl Prune {
    fn options(&self) -> anyhow::Result<Option<PruneOptions>> {
        let Some(sparsity) = self.sparsity else { return Ok(None) };
        let pattern =
            Pattern::parse(&self.pattern, sparsity).map_err(anyhow::Error::msg).context("--sparsity, --pattern")?;
        let method = match self.prune_by {
            PruneBy::Magnitude => PruneMethod::Magnitude,
            PruneBy::Wanda => PruneMethod::Wanda,
            PruneBy::Sparsegpt => PruneMethod::SparseGpt,
        };
        Ok(Some(PruneOptions { method, pattern, shares: BTreeMap::new(), steps: usize::from(self.steps) }))
    }
}

/// A type; weights that are zero have options of their own here.
fn kind(text: &str) -> Result<Spec, String> {
    match Spec::parse(text)? {
        Spec::Pruned(_) => {
            Err(format!("{text}: say the type alone, and which weights are zero with --sparsity and --pattern"))
        }
        Spec::File(_) => Err(format!("{text}: the file has its types already; name a type")),
        spec => Ok(spec),
    }
}

fn size(text: &str) -> Result<Spec, String> {
    Spec::parse(&format!("size:{text}"))
}

impl Wanted {
    fn spec(&self) -> anyhow::Result<Spec> {
        let all = [&self.spec, &self.target_size, &self.target_bpw, &self.max_loss, &self.min_speed];
        let spec = all.into_iter().flatten().next().cloned();
        spec.context("say what is wanted: --type, --target-size, --target-bpw, --max-loss or --min-speed")
    }
}

impl Quantize {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (spec, mut prune) = (self.wanted.spec()?, self.prune.options()?);
        let checkpoint = self.reference.open()?;
        let model = checkpoint.bind(None)?;
        let stop = stop_at_signals()?;
        let bars = Bars::or_lines();
        let progress = |stage: &str, done, total| show(&bars, stage, done, total);
        let gram = (self.error_feedback || prune.is_some()).then_some(GRAM);
        let (calibration, probe) = self.calibration(&checkpoint, gram, (&stop, &progress))?;
        let mut quantize = lab::Quantize::new(&checkpoint, &calibration)?;
        let types = match spec {
            Spec::Type { weights, .. } | Spec::Pruned(Pruned { weights, .. }) => Types::Plain(weights),
            Spec::Mixed(target) => self.mixture(target, (&model, &quantize), &probe, (&stop, &progress))?,
            Spec::File(path) => anyhow::bail!("{}: has its types already", path.display()),
        };
        if let Some((prune, share)) = prune.as_mut().zip(self.prune.sparsity).filter(|_| self.prune.by_layer) {
            let of = (&self.reference.cpu(), &model);
            let losses = lab::share_losses(of, &quantize, prune.pattern, &probe, (&stop, &progress))?;
            prune.shares = lab::shares(&losses, share);
        }
        let unvisited = if self.allow_unvisited { Unvisited::Allowed } else { Unvisited::Safe };
        let (force, feedback, name) = (self.force, self.error_feedback, self.name);
        let options =
            QuantizeOptions { force, feedback, name, unvisited, prune, stop, ..QuantizeOptions::new(self.out, types) };
        let made = quantize.write(&options, &progress)?;
        _ = std::fs::remove_file(sums_beside(&options.out));
        let mut out = std::io::stdout().lock();
        fallbacks(&mut out, &made.file)?;
        made.notes.iter().try_for_each(|note| writeln!(out, "{note}"))?;
        made.recovered.iter().try_for_each(|own| writeln!(out, "{own}"))?;
        writeln!(out, "{}: {}", options.out.display(), summary(&made.file))?;
        Ok(())
    }

    /// What is known of the matrices' inputs, and the tokens that sensitivity is measured with.
    fn calibration(
        &self,
        checkpoint: &Arc<Checkpoint>,
        gram: Option<usize>,
        (stop, progress): (&Arc<AtomicBool>, lab::Progress),
    ) -> anyhow::Result<(Calibration, Vec<u32>)> {
        let known = self.imatrix.as_ref().map(|file| Statistics::read(file)).transpose()?.map(Calibration::of);
        if self.data.data.is_empty() {
            return Ok((known.unwrap_or_default(), vec![]));
        }
        let tokenizer = whinchat::tokenizer(checkpoint)?;
        let split = self.data.split(&[], checkpoint, &tokenizer)?;
        let chunks = self.data.calibration(&split, &tokenizer);
        let probe = chunks.iter().flatten().copied().take(self.sensitivity_tokens as usize).collect();
        if let Some(known) = known {
            return Ok((known, probe));
        }
        let texts = (&chunks[..], split.datasets());
        Ok((calibrated((&self.reference, checkpoint), texts, (gram, &self.out), (stop, progress))?, probe))
    }

    /// The type of each matrix.
    fn mixture(
        &self,
        target: Target,
        (model, quantize): (&Model, &lab::Quantize<'_>),
        probe: &[u32],
        (stop, progress): (&AtomicBool, lab::Progress),
    ) -> anyhow::Result<Types> {
        let mut all = lab::estimate(quantize, CANDIDATES, stop, progress)?;
        if probe.is_empty() {
            eprintln!("note: the sensitivity of matrices is only estimated; --data lets it be measured");
        } else {
            lab::measure((&self.reference.cpu(), model), quantize, &mut all, probe, (stop, progress))?;
        }
        if let Target::Speed(_) = target {
            let times = lab::time_types((&self.reference.cpu(), model), CANDIDATES, (stop, progress))?;
            lab::set_times(model, quantize, &mut all, &times);
        }
        Ok(Types::Each(target.types(quantize, &all)?))
    }
}
