//! What clients say of answers: a quality that comes late, and seldom.

use super::Plan;
use super::readings::Watched;
use crate::stats::Bounded;
use crate::{Arm, Metric, Unit};
use std::collections::HashSet;

/// With fewer marks of either variant nothing is demanded: most clients say nothing.
const ENOUGH: u64 = 30;

/// The marks of both variants.
#[derive(Debug, Clone)]
pub(super) struct Feedback {
    pub(super) watched: Watched,
    /// Of the stable variant, of the candidate.
    means: [Bounded; 2],
    /// Units that have given a mark, unless each request is one.
    seen: HashSet<u64>,
}

impl Feedback {
    pub(super) fn new(plan: &Plan) -> Feedback {
        let watched = Watched::new(Metric::Feedback, plan);
        Feedback { watched, means: [Bounded::new(plan.alpha / 2.0); 2], seen: HashSet::new() }
    }

    /// A unit has given a mark; its first one counts. What is no number is none.
    pub(super) fn record(&mut self, (arm, unit): (Arm, u64), score: f64, share: f64, plan: &Plan) {
        let counts = score.is_finite() && (plan.by == Unit::Request || self.seen.insert(unit));
        if !counts {
            return;
        }
        let score = score.clamp(0.0, 1.0);
        self.watched.record(arm, 1.0 - score, share, plan);
        self.means[usize::from(arm == Arm::Candidate)].record(score);
    }

    /// What is not yet shown.
    pub(super) fn doubt(&self, plan: &Plan) -> Option<String> {
        let lost = self.means[0].interval().minus(&self.means[1].interval()).high;
        let enough = self.means.iter().all(|mean| mean.count() >= ENOUGH);
        let most = plan.margins.quality;
        (enough && (lost > most || lost.is_nan()))
            .then(|| format!("feedback: up to {lost:.3} may be lost; at most {most:.3}"))
    }
}
