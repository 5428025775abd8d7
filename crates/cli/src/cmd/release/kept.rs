//! The file with a baseline: what was measured, and how.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use release::Baseline;
use serde::{Deserialize, Serialize};

use super::measure::{Conditions, Measure, Measured};

/// The form of the file; another one is refused.
const VERSION: u32 = 1;

/// A baseline as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    version: u32,
    /// What was measured.
    pub(super) model: String,
    /// How.
    measured: Conditions,
    /// The threads that computed.
    threads: usize,
    /// The numbers.
    pub(super) baseline: Baseline,
}

impl Kept {
    pub(super) fn of(measured: Measured) -> Kept {
        let Measured { model, conditions, threads, baseline, .. } = measured;
        Kept { version: VERSION, model, measured: conditions, threads, baseline }
    }

    /// # Errors
    /// If the file is not there or has no baseline in it.
    pub(super) fn read(file: &Path) -> anyhow::Result<Kept> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}; --write makes a baseline", file.display()))?;
        let kept: Kept = serde_json::from_str(&text)
            .with_context(|| format!("{} is no baseline; --write makes one", file.display()))?;
        ensure!(
            kept.version == VERSION,
            "{} has version {} of baselines, this program reads {VERSION}; --write makes it anew",
            file.display(),
            kept.version
        );
        Ok(kept)
    }

    /// Writes it whole: whoever reads meanwhile has the one before.
    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        let beside = file.with_added_extension("new");
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, file))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// Whether what is to be measured can be compared with it.
    pub(super) fn fits(&self, measure: &Measure) -> anyhow::Result<()> {
        let now = measure.conditions()?;
        if now == self.measured {
            return Ok(());
        }
        bail!(
            "the baseline was measured with {}, not with {now}; give the same options, or --write it anew",
            self.measured
        )
    }

    /// Times of other numbers of threads say nothing of each other.
    pub(super) fn same_threads(&self, measured: &Measured) -> anyhow::Result<()> {
        let (before, now) = (self.threads, measured.threads);
        ensure!(before == now, "the baseline was measured with --threads {before}, not {now}; give the same");
        Ok(())
    }

    /// The score of the whole suite, in words.
    pub(super) fn scores(&self) -> String {
        let score = self.baseline.quality.get("total");
        score.map(|score| format!(", {:.1} % of the suite passed", 100.0 * score)).unwrap_or_default()
    }
}
