//! What would make an engine faster, with the reason and what to expect of it.

use serde::Serialize;

use crate::{EngineView, Gauges, Labels, RequestWindow, SeriesView, StepWindow};

/// A setting to change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recommendation {
    /// Whose engine.
    #[serde(flatten)]
    pub labels: Labels,
    /// The option of the command line.
    pub setting: &'static str,
    /// What it should be.
    pub value: String,
    /// Why, with the numbers it follows from.
    pub reason: String,
    /// What is expected to become better, and by which share: 0.25 is a quarter less time, or a quarter more tokens.
    pub gain: Gain,
    /// Measures before and after.
    pub command: String,
}

/// What becomes better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// `first_token`, `throughput`, `between` or `memory`.
    pub of: &'static str,
    /// By which share.
    pub share: f64,
}

/// The window that recommendations are made of: ten minutes.
const WINDOW: usize = 2;

/// Requests in it that a recommendation needs.
const ENOUGH: u64 = 30;

/// Gains below this are not worth a restart.
const WORTH: f64 = 0.05;

/// What is known of an engine.
pub(crate) struct Facts<'a> {
    pub(crate) view: &'a EngineView,
    pub(crate) everybody: &'a SeriesView,
    /// Sequences that may run at once.
    pub(crate) slots: usize,
}

impl Facts<'_> {
    fn requests(&self) -> Option<&RequestWindow> {
        self.everybody.windows.get(WINDOW).filter(|window| window.requests.ended >= ENOUGH)
    }

    fn steps(&self) -> Option<&StepWindow> {
        self.view.windows.get(WINDOW)
    }

    /// The share of the KV cache that sequences use.
    fn used(&self) -> f64 {
        self.view.now.kv.used as f64 / self.view.now.kv.blocks.max(1) as f64
    }

    fn recommend(
        &self,
        setting: &'static str,
        value: String,
        reason: String,
        gain: (&'static str, f64),
    ) -> Recommendation {
        let model = &self.view.labels.model;
        let (of, share) = gain;
        let command = match setting {
            "--max-sequences" => format!("whinchat bench --model {model} --batch {},{value}", self.slots),
            "--kv-type" => {
                let bench = format!("whinchat bench --model {model} --batch {}", self.slots);
                format!("{bench} && {bench} --kv-type {value}")
            }
            _ => format!("whinchat serve --model {model} {setting} {value}"),
        };
        Recommendation { labels: self.view.labels.clone(), setting, value, reason, gain: Gain { of, share }, command }
    }
}

