//! `whinchat doctor`: what would keep `whinchat serve` from starting or from being fast, before it is started.
//!
//! Each group of checks is a file: it looks at the machine with what `serve` itself uses, and judges what it saw in a function of
//! these values alone.

mod cores;
mod finding;
mod memory;
mod model;
mod network;
mod security;
mod storage;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Write;

use clap::Args;
use config::Config;
use serde_json::json;
use whinchat::LoadOptions;

use self::finding::{Finding, Verdict};
use self::model::Candidate;
use super::serve::{load_args, load_options};
use super::settings::{Given, variables};

/// Check whether `whinchat serve` would start here, and what would hold it up
///
/// It takes the flags of serve and looks at what they say: the configuration, the model's files, memory, cores, addresses, open
/// files, folders, keys, certificates and the clock. Nothing is downloaded and no model is loaded. It ends with 1 if something would
/// fail.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat doctor
  whinchat doctor model.gguf --listen 0.0.0.0:8080
  whinchat doctor --config whinchat.yaml --json")]
pub(crate) struct Doctor {
    /// The model, as --model takes it.
    #[arg(value_name = "MODEL")]
    named: Option<OsString>,
    #[command(flatten)]
    given: Given,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// A server that is not started: what it would do, and the models that it would load.
struct Patient {
    config: Config,
    options: LoadOptions,
    candidates: Vec<Candidate>,
}

/// A group of checks.
type Check = fn(&Patient) -> Vec<Finding>;

/// Every group, in the order in which it is told of.
const CHECKS: [Check; 6] = [model::check, memory::check, cores::check, network::check, storage::check, security::check];

impl Doctor {
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        if let Some(name) = self.named.take() {
            self.given.choose_model(&name.to_string_lossy());
        }
        let findings = examine(&self.given);
        let mut out = std::io::stdout().lock();
        match self.json {
            true => writeln!(out, "{}", serde_json::to_string_pretty(&told(&findings))?)?,
            false => findings.iter().try_for_each(|finding| write!(out, "{finding}"))?,
        }
        let [fine, warnings, failures] = counts(&findings);
        if !self.json {
            writeln!(out, "\n{fine} ok, {}, {failures} would fail", plural(warnings, "warning"))?;
        }
        anyhow::ensure!(failures == 0, "{} would keep whinchat serve from working here", plural(failures, "finding"));
        Ok(())
    }
}

/// Everything that there is to say.
fn examine(given: &Given) -> Vec<Finding> {
    let resolved = match given.read().map_err(|e| vec![format!("{e:#}")]).and_then(|text| {
        given
            .resolve(text.as_deref(), &variables())
            .map_err(|problems| problems.0.iter().map(ToString::to_string).collect())
    }) {
        Ok(resolved) => resolved,
        Err(wrong) => return wrong.into_iter().map(unconfigured).collect(),
    };
    let (count, profile) = (resolved.given(), resolved.config.profile.name());
    let mut findings = vec![Finding::fine("configuration", format!("valid (settings: {count}, profile: {profile})"))];
    let note = |note: &String| Finding::warning("configuration", note.clone(), "write it as the note says");
    findings.extend(resolved.notes.iter().map(note));
    let options = match load_options(&resolved.config, &load_args(&resolved.config)) {
        Ok(options) => options,
        Err(e) => {
            findings.push(unconfigured(format!("{e:#}")));
            return findings;
        }
    };
    let candidates = model::candidates(&resolved.config, &options);
    let patient = Patient { config: resolved.config, options, candidates };
    findings.extend(CHECKS.iter().flat_map(|check| check(&patient)));
    findings
}

/// Without settings there is no server to look at.
fn unconfigured(why: String) -> Finding {
    Finding::fails(
        "configuration",
        why,
        "correct it; docs/configuration.md has every setting. Nothing else was looked at",
    )
}

fn told(findings: &[Finding]) -> serde_json::Value {
    let [fine, warnings, failures] = counts(findings);
    let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Fine);
    json!({
        "status": worst.name(),
        "ok": fine,
        "warnings": warnings,
        "failures": failures,
        "findings": findings.iter().map(Finding::json).collect::<Vec<_>>(),
    })
}

/// How many findings are fine, warn and would fail.
fn counts(findings: &[Finding]) -> [usize; 3] {
    [Verdict::Fine, Verdict::Warning, Verdict::Fails]
        .map(|verdict| findings.iter().filter(|finding| finding.verdict == verdict).count())
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
