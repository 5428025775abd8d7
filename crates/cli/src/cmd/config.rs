//! `whinchat config`: check a configuration, show it, and say what one can have in it.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::settings::Given;

/// Check and show the configuration of serve
///
/// It has three layers: a file (serve --config FILE), environment variables, and flags, which go before each other in this order.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat config check whinchat.yaml
  whinchat config show --config whinchat.yaml --max-sequences 8
  whinchat config schema > whinchat.schema.json")]
pub(crate) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(Check),
    Show(Show),
    Schema(Schema),
}

/// Say what is wrong with a file: where, what is expected there, and what was perhaps meant
#[derive(Args)]
struct Check {
    /// The file. Environment variables do not count.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Show every setting with its value and where it comes from, as a file of YAML; secrets are hidden
#[derive(Args)]
struct Show {
    #[command(flatten)]
    given: Given,
    /// As JSON: a list of key, value and origin.
    #[arg(long)]
    json: bool,
}

/// Print the JSON Schema of the file, for editors
#[derive(Args)]
struct Schema {}

impl Config {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Check(Check { file }) => check(file),
            Command::Show(Show { given, json }) => show(&given, json),
            Command::Schema(Schema {}) => print(&serde_json::to_string_pretty(config::schema())?),
        }
    }
}

fn check(file: PathBuf) -> anyhow::Result<()> {
    let name = file.display().to_string();
    let given = Given::file(file);
    let resolved = given.resolve(given.read()?.as_deref(), &[])?;
    print(&format!("{name} is valid (settings: {}, profile: {})", resolved.given(), resolved.config.profile.name()))
}

fn show(given: &Given, json: bool) -> anyhow::Result<()> {
    let resolved = given.resolve_now()?;
    match json {
        true => print(&serde_json::to_string_pretty(&config::json(&resolved))?),
        false => print(config::yaml(&resolved).trim_end()),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}
