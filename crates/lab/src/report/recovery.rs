//! What pruned variants lose before recovery, and after each of its steps.

use super::{Report, Variant};

/// A pruned variant's matrices together.
pub(super) struct Recovery<'r> {
    pub(super) variant: &'r str,
    matrices: usize,
    /// The smallest and the largest share of zeros.
    zeros: (f64, f64),
    /// The part of their products that matrices lose on average, before recovery and after each step. It never rises, as no matrix's does.
    pub(super) lost: Vec<f64>,
}

impl Recovery<'_> {
    fn of(variant: &Variant) -> Option<Recovery<'_>> {
        let all = &variant.measured.recovered;
        let steps = all.iter().map(|own| own.lost.len()).max()?;
        // One that took fewer steps keeps its last loss.
        let at = |own: &crate::Recovered, step: usize| own.lost.get(step).or(own.lost.last()).copied().unwrap_or(0.0);
        let lost = (0..steps).map(|step| all.iter().map(|own| at(own, step)).sum::<f64>() / all.len() as f64).collect();
        let zeros = all.iter().fold((f64::INFINITY, 0.0), |(least, most): (f64, f64), own| {
            (least.min(own.sparsity), most.max(own.sparsity))
        });
        Some(Recovery { variant: &variant.name, matrices: all.len(), zeros, lost })
    }
}

impl Report {
    /// The pruned variants.
    pub(super) fn recoveries(&self) -> Vec<Recovery<'_>> {
        self.variants.iter().filter_map(Recovery::of).collect()
    }

    /// The pruned variants in Markdown; nothing if there are none.
    pub(super) fn recovery(&self) -> String {
        let all = self.recoveries();
        let Some(steps) = all.iter().map(|own| own.lost.len()).max() else { return String::new() };
        // The first steps gain most.
        let shown: Vec<usize> = (1..steps).filter(|step| step.is_power_of_two() || step + 1 == steps).collect();
        let steps: String = shown.iter().map(|step| format!(" {step} |")).collect();
        let mut text = format!(
            "\n## Recovery\n\nWhat matrices lose of their products on average, in squares and per cent: before recovery, and after so many steps.\n\n\
             | variant | matrices | zeros % | before |{steps}\n|---|---|---|---|{}\n",
            "---|".repeat(shown.len())
        );
        for Recovery { variant, matrices, zeros: (least, most), lost } in all {
            let cell = |step: usize| {
                lost.get(step).or(lost.last()).map_or_else(String::new, |x| format!(" {:.2} |", 100.0 * x))
            };
            let zeros = match 1000.0 * (most - least) < 1.0 {
                true => format!("{:.1}", 100.0 * most),
                false => format!("{:.1} to {:.1}", 100.0 * least, 100.0 * most),
            };
            let steps: String = std::iter::once(0).chain(shown.iter().copied()).map(cell).collect();
            text += &format!("| {variant} | {matrices} | {zeros} |{steps}\n");
        }
        text
    }
}
