//! What a report of the quantization lab says of variants: where each is, and how good.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The parts of a report that are read; it may have more.
#[derive(Deserialize)]
pub(super) struct Report {
    variants: Vec<Variant>,
}

/// A model that was made and measured.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Variant {
    /// What it is called.
    pub(super) name: String,
    /// Its file, as seen from the report's folder.
    pub(super) path: PathBuf,
    /// The type of most weights.
    #[serde(default, rename = "type")]
    weight_type: Option<String>,
    #[serde(default)]
    bytes: Option<u64>,
    /// The mean divergence from the original, in nats per token.
    #[serde(default)]
    kl_mean: Option<f64>,
    /// How often the most likely token is the original's.
    #[serde(default)]
    top1: Option<f64>,
    #[serde(default)]
    perplexity: Option<f64>,
    /// The share of a suite that passed.
    #[serde(default)]
    score: Option<f64>,
}

impl Report {
    /// # Errors
    /// If the file is no report.
    pub(super) fn read(file: &Path) -> anyhow::Result<Report> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
        let mut report: Report = serde_json::from_str(&text).with_context(|| format!("{shown} is no lab report"))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        for variant in &mut report.variants {
            variant.path = std::path::absolute(folder.join(&variant.path)).context("finding the variants' files")?;
        }
        Ok(report)
    }

    /// The variant of that name; without a name the smallest that diverges by at most `most`.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn choose(&self, name: Option<&str>, most: f64) -> anyhow::Result<&Variant> {
        let names = || self.variants.iter().map(|v| v.name.as_str()).collect::<Vec<_>>().join(", ");
        if let Some(name) = name {
            let found = self.variants.iter().find(|v| v.name == name);
            return found.with_context(|| format!("the report has no variant {name}; it has {}", names()));
        }
        let close = self.variants.iter().filter(|v| v.kl_mean.is_some_and(|kl| kl <= most));
        match close.min_by_key(|v| v.bytes.unwrap_or(u64::MAX)) {
            Some(variant) => Ok(variant),
            None => bail!(
                "no variant of the report diverges by at most {most} nats per token (kl_mean); name one with --variant: {}",
                names()
            ),
        }
    }
}

impl Variant {
    /// The name as a version: letters, digits, `-`, `_` and `.`.
    pub(super) fn version(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        self.name.chars().map(|c| if plain(c) { c } else { '-' }).take(64).collect()
    }

    /// What the report says of it, as fields of an order: higher scores are better.
    pub(super) fn known(&self) -> Map<String, Value> {
        let scores = [("same_top", self.top1), ("suite", self.score)];
        let scores = scores.into_iter().filter_map(|(name, score)| Some((name.to_owned(), json!(score?))));
        let quality = Some(json!(Map::from_iter(scores)));
        let fields = [
            ("weight_type", self.weight_type.as_ref().map(|t| json!(t))),
            ("bytes", self.bytes.map(|b| json!(b))),
            ("quality", quality),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// What the report says of it, in a sentence.
    pub(super) fn sentence(&self) -> String {
        let numbers = [
            self.weight_type.clone(),
            self.bytes.map(|bytes| bytesize::ByteSize(bytes).to_string()),
            self.kl_mean.map(|kl| format!("{kl:.4} nats per token of divergence")),
            self.top1.map(|top1| format!("{:.1} % of the most likely tokens", 100.0 * top1)),
            self.perplexity.map(|perplexity| format!("perplexity {perplexity:.3}")),
            self.score.map(|score| format!("{:.1} % of the suite", 100.0 * score)),
        ];
        let numbers: Vec<String> = numbers.into_iter().flatten().collect();
        format!("{}: {}", self.name, numbers.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"model": "m", "variants": [
        {"name": "Q8_0", "path": "q8.gguf", "type": "Q8_0", "bytes": 800, "kl_mean": 0.001, "top1": 0.99, "perplexity": 6.1, "score": 0.95},
        {"name": "Q4 K/M", "path": "/models/q4.gguf", "bytes": 450, "kl_mean": 0.04, "top1": null},
        {"name": "Q2_K", "path": "q2.gguf", "bytes": 300, "kl_mean": 0.6}]}"#;

    fn report() -> Report {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), REPORT).expect("written");
        Report::read(file.path()).expect("a report")
    }

    /// Which variant is chosen, or a part of what is wrong.
    fn check(name: Option<&str>, most: f64, expected: Result<&str, &str>) {
        let report = report();
        let found = report.choose(name, most).map(|v| v.name.as_str()).map_err(|e| e.to_string());
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(*found, expected),
            (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
            _ => panic!("{name:?} {most}: {found:?}"),
        }
    }

    #[test]
    fn a_variant_is_chosen() {
        check(Some("Q2_K"), 0.05, Ok("Q2_K"));
        check(Some("Q3"), 0.05, Err("Q8_0, Q4 K/M, Q2_K"));
        check(None, 0.05, Ok("Q4 K/M"));
        check(None, 0.01, Ok("Q8_0"));
        check(None, 1.0, Ok("Q2_K"));
        check(None, 0.0001, Err("at most 0.0001 nats"));
    }

    #[test]
    fn a_variant_says_what_is_known() {
        let report = report();
        let [eight, four, _] = &report.variants[..] else { panic!("three") };
        assert!(eight.path.is_absolute() && eight.path.ends_with("q8.gguf"), "{:?}", eight.path);
        assert_eq!(four.version(), "Q4-K-M");
        assert_eq!(four.path, Path::new("/models/q4.gguf"));
        let said = eight.sentence();
        assert!(said.contains("0.0010 nats") && said.contains("perplexity 6.100") && said.contains("95.0 %"), "{said}");
    }
}
