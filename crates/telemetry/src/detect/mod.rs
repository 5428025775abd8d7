//! Notices what is unusual about an engine, second by second, and says why.

mod baseline;
mod decayed;
mod rules;
mod sample;
mod signals;

use std::collections::VecDeque;
use std::time::Duration;

use self::baseline::Baseline;
use self::decayed::Decayed;
use self::sample::Sample;
use self::signals::{Means, SIGNALS};
use crate::fit::Fit;
use crate::totals::{RequestSums, StepSums};
use crate::{Anomaly, Cause, Gauges, Labels, Machine, Request, Step, Symptom};

/// Seconds that are averaged before a cause is named.
const NOW: usize = 4;

/// Seconds of normal times that say what is usual.
const NORMAL: usize = 600;

/// Seconds in which a cause may still be found that was not known at first.
const UNDECIDED: u64 = 10;

/// What comes back within so many seconds is the same.
const AGAIN: u64 = 60;

/// What lasts longer is usual: half an hour.
const FOREVER: u64 = 1800;

/// How long anomalies are remembered when they are over: an hour.
const REMEMBERED: u64 = 3600;

/// What an old step counts beside the next in the model of their times.
const FORGETTING: f64 = 0.9995;

/// Watches one engine.
pub(crate) struct Detector {
    baselines: [Baseline; SIGNALS.len()],
    fit: Fit<4>,
    /// Time ÷ expected time of the steps of this second.
    slowness: Vec<f64>,
    decayed: Decayed,
    recent: VecDeque<Sample>,
    normal: VecDeque<Sample>,
    known: Vec<Known>,
}

/// An anomaly, and the seconds in which it began and ended.
struct Known {
    anomaly: Anomaly,
    since: u64,
    until: Option<u64>,
}

/// What is known of a second besides its sums.
pub(crate) struct Beside {
    pub(crate) gauges: Gauges,
    /// Sequences that ran or waited a second before.
    pub(crate) in_flight: usize,
    /// Seconds since a step ended, of an engine with work.
    pub(crate) standstill: f64,
    pub(crate) failed_batches: u64,
    pub(crate) machine: Machine,
    /// Low, middle and high quantile of time ÷ expected time; [`Detector::second`] fills it in.
    pub(crate) slowness: Option<[f64; 3]>,
}

/// Where and when, for what is written into an anomaly.
pub(crate) struct Scene<'a> {
    pub(crate) labels: &'a Labels,
    pub(crate) now: Duration,
    /// Since 1970.
    pub(crate) origin: Duration,
    /// The number of the next anomaly.
    pub(crate) next_id: &'a mut dyn FnMut() -> u64,
}

impl Default for Detector {
    fn default() -> Detector {
        Detector {
            baselines: Default::default(),
            fit: Fit::new(FORGETTING),
            slowness: Vec::new(),
            decayed: Decayed::default(),
            recent: VecDeque::new(),
            normal: VecDeque::new(),
            known: Vec::new(),
        }
    }
}

impl Detector {
    /// A step has ended of an engine in which so many sequences may run at once.
    pub(crate) fn step(&mut self, step: &Step, slots: usize) {
        self.decayed.step(step.left.waiting > 0 && step.left.running < slots);
        let rows = [step.prefill_rows, step.decode_rows, step.context].map(|count| count as f64);
        if rows[0] + rows[1] == 0.0 {
            return;
        }
        let (terms, took) = ([1.0, rows[0] / 64.0, rows[1] / 8.0, rows[2] / 16384.0], step.took.as_secs_f64());
        if let Some(expected) = self.fit.predict(terms) {
            self.slowness.push(took / expected);
        }
        // What is slow of late must not become the yardstick.
        if SIGNALS.iter().zip(&self.baselines).all(|(signal, line)| signal.symptom != Symptom::SlowSteps || line.calm())
        {
            self.fit.learn(terms, took);
        }
    }

    /// A request has ended.
    pub(crate) fn ended(&mut self, request: &Request, tenant: Option<&str>) {
        self.decayed.ended(request, tenant);
    }

    /// A second is over. Gives what has begun or ended with it.
    pub(crate) fn second(
        &mut self,
        (steps, requests): (&StepSums, &RequestSums),
        mut beside: Beside,
        scene: &mut Scene<'_>,
    ) -> Vec<Anomaly> {
        let in_flight = (beside.gauges.running + beside.gauges.waiting) as f64;
        let arrived = requests.requests.ended as f64 + in_flight - beside.in_flight as f64;
        self.decayed.second(steps, arrived.max(0.0));
        beside.slowness = quantiles(&mut self.slowness);
        self.slowness.clear();
        let sample = Sample::new(steps, requests, &beside, &self.decayed);
        push(&mut self.recent, sample, NOW);
        let (now, before) = (Sample::mean(self.recent.iter()), self.known.len());
        let alarms = self.alarms(&sample);
        let mut changed = Vec::new();
        if alarms.iter().any(|alarm| *alarm) || self.known.iter().any(Known::lasts) {
            let means = Means { now, usual: Sample::median(self.normal.iter()) };
            self.open(&alarms, &means, scene);
            changed.extend(self.known[before..].iter().map(|known| known.anomaly.clone()));
            changed.extend(self.settle(&alarms, &means, scene));
        } else {
            push(&mut self.normal, sample, NORMAL);
        }
        self.known.retain(|known| known.until.is_none_or(|until| until + REMEMBERED > scene.now.as_secs()));
        changed
    }

