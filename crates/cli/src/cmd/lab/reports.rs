//! `whinchat lab compare` and `whinchat lab recommend`: what reports say.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use lab::{Limit, Report, Spec, Target};

/// Print the variants of one or several reports, side by side
#[derive(Args)]
pub(super) struct Compare {
    /// Folders of `lab run`, or their report.json.
    #[arg(required = true, value_name = "DIR|FILE")]
    reports: Vec<PathBuf>,
    /// Write the joint report into this folder: report.html, report.md, report.json.
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The joint report as JSON on stdout.
    #[arg(long)]
    json: bool,
}

/// Say which variant to take, why, and which it beats
#[derive(Args)]
pub(super) struct Recommend {
    /// Folders of `lab run`, or their report.json.
    #[arg(required = true, value_name = "DIR|FILE")]
    reports: Vec<PathBuf>,
    /// Bytes of the file at most, such as 90MB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Mean divergence from the reference at most, in nats.
    #[arg(long, value_name = "NATS")]
    max_loss: Option<f64>,
    /// Decode speed at least, as a multiple of the reference's; the reports must have it (`lab run --speed`).
    #[arg(long, value_name = "TIMES")]
    min_speed: Option<f64>,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

fn size(text: &str) -> Result<u64, String> {
    match Spec::parse(&format!("size:{text}")) {
        Ok(Spec::Mixed(Target::Size(bytes))) => Ok(bytes),
        _ => Err("want a size, such as 90MB".into()),
    }
}

fn joined(paths: &[PathBuf]) -> anyhow::Result<Report> {
    let mut reports = Vec::new();
    for path in paths {
        let mut report = Report::read(path)?;
        let folder = if path.is_dir() { path.clone() } else { path.parent().unwrap_or(path).to_owned() };
        if paths.len() > 1 {
            report.variants.iter_mut().for_each(|v| v.path = folder.join(&v.path).to_string_lossy().into_owned());
        }
        reports.push(report);
    }
    Ok(Report::joined(reports)?)
}

impl Compare {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let report = joined(&self.reports)?;
        if let Some(folder) = &self.out {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            report.write(folder)?;
        }
        let mut out = std::io::stdout().lock();
        let text = if self.json { serde_json::to_string_pretty(&report)? } else { report.markdown() };
        writeln!(out, "{}", text.trim_end())?;
        Ok(())
    }
}

impl Recommend {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let report = joined(&self.reports)?;
        let limits = [self.max_size.map(Limit::Size), self.max_loss.map(Limit::Loss), self.min_speed.map(Limit::Speed)];
        let limits: Vec<Limit> = limits.into_iter().flatten().collect();
        let pick = lab::recommend(&report, &limits);
        let pick =
            pick.context("no variant keeps to these limits; make smaller ones (lab run --variants), or ask for less")?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&pick)?)?;
            return Ok(());
        }
        let path = report.variants.iter().find(|v| v.name == pick.name).map_or("", |v| v.path.as_str());
        writeln!(out, "{} ({path}): {}", pick.name, pick.why)?;
        if !pick.beats.is_empty() {
            writeln!(out, "It beats {}: it is at least as small and as good.", pick.beats.join(", "))?;
        }
        Ok(())
    }
}
