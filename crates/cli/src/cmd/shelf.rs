//! `whinchat pull`, `list` and `rm`: the models that were downloaded.

use std::io::Write;

use anyhow::Context;
use clap::Args;
use indicatif::HumanBytes;
use serde_json::json;
use whinchat::hub::Hub;

use crate::terminal::Bars;

/// Download models of the Hugging Face hub, to be used later, without a network too
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat pull org/name
  whinchat pull org/name:Q4_K_M org/other

A download that was cut off goes on where it stopped. Files are kept where other programs find them (HF_HOME).")]
pub(crate) struct Pull {
    /// org/name, or org/name:file with a file's name or its type.
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
}

/// List the models that were downloaded
#[derive(Args)]
pub(crate) struct List {
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Remove models that were downloaded
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat rm org/name:Q4_K_M
  whinchat rm org/name")]
pub(crate) struct Rm {
    /// org/name with all its files, or org/name:file.
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
}

impl Pull {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let hub = Hub::from_env();
        let ids = self.models.iter().map(|name| id(&hub, name)).collect::<anyhow::Result<Vec<_>>>()?;
        for (name, id) in self.models.iter().zip(ids) {
            let bars = Bars::new();
            let path = hub.fetch(&id, &|stage, done, total| bars.show(stage, done, total))?;
            drop(bars);
            writeln!(std::io::stdout(), "{name}: {}", path.display())?;
        }
        Ok(())
    }
}

impl List {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let hub = Hub::from_env();
        let models = hub.models();
        let mut out = std::io::stdout().lock();
        if models.is_empty() && !self.json {
            eprintln!("Nothing is in {} yet: whinchat pull org/name downloads a model.", hub.cache.display());
        }
        let width = models.iter().map(|model| model.name.chars().count()).max().unwrap_or_default();
        for model in models {
            if self.json {
                let path = model.path.to_string_lossy();
                writeln!(out, "{}", json!({ "name": model.name, "bytes": model.bytes, "path": path }))?;
            } else {
                writeln!(out, "{:width$}  {:>11}", model.name, HumanBytes(model.bytes).to_string())?;
            }
        }
        Ok(())
    }
}

impl Rm {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let hub = Hub::from_env();
        let ids = self.models.iter().map(|name| id(&hub, name)).collect::<anyhow::Result<Vec<_>>>()?;
        for (name, id) in self.models.iter().zip(ids) {
            let bytes = hub.remove(&id)?;
            writeln!(std::io::stdout(), "{name}: removed, {}", HumanBytes(bytes))?;
        }
        Ok(())
    }
}

fn id(hub: &Hub, name: &str) -> anyhow::Result<whinchat::hub::ModelId> {
    hub.parse(name).with_context(|| format!("{name:?} is no name of the hub: org/name or org/name:file"))
}
