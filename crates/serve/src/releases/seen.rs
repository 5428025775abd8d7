//! What was seen of a release: for who looks at it, and for the baseline that it leaves.

use std::sync::Arc;

use release::stats::Interval;
use release::{Arm, Baseline, Canary, Decision, Entry, Event, Likeness, Plan, Sample, Shadow, Status, Verdict};

#[cfg(feature = "batches")]
use super::{About, End};

/// Points of the curve of evidence at most. Twice as many are thinned to these.
const POINTS: usize = 120;

/// Requests of one variant in the whole release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) ended: u64,
    pub(crate) failed: u64,
}

/// How a release stands at a moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Whether its models are still being loaded.
    pub(crate) loading: bool,
    pub(crate) durable: bool,
    /// In microseconds since 1970.
    pub(crate) at: u64,
    pub(crate) status: Status,
    pub(crate) stage_began: u64,
    pub(crate) mirrored: f64,
    pub(crate) shadow: Option<Compared>,
    /// Of the stable variant, of the candidate.
    pub(crate) counts: [Count; 2],
    pub(crate) decisions: Arc<Vec<(u64, Decision)>>,
    /// When, and the evidence then.
    pub(crate) curve: Arc<Vec<(u64, f64)>>,
}

/// What was compared.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    pub(crate) compared: u64,
    pub(crate) same: u64,
    pub(crate) exact: Interval,
    pub(crate) differs_at: f64,
    pub(crate) divergence: f64,
    pub(crate) limit: f64,
    pub(crate) shown: Option<Likeness>,
    pub(crate) sentence: String,
}

impl Compared {
    pub(crate) fn of(shadow: &Shadow) -> Compared {
        Compared {
            compared: shadow.compared(),
            same: shadow.same(),
            exact: shadow.exact(),
            differs_at: shadow.differs_at(),
            divergence: shadow.divergence(),
            limit: shadow.limits().divergence,
            shown: shadow.shown(),
            sentence: shadow.sentence(),
        }
    }
}

/// What is gathered of a release that is under way.
#[derive(Default)]
pub(super) struct Seen {
    counts: [Count; 2],
    decisions: Arc<Vec<(u64, Decision)>>,
    curve: Arc<Vec<(u64, f64)>>,
    baselines: [Baseline; 2],
}

impl Seen {
    /// An event, with what was decided by it.
    pub(super) fn entry(&mut self, entry: &Entry, evidence: f64) {
        if let Event::Outcome(outcome) = &entry.event {
            let count = &mut self.counts[usize::from(outcome.arm == Arm::Candidate)];
            count.ended += 1;
            count.failed += u64::from(outcome.failed);
            self.point(entry.at, evidence);
        }
        if !entry.decisions.is_empty() {
            Arc::make_mut(&mut self.decisions).extend(entry.decisions.iter().map(|one| (entry.at, one.clone())));
        }
    }

    /// A request, for the baseline.
    pub(super) fn sample(&mut self, arm: Arm, sample: &Sample) {
        self.baselines[usize::from(arm == Arm::Candidate)].record(sample);
    }

    /// How the variant did that stays.
    pub(super) fn baseline(&self, verdict: Verdict) -> Option<Baseline> {
        let baseline = &self.baselines[usize::from(verdict == Verdict::Promoted)];
        (baseline.requests > 0).then(|| baseline.clone())
    }

    fn point(&mut self, at: u64, evidence: f64) {
        let curve = Arc::make_mut(&mut self.curve);
        // As many points as a screen shows, evenly over all that came.
        let step = curve.last().zip(curve.first()).map_or(0, |(last, first)| (last.0 - first.0) / POINTS as u64);
        if curve.last().is_none_or(|last| at.saturating_sub(last.0) >= step) {
            curve.push((at, evidence));
        }
        if curve.len() > 2 * POINTS {
            let mut keep = false;
            curve.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    pub(super) fn view(&self, canary: &Canary, at: u64, (loading, durable): (bool, bool)) -> View {
        let shadow = canary.shadow().map(Compared::of);
        View {
            loading,
            durable,
            at,
            status: canary.status(at),
            stage_began: canary.stage_began(),
            mirrored: canary.mirrored(),
            shadow,
            counts: self.counts,
            decisions: Arc::clone(&self.decisions),
            curve: Arc::clone(&self.curve),
        }
    }
}

impl View {
    /// Of a release that ended before this process began: its journal knows more.
    #[cfg(feature = "batches")]
    pub(super) fn ended(about: &About, end: &End) -> View {
        let mut view = View::empty(&about.beginning.plan, end.at);
        view.status.verdict = Some(end.verdict);
        let ended = Decision::Ended { verdict: end.verdict, why: end.why.clone() };
        View { durable: true, decisions: Arc::new(vec![(end.at, ended)]), ..view }
    }

    /// Of a release of which nothing is known.
    pub(super) fn empty(plan: &Plan, at: u64) -> View {
        let status = Status {
            stage: 0,
            share: 0.0,
            paused: false,
            verdict: None,
            evidence: [1.0, 1.0 / plan.budget],
            units: [0; 2],
            waits_for: Vec::new(),
            keep_stable: true,
        };
        View {
            loading: true,
            durable: false,
            at,
            status,
            stage_began: at,
            mirrored: 0.0,
            shadow: None,
            counts: [Count::default(); 2],
            decisions: Arc::default(),
            curve: Arc::default(),
        }
    }
}
