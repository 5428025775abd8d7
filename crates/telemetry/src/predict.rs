//! How long a request takes: its first token and its last, each with an interval that nine in ten keep.
//!
//! Two linear models, fitted as requests end, say what is likely: the first token by the prompt and the load at its coming, the
//! time between tokens by what runs beside it. Bounds are quantiles of actual ÷ predicted (split conformal prediction), widened
//! and narrowed by how many were missed of late (adaptive conformal inference, Gibbs and Candès 2021).

use std::collections::VecDeque;
use std::time::Duration;

use crate::fit::Fit;
use crate::{Accuracy, Beside, Foreseen, Predictions, Request};

/// Ratios that bounds are taken from.
const RATIOS: usize = 256;

/// Ratios before bounds are stated.
const ENOUGH: usize = 20;

/// The share that may be outside: a little less than is promised, as the load that a request meets is not known exactly.
const OUTSIDE: f64 = 0.08;

/// How fast bounds follow misses.
const RATE: f64 = 0.02;

/// Requests that the accuracy is of.
const JUDGED: usize = 1000;

/// Requests that are shown one by one.
const SHOWN: usize = 100;

/// What an old request counts beside the next newer one.
const FORGETTING: f64 = 0.995;

/// What is asked for: a request, and what else there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Tokens of the prompt that have to be computed.
    pub prompt: usize,
    /// Tokens of the answer.
    pub output: usize,
    /// Sequences that run.
    pub running: usize,
    /// Sequences that wait.
    pub waiting: usize,
}

/// A time with the interval in which it is nine in ten times.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// Not before.
    pub least: Duration,
    /// As likely later as sooner.
    pub likely: Duration,
    /// Not after.
    pub most: Duration,
}

/// What is to be expected of a request, from its coming on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Forecast {
    /// Its first token.
    pub first_token: Interval,
    /// Its last token.
    pub total: Interval,
}

/// Learns from requests of one engine that have ended.
#[derive(Clone, Debug)]
pub(crate) struct Predictor {
    first: Fit<4>,
    between: Fit<4>,
    /// Of requests that come to an idle engine, that find room, and that wait.
    first_bounds: [Bounds; 3],
    /// The same, of short, middling and long answers.
    total_bounds: [[Bounds; 3]; 3],
    judged: [VecDeque<Judged>; 2],
    shown: VecDeque<Foreseen>,
}

/// Quantiles of actual ÷ predicted.
#[derive(Clone, Debug)]
struct Bounds {
    ratios: VecDeque<f64>,
    /// The share outside that is aimed at.
    outside: f64,
}

/// How one prediction went.
#[derive(Clone, Copy, Debug)]
struct Judged {
    inside: bool,
    error: f64,
    width: f64,
}

impl Default for Predictor {
    fn default() -> Predictor {
        Predictor {
            first: Fit::new(FORGETTING),
            between: Fit::new(FORGETTING),
            first_bounds: Default::default(),
            total_bounds: Default::default(),
            judged: Default::default(),
            shown: VecDeque::new(),
        }
    }
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { ratios: VecDeque::new(), outside: OUTSIDE }
    }
}

impl Predictor {
    /// What is to be expected; `None` as long as too few requests are known.
    pub(crate) fn predict(&self, question: &Question) -> Option<Forecast> {
        let (first, total) = self.raw(question)?;
        let (class, length) = classes(question);
        let interval = |bounds: &Bounds, raw: f64| {
            let [least, likely, most] = bounds.quantiles()?.map(|ratio| seconds(raw * ratio));
            Some(Interval { least, likely, most })
        };
        Some(Forecast {
            first_token: interval(&self.first_bounds[class], first)?,
            total: interval(&self.total_bounds[class][length], total)?,
        })
    }

    /// A request has ended that was as `question` says when it came. `time_ms` is since 1970.
    pub(crate) fn learn(&mut self, question: &Question, request: &Request, time_ms: u64) {
        let (Some(first), Some(last), "stop" | "length") = (request.first_token, request.last_token, request.reason)
        else {
            return;
        };
        let (first, last) = (first.as_secs_f64(), last.as_secs_f64());
        self.judge(question, (first, last), time_ms);
        if let Some((raw_first, raw_total)) = self.raw(question) {
            let (class, length) = classes(question);
            self.first_bounds[class].learn(first / raw_first);
            self.total_bounds[class][length].learn(last / raw_total);
        }
        self.first.learn(first_terms(question), first);
        if let Some((mean, _)) = request.between() {
            self.between.learn(between_terms(question), mean.as_secs_f64());
        }
    }

