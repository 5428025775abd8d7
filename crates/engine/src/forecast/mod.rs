//! What is expected of a request before it runs: when it starts, when its first token comes, when it is complete. What is
//! expected is written down beside what happens, and corrected by it.

mod ahead;
mod answers;
mod calibration;

use std::time::Duration;

pub(crate) use answers::Answers;
use calibration::Calibration;

use crate::{Arrival, Scheduler, Work};

/// A time that is expected, and bounds between which nine in ten such times have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// One in twenty comes before.
    pub least: Duration,
    /// As likely to be passed as not.
    pub likely: Duration,
    /// One in twenty comes after.
    pub most: Duration,
}

/// What is expected of a request. Times are counted from its arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prediction {
    /// It starts.
    pub start: Duration,
    /// Its first token.
    pub first_token: Expected,
    /// Its last token, if its answer is as long as answers are.
    pub complete: Duration,
    /// Its last token, if the first comes as soon as it may and its answer is as short as one in twenty.
    pub soonest: Duration,
    /// By which of the calibrations.
    class: usize,
    /// The first token before it was corrected.
    raw: Duration,
}

/// How well first tokens were foretold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Accuracy {
    /// Requests that had a prediction and a first token.
    pub requests: u64,
    /// The mean of |predicted − actual| ÷ actual over them.
    pub error: f64,
    /// The share of them within the bounds.
    pub inside: f64,
}

/// Foretells, and learns from what happens.
#[derive(Clone, Debug, Default)]
pub struct Forecast {
    /// Of requests that start at once, and of those behind a few, some and many others: they are not foretold equally well.
    calibrations: [Calibration; 4],
    requests: u64,
    /// Sums over all of them.
    error: f64,
    inside: u64,
}

impl Forecast {
    /// What to expect, at the time `now`, of a request that is not in the queue yet and of whose prompt the cache has `found`
    /// tokens; `None` as long as too little is known of how long steps take.
    pub fn predict(&self, scheduler: &Scheduler, arrival: &Arrival, found: usize, now: Duration) -> Option<Prediction> {
        let seen = ahead::look(scheduler, arrival, found, now)?;
        let since = now.saturating_sub(arrival.time).as_secs_f64();
        let raw = since + seen.first_token;
        let class = match seen.before {
            _ if seen.at_once => 0,
            0..8 => 1,
            8..64 => 2,
            64.. => 3,
        };
        let bounds = self.calibrations[class].bounds();
        let [least, likely, most] = bounds.map(|factor| seconds(raw * factor));
        Some(Prediction {
            start: seconds(since + seen.start),
            first_token: Expected { least, likely, most },
            complete: likely.saturating_add(seconds(seen.each * seen.answer.saturating_sub(1) as f64)),
            soonest: least.saturating_add(seconds(seen.each * seen.shortest.saturating_sub(1) as f64)),
            class,
            raw: seconds(raw),
        })
    }

    /// The least time in which a request has its first token if nothing else runs, with so many tokens of its prompt to be
    /// computed after `found` others.
    pub fn alone(&self, scheduler: &Scheduler, rows: usize, found: usize) -> Option<Duration> {
        let work = Work { prefill_rows: rows, ..Work::default() }.reading(rows, found);
        let [least, ..] = self.calibrations[0].bounds();
        Some(scheduler.latency().predict(work)?.mul_f64(least.min(1.0)))
    }

    /// The first token of a request came so long after its arrival.
    pub fn learn(&mut self, prediction: &Prediction, actual: Duration) {
        let Expected { least, likely, most } = prediction.first_token;
        let (raw, took) = (prediction.raw.as_secs_f64(), actual.as_secs_f64());
        if raw <= 0.0 || took <= 0.0 {
            return;
        }
        self.requests += 1;
        self.error += (likely.as_secs_f64() - took).abs() / took;
        let inside = (least..=most).contains(&actual);
        self.inside += u64::from(inside);
        self.calibrations[prediction.class].learn(took / raw, inside);
    }

    /// How well it has gone so far.
    pub fn accuracy(&self) -> Accuracy {
        let requests = self.requests.max(1) as f64;
        Accuracy { requests: self.requests, error: self.error / requests, inside: self.inside as f64 / requests }
    }
}

/// A time that may be no number or too large for one.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}
