//! The choice itself: among variants by shares, among targets by load.

use super::{Balance, Policy, Request, Route, Target};
use crate::assign;

impl Route {
    /// Who answers by the policy; `None` if nobody that it names is up.
    pub(super) fn find(&self, request: &Request, unit: u64) -> Option<Target> {
        match &self.policy {
            Policy::Single | Policy::Shadow { .. } => self.least(|t| t.variant == 0),
            Policy::Balance(balance) => self.balanced(*balance, |_| true),
            Policy::Pool(balance) => self.balanced(*balance, |t| self.in_pool(t, request.pool)),
            Policy::Affinity { by, factor } => self.sticky(assign::hash(&self.salt, request.sticky(*by)), *factor),
            Policy::Split { shares, .. } => {
                let variant = part(place(unit), shares);
                self.least(|t| t.variant == variant)
            }
            Policy::Canary { share, .. } => {
                let place = place(unit);
                let twin = self.variants.len() == 3 && place >= 1.0 - *share;
                let variant = if place < *share { 1 } else { 2 * usize::from(twin) };
                self.least(|t| t.variant == variant)
            }
        }
    }

    /// Who answers if the policy's own choice does not: the first variant. A pool that was asked for is not left.
    pub(super) fn instead(&self) -> Option<Target> {
        if matches!(self.policy, Policy::Pool(_)) { None } else { self.least(|t| t.variant == 0) }
    }

    pub(super) fn mirror(&self, unit: u64) -> Option<Target> {
        match self.policy {
            Policy::Shadow { share } if place(unit) < share => self.least(|t| t.variant == 1),
            _ => None,
        }
    }

    fn in_pool(&self, target: Target, pool: &str) -> bool {
        pool.is_empty() || self.variants[target.variant].devices[target.device] == pool
    }

    fn balanced(&self, balance: Balance, allowed: impl Fn(Target) -> bool) -> Option<Target> {
        match balance {
            Balance::LeastTokens => self.least(allowed),
            Balance::Predicted => self.loads.first_by(allowed, |s| (s.outstanding_tokens + 1) as f64 * s.token_seconds),
            Balance::RoundRobin => {
                let count = self.loads.up().filter(|t| allowed(*t)).count() as u64;
                self.loads.up().filter(|t| allowed(*t)).nth((self.turn % count.max(1)) as usize)
            }
            Balance::PowerOfTwo => {
                let count = self.loads.up().filter(|t| allowed(*t)).count() as u64;
                let draw = |n| (assign::mix(self.turn, n) % count.max(1)) as usize;
                let (one, other) = (draw(0), draw(1));
                let mut places = self.loads.up().filter(|t| allowed(*t)).enumerate();
                let drawn = places.by_ref().filter(|(i, _)| *i == one || *i == other).map(|(_, t)| t);
                drawn.min_by_key(|t| self.loads.get(*t).map_or(u64::MAX, |s| s.outstanding_tokens))
            }
        }
    }

    fn least(&self, allowed: impl Fn(Target) -> bool) -> Option<Target> {
        self.loads.first_by(allowed, |s| s.outstanding_tokens as f64)
    }

    /// Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam 2018), over ranks instead of a ring.
    ///
    /// Each unit ranks all targets in an order of its own, and takes the first that has less than `factor` times its part of all requests.
    fn sticky(&self, unit: u64, factor: f64) -> Option<Target> {
        let (count, running) = self.loads.up().fold((0u64, 0u64), |(count, running), t| {
            (count + 1, running + self.loads.get(t).map_or(0, |s| s.outstanding))
        });
        let most = (factor * (running + 1) as f64 / count.max(1) as f64).ceil() as u64;
        let free = |t: &Target| self.loads.get(*t).is_some_and(|s| s.outstanding < most);
        self.loads.up().filter(free).max_by_key(|t| assign::mix(unit, (t.variant as u64) << 32 | t.device as u64))
    }
}

/// Where a unit's hash is between 0 and 1, as [`crate::point`] says it.
fn place(unit: u64) -> f64 {
    (unit >> 11) as f64 / (1u64 << 53) as f64
}

/// In which of the parts a place is.
fn part(place: f64, shares: &[f64]) -> usize {
    let sum: f64 = shares.iter().sum();
    let mut left = place * sum;
    let last = shares.iter().rposition(|s| *s > 0.0).unwrap_or(0);
    let inside = |share: &f64| {
        left -= share;
        left < 0.0
    };
    shares.iter().position(inside).unwrap_or(last)
}
