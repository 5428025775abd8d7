//! What steps and requests add up to.

use std::time::Duration;

use crate::sketch::Sketch;
use crate::window::{Total, WINDOWS};
use crate::{Outcomes, Record, RequestWindow, Step, StepTotals, StepWindow, Tokens};

/// A thousandth: microseconds to milliseconds, and thousandths to shares.
const MILLI: f64 = 1e-3;

/// Requests that ended. Times are microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestSums {
    pub(crate) requests: Outcomes,
    pub(crate) tokens: Tokens,
    pub(crate) queue: Sketch,
    pub(crate) first_token: Sketch,
    pub(crate) between: Sketch,
    pub(crate) total: Sketch,
    pub(crate) answer_tokens: Sketch,
    pub(crate) length: Sketch,
    /// In thousandths.
    pub(crate) repetition: Sketch,
    marks: Marks,
}

/// Marks of answers, in millionths.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    count: u64,
    sum: u64,
}

/// Steps that computed something. Times are microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepSums {
    pub(crate) time: StepTime,
    pub(crate) work: StepTotals,
    pub(crate) rows: Sketch,
    pub(crate) decode: Sketch,
    pub(crate) prefill: Sketch,
    pub(crate) mixed: Sketch,
}

/// How many steps, and how long they took together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StepTime {
    pub(crate) steps: u64,
    pub(crate) took: u64,
}

/// Sums field by field.
macro_rules! sums {
    ($name:ident { $($field:ident),* }) => {
        impl Total for $name {
            fn add(&mut self, other: &$name) {
                $(self.$field += other.$field;)*
            }

            fn subtract(&mut self, other: &$name) {
                $(self.$field = self.$field.saturating_sub(other.$field);)*
            }
        }
    };
}

sums!(Outcomes { ended, succeeded, cut, aborted, late, failed, preemptions });
sums!(Tokens { prompt, cached, generated });
sums!(StepTotals { prefill_rows, decode_rows, found, tokens, preempted });
sums!(StepTime { steps, took });
sums!(Marks { count, sum });

impl Total for Sketch {
    fn add(&mut self, other: &Sketch) {
        self.merge(other);
    }

    fn subtract(&mut self, other: &Sketch) {
        Sketch::subtract(self, other);
    }
}

/// Sums of sums, part by part.
macro_rules! parts {
    ($name:ident { $($field:ident),* }) => {
        impl Total for $name {
            fn add(&mut self, other: &$name) {
                $(Total::add(&mut self.$field, &other.$field);)*
            }

            fn subtract(&mut self, other: &$name) {
                $(Total::subtract(&mut self.$field, &other.$field);)*
            }
        }
    };
}

parts!(RequestSums { requests, tokens, queue, first_token, between, total, answer_tokens, length, repetition, marks });
parts!(StepSums { time, work, rows, decode, prefill, mixed });

impl RequestSums {
    /// A request has ended. The times between its tokens are counted if they are not told step by step.
    pub(crate) fn ended(&mut self, record: &Record<'_>, between: bool) {
        let request = &record.request;
        let Outcomes { ended, succeeded, cut, aborted, late, failed, preemptions } = &mut self.requests;
        *ended += 1;
        *preemptions += record.preemptions as u64;
        match request.reason {
            "stop" => *succeeded += 1,
            "length" => (*succeeded, *cut) = (*succeeded + 1, *cut + 1),
            "abort" => *aborted += 1,
            "timeout" => *late += 1,
            _ => *failed += 1,
        }
        self.tokens.prompt += request.prompt as u64;
        self.tokens.cached += record.cached as u64;
        self.tokens.generated += request.generated as u64;
        let add =
            |sketch: &mut Sketch, time: Option<Duration>| time.iter().for_each(|time| sketch.add(micros(*time), 1));
        add(&mut self.queue, request.queued);
        add(&mut self.first_token, request.first_token);
        add(&mut self.total, request.last_token);
        if request.first_token.is_some() {
            let answer = request.generated / request.answers.max(1);
            self.answer_tokens.add(answer as u64, 1);
            self.length.add((request.prompt + answer) as u64, 1);
        }
        if let Some(share) = request.repetition.filter(|share| share.is_finite()) {
            self.repetition.add((share * 1e3).round() as u64, 1);
        }
        if let (true, Some((mean, count))) = (between, request.between()) {
            self.between.add(micros(mean), u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// An answer was given a mark, from 0 to 1.
    pub(crate) fn mark(&mut self, mark: f64) {
        if mark.is_finite() {
            self.marks.count += 1;
            self.marks.sum += (mark.clamp(0.0, 1.0) * 1e6) as u64;
        }
    }

    pub(crate) fn view(&self, window: usize, seconds: f64) -> RequestWindow {
        let Marks { count, sum } = self.marks;
        RequestWindow {
            window: WINDOWS[window],
            seconds,
            requests: self.requests,
            tokens: self.tokens,
            queue: self.queue.summary(MILLI),
            first_token: self.first_token.summary(MILLI),
            between: self.between.summary(MILLI),
            total: self.total.summary(MILLI),
            answer_tokens: self.answer_tokens.summary(1.0),
            length: self.length.summary(1.0),
            repetition: self.repetition.summary(MILLI),
            quality: (count > 0).then(|| sum as f64 / count as f64 / 1e6),
        }
    }
}

impl StepSums {
    /// A step has ended.
    pub(crate) fn step(&mut self, step: &Step) {
        let Step { prefill_rows, decode_rows, found, tokens, preempted, took, .. } = *step;
        let work = [prefill_rows, decode_rows, found, tokens, preempted].map(|count| count as u64);
        let [prefill_rows, decode_rows, found, tokens, preempted] = work;
        Total::add(&mut self.work, &StepTotals { prefill_rows, decode_rows, found, tokens, preempted });
        if prefill_rows + decode_rows == 0 {
            return;
        }
        let took = micros(took);
        Total::add(&mut self.time, &StepTime { steps: 1, took });
        self.rows.add(prefill_rows + decode_rows, 1);
        match (prefill_rows, decode_rows) {
            (0, _) => self.decode.add(took, 1),
            (_, 0) => self.prefill.add(took, 1),
            _ => self.mixed.add(took, 1),
        }
    }

    pub(crate) fn view(&self, window: usize, seconds: f64) -> StepWindow {
        StepWindow {
            window: WINDOWS[window],
            seconds,
            steps: self.time.steps,
            busy: self.busy(seconds),
            work: self.work,
            rows: self.rows.summary(1.0),
            decode: self.decode.summary(MILLI),
            prefill: self.prefill.summary(MILLI),
            mixed: self.mixed.summary(MILLI),
        }
    }

    /// The share of so many seconds that steps took.
    pub(crate) fn busy(&self, seconds: f64) -> f64 {
        (self.time.took as f64 / 1e6 / seconds.max(1e-3)).min(1.0)
    }
}

/// In microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
