//! What each target has to do, and how fast it has been.

use super::{Ended, Target};
use crate::Variant;
use serde::Serialize;

/// How much the newest answer counts in the time per token.
const NEWEST: f64 = 0.1;

/// What happens on a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetStats {
    /// Whether it answers.
    pub up: bool,
    /// Requests that run or wait there.
    pub outstanding: u64,
    /// Their tokens.
    pub outstanding_tokens: u64,
    /// Requests that have ended.
    pub ended: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that failed here and that the first variant answered instead.
    pub fallbacks: u64,
    /// The time that a token takes, a running average; 0 at first, so that a new target is tried.
    pub token_seconds: f64,
}

/// The stats of all targets, variant by variant.
#[derive(Debug, Clone)]
pub(super) struct Loads {
    targets: Vec<(Target, TargetStats)>,
    /// Where each variant begins in the list.
    starts: Vec<usize>,
}

impl Loads {
    pub(super) fn of(variants: &[Variant]) -> Loads {
        let idle = TargetStats {
            up: true,
            outstanding: 0,
            outstanding_tokens: 0,
            ended: 0,
            failed: 0,
            fallbacks: 0,
            token_seconds: 0.0,
        };
        let (mut targets, mut starts) = (Vec::new(), Vec::new());
        for (variant, description) in variants.iter().enumerate() {
            starts.push(targets.len());
            let devices = 0..description.devices.len();
            targets.extend(devices.map(|device| (Target { variant, device }, idle.clone())));
        }
        Loads { targets, starts }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Target, &TargetStats)> {
        self.targets.iter().map(|(t, s)| (*t, s))
    }

    pub(super) fn up(&self) -> impl Iterator<Item = Target> {
        self.targets.iter().filter(|(_, s)| s.up).map(|(t, _)| *t)
    }

    pub(super) fn get(&self, target: Target) -> Option<&TargetStats> {
        self.place(target).map(|i| &self.targets[i].1)
    }

    /// The allowed target that is up and has the lowest cost; the first of equals.
    pub(super) fn first_by(
        &self,
        allowed: impl Fn(Target) -> bool,
        cost: impl Fn(&TargetStats) -> f64,
    ) -> Option<Target> {
        let open = self.targets.iter().filter(|(t, s)| s.up && allowed(*t));
        open.min_by(|a, b| cost(&a.1).total_cmp(&cost(&b.1))).map(|(t, _)| *t)
    }

    pub(super) fn begin(&mut self, target: Target, tokens: u64) {
        self.change(target, |s| {
            s.outstanding += 1;
            s.outstanding_tokens += tokens;
        });
    }

    pub(super) fn end(&mut self, target: Target, tokens: u64, ended: &Ended) {
        self.change(target, |s| {
            s.outstanding = s.outstanding.saturating_sub(1);
            s.outstanding_tokens = s.outstanding_tokens.saturating_sub(tokens);
            s.ended += 1;
            s.failed += u64::from(ended.failed);
            if !ended.failed && tokens > 0 && ended.seconds.is_finite() {
                let took = ended.seconds.max(0.0) / tokens as f64;
                let newest = if s.token_seconds > 0.0 { NEWEST } else { 1.0 };
                s.token_seconds += newest * (took - s.token_seconds);
            }
        });
    }

    pub(super) fn count_fallback(&mut self, target: Target) {
        self.change(target, |s| s.fallbacks += 1);
    }

    pub(super) fn set_up(&mut self, target: Target, up: bool) {
        self.change(target, |s| s.up = up);
    }

    fn change(&mut self, target: Target, f: impl FnOnce(&mut TargetStats)) {
        if let Some(i) = self.place(target) {
            f(&mut self.targets[i].1);
        }
    }

    fn place(&self, target: Target) -> Option<usize> {
        let place = self.starts.get(target.variant)? + target.device;
        self.targets.get(place).filter(|(t, _)| *t == target).map(|_| place)
    }
}
