//! `whinchat plan`: what a model's graph becomes, what it costs, how long it takes, and how that compares.

mod compare;
mod profile;
mod show;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::Value;
use whinchat::{LoadOptions, PlanQuery, Prepared, Shape, bounds};

use super::{LoadArgs, within};
use crate::plans::{self, Store};

/// Show a model's execution plan: operators, what they cost and how long they take at best; measure and compare
///
/// The plan is the model's graph after fusion. Costs are those of a step of so many rows, and the time is the longer of what its
/// bytes and its arithmetic take by this machine's limits, which are measured once.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  whinchat plan model.gguf
  whinchat plan model.gguf --rows 128 --json > plan.json
  whinchat plan profile --model model.gguf --rows 1,128
  whinchat plan compare before.json after.json
  whinchat plan check plan.json --model model.gguf"
)]
pub(crate) struct Plan {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    show: Show,
}

// What each does stands where it is defined.
#[derive(Subcommand)]
enum Command {
    Profile(profile::Profile),
    Compare(compare::Compare),
    List(compare::List),
    Check(Check),
}

/// What is shown.
#[derive(Args)]
struct Show {
    #[command(flatten)]
    load: LoadArgs,
    /// The model, as --model takes it.
    #[arg(value_name = "MODEL")]
    named: Option<OsString>,
    /// Rows of the step: up to 32 are a row each of as many sequences that decode, more are those of one prompt.
    #[arg(long, value_name = "ROWS", default_value_t = 1, value_parser = within(bounds::CONTEXT))]
    rows: usize,
    /// Positions before them.
    #[arg(long, value_name = "TOKENS", default_value_t = 512)]
    past: usize,
    /// The whole plan as JSON: --plan takes it back.
    #[arg(long)]
    json: bool,
}

/// Say whether a plan computes what the model computes
///
/// The reference interpreter computes both with random weights.
#[derive(Args)]
struct Check {
    /// The plan, as `whinchat plan --json` writes it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
}

impl Plan {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            None => self.show.run(),
            Some(Command::Profile(c)) => c.run(),
            Some(Command::Compare(c)) => c.run(),
            Some(Command::List(c)) => c.run(),
            Some(Command::Check(c)) => c.run(),
        }
    }
}

impl Show {
    fn run(mut self) -> anyhow::Result<()> {
        let prepared = prepared(&mut self.load, self.named.take())?;
        let (shape, machine) = (Shape::of(self.rows, self.past), plans::measured(prepared.threads()));
        let plan = prepared.plan(&PlanQuery { shape, machine: Some(machine), tuning: None });
        let mut out = std::io::stdout().lock();
        if self.json {
            return Ok(writeln!(out, "{plan:#}")?);
        }
        show::plan(&mut out, &plan)
    }
}

impl Check {
    fn run(self) -> anyhow::Result<()> {
        let plan = read(&self.file)?;
        let prepared = self.load.prepare(&self.load.options())?;
        prepared.check_plan(&plan).map_err(anyhow::Error::msg).with_context(|| self.file.display().to_string())?;
        println!("{} computes what {} computes", self.file.display(), prepared.model_name());
        Ok(())
    }
}

/// A model, not in memory, by a name that may stand alone.
fn prepared(load: &mut LoadArgs, named: Option<OsString>) -> anyhow::Result<Prepared> {
    if named.is_some() {
        load.model.model = named;
    }
    load.prepare(&options(load))
}

fn options(load: &LoadArgs) -> LoadOptions {
    load.options()
}

/// A file with JSON in it.
fn read(path: &Path) -> anyhow::Result<Value> {
    let what = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(what)?;
    serde_json::from_slice(&bytes).context("it is no JSON").with_context(what)
}

/// Where profiles are.
#[derive(Args)]
struct StoreArgs {
    /// The database of profiles [default: profiles.db in the user's cache folder]
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
}

impl StoreArgs {
    fn open(&self) -> Store {
        self.store.clone().map_or_else(|| Store::in_folder(None), Store::at)
    }
}
