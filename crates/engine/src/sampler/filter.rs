//! Which tokens stay: min-p, top-k, typical, top-p, XTC. Only the few that can stay are ever gathered and sorted.

use std::cmp::Ordering;

use graph::{Top, descending};

use super::weights;
use crate::SamplingParams;

/// A token that may be chosen.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: u32,
    logit: f32,
    weight: f32,
}

/// The tokens that may be chosen.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    list: Vec<Candidate>,
    /// Largest weight of each group of tokens.
    maxima: Vec<f32>,
}

impl Candidates {
    /// Whether `params` rule out anything.
    pub(super) fn filters(params: &SamplingParams) -> bool {
        params.top_k > 0 || params.top_p < 1.0 || params.min_p > 0.0 || params.typical_p < 1.0
    }

    /// Keeps what all filters of `params` let through. `weights` sum to `total`.
    pub(super) fn select(&mut self, row: &[f32], weights: &[f32], total: f64, params: &SamplingParams) {
        let floor = floor(weights, total, params);
        // By logit as well, since different logits may have the same weight.
        let least = if params.top_k > 0 { self.kth_maximum(row, params.top_k) } else { f32::NEG_INFINITY };
        let may_stay = |(logit, weight): &(&f32, &f32)| **weight >= floor && **weight > 0.0 && **logit >= least;
        let tokens = row.iter().zip(weights).zip(0..).filter(|(both, _)| may_stay(both));
        self.list.clear();
        self.list.extend(tokens.map(|((&logit, &weight), id)| Candidate { id, logit, weight }));
        if params.top_k > 0 {
            let kept = take_sorted(&mut self.list, by_logit, |_| false, params.top_k);
            self.list.truncate(kept);
        }
        // Without another filter the floor is top-p's own, and its share is of all tokens.
        let alone = params.top_k == 0 && params.min_p <= 0.0 && params.typical_p >= 1.0;
        self.narrow(alone.then_some(total), params);
    }

    /// As [`Candidates::select`] where top-k is one of the filters, from the greatest logits and their weights.
    pub(super) fn select_top(&mut self, logits: &Top<'_>, weights: &[f32], params: &SamplingParams) {
        let floor = params.min_p.min(1.0);
        let tokens = logits.columns.iter().zip(logits.numbers).zip(weights).take(params.top_k);
        let tokens = tokens.filter(|(_, weight)| **weight >= floor && **weight > 0.0);
        self.list.clear();
        self.list.extend(tokens.map(|((&id, &logit), &weight)| Candidate { id: id as u32, logit, weight }));
        self.narrow(None, params);
    }

    /// The filters that need no token but those that are left, which share this mass, or their own.
    fn narrow(&mut self, total: Option<f64>, params: &SamplingParams) {
        if params.typical_p < 1.0 {
            self.typical(params);
        }
        if params.top_p < 1.0 {
            self.top_p(total.unwrap_or_else(|| self.mass()), params.top_p);
        }
    }

    /// XTC: of the tokens whose probability (before any temperature) reaches the threshold, only the least likely stays.
    pub(super) fn xtc(&mut self, threshold: Option<f32>) {
        let (Some(threshold), true) = (threshold, self.list.len() > 1) else { return };
        let highest = self.list.iter().fold(f32::NEG_INFINITY, |max, c| max.max(c.logit));
        let weight = |c: &Candidate| f64::from(weights::exp(c.logit - highest));
        let least = f64::from(threshold) * self.list.iter().map(weight).sum::<f64>();
        let likely = self.list.iter().copied().filter(|c| weight(c) >= least);
        if let Some(last) = likely.max_by(by_logit) {
            self.list.retain(|c| weight(c) < least || c.id == last.id);
        }
    }

    /// The kept tokens with their probabilities.
    pub(super) fn probabilities(&self) -> Vec<(u32, f32)> {
        let mass = self.mass();
        self.list.iter().map(|c| (c.id, (f64::from(c.weight) / mass) as f32)).collect()
    }

    /// The token that `chance`, in [0, 1), falls on.
    pub(super) fn pick(&self, chance: f64) -> u32 {
        let at = weights::pick_one(self.list.iter().map(|c| c.weight), chance * self.mass());
        self.list[at].id
    }

