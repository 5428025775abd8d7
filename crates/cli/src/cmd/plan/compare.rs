//! `whinchat plan compare` and `whinchat plan list`: profiles beside each other.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::{StoreArgs, read, show};
use crate::plans::{Store, compared};

/// Compare two profiles, operator by operator
///
/// What changed the time of a step most comes first.
#[derive(Args)]
pub(super) struct Compare {
    /// A profile's number (whinchat plan list), or a file that `whinchat plan profile --out` wrote.
    #[arg(value_name = "BEFORE")]
    before: String,
    /// Another one.
    #[arg(value_name = "AFTER")]
    after: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// List the profiles that are kept, the newest first
#[derive(Args)]
pub(super) struct List {
    /// Only those of this model.
    #[arg(value_name = "NAME")]
    model: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

impl Compare {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let store = self.store.open();
        let comparison = compared(&profile(&store, &self.before)?, &profile(&store, &self.after)?);
        let mut out = std::io::stdout().lock();
        if self.json {
            return Ok(writeln!(out, "{comparison:#}")?);
        }
        show::comparison(&mut out, &comparison)
    }
}

fn profile(store: &Store, name: &str) -> anyhow::Result<Value> {
    let path = Path::new(name);
    if path.exists() {
        return read(path);
    }
    store.get(name)?.with_context(|| format!("{name} is neither a file nor the number of a profile that is kept"))
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let list = self.store.open().list(self.model.as_deref())?;
        let mut out = std::io::stdout().lock();
        for row in list["data"].as_array().into_iter().flatten() {
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            let (id, kernels) = (row["id"].to_string(), row["kernels"].to_string());
            writeln!(
                out,
                "{id:>5} {:<24} {:<14} {:<24} {kernels} {}",
                text("model"),
                text("commit"),
                text("processor"),
                text("note")
            )?;
        }
        Ok(())
    }
}
