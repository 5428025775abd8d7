//! What speaks against a candidate, and what is not yet shown for it.

use super::feedback::Feedback;
use super::readings::{Count, Watched};
use super::{Plan, readings::Line};
use crate::stats::{Bounded, Detector, Harm, mismatch, proportion};
use crate::{Arm, Metric, Outcome, Unit};
use std::collections::HashSet;

/// What part of the capital is bet on failures: they hurt most, and are rare.
const ON_FAILURES: f64 = 0.9;
/// At this evidence assignment is taken to be broken.
const BROKEN: f64 = 1000.0;

/// Everything that was learnt of a candidate.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    failures: Harm,
    /// Units that failed, of the stable variant and of the candidate.
    failed: [Count; 2],
    watched: Vec<Watched>,
    quality: [Bounded; 2],
    pub(super) feedback: Feedback,
    /// Units of this stage; empty if each request is one.
    seen: HashSet<u64>,
    seen_failing: HashSet<u64>,
    /// Units of this stage, of the stable variant and of the candidate.
    pub(super) units: [u64; 2],
    /// For a stage without a stable variant: failures, and the medians of what was watched.
    detectors: Option<(Detector, Vec<(Line, Detector)>)>,
    alarm: Option<String>,
}

impl Evidence {
    pub(super) fn new(plan: &Plan) -> Evidence {
        Evidence {
            failures: Harm::failures(),
            failed: [Count::default(); 2],
            watched: Metric::ALL.map(|m| Watched::new(m, plan)).to_vec(),
            quality: [Bounded::new(plan.alpha / 2.0); 2],
            feedback: Feedback::new(plan),
            seen: HashSet::new(),
            seen_failing: HashSet::new(),
            units: [0; 2],
            detectors: None,
            alarm: None,
        }
    }

    /// A request has ended. A unit counts once in each stage: what it does again, again and again says nothing new.
    pub(super) fn record(&mut self, outcome: &Outcome, plan: &Plan, stage: usize) {
        let single = plan.by == Unit::Request;
        let side = usize::from(outcome.arm == Arm::Candidate);
        let first = single || self.seen.insert(outcome.unit);
        let failing = outcome.failed && (single || self.seen_failing.insert(outcome.unit));
        let share = plan.stages.get(outcome.stage).map_or(1.0, |s| s.share);
        if first && outcome.stage == stage {
            self.units[side] += 1;
        }
        self.failed[side].trials += u64::from(first);
        self.failed[side].hits += u64::from(failing);
        if failing {
            self.failures.record(side == 1, true, share);
        }
        if first && !outcome.failed && outcome.age >= plan.warm_up {
            self.read(outcome, plan, share);
        }
        if outcome.arm == Arm::Candidate && outcome.stage == stage && (first || failing) {
            self.detect(outcome, failing);
        }
    }

    fn read(&mut self, outcome: &Outcome, plan: &Plan, share: f64) {
        // The twin has as many units as the candidate.
        let (compared, share) = if plan.twin { (Arm::Twin, 0.5) } else { (Arm::Stable, share) };
        if outcome.arm != Arm::Candidate && outcome.arm != compared {
            return;
        }
        for (watched, metric) in self.watched.iter_mut().zip(Metric::ALL) {
            if let Some(x) = outcome.readings.get(metric) {
                watched.record(outcome.arm, x, share, plan);
            }
        }
        if let Some(worse) = outcome.readings.get(Metric::Quality) {
            self.quality[usize::from(outcome.arm == Arm::Candidate)].record(1.0 - worse);
        }
    }

    /// A stage begins: units count anew. Without a stable variant the detectors take over.
    pub(super) fn begin(&mut self, plan: &Plan, share: f64) {
        self.seen.clear();
        self.seen_failing.clear();
        self.units = [0; 2];
        if share < 1.0 {
            return;
        }
        let stable = proportion(self.failed[0].hits, self.failed[0].trials, plan.alpha, 400.0).high;
        let medians =
            self.watched.iter().flat_map(|w| &w.lines).filter(|l| l.is_median() && l.metric != Metric::Quality);
        let medians = medians.map(|l| (l.clone(), Detector::new(l.accepted(plan), plan.patience)));
        let medians = medians.collect();
        self.detectors = Some((Detector::new(stable + plan.margins.failures, plan.patience), medians));
    }

