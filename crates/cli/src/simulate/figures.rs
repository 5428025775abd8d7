//! What a replay says in numbers: a line of a table, an object of JSON.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use engine::Accuracy;
use serde_json::{Map, Value, json};

use super::lookups::Lookups;
use super::replay::{End, Outcome, Replayed};

/// When an answer is good enough to count for the goodput.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The first token after so long at most.
    pub first: Duration,
    /// Every other token after so long at most.
    pub gap: Duration,
}

/// The figures of a replay, with their names; times in milliseconds.
pub fn of(replayed: &Replayed, prompts: &[usize], goal: Goal) -> Map<String, Value> {
    let outcomes = &replayed.outcomes;
    let count = |end: End| outcomes.iter().filter(|outcome| outcome.end == end).count();
    let firsts = firsts(outcomes);
    let seconds = replayed.time.as_secs_f64().max(f64::MIN_POSITIVE);
    let good = outcomes.iter().filter(|outcome| is_good(outcome, goal)).count();
    let (found, all) = hits(outcomes, prompts);
    let gap = |quantile: f64| replayed.gaps.value_at_quantile(quantile) as f64 / 1e3;
    let figures = json!({
        "requests": outcomes.len(),
        "complete": count(End::Complete),
        "left": count(End::Left),
        "refused": count(End::Refused),
        "failed": count(End::Failed),
        "first_token_ms": { "p50": at(&firsts, 0.5), "p90": at(&firsts, 0.9), "p99": at(&firsts, 0.99) },
        "between_tokens_ms": { "p50": gap(0.5), "p99": gap(0.99) },
        "hit_rate": { "by_request": found, "by_token": all },
        "preemptions": replayed.preemptions,
        "goodput_per_second": good as f64 / seconds,
        "tokens_per_second": replayed.tokens as f64 / seconds,
        "seconds": seconds,
        "busy": replayed.busy.as_secs_f64() / seconds,
        "steps": replayed.steps,
    });
    let mut figures = match figures {
        Value::Object(figures) => figures,
        _ => Map::new(),
    };
    if let Some(Accuracy { requests, error, inside }) = replayed.accuracy {
        let predictions = json!({ "requests": requests, "first_token_error": error, "inside_90": inside });
        figures.insert("predictions".to_owned(), predictions);
    }
    figures
}

/// The figures of lookups, with their names.
pub fn of_lookups(lookups: Lookups) -> Map<String, Value> {
    let Lookups { by_request, by_token } = lookups;
    Map::from_iter([("hit_rate".to_owned(), json!({ "by_request": by_request, "by_token": by_token }))])
}

/// Times to the first token of those that got one, in milliseconds and in order.
pub fn firsts(outcomes: &[Outcome]) -> Vec<f64> {
    let mut firsts: Vec<f64> =
        outcomes.iter().filter_map(|outcome| outcome.first).map(|time| time.as_secs_f64() * 1e3).collect();
    firsts.sort_unstable_by(f64::total_cmp);
    firsts
}

/// The value below which this share of values lies; `None` without values.
fn at(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

fn is_good(outcome: &Outcome, goal: Goal) -> bool {
    let first = outcome.first.is_some_and(|first| first <= goal.first);
    outcome.last.is_some() && first && outcome.longest_gap <= goal.gap
}

/// Shares of prompts that were found: averaged over the requests that got a token, and over all their tokens.
fn hits(outcomes: &[Outcome], prompts: &[usize]) -> (f64, f64) {
    let (mut shares, mut requests, mut found, mut all) = (0.0, 0usize, 0, 0);
    for (outcome, &prompt) in outcomes.iter().zip(prompts).filter(|(outcome, _)| outcome.first.is_some()) {
        shares += outcome.found as f64 / prompt as f64;
        requests += 1;
        (found, all) = (found + outcome.found, all + prompt);
    }
    (shares / requests.max(1) as f64, found as f64 / all.max(1) as f64)
}

/// The columns of the table: a head, and which figure it shows.
const COLUMNS: [(&str, &str); 14] = [
    ("complete", "/complete"),
    ("refused", "/refused"),
    ("first ms p50", "/first_token_ms/p50"),
    ("p99", "/first_token_ms/p99"),
    ("between ms p50", "/between_tokens_ms/p50"),
    ("p99", "/between_tokens_ms/p99"),
    ("hits %", "/hit_rate/by_request"),
    ("by token %", "/hit_rate/by_token"),
    ("preempted", "/preemptions"),
    ("good/s", "/goodput_per_second"),
    ("tokens/s", "/tokens_per_second"),
    ("busy %", "/busy"),
    ("foretold off %", "/predictions/first_token_error"),
    ("inside %", "/predictions/inside_90"),
];

/// A table of what was simulated; columns that no line has are left out.
pub fn table(lines: &[Map<String, Value>]) -> String {
    let lines: Vec<Value> = lines.iter().cloned().map(Value::Object).collect();
    let columns: Vec<_> =
        COLUMNS.iter().filter(|(_, path)| lines.iter().any(|line| line.pointer(path).is_some())).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let heads = ["policy", "eviction"].into_iter().chain(columns.iter().map(|(head, _)| *head));
    table.set_header(heads);
    for line in &lines {
        let names = ["policy", "eviction"].map(|name| line[name].as_str().unwrap_or("-").to_owned());
        table.add_row(names.into_iter().chain(columns.iter().map(|(head, path)| cell(head, line.pointer(path)))));
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

fn cell(head: &str, value: Option<&Value>) -> String {
    match value {
        Some(Value::Number(number)) if number.is_u64() => number.to_string(),
        Some(Value::Number(number)) => {
            let factor = if head.ends_with('%') { 100.0 } else { 1.0 };
            format!("{:.1}", number.as_f64().unwrap_or(f64::NAN) * factor)
        }
        _ => "-".to_owned(),
    }
}
