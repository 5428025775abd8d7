//! A public name over variants: which of them, and on which device, answers a request.

mod balance;
mod load;

pub use load::TargetStats;

use crate::{Unit, Variant, assign};
use load::Loads;
use serde::{Deserialize, Serialize};

/// How a route chooses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The first variant answers everything.
    #[default]
    Single,
    /// All variants are the same; the load is spread.
    Balance(Balance),
    /// All variants are the same; who comes back finds the target that knows it, unless that one has too much to do.
    Affinity {
        /// What comes back.
        by: Sticky,
        /// How much more than its part a target may have, from 1 on; 1.25 is usual.
        factor: f64,
    },
    /// A request names a pool of devices; among them the load is spread.
    Pool(Balance),
    /// Each variant answers a share of the units.
    Split {
        /// One share for each variant; they need not add up.
        shares: Vec<f64>,
        /// What is assigned.
        by: Unit,
    },
    /// The second variant answers a share of the units, the first the others. A third one is the twin of the first: it answers as
    /// many units as the second, or all others if these are fewer.
    Canary {
        /// From 0 to 1.
        share: f64,
        /// What is assigned.
        by: Unit,
    },
    /// The first variant answers; a share of requests is mirrored to the second. A third one waits for a canary.
    Shadow {
        /// From 0 to 1.
        share: f64,
    },
}

/// How load is spread over targets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One after the other.
    RoundRobin,
    /// Where the fewest tokens are still to be computed.
    #[default]
    LeastTokens,
    /// The better of two that are drawn: nearly as good, and it does not flood a target that has just become free.
    PowerOfTwo,
    /// Where the answer is expected soonest, by the tokens outstanding and the time that each has taken.
    Predicted,
}

/// What finds its target again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// A conversation.
    #[default]
    Session,
    /// A tenant.
    Tenant,
    /// Prompts that begin alike.
    Prefix,
}

/// What is known of a request before it runs. What is not known may be empty; then the request's own id takes its place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// Its id.
    pub id: &'a str,
    /// The conversation.
    pub session: &'a str,
    /// The user.
    pub user: &'a str,
    /// The key of the client, not the secret itself.
    pub key: &'a str,
    /// The tenant.
    pub tenant: &'a str,
    /// How its prompt begins, or a hash of that.
    pub prefix: &'a str,
    /// The pool of devices it asks for.
    pub pool: &'a str,
    /// How many tokens it is expected to take: the prompt's and the answer's.
    pub tokens: u64,
}

/// A variant on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The place of the variant in its route.
    pub variant: usize,
    /// The place of the device in its variant.
    pub device: usize,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Who answers.
    pub target: Target,
    /// Who computes it too, unseen and at the lowest priority.
    pub mirror: Option<Target>,
    /// The hash of the unit, to count it once.
    pub unit: u64,
    /// The candidate's share when this was chosen.
    pub share: f64,
    /// The tokens that are outstanding until [`Route::record`].
    pub tokens: u64,
}

/// How a request ended on a target.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ended {
    /// Whether it failed by no fault of its own.
    pub failed: bool,
    /// From its beginning on that target to its end.
    pub seconds: f64,
}

/// Why a route cannot be made, changed or used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Nobody can answer.
    #[error("route `{0}`: no device is up that may answer this; bring one up or widen the pool")]
    Nobody(String),
    /// The policy needs more variants or other shares.
    #[error("route `{route}`: {what}")]
    Policy {
        /// The route's name.
        route: String,
        /// What is wrong, and what would be right.
        what: String,
    },
}

/// A public name over variants.
#[derive(Debug, Clone)]
pub struct Route {
    name: String,
    variants: Vec<Variant>,
    policy: Policy,
    salt: String,
    loads: Loads,
    turn: u64,
}

impl Route {
    /// A route by a policy; the salt tells its assignments from those of others.
    ///
    /// # Errors
    /// If the policy does not fit the variants.
    pub fn new(name: &str, variants: Vec<Variant>, policy: Policy, salt: &str) -> Result<Route, Problem> {
        let loads = Loads::of(&variants);
        let mut route =
            Route { name: name.into(), variants, policy: Policy::Single, salt: salt.into(), loads, turn: 0 };
        if route.variants.is_empty() {
            return Err(route.wrong("it has no variants; name at least one"));
        }
        route.set_policy(policy)?;
        Ok(route)
    }

