//! A/B tests: what the variants of a route with shares have shown, until it is clear which is better.

use std::collections::HashSet;

use release::{Experiment, Judged, Kind, Policy, Ruling, Setup, Unit};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::pass::How;

/// Units that are known to have come before, at most; later ones of a unit count again then.
const REMEMBERED: usize = 1 << 20;

/// What the variants have shown.
pub(super) struct Tried {
    shown: Shown,
    metrics: Vec<Judged>,
    /// Units that have counted, unless each request is one.
    seen: Option<HashSet<u64>>,
    /// Those of them that are not kept yet.
    fresh: Vec<u64>,
}

/// What of it is kept.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shown {
    experiment: Experiment,
    units: Vec<u64>,
}

impl Tried {
    /// Of a policy that tries variants against each other.
    pub(super) fn of(policy: &Policy) -> Option<Tried> {
        let Policy::Split { shares, by } = policy else { return None };
        let metrics = metrics();
        let setup = Setup { shares: shares.clone(), metrics: metrics.clone(), budget: 0.05, max_units: 1 << 20 };
        // A share of nothing tries nothing.
        let experiment = Experiment::new(setup).ok()?;
        let seen = (*by != Unit::Request).then(HashSet::new);
        let shown = Shown { experiment, units: vec![0; shares.len()] };
        Some(Tried { shown, metrics, seen, fresh: Vec::new() })
    }

    /// What a former process has seen comes before what this one has: of one that has seen something nothing changes.
    #[cfg(feature = "batches")]
    pub(super) fn go_on(&mut self, shown: Shown, units: Vec<u64>) {
        if self.shown.units.iter().all(|units| *units == 0) {
            self.shown = shown;
            self.seen.iter_mut().for_each(|seen| seen.extend(&units));
        }
    }

    /// What is to be kept: all that was shown, and the units that have counted since this was asked last.
    #[cfg(feature = "batches")]
    pub(super) fn kept(&mut self) -> (Shown, Vec<u64>) {
        (self.shown.clone(), std::mem::take(&mut self.fresh))
    }

    /// A request has ended; the first of its unit counts.
    pub(super) fn record(&mut self, variant: usize, unit: u64, how: &How) {
        if let Some(seen) = &mut self.seen {
            if !seen.insert(unit) {
                return;
            }
            if seen.len() >= REMEMBERED {
                seen.clear();
                self.fresh.clear();
            }
            if cfg!(feature = "batches") {
                self.fresh.push(unit);
            }
        }
        let millis = |micros: u64| micros as f64 / 1e3;
        let fine = |value: f64| (!how.failed).then_some(value);
        let per_token = (how.tokens > 0).then(|| millis(how.total) / how.tokens as f64);
        let values = [
            fine(millis(how.total)),
            Some(f64::from(u8::from(how.failed))),
            how.quality,
            how.first_token.map(millis).and_then(fine),
            per_token.and_then(fine),
        ];
        if let Some(units) = self.shown.units.get_mut(variant) {
            *units += 1;
        }
        self.shown.experiment.record(variant, &values);
    }

    /// What is told of it; `names` are those of the variants.
    pub(super) fn shown(&mut self, names: &[&str]) -> Value {
        let name = |arm: usize| names.get(arm).copied().unwrap_or_default();
        let effect = |effect: &release::Effect| {
            let (low, high) = (finite(effect.better.low), finite(effect.better.high));
            json!({ "variant": name(effect.arm), "metric": self.metrics[effect.metric].name, "low": low, "high": high })
        };
        let effects: Vec<Value> = self.shown.experiment.effects().iter().map(effect).collect();
        let (ruling, winner, why) = match self.shown.experiment.look() {
            None => (None, None, None),
            Some(Ruling::Better { arm, why }) => (Some("better"), Some(name(*arm)), Some(why.clone())),
            Some(Ruling::Harmed { arm, why }) => (Some("harmed"), Some(name(*arm)), Some(why.clone())),
            Some(Ruling::Same) => (Some("same"), None, None),
            Some(Ruling::Undecided) => (Some("undecided"), None, None),
            Some(Ruling::Invalid { why }) => (Some("invalid"), None, Some(why.clone())),
        };
        json!({ "units": self.shown.units, "ruling": ruling, "variant": winner, "why": why, "effects": effects })
    }
}

/// What is judged; the first decides who wins. Failures and quality are guarded.
fn metrics() -> Vec<Judged> {
    let judged = |name: &str, kind, higher_is_better, guard, negligible| Judged {
        name: name.to_owned(),
        kind,
        higher_is_better,
        guard,
        negligible,
    };
    vec![
        judged("time of requests (p50), ms", Kind::Quantile(0.5), false, None, 0.0),
        judged("failures", Kind::Proportion, false, Some(0.01), 0.005),
        judged("quality", Kind::Mean, true, Some(0.02), 0.01),
        judged("time to first token (p50), ms", Kind::Quantile(0.5), false, None, 0.0),
        judged("time per token (p50), ms", Kind::Quantile(0.5), false, None, 0.0),
    ]
}

/// What JSON can write.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
