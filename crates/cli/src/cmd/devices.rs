//! `whinchat devices`: what models can be computed on.

use std::io::Write;

use clap::Args;
use serde_json::json;
use whinchat::HAS_GPU;

/// List what models can be computed on: the CPU and GPUs
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat devices
  whinchat devices --json")]
pub(crate) struct Devices {
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        for device in whinchat::devices() {
            let name = device.device.to_string();
            if self.json {
                writeln!(out, "{}", json!({ "device": name, "name": device.name, "about": device.about }))?;
            } else {
                writeln!(out, "{name:<8} {}: {}", device.name, device.about)?;
            }
        }
        if !HAS_GPU {
            eprintln!("note: this build uses no GPU; build it with --features gpu");
        }
        Ok(())
    }
}