    /// Who answers a request; it is outstanding there until [`Route::record`].
    ///
    /// # Errors
    /// If nobody can.
    pub fn select(&mut self, request: &Request) -> Result<Choice, Problem> {
        self.turn += 1;
        let unit = assign::hash(&self.salt, request.named(self.unit()));
        let found = self.find(request, unit).or_else(|| self.instead());
        let target = found.ok_or_else(|| Problem::Nobody(self.name.clone()))?;
        let mirror = self.mirror(unit);
        for target in std::iter::once(target).chain(mirror) {
            self.loads.begin(target, request.tokens);
        }
        Ok(Choice { target, mirror, unit, share: self.share(), tokens: request.tokens })
    }

    /// A chosen target has ended its request.
    pub fn record(&mut self, choice: &Choice, ended: &Ended) {
        self.loads.end(choice.target, choice.tokens, ended);
    }

    /// The mirror of a choice has ended too.
    pub fn record_mirror(&mut self, choice: &Choice, ended: &Ended) {
        if let Some(mirror) = choice.mirror {
            self.loads.end(mirror, choice.tokens, ended);
        }
    }

    /// A request failed before its first token: who answers it instead.
    ///
    /// That is the first variant, if another has failed, and nobody if the first one has. The failure is recorded, and that somebody else
    /// answered is counted. After the first token it is too late: call [`Route::record`].
    pub fn fail_over(&mut self, choice: &Choice, ended: &Ended) -> Option<Choice> {
        self.record(choice, &Ended { failed: true, ..*ended });
        let target = self.instead().filter(|_| choice.target.variant != 0)?;
        self.loads.begin(target, choice.tokens);
        self.loads.count_fallback(choice.target);
        Some(Choice { target, mirror: None, ..*choice })
    }

    /// What happens on each target, in the order of variants and devices.
    pub fn stats(&self) -> impl Iterator<Item = (Target, &TargetStats)> {
        self.loads.iter()
    }

    /// A device answers, or no longer does.
    pub fn set_up(&mut self, target: Target, up: bool) {
        self.loads.set_up(target, up);
    }

    /// Another policy; what is outstanding stays so.
    ///
    /// # Errors
    /// If it does not fit the variants; the policy stays as it was.
    pub fn set_policy(&mut self, policy: Policy) -> Result<(), Problem> {
        let count = self.variants.len();
        match &policy {
            Policy::Split { shares, .. } => {
                let sane = shares.iter().all(|s| s.is_finite() && *s >= 0.0) && shares.iter().sum::<f64>() > 0.0;
                if shares.len() != count || !sane {
                    return Err(self.wrong(&format!("it needs {count} shares from 0 up, one for each variant")));
                }
            }
            Policy::Canary { share, .. } | Policy::Shadow { share }
                if !(2..=3).contains(&count) || !(0.0..=1.0).contains(share) =>
            {
                let what =
                    format!("it needs 2 variants, or 3 with a twin, and a share of 0 to 1, not {count}, {share}");
                return Err(self.wrong(&what));
            }
            Policy::Affinity { factor, .. } if !(*factor >= 1.0 && factor.is_finite()) => {
                return Err(self.wrong("the factor of an affinity is at least 1"));
            }
            _ => {}
        }
        self.policy = policy;
        Ok(())
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The variants, in order.
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    fn wrong(&self, what: &str) -> Problem {
        Problem::Policy { route: self.name.clone(), what: what.into() }
    }

    fn unit(&self) -> Unit {
        match &self.policy {
            Policy::Split { by, .. } | Policy::Canary { by, .. } => *by,
            _ => Unit::Request,
        }
    }

    fn share(&self) -> f64 {
        if let Policy::Canary { share, .. } = self.policy { share } else { 0.0 }
    }
}

impl<'a> Request<'a> {
    /// What names the unit.
    pub fn named(&self, unit: Unit) -> &'a str {
        let name = match unit {
            Unit::Session => self.session,
            Unit::User => self.user,
            Unit::Key => self.key,
            Unit::Request => self.id,
        };
        if name.is_empty() { self.id } else { name }
    }

    fn sticky(&self, by: Sticky) -> &'a str {
        let name = match by {
            Sticky::Session => self.session,
            Sticky::Tenant => self.tenant,
            Sticky::Prefix => self.prefix,
        };
        if name.is_empty() { self.id } else { name }
    }
}
