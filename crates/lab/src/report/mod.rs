//! What variants of a model cost and what they gain: the report, as JSON, Markdown and a page.

mod html;
mod markdown;
mod plots;
mod recommend;
mod recovery;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use recommend::{CLOSE, Limit, Recommendation, recommend};

use crate::evaluate::number;
use crate::{Error, Recovered, Summary};

/// Everything that is known of a model's variants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The form of this report: 1.
    pub version: u32,
    /// The model.
    pub model: String,
    /// What the variants are compared with.
    pub reference: Baseline,
    /// Where calibration's texts came from; empty if nothing was calibrated.
    pub calibration: Vec<String>,
    /// Tokens that were calibrated with.
    pub calibration_tokens: u64,
    /// The variants, largest first.
    pub variants: Vec<Variant>,
    /// What each matrix costs at each type, where that was found out.
    #[serde(default)]
    pub sensitivity: Vec<Matrix>,
    /// The predicted Pareto front of mixtures.
    #[serde(default)]
    pub front: Vec<FrontPoint>,
    /// The variant that is recommended, and why.
    pub recommended: Option<Recommendation>,
}

/// What variants are compared with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Bytes of its weights.
    pub bytes: u64,
    /// Bits that a weight takes on average.
    #[serde(deserialize_with = "number")]
    pub bits_per_weight: f64,
    /// Positions that were scored.
    pub tokens: usize,
    /// Its perplexity on the evaluation text.
    #[serde(deserialize_with = "number")]
    pub perplexity: f64,
    /// The share of a suite's cases that it passes, where one was given.
    pub score: Option<f64>,
    /// Tokens a second, where it was measured.
    pub speed: Option<Speed>,
    /// Bytes that its weights take in memory, where it was measured.
    #[serde(default)]
    pub memory: Option<u64>,
}

/// Tokens a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Of a prompt.
    pub prefill: f64,
    /// Of an answer, one sequence alone.
    pub decode: f64,
    /// Of 32 answers at once, all together.
    #[serde(default, deserialize_with = "number")]
    pub streams: f64,
}

impl Speed {
    /// As multiples of another one.
    pub fn relative(self, to: Speed) -> Speed {
        let Speed { prefill, decode, streams } = self;
        Speed { prefill: prefill / to.prefill, decode: decode / to.decode, streams: streams / to.streams }
    }
}

/// A variant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// What it is called.
    pub name: String,
    /// Its file, relative to the report's folder where it is in it.
    pub path: String,
    /// The type that was asked for, such as `Q4_K_M` or `mixed:4.5`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bits that a weight takes on average.
    #[serde(deserialize_with = "number")]
    pub bits_per_weight: f64,
    /// Mean divergence from the reference, in nats; as in `quality`.
    #[serde(deserialize_with = "number")]
    pub kl_mean: f64,
    /// The share of positions where both find the same token most likely; as in `quality`.
    #[serde(deserialize_with = "number")]
    pub top1: f64,
    /// The perplexity; as in `quality`.
    #[serde(deserialize_with = "number")]
    pub perplexity: f64,
    /// The share of a suite's cases that it passes, where one was given.
    pub score: Option<f64>,
    /// All that was measured of its outputs, with intervals.
    pub quality: Summary,
    /// What was measured besides.
    pub measured: Measured,
}

/// What is measured of a variant besides its outputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What should be known of how it was made.
    pub notes: Vec<String>,
    /// Tokens a second, measured in turns with the reference.
    pub speed: Option<Speed>,
    /// The same as multiples of the reference's in the same turns.
    #[serde(default)]
    pub relative: Option<Speed>,
    /// Bytes that its weights take in memory, where it was measured.
    #[serde(default)]
    pub memory: Option<u64>,
    /// The suite, where one was given.
    pub suite: Option<SuiteScore>,
    /// The matrices that were pruned, and what recovery came to.
    #[serde(default)]
    pub recovered: Vec<Recovered>,
}

/// What came of a suite.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SuiteScore {
    /// Its name.
    pub name: String,
    /// Its cases.
    pub cases: usize,
    /// Those that passed.
    pub passed: usize,
    /// Cases that the reference passes and the variant does not.
    pub lost: usize,
    /// Cases that the variant passes and the reference does not.
    pub won: usize,
}

/// A matrix's sensitivity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// The tensor.
    pub name: String,
    /// Whether the losses were measured at the output.
    pub measured: bool,
    /// Type, bytes and predicted divergence.
    pub choices: Vec<(String, u64, f64)>,
}

/// A point of the predicted front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrontPoint {
    /// Bytes of the matrices.
    pub bytes: u64,
    /// The predicted divergence.
    pub loss: f64,
}

impl Variant {
    /// Its speed as multiples of the reference's, where both were measured.
    pub fn relative_speed(&self, reference: &Baseline) -> Option<Speed> {
        let apart = || Some(self.measured.speed?.relative(reference.speed?));
        self.measured.relative.or_else(apart)
    }

    /// Whether another one is at least as small and as good, and better in one of both.
    pub fn is_dominated_by(&self, other: &Variant) -> bool {
        let (smaller, better) = (other.bytes <= self.bytes, other.kl_mean <= self.kl_mean);
        // A divergence that is no number is worse than any other.
        let better = better || self.kl_mean.is_nan() && !other.kl_mean.is_nan();
        smaller && better && (other.bytes < self.bytes || other.kl_mean < self.kl_mean || self.kl_mean.is_nan())
    }
}

impl Report {
    /// Reads a report, or the one in a folder.
    ///
    /// # Errors
    /// If it cannot be read or is none.
    pub fn read(path: &Path) -> Result<Report, Error> {
        let path = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
        let text = std::fs::read(&path).map_err(Error::io(&path))?;
        let problem = |e| Error::file(&path, format!("is no report of the lab: {e}; give report.json, or its folder"));
        serde_json::from_slice(&text).map_err(problem)
    }

    /// Writes report.json, report.md and report.html into a folder.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(self).map_err(|e| Error::file(folder, e.to_string()))?;
        for (name, text) in [("report.json", json), ("report.md", self.markdown()), ("report.html", self.html())] {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(Error::io(&path))?;
        }
        Ok(())
    }

    /// Several reports as one: the variants of all of them, if they are of one model on one text.
    ///
    /// # Errors
    /// If there is none, or their references differ.
    pub fn joined(reports: Vec<Report>) -> Result<Report, Error> {
        let mut reports = reports.into_iter();
        let mut all = reports.next().ok_or_else(|| Error::Request("there is no report to compare".into()))?;
        for report in reports {
            let same = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs();
            if all.reference.tokens != report.reference.tokens
                || !same(all.reference.perplexity, report.reference.perplexity)
            {
                let problem =
                    "the reports are not of one reference on one text, so that their numbers say nothing of each other";
                return Err(Error::Request(format!("{problem}: {} and {}", all.model, report.model)));
            }
            let new = report.variants.into_iter().filter(|v| !all.variants.contains(v)).collect::<Vec<_>>();
            all.variants.extend(new);
        }
        all.sort();
        all.recommended = recommend(&all, &[]);
        Ok(all)
    }

    /// The largest variant first.
    pub fn sort(&mut self) {
        self.variants.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.name.cmp(&b.name)));
    }
}