/// What would make one engine faster; the largest gain first.
pub(crate) fn recommend(facts: &Facts<'_>) -> Vec<Recommendation> {
    let rules: [fn(&Facts<'_>) -> Option<Recommendation>; 4] =
        [more_sequences, fewer_positions_lost, shorter_steps, larger_cache];
    let mut found: Vec<_> =
        rules.iter().filter_map(|rule| rule(facts)).filter(|found| found.gain.share >= WORTH).collect();
    found.sort_by(|a, b| b.gain.share.total_cmp(&a.gain.share));
    found
}

/// Requests wait for a place although the KV cache has room.
fn more_sequences(facts: &Facts<'_>) -> Option<Recommendation> {
    let window = facts.requests()?;
    let (queue, first) = (window.queue?, window.first_token?);
    let (used, Gauges { running, waiting, .. }) = (facts.used(), facts.view.now);
    let full = facts.slots > 0 && running >= facts.slots && waiting > 0;
    // As many as the cache has room for, and twice as many at most.
    let room = (0.9 / used.max(0.05)).min(2.0);
    let more = (facts.slots as f64 * room) as usize;
    let waits = queue.mean / first.mean.max(1e-9);
    (full && room >= 1.25 && waits > 0.3).then(|| {
        let reason = format!(
            "All {} places are taken and requests wait {:.0} ms for one, {:.0} % of the time to their first token, while {:.0} % \
             of the KV cache is in use.",
            facts.slots, queue.mean, 100.0 * waits, 100.0 * used
        );
        // Places come free as much more often; what decodes beside slows everybody a little.
        let gain = waits * (1.0 - facts.slots as f64 / more as f64) * 0.8;
        facts.recommend("--max-sequences", more.to_string(), reason, ("first_token", gain))
    })
}

/// Sequences lose their blocks and are computed again: the same memory holds twice the positions in eight bits.
fn fewer_positions_lost(facts: &Facts<'_>) -> Option<Recommendation> {
    let (window, steps) = (facts.requests()?, facts.steps()?);
    let lost = window.requests.preemptions as f64 / window.requests.ended as f64;
    (lost > 0.05 && facts.used() > 0.8).then(|| {
        let reason = format!(
            "{} of {} requests lost their blocks in ten minutes and were computed again; {:.0} % of the KV cache is in use.",
            window.requests.preemptions, window.requests.ended, 100.0 * facts.used()
        );
        let mean = (window.tokens.prompt + window.tokens.generated) as f64 / window.requests.ended as f64;
        let again = window.requests.preemptions as f64 * mean / (steps.work.prefill_rows.max(1)) as f64;
        facts.recommend("--kv-type", "q8_0".to_owned(), reason, ("throughput", again.min(0.5)))
    })
}

/// Prompts hold up the sequences that decode beside them.
fn shorter_steps(facts: &Facts<'_>) -> Option<Recommendation> {
    let (window, steps) = (facts.requests()?, facts.steps()?);
    let (between, decode, mixed) = (window.between?, steps.decode?, steps.mixed?);
    let goal = (3.0 * decode.p50).ceil();
    (between.p99 > 5.0 * between.p50 && mixed.p50 > 4.0 * decode.p50).then(|| {
        let reason = format!(
            "One token in a hundred comes {:.0} ms after the one before it, half of them after {:.0} ms: steps with prompts take \
             {:.0} ms, others {:.0} ms.",
            between.p99, between.p50, mixed.p50, decode.p50
        );
        facts.recommend("--max-step-ms", format!("{goal:.0}"), reason, ("between", 1.0 - goal / between.p99))
    })
}

/// Prompts begin alike, and what they begin with is thrown out before it comes again.
fn larger_cache(facts: &Facts<'_>) -> Option<Recommendation> {
    let (window, kv) = (facts.requests()?, facts.view.now.kv);
    let (found, full) = (window.tokens.cached as f64 / window.tokens.prompt.max(1) as f64, kv.used + kv.kept);
    let spills = kv.spilled > 0 && kv.restored > 0;
    (found > 0.1 && full as f64 > 0.95 * kv.blocks as f64 && facts.used() < 0.6 && !spills).then(|| {
        let reason = format!(
            "{:.0} % of prompts is found in the KV cache, which is full of what is kept for later: a second tier holds more of it.",
            100.0 * found
        );
        facts.recommend("--kv-spill", "DIR".to_owned(), reason, ("first_token", found * (1.0 - found) * 0.5))
    })
}

/// Of several variants of a model, the one that answers faster and no worse.
pub(crate) fn better_variant(engines: &[(&EngineView, &SeriesView)]) -> Vec<Recommendation> {
    let speed = |series: &SeriesView| {
        let window = series.windows.get(WINDOW).filter(|window| window.requests.ended >= ENOUGH)?;
        Some((window.between?.p50, window.quality.unwrap_or(1.0)))
    };
    let better = engines.iter().filter_map(|(view, series)| {
        let (slow, good) = speed(series)?;
        let others = engines.iter().filter(|(other, _)| other.labels.model == view.labels.model);
        let known =
            others.filter_map(|(other, series)| speed(series).map(|(p50, quality)| (p50, quality, &other.labels)));
        let (fast, quality, labels) = known.min_by(|a, b| a.0.total_cmp(&b.0))?;
        let gain = 1.0 - fast / slow;
        (gain >= 0.15 && quality >= good - 0.01).then(|| Recommendation {
            labels: view.labels.clone(),
            setting: "variant",
            value: format!("{} on {}", labels.variant, labels.device),
            reason: format!(
                "It has a token every {fast:.1} ms, this one every {slow:.1} ms, and its answers are as good."
            ),
            gain: Gain { of: "between", share: gain },
            command: format!("whinchat bench --model {}", labels.model),
        })
    });
    better.collect()
}
