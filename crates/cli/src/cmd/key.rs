//! `whinchat key`: API keys are made, listed and taken back.

use std::io::Write;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use comfy_table::Table;
use serde_json::json;
use serve::{KeyEntry, KeyLimits, Role};
use time::OffsetDateTime;

use crate::keys::{Change, read};

/// Create, list and revoke the API keys of a server
///
/// The file has no keys in it, only what lets serve --api-keys know one that is shown to it. A running server reads the file
/// anew when it changes.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat key create alice --file keys.json --requests-per-minute 60 --concurrency 4
  whinchat key create prometheus --file keys.json --role metrics
  whinchat key list --file keys.json
  whinchat key revoke alice --file keys.json")]
pub(crate) struct Key {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a key and print it, once: the file does not have it
    Create(Create),
    /// List who has keys, and what they may do and take
    List(List),
    /// Take a key back: from now on it is refused, and what runs is finished
    Revoke(Revoke),
}

#[derive(Args)]
struct FileArg {
    /// The file of keys.
    #[arg(long, value_name = "FILE", env = "WHINCHAT_API_KEYS")]
    file: PathBuf,
}

#[derive(Args)]
struct Create {
    /// Who holds it: letters, digits, '-', '_', '.' and '@'. Logs name it, and the scheduler shares by it.
    name: String,
    #[command(flatten)]
    file: FileArg,
    /// What it may do.
    #[arg(long, value_enum, default_value_t = RoleArg::User)]
    role: RoleArg,
    /// Requests in a minute [default: any]
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<NonZeroU32>,
    /// Tokens of prompts and answers in a minute [default: any]
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<NonZeroU32>,
    /// Requests at the same time [default: any]
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroU32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleArg {
    /// Use the models.
    User,
    /// All: models, metrics, /admin, sessions, files and batches.
    Admin,
    /// Read metrics, and nothing else.
    Metrics,
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    file: FileArg,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Revoke {
    /// Who held it.
    name: String,
    #[command(flatten)]
    file: FileArg,
}

impl Key {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Create(create) => create.run(),
            What::List(list) => list.run(),
            What::Revoke(revoke) => revoke.run(),
        }
    }
}

impl Create {
    fn run(self) -> anyhow::Result<()> {
        let Create { name, file, role, requests_per_minute, tokens_per_minute, concurrency } = self;
        let role = match role {
            RoleArg::User => Role::User,
            RoleArg::Admin => Role::Admin,
            RoleArg::Metrics => Role::Metrics,
        };
        let limits = KeyLimits { requests_per_minute, tokens_per_minute, concurrency };
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let mut change = Change::begin(&file.file)?;
        let key = change.keys.create(&name, (role, limits), random, created).map_err(anyhow::Error::msg)?;
        change.finish()?;
        eprintln!(
            "The key of {name} is shown this once. Clients send it as `Authorization: Bearer …` or `x-api-key: …`."
        );
        Ok(writeln!(std::io::stdout(), "{key}")?)
    }
}

impl List {
    fn run(self) -> anyhow::Result<()> {
        let keys = read(&self.file.file)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            return Ok(keys.keys().iter().try_for_each(|key| writeln!(out, "{}", object(key)))?);
        }
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["NAME", "ROLE", "CREATED", "REQUESTS/MIN", "TOKENS/MIN", "AT ONCE"]);
        for key in keys.keys() {
            let KeyLimits { requests_per_minute, tokens_per_minute, concurrency } = key.limits;
            let [requests, tokens, at_once] = [requests_per_minute, tokens_per_minute, concurrency]
                .map(|limit| limit.map_or_else(|| "any".to_owned(), |limit| limit.to_string()));
            table.add_row([key.name.clone(), key.role.name().to_owned(), day(key.created), requests, tokens, at_once]);
        }
        Ok(writeln!(out, "{}", table.trim_fmt())?)
    }
}

impl Revoke {
    fn run(self) -> anyhow::Result<()> {
        let (name, path) = (self.name, self.file.file);
        let mut change = Change::begin(&path)?;
        if !change.keys.revoke(&name) {
            let names: Vec<&str> = change.keys.keys().iter().map(|key| key.name.as_str()).collect();
            anyhow::bail!("there is no key of the name {name} in {}; there are: {}", path.display(), names.join(", "));
        }
        change.finish()
    }
}

/// What is told of a key; nothing by which it is known.
fn object(key: &KeyEntry) -> serde_json::Value {
    let mut object = json!(key.limits);
    object["name"] = json!(key.name);
    object["role"] = json!(key.role);
    object["created"] = json!(key.created);
    object
}

/// The day of a second since 1970, as 2026-11-28.
fn day(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.map_or_else(|| "?".to_owned(), |time| time.date().to_string())
}