    /// What is unusual, and what was; newest first.
    pub(crate) fn known(&self) -> Vec<Anomaly> {
        self.known.iter().rev().map(|known| known.anomaly.clone()).collect()
    }

    fn alarms(&mut self, sample: &Sample) -> [bool; SIGNALS.len()] {
        let mut alarms = [false; SIGNALS.len()];
        for ((alarm, signal), baseline) in alarms.iter_mut().zip(&SIGNALS).zip(&mut self.baselines) {
            *alarm = baseline.alarm((signal.value)(sample), signal.least);
        }
        alarms
    }

    /// An anomaly for each alarm that matters and that nothing known explains.
    fn open(&mut self, alarms: &[bool], means: &Means, scene: &mut Scene<'_>) {
        let second = scene.now.as_secs();
        for (signal, _) in SIGNALS.iter().zip(alarms).filter(|(signal, alarm)| **alarm && (signal.matters)(means)) {
            let cause = rules::cause(means).unwrap_or(Cause::Unknown);
            if self.known.iter().any(|known| known.lasts() && known.explains(signal.symptom, cause)) {
                continue;
            }
            if let Some(again) = self.known.iter_mut().find(|known| known.comes_again(cause, second)) {
                (again.until, again.anomaly.until_ms) = (None, None);
                continue;
            }
            let anomaly = Anomaly {
                id: (scene.next_id)(),
                labels: scene.labels.clone(),
                symptom: signal.symptom,
                cause,
                message: rules::message(cause, means),
                since_ms: (scene.origin + scene.now).as_millis() as u64,
                until_ms: None,
                evidence: rules::evidence(cause, means),
            };
            self.known.push(Known { anomaly, since: second, until: None });
        }
    }

    /// Names causes that were not known yet; ends what is over.
    fn settle(&mut self, alarms: &[bool], means: &Means, scene: &Scene<'_>) -> Vec<Anomaly> {
        let (second, mut changed) = (scene.now.as_secs(), Vec::new());
        for known in self.known.iter_mut().filter(|known| known.lasts()) {
            let lasts =
                SIGNALS.iter().zip(alarms).any(|(signal, alarm)| *alarm && signal.symptom == known.anomaly.symptom);
            // Whose requests they are is known when the first of them end.
            let open = matches!(known.anomaly.cause, Cause::Unknown | Cause::Surge);
            let undecided = open && second < known.since + UNDECIDED;
            if !lasts || second > known.since + FOREVER {
                known.until = Some(second);
                known.anomaly.until_ms = Some((scene.origin + scene.now).as_millis() as u64);
                changed.push(known.anomaly.clone());
            } else if let Some(cause) = rules::cause(means).filter(|cause| undecided && *cause != known.anomaly.cause) {
                known.anomaly.cause = cause;
                (known.anomaly.message, known.anomaly.evidence) =
                    (rules::message(cause, means), rules::evidence(cause, means));
                changed.push(known.anomaly.clone());
            }
        }
        for (signal, baseline) in SIGNALS.iter().zip(&mut self.baselines) {
            let long = |known: &Known| known.until == Some(second) && second > known.since + FOREVER;
            if self.known.iter().any(|known| long(known) && known.anomaly.symptom == signal.symptom) {
                baseline.accept();
            }
        }
        changed
    }
}

impl Known {
    fn lasts(&self) -> bool {
        self.until.is_none()
    }

    /// Whether a symptom needs no cause of its own: it has this one, or it follows from whatever is wrong.
    fn explains(&self, symptom: Symptom, cause: Cause) -> bool {
        let follows = matches!(symptom, Symptom::Waiting | Symptom::Late | Symptom::Aborts | Symptom::Preemptions);
        self.anomaly.cause == cause || self.anomaly.symptom == symptom || follows || cause == Cause::Unknown
    }

    fn comes_again(&self, cause: Cause, second: u64) -> bool {
        self.anomaly.cause == cause && self.until.is_some_and(|until| until + AGAIN > second)
    }
}

/// Of at least four values: what one in ten is below, half, and nine in ten.
fn quantiles(values: &mut [f64]) -> Option<[f64; 3]> {
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
    (values.len() >= 4).then(|| [at(0.1), at(0.5), at(0.9)])
}

fn push<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    if list.len() >= most {
        list.pop_front();
    }
    list.push_back(item);
}
