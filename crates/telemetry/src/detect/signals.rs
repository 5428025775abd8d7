//! What is watched: one table, a line for each signal.

use super::sample::{Measure, Sample};
use crate::Symptom;
use Measure as M;

/// A number that says, when it leaves what is usual, that something is wrong.
pub(super) struct Signal {
    pub(super) symptom: Symptom,
    /// Rises when things get worse; of one second.
    pub(super) value: fn(&Sample) -> f64,
    /// The smallest standard deviation that it is taken to have.
    pub(super) least: f64,
    /// Whether what happens now differs enough from what is usual to be told to somebody.
    pub(super) matters: fn(&Means) -> bool,
}

/// The mean of the last seconds beside the median of normal times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Means {
    pub(super) now: Sample,
    pub(super) usual: Sample,
}

impl Means {
    /// Zero if there was nothing to measure.
    pub(super) fn now(&self, measure: Measure) -> f64 {
        known(self.now.get(measure))
    }

    pub(super) fn usual(&self, measure: Measure) -> f64 {
        known(self.usual.get(measure))
    }

    /// Whether it is so many times what is usual.
    pub(super) fn times(&self, measure: Measure, factor: f64) -> bool {
        self.now(measure) >= factor * self.usual(measure)
    }

    /// Whether it is so much above what is usual.
    pub(super) fn above(&self, measure: Measure, more: f64) -> bool {
        self.now(measure) >= self.usual(measure) + more
    }

    /// Whether more than this share of the requests end so, and not only one or two.
    pub(super) fn share(&self, measure: Measure, share: f64) -> bool {
        let ended = |part: f64, whole: f64| part / whole.max(1e-9);
        let usual = ended(self.usual(measure), self.usual(M::Ended));
        let now = ended(self.now(measure), self.now(M::Ended));
        self.now(measure) >= 0.5 && now >= usual + share
    }
}

fn known(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

/// All of them.
#[rustfmt::skip]
pub(super) const SIGNALS: [Signal; 18] = [
    Signal { symptom: Symptom::NoSteps, value: |s| s.get(M::Standstill), least: 0.5, matters: |m| m.now.get(M::Standstill) > 2.0 },
    Signal { symptom: Symptom::SlowSteps, value: |s| s.get(M::Slowness).ln(), least: 0.04, matters: |m| m.now(M::Slowness) > 1.2 && m.times(M::Slowness, 1.2) },
    Signal { symptom: Symptom::UnsteadySteps, value: |s| s.get(M::Unsteadiness).ln(), least: 0.08, matters: |m| m.now(M::Unsteadiness) > 1.5 && m.times(M::Unsteadiness, 1.4) },
    Signal { symptom: Symptom::Failures, value: |s| s.get(M::Failed) + s.get(M::FailedBatches), least: 0.2, matters: |m| m.share(M::Failed, 0.1) || m.now(M::FailedBatches) > 0.5 },
    Signal { symptom: Symptom::Stalls, value: |s| s.get(M::Stalled), least: 0.08, matters: |m| m.above(M::Stalled, 0.5) },
    Signal { symptom: Symptom::Aborts, value: |s| s.get(M::Aborted), least: 0.2, matters: |m| m.share(M::Aborted, 0.2) },
    Signal { symptom: Symptom::Late, value: |s| s.get(M::Late), least: 0.2, matters: |m| m.share(M::Late, 0.2) },
    Signal { symptom: Symptom::Arrivals, value: |s| s.get(M::Arrived).sqrt(), least: 0.15, matters: |m| m.times(M::Arrived, 2.0) && m.above(M::Arrived, 3.0) },
    Signal { symptom: Symptom::Prompts, value: |s| s.get(M::Prompt).sqrt(), least: 3.0, matters: |m| m.times(M::Prompt, 2.6) && m.above(M::Prompt, 500.0) },
    Signal { symptom: Symptom::AnswerLength, value: |s| s.get(M::Answer).ln(), least: 0.15, matters: |m| m.times(M::Answer, 2.6) },
    Signal { symptom: Symptom::AnswerLength, value: |s| -s.get(M::Answer).ln(), least: 0.15, matters: |m| m.now(M::Answer) > 0.0 && m.now(M::Answer) < 0.22 * m.usual(M::Answer) },
    Signal { symptom: Symptom::AnswerLength, value: |s| s.get(M::Cut), least: 0.08, matters: |m| m.above(M::Cut, 0.35) },
    Signal { symptom: Symptom::AnswerLength, value: |s| s.get(M::Empty), least: 0.08, matters: |m| m.above(M::Empty, 0.35) },
    Signal { symptom: Symptom::Repetition, value: |s| s.get(M::Repetition), least: 0.05, matters: |m| m.above(M::Repetition, 0.25) },
    Signal { symptom: Symptom::FewerHits, value: |s| -s.get(M::Hits), least: 0.06, matters: |m| m.usual(M::Hits) > 0.15 && m.now(M::Hits) < 0.3 * m.usual(M::Hits) },
    Signal { symptom: Symptom::Preemptions, value: |s| s.get(M::Preempted).sqrt(), least: 0.4, matters: |m| m.above(M::Preempted, 1.0) && m.times(M::Preempted, 3.0) },
    Signal { symptom: Symptom::Waiting, value: |s| s.get(M::HeldUp), least: 0.1, matters: |m| m.above(M::HeldUp, 0.25) && m.now(M::Used) > 0.3 },
    Signal { symptom: Symptom::Waiting, value: |s| s.get(M::Waiting).sqrt(), least: 0.7, matters: |m| m.above(M::Waiting, 4.0) && m.times(M::Waiting, 3.0) },
];
