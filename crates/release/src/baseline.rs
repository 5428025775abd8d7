//! What a release left behind, and whether what runs now is still as good.

use crate::stats::{Detector, Sketch};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One request, as a bench or a server saw it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// How long its prompt was.
    pub prompt_tokens: u64,
    /// From its beginning to its end, in microseconds.
    pub total: u64,
    /// How many tokens it got.
    pub tokens: u64,
    /// Whether it failed by no fault of its own.
    pub failed: bool,
}

/// Times of requests whose prompts are about as long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Length {
    /// The longest prompt, in tokens.
    pub up_to: u64,
    /// Microseconds.
    pub times: Sketch,
}

/// How a variant did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Times by the length of prompts, each twice as long as the one before.
    pub lengths: Vec<Length>,
    /// Microseconds for each token of an answer.
    pub per_token: Sketch,
    /// Requests that failed.
    pub failed: u64,
    /// Requests.
    pub requests: u64,
    /// What evaluations gave, from 0 to 1; higher is better.
    pub quality: BTreeMap<String, f64>,
    /// The most memory that was used, in bytes.
    pub memory: u64,
}

/// How much worse a number may be, relative; quality and failures: absolute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allowed {
    /// Longer times in the middle.
    pub median: f64,
    /// Longer times at the end (p99).
    pub tail: f64,
    /// More time for each token.
    pub per_token: f64,
    /// More failures, of all requests.
    pub failures: f64,
    /// Less quality, of 1.
    pub quality: f64,
    /// More memory.
    pub memory: f64,
}

impl Default for Allowed {
    fn default() -> Allowed {
        Allowed { median: 0.1, tail: 0.3, per_token: 0.1, failures: 0.01, quality: 0.02, memory: 0.05 }
    }
}

/// What a comparison says of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Within what is allowed.
    Kept,
    /// Beyond it, but by so few requests that it may be chance.
    Doubtful,
    /// Beyond it, or not there any more.
    Regressed,
}

/// One number beside what it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// What it was.
    pub before: f64,
    /// What it is now; `None` if it was not measured.
    pub now: Option<f64>,
    /// The worst that is allowed.
    pub allowed: f64,
    /// What that means.
    pub standing: Standing,
}

impl Baseline {
    /// One more request.
    pub fn record(&mut self, sample: &Sample) {
        self.requests += 1;
        self.failed += u64::from(sample.failed);
        if sample.failed {
            return;
        }
        let up_to = length(sample.prompt_tokens);
        let place = self.lengths.partition_point(|l| l.up_to < up_to);
        if self.lengths.get(place).is_none_or(|l| l.up_to != up_to) {
            self.lengths.insert(place, Length { up_to, times: Sketch::default() });
        }
        self.lengths[place].times.record(sample.total as f64);
        if sample.tokens > 0 {
            self.per_token.record(sample.total as f64 / sample.tokens as f64);
        }
    }

    /// Every number of this baseline beside those of `now`, worst first.
    pub fn compare(&self, now: &Baseline, allowed: &Allowed) -> Vec<Row> {
        let mut rows = Vec::new();
        for length in &self.lengths {
            let times = now.lengths.iter().find(|l| l.up_to == length.up_to).map(|l| &l.times);
            for (p, margin) in [(0.5, allowed.median), (0.99, allowed.tail)] {
                let name = format!("time of requests up to {} tokens (p{:.0}), µs", length.up_to, 100.0 * p);
                rows.extend(quantile(name, &length.times, times, (p, margin)));
            }
        }
        rows.extend(quantile(
            "time per token (p50), µs".into(),
            &self.per_token,
            Some(&now.per_token),
            (0.5, allowed.per_token),
        ));
        rows.extend(self.failures(now, allowed));
        for (name, before) in &self.quality {
            let least = before - allowed.quality;
            let found = now.quality.get(name).copied();
            rows.push(row(format!("quality: {name}"), *before, found, (least, found.is_some_and(|q| q >= least))));
        }
        if self.memory > 0 {
            let (before, found) = (self.memory as f64, (now.memory > 0).then_some(now.memory as f64));
            let most = before * (1.0 + allowed.memory);
            rows.push(row("memory, bytes".into(), before, found, (most, found.is_some_and(|m| m <= most))));
        }
        rows.sort_by_key(|r| match r.standing {
            Standing::Regressed => 0,
            Standing::Doubtful => 1,
            Standing::Kept => 2,
        });
        rows
    }

