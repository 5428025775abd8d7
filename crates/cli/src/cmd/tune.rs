//! `whinchat tune`: which kernels are best for a model on this machine.

use std::ffi::OsString;
use std::io::Write;

use clap::Args;

use super::{LoadArgs, within};

/// Find the best kernel for each operator and shape of a model, by timing, and keep them for later starts
///
/// What is found is kept beside the packed weights, and used by every later start with the same instruction set and as many threads.
/// Answers do not change: all kernels that are tried give the same bits.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat tune model.gguf
  whinchat tune model.gguf --repeats 20 --dry-run")]
pub(crate) struct Tune {
    #[command(flatten)]
    load: LoadArgs,
    /// The model, as --model takes it.
    #[arg(value_name = "MODEL")]
    named: Option<OsString>,
    /// Positions before the rows of a step.
    #[arg(long, value_name = "TOKENS", default_value_t = 128)]
    past: usize,
    /// Steps of which the median is taken, for each kernel.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = within(1..=1000))]
    repeats: usize,
    /// Keep nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Tune {
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        if let Some(named) = self.named.take() {
            self.load.model.model = Some(named);
        }
        let prepared = self.load.prepare(&self.load.options())?;
        let quiet = self.json;
        let tuned = prepared.tune(prepared.cpu(), self.past, self.repeats, &|what| {
            if !quiet {
                eprintln!("{what}");
            }
        })?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&tuned)?)?;
        } else {
            for found in &tuned.found {
                let (was, is) = (found.auto_micros, found.micros);
                writeln!(
                    out,
                    "{}@{} {}: {} ({was:.0} µs → {is:.0} µs)",
                    found.op, found.rows, found.shape, found.kernel
                )?;
            }
            for (rows, was, is) in &tuned.steps {
                writeln!(out, "a step of {rows} rows: {was:.0} µs → {is:.0} µs ({:+.1} %)", 100.0 * (is / was - 1.0))?;
            }
        }
        if !self.dry_run {
            let path = prepared.keep_tuned(&tuned)?;
            eprintln!("kept in {}", path.display());
        }
        Ok(())
    }
}