    fn detect(&mut self, outcome: &Outcome, failing: bool) {
        let Some((failures, medians)) = &mut self.detectors else { return };
        if failures.record(failing) {
            self.alarm = Some("failures: more than the stable variant ever had".into());
        }
        for (line, detector) in medians {
            let reading = outcome.readings.get(line.metric).filter(|_| !outcome.failed);
            if reading.is_some_and(|x| detector.record(line.is_beyond(x))) {
                self.alarm = Some(format!("{}: longer than the stable variant's ever were", line.name()));
            }
        }
    }

    /// Whether the candidate is to be rolled back, and why.
    pub(super) fn harm(&self, plan: &Plan) -> Option<String> {
        let total = self.total();
        if total >= 1.0 / plan.budget || total.is_nan() {
            return Some(format!("{}; evidence {:.0}, at {:.0} it ends", self.worst(), total, 1.0 / plan.budget));
        }
        self.alarm.clone()
    }

    /// The capital of all bets against the candidate together.
    pub(super) fn total(&self) -> f64 {
        let (sum, count) = self.lines().fold((0.0, 0), |(sum, n), l| (sum + l.harm.evidence(), n + 1));
        ON_FAILURES * self.failures.evidence() + (1.0 - ON_FAILURES) / f64::from(count) * sum
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.watched.iter().chain([&self.feedback.watched]).flat_map(|w| &w.lines)
    }

    /// What most speaks against the candidate.
    fn worst(&self) -> String {
        let line = self.lines().max_by(|a, b| a.harm.evidence().total_cmp(&b.harm.evidence()));
        let each = (1.0 - ON_FAILURES) / self.lines().count() as f64;
        match line {
            Some(line) if each * line.harm.evidence() > ON_FAILURES * self.failures.evidence() => line.sentence(),
            _ => {
                let [stable, candidate] = self.failed;
                format!(
                    "failures: {} of {} of the candidate, {} of {} of the stable variant",
                    candidate.hits, candidate.trials, stable.hits, stable.trials
                )
            }
        }
    }

    /// What is not yet shown: that the candidate is no worse than the margins allow.
    pub(super) fn doubts(&self, plan: &Plan, share: f64) -> Vec<String> {
        let limits = |c: Count| proportion(c.hits, c.trials, plan.alpha / 2.0, 400.0);
        let worse = limits(self.failed[1]).minus(&limits(self.failed[0])).high;
        let mut doubts = Vec::new();
        if worse > plan.margins.failures || worse.is_nan() {
            let (found, most) = (100.0 * worse, 100.0 * plan.margins.failures);
            doubts.push(format!("failures: the candidate may have up to {found:.1} points more; at most {most:.1}"));
        }
        doubts.extend(self.watched.iter().filter_map(|w| w.doubt(plan, share)));
        let lost = self.quality[0].interval().minus(&self.quality[1].interval()).high;
        let judged = self.quality.iter().all(|q| q.count() > 0);
        if judged && (lost > plan.margins.quality || lost.is_nan()) {
            doubts.push(format!("quality: up to {lost:.3} may be lost; at most {:.3}", plan.margins.quality));
        }
        doubts.extend(self.feedback.doubt(plan));
        doubts
    }

    /// Whether units were assigned in another share than stated.
    pub(super) fn mismatch(&self, share: f64) -> Option<String> {
        let [stable, candidate] = self.units;
        let all = stable + candidate;
        let enough = share < 1.0 && all as f64 * share.min(1.0 - share) >= 20.0;
        let broken = enough && mismatch(&self.units, &[1.0 - share, share], 1000.0) >= BROKEN;
        let stated = 100.0 * share;
        broken.then(|| {
            format!("assignment: {candidate} of {all} units met the candidate, where {stated:.0} % were stated")
        })
    }
}
