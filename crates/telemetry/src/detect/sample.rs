//! What is measured of an engine in one second.

use super::Beside;
use super::decayed::Decayed;
use crate::totals::{RequestSums, StepSums};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// The median of time ÷ time expected for the same work, of steps.
    Slowness,
    /// A high quantile of that ÷ a low one.
    Unsteadiness,
    /// Seconds since a step ended, of an engine with work.
    Standstill,
    /// Batches that could not be computed.
    FailedBatches,
    /// Requests that come, of late.
    Arrived,
    Ended,
    Failed,
    Late,
    Aborted,
    Waiting,
    /// The share of steps of late after which sequences wait although there are places.
    HeldUp,
    /// The share of running sequences whose client does not read.
    Stalled,
    /// Mean tokens of the answers that ended of late.
    Answer,
    /// The share of them that were cut at the most tokens.
    Cut,
    /// The share of them that have next to no tokens.
    Empty,
    /// How much the answers that ended of late repeat themselves, in the mean.
    Repetition,
    /// The largest share of the requests of late that one tenant has.
    Tenant,
    /// Tokens of prompts in a second, computed or found, of late.
    Prompt,
    /// The share of them that was found, of late.
    Hits,
    Preempted,
    /// The share of blocks of the KV cache that sequences use.
    Used,
    /// The share that is used or kept.
    Full,
    /// Cores that other processes use.
    Others,
    /// The share of the time that the hypervisor gives to others.
    Stolen,
    /// Pages read from the disk again.
    MajorFaults,
    /// The share of the machine's memory that is available.
    Available,
}

/// How many there are.
const COUNT: usize = Measure::Available as usize + 1;

/// Their names and units, in order.
const NAMES: [(&str, &str); COUNT] = [
    ("step_time_over_expected", ""),
    ("step_time_spread", ""),
    ("standstill", "s"),
    ("failed_batches", "/s"),
    ("arrivals", "/s"),
    ("ended", "/s"),
    ("failed", "/s"),
    ("late", "/s"),
    ("aborted", "/s"),
    ("waiting", ""),
    ("held_up_share", ""),
    ("stalled_share", ""),
    ("answer_tokens", ""),
    ("cut_share", ""),
    ("empty_share", ""),
    ("repetition_share", ""),
    ("largest_tenant_share", ""),
    ("prompt_tokens", "/s"),
    ("cache_hit_share", ""),
    ("preempted", "/s"),
    ("kv_used_share", ""),
    ("kv_used_or_kept_share", ""),
    ("cores_used_by_others", ""),
    ("stolen_share", ""),
    ("major_faults", "/s"),
    ("memory_available_share", ""),
];

impl Measure {
    /// Its name and its unit.
    pub(super) fn name(self) -> (&'static str, &'static str) {
        NAMES[self as usize]
    }
}

/// One second of an engine. What there was nothing to measure of is not a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample([f32; COUNT]);

impl Sample {
    /// Of the sums of a second, and what is known beside them.
    pub(super) fn new(steps: &StepSums, requests: &RequestSums, beside: &Beside, decayed: &Decayed) -> Sample {
        let (gauges, kv, done, work) = (beside.gauges, beside.gauges.kv, requests.requests, steps.work);
        let blocks = |count: usize| share(count as f64, kv.blocks as f64);
        let [low, middle, high] = beside.slowness.unwrap_or([f64::NAN; 3]);
        let values = [
            middle,
            high / low,
            beside.standstill,
            beside.failed_batches as f64,
            decayed.arrived(),
            done.ended as f64,
            done.failed as f64,
            done.late as f64,
            done.aborted as f64,
            gauges.waiting as f64,
            decayed.held_up(),
            // Of one or two sequences a single one is no sign.
            share(gauges.stalled as f64, gauges.running.max(8) as f64),
            decayed.answer(),
            decayed.cut(),
            decayed.empty(),
            decayed.repetition(),
            decayed.tenant(),
            decayed.prompt(),
            decayed.hits(),
            work.preempted as f64,
            blocks(kv.used),
            blocks(kv.used + kv.kept),
            beside.machine.others,
            beside.machine.stolen,
            beside.machine.major_faults,
            beside.machine.available,
        ];
        Sample(values.map(|value| value as f32))
    }

    pub(super) fn get(&self, measure: Measure) -> f64 {
        f64::from(self.0[measure as usize])
    }

    /// The mean of several, of what each has.
    pub(super) fn mean<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> Sample {
        Sample(std::array::from_fn(|at| {
            let values = samples.clone().map(|sample| sample.0[at]).filter(|value| value.is_finite());
            let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            sum / count
        }))
    }

    /// The median of several, of what each has.
    pub(super) fn median<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> Sample {
        Sample(std::array::from_fn(|at| {
            let values = samples.clone().map(|sample| sample.0[at]).filter(|value| value.is_finite());
            let mut values: Vec<f32> = values.collect();
            let middle = values.len() / 2;
            if values.is_empty() { f32::NAN } else { *values.select_nth_unstable_by(middle, f32::total_cmp).1 }
        }))
    }
}

/// Not a number if there is no whole.
pub(super) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { f64::NAN }
}
