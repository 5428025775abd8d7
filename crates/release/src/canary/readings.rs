//! One metric of both variants: the stable one's quantiles once frozen, and who exceeds them.

use super::Plan;
use crate::stats::{Harm, Sketch, proportion};
use crate::{Arm, Metric};

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) hits: u64,
    pub(super) trials: u64,
}

impl Count {
    pub(super) fn record(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.trials += 1;
    }
}

/// The candidate's exceedances of one quantile beside the stable variant's.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) metric: Metric,
    /// The quantile, such as 0.99.
    p: f64,
    /// How much longer it may be, relative.
    margin: f64,
    frozen: Option<f64>,
    pub(super) harm: Harm,
    /// Exceedances of the quantile, which the evidence of harm is of: of the stable variant, of the candidate.
    over: [Count; 2],
    /// Exceedances of the quantile with its margin: of the stable variant, of the candidate.
    beyond: [Count; 2],
}

/// A metric and its lines.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    metric: Metric,
    before: Sketch,
    /// All that came later, of the stable variant and of the candidate.
    after: [Sketch; 2],
    pub(super) lines: Vec<Line>,
    /// Readings of the stable variant, of the candidate.
    pub(super) seen: [u64; 2],
    /// Readings of the stable variant since the candidate's last.
    alone: u64,
}

/// If so many readings of the candidate are missing in a row it gives none any more, by more than chance.
const MISSING: f64 = 12.0;

impl Watched {
    pub(super) fn new(metric: Metric, plan: &Plan) -> Watched {
        let quantiles: &[f64] = match metric {
            Metric::PerToken | Metric::Quality | Metric::Feedback => &[0.5],
            _ => &[0.5, 0.99],
        };
        let line = |p: &f64| Line {
            metric,
            p: *p,
            margin: if *p > 0.9 { plan.margins.tail } else { plan.margins.median },
            frozen: None,
            harm: Harm::exceedances(1.0 - p),
            over: [Count::default(); 2],
            beyond: [Count::default(); 2],
        };
        Watched {
            metric,
            before: Sketch::default(),
            after: [Sketch::default(), Sketch::default()],
            lines: quantiles.iter().map(line).collect(),
            seen: [0; 2],
            alone: 0,
        }
    }

    /// A reading of one variant; `share` is the candidate's part of all that are compared.
    pub(super) fn record(&mut self, arm: Arm, x: f64, share: f64, plan: &Plan) {
        let candidate = arm == Arm::Candidate;
        self.seen[usize::from(candidate)] += 1;
        // Without the candidate's readings the share of those that are left is wrong. What follows is left out, whoever has it.
        let missing = self.alone as f64 * share > MISSING;
        self.alone = if candidate { 0 } else { self.alone + 1 };
        if self.before.count() < plan.freeze_after {
            if !candidate {
                self.before.record(x);
                self.freeze(plan);
            }
            return;
        }
        self.after[usize::from(candidate)].record(x);
        for line in self.lines.iter_mut().filter(|_| !missing) {
            line.record(candidate, x, share);
        }
    }

    fn freeze(&mut self, plan: &Plan) {
        if self.before.count() >= plan.freeze_after {
            for line in &mut self.lines {
                line.frozen = self.before.quantile(line.p);
            }
        }
    }

    /// What keeps this metric from being shown to be no worse; `None` if nothing does.
    pub(super) fn doubt(&self, plan: &Plan, share: f64) -> Option<String> {
        if self.seen == [0, 0] {
            return None;
        }
        let lacking = self.seen[1] == 0 || self.alone as f64 * share > MISSING;
        if lacking || self.seen[0] == 0 {
            let who = if lacking { "candidate" } else { "stable variant" };
            return Some(format!("{}: the {who} gives none", self.metric.name()));
        }
        // Quality has a demand of its own, about its mean.
        if self.metric == Metric::Quality {
            return None;
        }
        self.lines.iter().filter(|line| !line.as_fast(&self.after, plan)).find_map(|line| line.doubt(plan))
    }
}

impl Line {
    fn record(&mut self, candidate: bool, x: f64, share: f64) {
        let Some(frozen) = self.frozen else { return };
        self.harm.record(candidate, x > frozen, share);
        self.over[usize::from(candidate)].record(x > frozen);
        self.beyond[usize::from(candidate)].record(x > frozen * (1.0 + self.margin));
    }

    /// Whether the quantiles themselves are shown to be within the margin. That holds too when both variants have changed since the
    /// stable one's were frozen.
    fn as_fast(&self, readings: &[Sketch; 2], plan: &Plan) -> bool {
        let [stable, candidate] = [0, 1].map(|i| readings[i].interval(self.p, plan.alpha / 4.0, 100.0));
        candidate.high <= stable.low * (1.0 + self.margin)
    }

    fn doubt(&self, plan: &Plan) -> Option<String> {
        let [stable, candidate] = self.beyond.map(|c| proportion(c.hits, c.trials, plan.alpha / 4.0, 400.0));
        let most = (1.0 - self.p).max(stable.low);
        let name = self.name();
        (candidate.high > most || candidate.high.is_nan()).then(|| {
            format!(
                "{name}: up to {:.1} % of the candidate's may be more than {:.0} % longer than the stable variant's; at most {:.1} %",
                100.0 * candidate.high, 100.0 * self.margin, 100.0 * most
            )
        })
    }

    /// The most that a detector lets pass, once there is no stable variant to compare with.
    pub(super) fn accepted(&self, plan: &Plan) -> f64 {
        let stable = self.beyond[0];
        (1.0 - self.p).max(proportion(stable.hits, stable.trials, plan.alpha, 400.0).low)
    }

    /// Whether a reading is beyond the quantile and its margin.
    pub(super) fn is_beyond(&self, x: f64) -> bool {
        self.frozen.is_some_and(|frozen| x > frozen * (1.0 + self.margin))
    }

    pub(super) fn is_median(&self) -> bool {
        self.p == 0.5
    }

    pub(super) fn name(&self) -> String {
        format!("{} (p{:.0})", self.metric.name(), 100.0 * self.p)
    }

    /// What the evidence of harm has come from.
    pub(super) fn sentence(&self) -> String {
        let [stable, candidate] = self.over;
        format!(
            "{}: {} of {} of the candidate, {} of {} of the stable variant are more than {:.4}",
            self.name(),
            candidate.hits,
            candidate.trials,
            stable.hits,
            stable.trials,
            self.frozen.unwrap_or(f64::NAN)
        )
    }
}
