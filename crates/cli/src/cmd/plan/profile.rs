//! `whinchat plan profile`: how long each operator takes.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use whinchat::{ProfileOptions, bounds};

use super::{LoadArgs, StoreArgs, prepared, show};
use crate::cmd::within;
use crate::plans::{self, About};

/// Measure how long each operator takes, by operator and shape, and keep the profile
///
/// The model's weights are brought into memory, and steps of so many rows are computed one after the other. Profiles can be compared
/// with others, of other commits, machines and kernels.
#[derive(Args)]
pub(super) struct Profile {
    #[command(flatten)]
    load: LoadArgs,
    /// The model, as --model takes it.
    #[arg(value_name = "MODEL")]
    named: Option<OsString>,
    /// Rows of each step that is measured.
    #[arg(long, value_name = "ROWS,…", value_delimiter = ',', default_value = "1,8,128", value_parser = within(bounds::CONTEXT))]
    rows: Vec<usize>,
    /// Positions before them.
    #[arg(long, value_name = "TOKENS", default_value_t = 128)]
    past: usize,
    /// Steps of which the median is taken.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = within(1..=1000))]
    repeats: usize,
    /// What is measured, in words.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// By which state of the program [default: the commit or the version that it was built from]
    #[arg(long, value_name = "NAME")]
    commit: Option<String>,
    /// Write the profile to this file, too.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only JSON is printed.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

impl Profile {
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        let prepared = prepared(&mut self.load, self.named.take())?;
        let options =
            ProfileOptions { rows: self.rows.clone(), context: self.past, repeats: self.repeats, kernels: vec![] };
        let machine = plans::measured(prepared.threads());
        let mut profile = prepared.profile(prepared.cpu(), machine, &options)?;
        profile["kernels"] = self.load.kernel_texts().into();
        let now = About::now();
        let about = About { note: self.note.clone(), commit: self.commit.clone().unwrap_or(now.commit.clone()), ..now };
        about.write(&mut profile);
        if let Some(path) = &self.out {
            std::fs::write(path, format!("{profile:#}\n")).with_context(|| path.display().to_string())?;
        }
        let kept = self.store.open().add(&about, &profile);
        let mut out = std::io::stdout().lock();
        if self.json {
            return Ok(writeln!(out, "{profile}")?);
        }
        show::profile(&mut out, &profile)?;
        match (kept, &self.out) {
            (Ok(id), _) => writeln!(out, "kept as profile {id}")?,
            (Err(_), Some(path)) => writeln!(out, "kept in {}", path.display())?,
            (Err(why), None) => writeln!(out, "not kept: {why:#}")?,
        }
        Ok(())
    }
}
