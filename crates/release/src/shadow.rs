//! Shadows: answers that nobody sees, compared with those that were given.

use crate::stats::{Bet, Interval, Moments, Side, proportion};
use serde::{Deserialize, Serialize};

/// Two answers to one request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Whether they are the same tokens.
    pub exact: bool,
    /// The first token that differs, from 0, or the length of the shorter answer; `None` if they are the same.
    pub first_difference: Option<usize>,
    /// How much less likely the candidate finds each token of the stable answer than the stable variant did, in nats, on average.
    pub divergence: Option<f64>,
}

impl Comparison {
    /// Compares two answers; `scores` has the log-probabilities of each token of the stable answer, by the stable variant and by the candidate.
    ///
    /// The scores need no sampling: one prefill of the candidate over the stable answer gives them. Scores of other lengths, none at all, or
    /// such that are not finite, give no divergence.
    pub fn of(stable: &[u32], candidate: &[u32], scores: Option<(&[f64], &[f64])>) -> Comparison {
        let same = stable.iter().zip(candidate).take_while(|(a, b)| a == b).count();
        let exact = stable == candidate;
        let divergence = scores.filter(|(a, b)| a.len() == b.len() && !a.is_empty()).map(|(a, b)| {
            let sum: f64 = a.iter().zip(b).map(|(stable, candidate)| stable - candidate).sum();
            sum / a.len() as f64
        });
        Comparison {
            exact,
            first_difference: (!exact).then_some(same),
            divergence: divergence.filter(|d| d.is_finite()),
        }
    }
}

/// What the candidate may differ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Divergence per token that is still accepted, on average over answers, in nats.
    pub divergence: f64,
    /// Answers that diverge by more count as by so much, in nats.
    pub most: f64,
    /// The chance at most of each wrong verdict.
    pub alpha: f64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { divergence: 0.05, most: 1.0, alpha: 0.05 }
    }
}

/// What the comparisons show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// The candidate diverges by less than the limit.
    Alike,
    /// It diverges by more.
    Different,
}

/// What was compared so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    limits: Limits,
    compared: u64,
    exact: u64,
    differs_at: Moments,
    divergence: Moments,
    above: Bet,
    below: Bet,
    shown: Option<Likeness>,
}

impl Shadow {
    /// Nothing compared yet; limits that make no sense are brought to the nearest that do.
    pub fn new(limits: Limits) -> Shadow {
        let most = if limits.most > 0.0 && limits.most.is_finite() { limits.most } else { 1.0 };
        let divergence = if limits.divergence.is_nan() { 0.0 } else { limits.divergence.clamp(-most, most) };
        let limits = Limits { divergence, most, alpha: limits.alpha };
        let bound = 0.5 + divergence / (2.0 * most);
        let (above, below) = (Bet::new(bound, Side::Above), Bet::new(bound, Side::Below));
        let none = Moments::default();
        Shadow { limits, compared: 0, exact: 0, differs_at: none, divergence: none, above, below, shown: None }
    }

    /// One more comparison; what is shown, from when it is on.
    pub fn record(&mut self, comparison: &Comparison) -> Option<Likeness> {
        self.compared += 1;
        self.exact += u64::from(comparison.exact);
        if let Some(at) = comparison.first_difference {
            self.differs_at.record(at as f64);
        }
        if let Some(divergence) = comparison.divergence {
            self.divergence.record(divergence);
            let scaled = 0.5 + divergence / (2.0 * self.limits.most);
            self.above.record(scaled);
            self.below.record(scaled);
        }
        let enough = 1.0 / self.limits.alpha;
        if self.shown.is_none() && self.above.evidence() >= enough {
            self.shown = Some(Likeness::Different);
        } else if self.shown.is_none() && self.below.evidence() >= enough {
            self.shown = Some(Likeness::Alike);
        }
        self.shown
    }

    /// What was shown.
    pub fn shown(&self) -> Option<Likeness> {
        self.shown
    }

    /// How many answers were compared.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// How many of all answers are the same.
    pub fn exact(&self) -> Interval {
        proportion(self.exact, self.compared, self.limits.alpha, 100.0)
    }

    /// How many of all answers were the same, so far.
    pub fn same(&self) -> u64 {
        self.exact
    }

    /// How much less likely the candidate found a token of a stable answer, in nats, on average over answers.
    pub fn divergence(&self) -> f64 {
        self.divergence.mean()
    }

    /// What is accepted.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// After how many tokens answers that differ do so first, on average.
    pub fn differs_at(&self) -> f64 {
        self.differs_at.mean()
    }

    /// The verdict and its numbers, in a sentence.
    pub fn sentence(&self) -> String {
        let how = match self.shown {
            Some(Likeness::Alike) => "alike",
            Some(Likeness::Different) => "different",
            None => "not yet clear",
        };
        format!(
            "{how}: {} of {} answers are the same, {:.4} nats per token of divergence on average, {:.4} are accepted",
            self.exact,
            self.compared,
            self.divergence.mean(),
            self.limits.divergence
        )
    }
}
