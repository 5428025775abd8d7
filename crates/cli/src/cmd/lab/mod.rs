//! `whinchat lab`: variants of a model, and what they cost.

mod calibrate;
mod data;
mod quantize;
mod reports;
mod run;
mod suite;

use clap::{Args, Subcommand};

use crate::terminal::Bars;

/// Make small variants of a model, and see what they cost
///
/// A model in F32, F16 or BF16 is the reference; variants are compared with its outputs on the same text.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat lab run --model model.gguf --data text.txt --data chats.jsonl --out lab
  whinchat lab recommend lab --max-size 90MB
  whinchat lab calibrate --model model.gguf --data text.txt --out model.imatrix.gguf
  whinchat lab quantize --model model.gguf --imatrix model.imatrix.gguf --type Q4_K_M --out small.gguf")]
pub(crate) struct Lab {
    #[command(subcommand)]
    command: Command,
}

// What each does stands where it is defined.
#[derive(Subcommand)]
enum Command {
    Calibrate(calibrate::Calibrate),
    Quantize(Box<quantize::Quantize>),
    Run(run::Run),
    Compare(reports::Compare),
    Recommend(reports::Recommend),
}

impl Lab {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Calibrate(c) => c.run(),
            Command::Quantize(c) => c.run(),
            Command::Run(c) => c.run(),
            Command::Compare(c) => c.run(),
            Command::Recommend(c) => c.run(),
        }
    }
}

/// Shows how a stage goes: bytes of those that read or write weights, else things.
fn show(bars: &Bars, stage: &str, done: u64, total: u64) {
    match stage {
        "loading" | "quantizing" => bars.show(stage, done, total),
        _ => bars.count(stage, done, total),
    }
}
