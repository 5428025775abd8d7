//! A day in points of ten seconds.

use std::collections::VecDeque;

use serde::Serialize;

use crate::Labels;

/// Seconds between points.
pub const STEP: u64 = 10;

/// Points that are kept: 24 hours.
pub const KEPT: usize = 24 * 3600 / STEP as usize;

/// Numbers of a point.
pub(crate) const WIDTH: usize = 21;

/// What a point says, in this order. Times are milliseconds of requests that ended in the ten seconds; tokens and rows are
/// those of the ten seconds; `kv_used`, `kv_kept` and `busy` are shares.
pub const COLUMNS: [&str; WIDTH] = [
    "ended",
    "failed",
    "running",
    "waiting",
    "queue_p50",
    "first_token_p50",
    "first_token_p99",
    "between_p50",
    "between_p99",
    "total_p50",
    "total_p99",
    "step_p50",
    "prompt_tokens",
    "cached_tokens",
    "generated_tokens",
    "prefill_rows",
    "decode_rows",
    "preempted",
    "kv_used",
    "kv_kept",
    "busy",
];

/// Where the median time of steps is among them.
const STEP_P50: usize = 11;

/// Ten seconds of an engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When they ended, in seconds since 1970.
    pub time: u64,
    /// A number for each of [`COLUMNS`]; not a number where there was nothing to measure.
    pub values: [f32; WIDTH],
}

/// The history of one engine, column by column.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct History {
    /// Whose.
    #[serde(flatten)]
    pub labels: Labels,
    /// When each point's ten seconds ended, in seconds since 1970, ascending. Where the server was down there are none.
    pub time: Vec<u64>,
    /// The columns' names.
    pub columns: Vec<&'static str>,
    /// For each column a number for each point; null where there was nothing to measure.
    pub values: Vec<Vec<f32>>,
}

/// The points of an engine, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Points(VecDeque<Point>);

impl Points {
    /// Adds a point; one that is not after the last is left out.
    pub(crate) fn push(&mut self, point: Point) {
        if self.0.back().is_none_or(|last| last.time < point.time) {
            self.0.push_back(point);
        }
        let oldest = point.time.saturating_sub(KEPT as u64 * STEP);
        while self.0.len() > KEPT || self.0.front().is_some_and(|first| first.time <= oldest) {
            self.0.pop_front();
        }
    }

    /// Adds points from before those that are there.
    pub(crate) fn restore(&mut self, points: impl IntoIterator<Item = Point>) {
        let newer = std::mem::take(&mut self.0);
        points.into_iter().chain(newer).for_each(|point| self.push(point));
    }

    /// Those after `since`, in seconds since 1970.
    pub(crate) fn since(&self, since: u64) -> impl Iterator<Item = &Point> {
        let from = self.0.partition_point(|point| point.time <= since);
        self.0.range(from..)
    }

    /// How alike two engines' step times went since then (Pearson's coefficient), and at how many points both had some.
    pub(crate) fn correlation(&self, other: &Points, since: u64) -> (f64, u64) {
        let mut theirs = other.since(since).peekable();
        let mut pairs = Vec::new();
        for point in self.since(since) {
            while theirs.next_if(|other| other.time < point.time).is_some() {}
            let value = theirs.peek().filter(|other| other.time == point.time).map(|other| other.values[STEP_P50]);
            let pair = (f64::from(point.values[STEP_P50]), f64::from(value.unwrap_or(f32::NAN)));
            pairs.extend((pair.0.is_finite() && pair.1.is_finite()).then_some(pair));
        }
        (pearson(&pairs), pairs.len() as u64)
    }

    /// Column by column.
    pub(crate) fn columns(&self, labels: &Labels, since: u64) -> History {
        let column = |at: usize| self.since(since).map(|point| point.values[at]).collect();
        History {
            labels: labels.clone(),
            time: self.since(since).map(|point| point.time).collect(),
            columns: COLUMNS.to_vec(),
            values: (0..WIDTH).map(column).collect(),
        }
    }
}

/// Zero if one of the two does not vary.
fn pearson(pairs: &[(f64, f64)]) -> f64 {
    let count = pairs.len().max(1) as f64;
    let (sum_x, sum_y) = pairs.iter().fold((0.0, 0.0), |(x, y), pair| (x + pair.0, y + pair.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let moments = pairs.iter().fold([0.0; 3], |[xx, yy, xy], (x, y)| {
        let (x, y) = (x - mean_x, y - mean_y);
        [xx + x * x, yy + y * y, xy + x * y]
    });
    let [xx, yy, xy] = moments;
    if xx > 0.0 && yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 }
}
