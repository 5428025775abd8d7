//! `whinchat release check`: whether a model is still as good and as fast as its baseline says.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use release::{Allowed, Row, Standing, regressed};
use serde_json::json;

use super::allowance;
use super::kept::Kept;
use super::measure::{Measure, Measured};
use crate::cmd::{Exit, LoadArgs};

/// Measure a model, and compare it with what was measured before
///
/// A bench times requests, one at a time; with --suite the model's answers are scored too. The exit status is 0 if nothing has regressed,
/// 1 if something has, and 2 if it could not be compared. What is worse by so few requests that it may be chance is said, and does not count.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat release check --baseline baseline.json --suite models/whinchat-demo/eval --write
  whinchat release check --baseline baseline.json --suite models/whinchat-demo/eval
  whinchat release check --baseline baseline.json --allow median=0.2,tail=0.5 org/name:Q4_K_M")]
#[command(mut_arg("model", |arg| arg.long(None::<&str>).short(None::<char>).index(1)))]
#[command(mut_arg("context", |arg| arg.help("Longest sequence [default: what the suite and the bench need]")))]
pub(super) struct Check {
    #[command(flatten)]
    load: LoadArgs,
    /// The file with the baseline.
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Write the baseline anew instead of comparing with it.
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    measure: Measure,
    /// How much worse a number may be: median (0.1), tail (0.3), per_token (0.1) and memory (0.05), relative; failures (0.01) and
    /// quality (0.02) of 1.
    #[arg(long, value_name = "NAME=SHARE,…", value_parser = allowance::parse, default_value = "", hide_default_value = true)]
    allow: Allowed,
    /// One JSON object on stdout: every number, and what it means.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        if self.write {
            return self.keep();
        }
        // A file that cannot be read is said before a model is loaded.
        let kept = Kept::read(&self.baseline)?;
        kept.fits(&self.measure)?;
        let measured = self.measure.run(&self.load)?;
        kept.same_threads(&measured)?;
        let rows = kept.baseline.compare(&measured.baseline, &self.allow);
        self.print(&rows, &kept, &measured)?;
        let reasons = reasons(&rows, &measured.below);
        if !reasons.is_empty() {
            return Err(Exit { status: 1, why: format!("regressed:\n{}", reasons.join("\n")) }.into());
        }
        Ok(())
    }

    fn keep(&self) -> anyhow::Result<()> {
        let measured = self.measure.run(&self.load)?;
        let below = &measured.below;
        anyhow::ensure!(
            below.is_empty(),
            "nothing is written, as the suite's minimum is not reached:\n{}",
            below.join("\n")
        );
        let kept = Kept::of(measured);
        kept.write(&self.baseline)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            return Ok(writeln!(out, "{}", serde_json::to_string(&kept)?)?);
        }
        let (file, requests) = (self.baseline.display(), kept.baseline.requests);
        Ok(writeln!(out, "{file} has the baseline of {}: {requests} requests{}", kept.model, kept.scores())?)
    }

    fn print(&self, rows: &[Row], kept: &Kept, measured: &Measured) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            let regressed = regressed(rows) || !measured.below.is_empty();
            let all = json!({ "model": measured.model, "before": kept.model, "regressed": regressed,
                              "below": measured.below, "rows": rows });
            return Ok(writeln!(out, "{all}")?);
        }
        writeln!(out, "{}", table(rows))?;
        let doubtful = rows.iter().filter(|row| row.standing == Standing::Doubtful).count();
        if doubtful > 0 {
            writeln!(out, "\n{doubtful} may be worse, or it is chance: more --requests tell")?;
        }
        Ok(())
    }
}

/// Every number beside what it was, as Markdown that can be read.
fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["number", "before", "now", "allowed", ""]);
    for row in rows {
        let now = row.now.map_or_else(|| "none".into(), number);
        let standing = match row.standing {
            Standing::Kept => "kept",
            Standing::Doubtful => "doubtful",
            Standing::Regressed => "regressed",
        };
        table.add_row([row.name.clone(), number(row.before), now, number(row.allowed), standing.into()]);
    }
    for column in table.column_iter_mut().skip(1).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A number with at most three decimals, and none where it is large.
fn number(x: f64) -> String {
    if x.abs() >= 100.0 {
        return format!("{x:.0}");
    }
    let text = format!("{x:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What has regressed, each in a sentence with its numbers.
fn reasons(rows: &[Row], below: &[String]) -> Vec<String> {
    let sentence = |row: &Row| {
        let (before, allowed) = (number(row.before), number(row.allowed));
        match row.now {
            Some(now) => format!("{}: {} now, {before} before, {allowed} is allowed", row.name, number(now)),
            None => format!("{}: not measured now, {before} before", row.name),
        }
    };
    let rows = rows.iter().filter(|row| row.standing == Standing::Regressed).map(sentence);
    rows.chain(below.iter().map(|why| format!("below the suite's minimum: {why}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the rows say is in the table, and what has regressed is a reason.
    fn check(row: (&str, f64, Option<f64>, f64, Standing), line: &[&str], reason: Option<&str>) {
        let (name, before, now, allowed, standing) = row;
        let rows = [Row { name: name.into(), before, now, allowed, standing }];
        let table = table(&rows).to_string();
        let last = table.lines().last().expect("a line");
        let cells: Vec<&str> = last.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells, line, "{table}");
        let found = reasons(&rows, &[]);
        assert_eq!(found, reason.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn rows_become_a_table_and_reasons() {
        let kept = ("time (p50), µs", 1000.0, Some(1050.4), 1100.0, Standing::Kept);
        check(kept, &["time (p50), µs", "1000", "1050", "1100", "kept"], None);
        let doubtful = ("time (p50), µs", 1000.0, Some(1250.0), 1100.0, Standing::Doubtful);
        check(doubtful, &["time (p50), µs", "1000", "1250", "1100", "doubtful"], None);
        let worse = ("quality: cloze", 0.8, Some(0.7), 0.78, Standing::Regressed);
        let why = "quality: cloze: 0.7 now, 0.8 before, 0.78 is allowed";
        check(worse, &["quality: cloze", "0.8", "0.7", "0.78", "regressed"], Some(why));
        let missing = ("quality: cloze", 0.8, None, 0.78, Standing::Regressed);
        let why = "quality: cloze: not measured now, 0.8 before";
        check(missing, &["quality: cloze", "0.8", "none", "0.78", "regressed"], Some(why));
    }

    #[test]
    fn what_the_suite_demands_is_a_reason() {
        let found = reasons(&[], &["facts: score 50.0 %, at least 95.0 %".into()]);
        assert_eq!(found, ["below the suite's minimum: facts: score 50.0 %, at least 95.0 %"]);
    }
}