    fn failures(&self, now: &Baseline, allowed: &Allowed) -> Option<Row> {
        if self.requests == 0 {
            return None;
        }
        let before = self.failed as f64 / self.requests as f64;
        let found = (now.requests > 0).then(|| now.failed as f64 / now.requests as f64);
        let most = before + allowed.failures;
        let mut row = row("failures".into(), before, found, (most, found.is_some_and(|f| f <= most)));
        let sure = crate::stats::proportion(now.failed, now.requests, 0.05, 400.0).low > most;
        if found.is_some() && row.standing == Standing::Regressed && !sure {
            row.standing = Standing::Doubtful;
        }
        Some(row)
    }
}

/// Whether anything has regressed.
pub fn regressed(rows: &[Row]) -> bool {
    rows.iter().any(|r| r.standing == Standing::Regressed)
}

/// A quantile beside what it was; `None` if the baseline has none.
fn quantile(name: String, before: &Sketch, now: Option<&Sketch>, (p, margin): (f64, f64)) -> Option<Row> {
    let was = before.quantile(p)?;
    let most = was * (1.0 + margin);
    let found = now.and_then(|s| s.quantile(p));
    let mut row = row(name, was, found, (most, found.is_some_and(|x| x <= most)));
    // It has got worse for sure if the lowest that it may be now is beyond the highest that it may have been.
    let lowest = now.map_or(f64::NEG_INFINITY, |s| s.interval(p, 0.05, 100.0).low);
    let sure = lowest > before.interval(p, 0.05, 100.0).high * (1.0 + margin);
    if found.is_some() && row.standing == Standing::Regressed && !sure {
        row.standing = Standing::Doubtful;
    }
    Some(row)
}

fn row(name: String, before: f64, now: Option<f64>, (allowed, kept): (f64, bool)) -> Row {
    Row { name, before, now, allowed, standing: if kept { Standing::Kept } else { Standing::Regressed } }
}

/// The next power of two, from 16 up: prompts of about one length are compared with each other.
fn length(tokens: u64) -> u64 {
    tokens.clamp(16, 1 << 40).next_power_of_two()
}

/// Watches what runs against a baseline, for as long as it runs.
#[derive(Debug, Clone)]
pub struct Watch {
    /// For each length: the longest time that half of the requests may exceed.
    lengths: Vec<(u64, f64, Detector)>,
    failures: Detector,
}

impl Watch {
    /// A watch whose false alarms are at least `patience` requests apart on average.
    pub fn new(baseline: &Baseline, allowed: &Allowed, patience: f64) -> Watch {
        // Each detector has its part of the patience, as an alarm of any of them is one.
        let each = patience * (baseline.lengths.len() + 1) as f64;
        let line = |l: &Length| {
            let most = l.times.quantile(0.5)? * (1.0 + allowed.median);
            Some((l.up_to, most, Detector::new(0.5, each)))
        };
        let high = crate::stats::proportion(baseline.failed, baseline.requests, 0.05, 400.0).high;
        let rate = if baseline.requests == 0 { 0.5 } else { high.max(baseline.failure_rate() + allowed.failures) };
        Watch { lengths: baseline.lengths.iter().filter_map(line).collect(), failures: Detector::new(rate, each) }
    }

    /// One more request; what is no longer as it was, if that is the alarm.
    pub fn record(&mut self, sample: &Sample) -> Option<String> {
        if self.failures.record(sample.failed) {
            return Some("requests fail more often than in the baseline".into());
        }
        let up_to = length(sample.prompt_tokens);
        let (_, most, detector) = self.lengths.iter_mut().find(|l| l.0 == up_to && !sample.failed)?;
        let late = sample.total as f64 > *most;
        detector.record(late).then(|| {
            format!("requests up to {up_to} tokens take longer than {:.1} ms more often than not", *most / 1000.0)
        })
    }
}

impl Baseline {
    /// How many of the requests failed; 0 without any.
    pub fn failure_rate(&self) -> f64 {
        self.failed as f64 / self.requests.max(1) as f64
    }
}
