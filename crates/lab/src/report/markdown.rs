//! The report as Markdown.

use super::{Report, Speed, Variant};
use crate::Estimate;

/// The columns of what is measured with `--speed`, and what they are.
pub(super) const SPEEDS: [&str; 4] = ["memory MB", "prefill", "decode", "32 streams"];
pub(super) const SPEEDS_ARE: &str = "Memory is that of the weights; speeds are multiples of the reference's.";

impl Report {
    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        let reference = &self.reference;
        let mut text = format!(
            "# Variants of {}\n\nThe reference takes {:.1} MB ({:.2} bits per weight); its perplexity on {} positions is {:.4}.\n",
            self.model,
            reference.bytes as f64 / 1e6,
            reference.bits_per_weight,
            reference.tokens,
            reference.perplexity
        );
        if !self.calibration.is_empty() {
            let (tokens, files) = (self.calibration_tokens, self.calibration.join(", "));
            text += &format!("Calibrated with {tokens} tokens of {files}, none of which are evaluated.\n");
        }
        text += "\n";
        if let Some(recommended) = &self.recommended {
            text += &format!("**Recommended: {}**, {}.", recommended.name, recommended.why);
            if !recommended.beats.is_empty() {
                text += &format!(" It beats {}.", recommended.beats.join(", "));
            }
            text += "\n\n";
        }
        text += &self.table();
        text += &self.recovery();
        text += &self.notes();
        text
    }

    fn table(&self) -> String {
        let head = ["variant", "MB", "bits", "mean KL", "median", "p99", "max", "same top %", "perplexity"];
        let head: Vec<&str> = head.into_iter().chain(SPEEDS).chain(["score"]).collect();
        let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
        for variant in &self.variants {
            text += &format!("| {} |\n", self.cells(variant).join(" | "));
        }
        text + "\nIntervals hold with 95 % confidence. KL is in nats. " + SPEEDS_ARE + "\n"
    }

    fn cells(&self, variant: &Variant) -> Vec<String> {
        let quality = &variant.quality;
        let dominated = self.variants.iter().any(|other| variant.is_dominated_by(other));
        let mut cells = vec![
            if dominated { format!("{} (dominated)", variant.name) } else { variant.name.clone() },
            format!("{:.1}", variant.bytes as f64 / 1e6),
            format!("{:.2}", variant.bits_per_weight),
            between(quality.kl, 5),
            format!("{:.5}", quality.kl_median),
            format!("{:.4}", quality.kl_p99),
            format!("{:.3}", quality.kl_max),
            between(scaled(quality.top1, 100.0), 1),
            between(quality.perplexity, 3),
        ];
        cells.extend(self.speeds(variant));
        cells.push(score(variant));
        cells
    }

    /// Memory and speeds of a variant, by [`SPEEDS`].
    pub(super) fn speeds(&self, variant: &Variant) -> [String; 4] {
        let memory = variant.measured.memory.map(|bytes| format!("{:.1}", bytes as f64 / 1e6)).unwrap_or_default();
        let speed = variant.relative_speed(&self.reference).filter(|speed| speed.decode.is_finite());
        let times = |of: fn(Speed) -> f64| speed.map(|speed| format!("{:.2} x", of(speed))).unwrap_or_default();
        [memory, times(|s| s.prefill), times(|s| s.decode), times(|s| s.streams)]
    }

    fn notes(&self) -> String {
        let of = |variant: &Variant| {
            let note = |note: &String| format!("- {}: {note}\n", variant.name);
            variant.measured.notes.iter().map(note).collect::<String>()
        };
        let notes: String = self.variants.iter().map(of).collect();
        if notes.is_empty() { notes } else { format!("\n## Notes\n\n{notes}") }
    }
}

/// The suite's score, and how many cases have changed sides.
pub(super) fn score(variant: &Variant) -> String {
    let suite = variant.measured.suite.as_ref();
    suite.map_or_else(String::new, |suite| {
        let share = 100.0 * suite.passed as f64 / suite.cases.max(1) as f64;
        format!("{share:.1} % (+{} -{})", suite.won, suite.lost)
    })
}

pub(super) fn scaled(x: Estimate, by: f64) -> Estimate {
    Estimate { value: by * x.value, low: by * x.low, high: by * x.high }
}

/// A number and its interval.
pub(super) fn between(x: Estimate, digits: usize) -> String {
    format!("{:.digits$} ({:.digits$} to {:.digits$})", x.value, x.low, x.high)
}
