//! A suite of cases, answered by the reference and by each variant: how many pass, and which changed sides.

use std::path::Path;
use std::sync::Arc;

use kernels::Cpu;
use lab::{Report, SuiteScore};
use model::Checkpoint;
use whinchat::{LoadOptions, Model};

use crate::eval::Suite;
use crate::terminal::Bars;

/// Scores the reference and every variant of `report`, whose files are below `folder`.
pub(super) fn score(
    suite: &Path,
    cpu: &Cpu,
    reference: &Arc<Checkpoint>,
    (report, folder): (&mut Report, &Path),
) -> anyhow::Result<()> {
    let suite = Suite::load(suite)?;
    let expected = passed(&suite, cpu, reference.clone())?;
    let share = |passed: &[bool]| passed.iter().filter(|pass| **pass).count() as f64 / passed.len().max(1) as f64;
    report.reference.score = Some(share(&expected));
    for variant in &mut report.variants {
        let got = passed(&suite, cpu, Checkpoint::open(&folder.join(&variant.path))?)?;
        let count = |which: fn(bool, bool) -> bool| {
            expected.iter().zip(&got).filter(|(expected, got)| which(**expected, **got)).count()
        };
        variant.score = Some(share(&got));
        variant.measured.suite = Some(SuiteScore {
            name: suite.name.clone(),
            cases: got.len(),
            passed: count(|_, got| got),
            lost: count(|expected, got| expected && !got),
            won: count(|expected, got| !expected && got),
        });
    }
    Ok(())
}

/// Which cases a model passes.
fn passed(suite: &Suite, cpu: &Cpu, checkpoint: Arc<Checkpoint>) -> anyhow::Result<Vec<bool>> {
    let bars = Bars::or_lines();
    let prepared = whinchat::prepare(checkpoint, &LoadOptions::default())?;
    let model = Model::start_on(cpu.clone(), &prepared, (), &|stage, done, total| bars.show(stage, done, total))?;
    let cases = suite.cases.len() as u64;
    let report = crate::eval::run(&model, suite, &mut |done| bars.count("cases", done as u64, cases))?;
    Ok(report.cases.iter().map(crate::eval::CaseReport::pass).collect())
}
