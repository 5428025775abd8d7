//! `whinchat eval`: how many cases of a suite a model answers as expected.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use whinchat::{Answer, LoadOptions};

use crate::eval::{CaseReport, Report, Suite, TaskReport};

use super::{LoadArgs, TemplateArg};
use crate::terminal::{Bars, tagged};

/// Score a model on a suite of cases, by task
///
/// The exit status is 1 if a task does not reach what the suite asks for.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat eval --suite models/whinchat-demo/eval
  whinchat eval --model org/name --suite cases.jsonl --tasks arithmetic --failures 5")]
pub(crate) struct Eval {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    template: TemplateArg,
    /// A folder with cases in *.jsonl files and, if there is one, a suite.json; or one such file (see docs/eval.md).
    #[arg(long, value_name = "DIR|FILE")]
    suite: PathBuf,
    /// Only these tasks.
    #[arg(long, value_delimiter = ',', value_name = "TASK,…")]
    tasks: Vec<String>,
    /// Only the first cases of each task.
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// Print the first failed cases of each task; or write all failed cases to a file, one JSON object a line.
    #[arg(long, value_name = "N|FILE", value_parser = Failures::parse)]
    failures: Option<Failures>,
    /// Cases that run at once; scores do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    streams: u16,
    /// One JSON object on stdout: every number, every case.
    #[arg(long)]
    json: bool,
}

/// What to do with failed cases.
#[derive(Clone)]
enum Failures {
    Print(usize),
    Write(PathBuf),
}

impl Failures {
    fn parse(text: &str) -> Result<Failures, String> {
        if text.is_empty() {
            return Err("must be a number or the name of a file".into());
        }
        Ok(text.parse().map_or_else(|_| Failures::Write(text.into()), Failures::Print))
    }
}

impl Eval {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        if let (true, Some(Failures::Print(n))) = (self.json, &self.failures) {
            anyhow::bail!(
                "--failures {n} prints text beside --json, which has every case; leave it out or name a file"
            );
        }
        let suite = self.suite()?;
        let (max_sequences, chat_template) = (Some(usize::from(self.streams)), self.template.choice()?);
        let options = LoadOptions { max_sequences, chat_template, ..self.load.options() };
        let model = self.load.load_with(&options)?;
        let bars = Bars::new();
        let cases = suite.cases.len() as u64;
        let report = crate::eval::run(&model, &suite, &mut |done| bars.count("cases", done as u64, cases))?;
        self.print(&report)?;
        let below = report.below();
        anyhow::ensure!(below.is_empty(), "below the suite's minimum:\n{}", below.join("\n"));
        Ok(())
    }

    fn suite(&self) -> anyhow::Result<Suite> {
        let mut suite = Suite::load(&self.suite)?;
        if !self.tasks.is_empty() {
            suite.select(&self.tasks)?;
        }
        if let Some(limit) = self.limit {
            suite.limit(limit.get());
        }
        Ok(suite)
    }

    fn print(&self, report: &Report) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", report.json())?;
        } else {
            writeln!(out, "{}", table(report))?;
        }
        match &self.failures {
            Some(Failures::Print(most)) => print_failures(&mut out, report, *most)?,
            Some(Failures::Write(file)) => write_failures(file, report)?,
            None => {}
        }
        if !self.json {
            let (seconds, tokens) = (report.time.as_secs_f64(), report.generated_tokens());
            let cases = report.total.cases;
            eprintln!("{cases} cases in {seconds:.1} s: {tokens} tokens, {:.0} tokens/s", report.tokens_per_second());
        }
        Ok(())
    }
}

/// The scores, as Markdown that can be read.
fn table(report: &Report) -> Table {
    let mut table = Table::new();
    let varied = report.tasks.iter().any(|task| task.variety.is_some());
    let chosen = report.total.accuracy.is_some();
    let mut header = vec!["task", "cases", "passed", "score %", "95 % interval"];
    header.extend(chosen.then_some("by length %"));
    header.extend(varied.then_some("variety"));
    header.push("minimum %");
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for task in report.tasks.iter().chain([&report.total]) {
        let (low, high) = task.interval();
        let mut row = vec![
            task.task.clone(),
            task.cases.to_string(),
            task.passed.to_string(),
            percent(task.score()),
            format!("{} to {}", percent(low), percent(high)),
        ];
        row.extend(chosen.then(|| task.accuracy.map_or_else(String::new, |of| percent(of.by_length()))));
        row.extend(varied.then(|| variety(task)));
        row.push(minimum(task));
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn variety(task: &TaskReport) -> String {
    let Some(variety) = task.variety else { return String::new() };
    let (distinct, sentences, words) = (variety.distinct, variety.sentences, variety.words);
    format!("{} % ({distinct} of {sentences} sentences), {words} words", percent(variety.share()))
}

fn minimum(task: &TaskReport) -> String {
    let below = |is_below: bool| if is_below { " (below)" } else { "" };
    let score = task.minimum.map(|minimum| percent(minimum) + below(task.is_below()));
    let variety =
        task.minimum_variety.map(|minimum| format!("variety {}{}", percent(minimum), below(task.is_monotonous())));
    score.into_iter().chain(variety).collect::<Vec<_>>().join(", ")
}

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

fn failed<'r>(report: &'r Report, task: &str) -> impl Iterator<Item = &'r CaseReport> {
    report.cases.iter().filter(move |case| case.task == task && !case.pass())
}

fn print_failures(out: &mut impl Write, report: &Report, most: usize) -> std::io::Result<()> {
    for task in &report.tasks {
        for case in failed(report, &task.task).take(most) {
            let reason = case.reason.as_deref().unwrap_or_default();
            let answer = case.answer.as_ref().map_or_else(|| "(none)".into(), said);
            writeln!(out, "\n{}: {reason}", case.id)?;
            writeln!(out, "  question: {}", indented(&shortened(&case.question)))?;
            writeln!(out, "  expected: {}", case.expected)?;
            writeln!(out, "  answer:   {}", indented(&answer))?;
        }
    }
    Ok(())
}

/// An answer as text, its calls included.
fn said(answer: &Answer) -> String {
    let text = Some(answer.text.clone()).filter(|text| !text.is_empty());
    text.into_iter().chain(answer.calls.iter().map(tagged)).collect::<Vec<_>>().join("\n")
}

/// The ends of a long text.
fn shortened(text: &str) -> String {
    const END: usize = 200;
    let (start, end) = (text.floor_char_boundary(END), text.ceil_char_boundary(text.len().saturating_sub(END)));
    if text.len() <= 3 * END { text.to_owned() } else { format!("{} […] {}", &text[..start], &text[end..]) }
}

/// Further lines stand below the first.
fn indented(text: &str) -> String {
    text.trim().replace('\n', "\n            ")
}

fn write_failures(file: &Path, report: &Report) -> anyhow::Result<()> {
    let failed = report.cases.iter().filter(|case| !case.pass());
    let lines: String = failed.map(|case| format!("{}\n", case.json())).collect();
    std::fs::write(file, lines).with_context(|| format!("cannot write {}", file.display()))
}