    /// The `count` largest of `logits` with their tokens, best first.
    pub(super) fn largest(&mut self, logits: &[f32], count: usize) -> impl Iterator<Item = (u32, f32)> {
        let floor = self.kth_maximum(logits, count);
        let tokens = logits.iter().zip(0..).filter(|(logit, _)| **logit >= floor);
        self.list.clear();
        self.list.extend(tokens.map(|(&logit, id)| Candidate { id, logit, weight: 0.0 }));
        let kept = take_sorted(&mut self.list, by_logit, |_| false, count);
        self.list[..kept].iter().map(|c| (c.id, c.logit))
    }

    fn mass(&self) -> f64 {
        self.list.iter().map(|c| f64::from(c.weight)).sum()
    }

    /// At least `k` of `values` are as large as this: it is the k-th largest of the maxima of groups.
    fn kth_maximum(&mut self, values: &[f32], k: usize) -> f32 {
        self.maxima.clear();
        self.maxima.extend(values.chunks(64).map(weights::max));
        if k == 0 || k > self.maxima.len() {
            return f32::NEG_INFINITY;
        }
        *self.maxima.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1
    }

    /// Keeps the tokens whose information is nearest to the entropy, until their probabilities reach the share.
    fn typical(&mut self, params: &SamplingParams) {
        let (mass, temperature) = (self.mass(), f64::from(params.temperature));
        let highest = self.list.iter().fold(f32::NEG_INFINITY, |max, c| max.max(c.logit));
        let log_weight = |c: &Candidate| f64::from(c.logit - highest) / temperature;
        let mean = self.list.iter().map(|c| f64::from(c.weight) / mass * log_weight(c)).sum::<f64>();
        // −ln p − H, where both contain ln(mass).
        let surprise = |c: &Candidate| (log_weight(c) - mean).abs();
        let order = |a: &Candidate, b: &Candidate| surprise(a).total_cmp(&surprise(b)).then(a.id.cmp(&b.id));
        let kept = take_until(&mut self.list, order, mass * f64::from(params.typical_p));
        self.list.truncate(kept);
    }

    /// Keeps the likeliest tokens until their weights reach the share `p` of `mass`.
    fn top_p(&mut self, mass: f64, p: f32) {
        let kept = take_until(&mut self.list, by_logit, mass * f64::from(p));
        self.list.truncate(kept);
    }
}

/// A weight below which no token can stay.
fn floor(weights: &[f32], total: f64, params: &SamplingParams) -> f32 {
    // The likeliest token has weight 1 and stays whatever was asked for.
    let min_p = params.min_p.min(1.0);
    if params.top_k > 0 || min_p > 0.0 || params.typical_p < 1.0 {
        return min_p;
    }
    // All tokens below this share together have less than the 1 − p that may be dropped. Halved against rounding.
    (f64::from(1.0 - params.top_p.max(0.0)) * total / weights.len() as f64 * 0.5) as f32
}

/// Likeliest first, the lower id of equals first. By logit, since different logits may have the same weight.
fn by_logit(a: &Candidate, b: &Candidate) -> Ordering {
    descending(a.logit, b.logit).then(a.id.cmp(&b.id))
}

/// Sorts from the front until the weights reach `share`; returns how many it took.
fn take_until(list: &mut [Candidate], order: impl Fn(&Candidate, &Candidate) -> Ordering, share: f64) -> usize {
    let mut taken = 0.0;
    let reached = |c: &Candidate| {
        taken += f64::from(c.weight);
        taken >= share
    };
    take_sorted(list, order, reached, usize::MAX)
}

/// Sorts from the front, a piece at a time, until `enough` or `most` are sorted; returns how many.
fn take_sorted(
    list: &mut [Candidate],
    order: impl Fn(&Candidate, &Candidate) -> Ordering,
    mut enough: impl FnMut(&Candidate) -> bool,
    most: usize,
) -> usize {
    let (most, mut done, mut piece) = (most.min(list.len()), 0, 64);
    while done < most {
        let rest = &mut list[done..];
        let count = piece.min(most - done);
        if count < rest.len() {
            rest.select_nth_unstable_by(count - 1, &order);
        }
        rest[..count].sort_unstable_by(&order);
        if let Some(last) = rest[..count].iter().position(&mut enough) {
            return done + last + 1;
        }
        done += count;
        piece *= 8;
    }
    most
}
