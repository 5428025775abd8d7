//! `whinchat devices`: what models can be computed on.

use std::io::Write;

use clap::Args;
use serde_json::json;
use whinchat::{DeviceInfo, HAS_GPU, Machine};

/// List what models can be computed on: the CPU and GPUs, and what each can do
///
/// Bytes read and arithmetic per second are measured, which takes a second or some. What else a device does meanwhile is in the figures.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat devices
  whinchat devices --no-measure
  whinchat devices --json")]
pub(crate) struct Devices {
    /// Only say what there is, without measuring it.
    #[arg(long)]
    no_measure: bool,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        for device in whinchat::devices() {
            let speed = if self.no_measure { None } else { Some(device.device.measure()) };
            let speed = speed.transpose().unwrap_or_else(|why| {
                eprintln!("warning: {} cannot be measured: {why}", device.device);
                None
            });
            match self.json {
                true => writeln!(out, "{}", as_json(&device, speed))?,
                false => write!(out, "{}", as_text(&device, speed))?,
            }
        }
        if !HAS_GPU {
            eprintln!("note: this build uses no GPU; build it with --features gpu");
        }
        Ok(())
    }
}

fn as_json(device: &DeviceInfo, speed: Option<Machine>) -> serde_json::Value {
    json!({
        "device": device.device.to_string(), "name": device.name, "about": device.about, "memory_bytes": device.memory,
        "types": device.types, "speed": speed.map(whinchat::machine_json),
    })
}

/// A line, and what the device can do in lines below it.
fn as_text(device: &DeviceInfo, speed: Option<Machine>) -> String {
    let mut text = format!("{:<8} {}: {}\n", device.device.to_string(), device.name, device.about);
    let mut line = |words: String| text.push_str(&format!("{:<8} {words}\n", ""));
    if let Some(bytes) = device.memory {
        line(format!("memory {}", indicatif::HumanBytes(bytes)));
    }
    if let Some(Machine { read_gb_s, int8_gop_s, f32_gflop_s }) = speed {
        let int8 = if int8_gop_s.is_nan() { String::new() } else { format!(", int8 {int8_gop_s:.0} GOP/s") };
        line(format!("reads {read_gb_s:.1} GB/s, f32 {f32_gflop_s:.0} GFLOP/s{int8}"));
    }
    line(match &device.types {
        None => "weights of every type as they are".into(),
        Some(types) => format!("weights as they are: {}; others as F16", types.join(", ")),
    });
    text
}
