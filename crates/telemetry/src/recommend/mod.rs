//! What would make an engine faster, with the reason and what to expect of it.

mod command;
mod rules;

use serde::Serialize;

use crate::machine::Typical;
use crate::{EngineView, Labels, RequestWindow, SeriesView, StepWindow};

pub(crate) use self::rules::better_variant;

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
    /// Measures before and after, with a load like the one that was seen.
    pub command: String,
}

/// What becomes better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// `first_token`, `throughput`, `between`, `memory`, or `complete`: answers that end by themselves.
    pub of: &'static str,
    /// By which share.
    pub share: f64,
}

/// The windows that recommendations are made of: ten minutes, and an hour for what is seldom.
const WINDOW: usize = 2;
const HOUR: usize = 3;

/// Requests in it that a recommendation needs.
const ENOUGH: u64 = 30;

/// Gains below this are not worth a restart.
const WORTH: f64 = 0.05;

/// What is known of an engine.
pub(crate) struct Facts<'a> {
    pub(crate) view: &'a EngineView,
    pub(crate) everybody: &'a SeriesView,
    pub(crate) limits: &'a Limits,
    /// What its machine usually does.
    pub(crate) machine: Option<Typical>,
}

/// What an engine was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Sequences that may run at once.
    pub(crate) slots: usize,
    /// Longest sequence.
    pub(crate) context: usize,
    /// What its model is loaded from; the name that clients use if that is not known.
    pub(crate) source: Option<String>,
}

impl Facts<'_> {
    fn requests(&self) -> Option<&RequestWindow> {
        self.everybody.windows.get(WINDOW).filter(|window| window.requests.ended >= ENOUGH)
    }

    fn hour(&self) -> Option<&RequestWindow> {
        self.everybody.windows.get(HOUR).filter(|window| window.requests.ended >= ENOUGH)
    }

    fn steps(&self) -> Option<&StepWindow> {
        self.view.windows.get(WINDOW)
    }

    /// Positions that the KV cache holds.
    fn positions(&self) -> usize {
        self.view.now.kv.blocks * self.view.now.kv.block_len
    }

    /// The share of the KV cache that sequences use.
    fn used(&self) -> f64 {
        self.view.now.kv.used as f64 / self.view.now.kv.blocks.max(1) as f64
    }

    /// Whether the machine has memory for more.
    fn has_memory(&self) -> bool {
        self.machine.is_some_and(|machine| machine.available > 0.3)
    }

    fn recommend(
        &self,
        setting: &'static str,
        value: impl ToString,
        reason: String,
        (of, share): (&'static str, f64),
    ) -> Recommendation {
        let value = value.to_string();
        let command = command::of(self, setting, &value);
        Recommendation { labels: self.view.labels.clone(), setting, value, reason, gain: Gain { of, share }, command }
    }
}

/// What would make one engine faster; the largest gain first, and of each setting one value.
pub(crate) fn recommend(facts: &Facts<'_>) -> Vec<Recommendation> {
    let found = rules::RULES.iter().filter_map(|rule| rule(facts));
    let mut found: Vec<_> = found.filter(|found| found.gain.share >= WORTH).collect();
    found.sort_by(|a, b| b.gain.share.total_cmp(&a.gain.share));
    let mut told = Vec::new();
    found.retain(|one| {
        let new = !told.contains(&one.setting);
        told.push(one.setting);
        new
    });
    found
}