    /// How well it went.
    pub(crate) fn predictions(&self) -> Predictions {
        let [first_token, total] = [0, 1].map(|of| accuracy(&self.judged[of]));
        Predictions { first_token, total, recent: self.shown.iter().copied().collect() }
    }

    /// Before it is corrected: the first and the last token, in seconds.
    fn raw(&self, question: &Question) -> Option<(f64, f64)> {
        let first = self.first.predict(first_terms(question))?;
        let between = self.between.predict(between_terms(question))?;
        Some((first, first + between * question.output.saturating_sub(1) as f64))
    }

    fn judge(&mut self, question: &Question, (first, last): (f64, f64), time_ms: u64) {
        let Some(forecast) = self.predict(question) else { return };
        let told = [(forecast.first_token, first), (forecast.total, last)];
        for (list, (interval, actual)) in self.judged.iter_mut().zip(told) {
            push(list, interval.judge(actual), JUDGED);
        }
        let [first_token, total] = told.map(|(interval, actual)| interval.beside(actual));
        push(&mut self.shown, Foreseen { time_ms, first_token, total }, SHOWN);
    }
}

impl Interval {
    fn judge(&self, actual: f64) -> Judged {
        let [least, likely, most] = [self.least, self.likely, self.most].map(|time| time.as_secs_f64().max(1e-9));
        let actual = actual.max(1e-9);
        Judged {
            inside: (least..=most).contains(&actual),
            error: (likely - actual).abs() / actual,
            width: (most - least) / likely,
        }
    }

    fn beside(&self, actual: f64) -> Beside {
        let [least, likely, most] = [self.least, self.likely, self.most].map(|time| time.as_secs_f64() * 1e3);
        Beside { least, likely, most, actual: actual * 1e3 }
    }
}

impl Bounds {
    fn learn(&mut self, ratio: f64) {
        if !ratio.is_finite() {
            return;
        }
        if let Some([least, _, most]) = self.quantiles() {
            let missed = f64::from(u8::from(!(least..=most).contains(&ratio)));
            self.outside = (self.outside + RATE * (OUTSIDE - missed)).clamp(0.005, 0.3);
        }
        push(&mut self.ratios, ratio, RATIOS);
    }

    fn quantiles(&self) -> Option<[f64; 3]> {
        let mut sorted: Vec<f64> = self.ratios.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1).filter(|last| *last + 1 >= ENOUGH)?;
        // Rounded outwards: a small sample knows little of its tails.
        let (low, high) = (self.outside / 2.0 * last as f64, (1.0 - self.outside / 2.0) * last as f64);
        Some([sorted[low.floor() as usize], sorted[last / 2], sorted[high.ceil() as usize]])
    }
}

/// In numbers of about the same size.
fn first_terms(question: &Question) -> [f64; 4] {
    let Question { prompt, running, waiting, .. } = *question;
    [1.0, prompt as f64 / 64.0, waiting as f64, running as f64 / 8.0]
}

fn between_terms(question: &Question) -> [f64; 4] {
    let Question { prompt, running, waiting, .. } = *question;
    [1.0, running as f64 / 8.0, (waiting as f64).sqrt(), prompt as f64 / 1024.0]
}

/// Which bounds: by load, and by the length of the answer.
fn classes(question: &Question) -> (usize, usize) {
    let load = match (question.waiting, question.running) {
        (0, 0..2) => 0,
        (0, _) => 1,
        _ => 2,
    };
    let length = match question.output {
        0..16 => 0,
        16..128 => 1,
        128.. => 2,
    };
    (load, length)
}

fn accuracy(judged: &VecDeque<Judged>) -> Accuracy {
    let mean = |of: fn(&Judged) -> f64| judged.iter().map(of).sum::<f64>() / judged.len().max(1) as f64;
    Accuracy {
        requests: judged.len() as u64,
        inside: mean(|judged| f64::from(u8::from(judged.inside))),
        error: mean(|judged| judged.error),
        width: mean(|judged| judged.width),
    }
}

/// A time that may be no number or too large for one.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

fn push<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    if list.len() >= most {
        list.pop_front();
    }
    list.push_back(item);
}
