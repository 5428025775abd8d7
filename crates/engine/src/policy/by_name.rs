//! Policies that order requests by a number they come with: nobody waits for ever, since the number of whoever comes later
//! grows with the time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{FirstCome, Policy};
use crate::{Priority, Sequence};

/// A policy, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PolicyName {
    /// [`FirstCome`].
    #[default]
    FirstCome,
    /// [`Ageing`].
    Priority,
    /// [`EarliestDeadline`].
    Deadline,
    /// [`ShortestPrefill`].
    ShortestPrefill,
    /// [`FairShare`].
    FairShare,
}

impl PolicyName {
    /// All of them.
    pub const ALL: [PolicyName; 5] = [
        PolicyName::FirstCome,
        PolicyName::Priority,
        PolicyName::Deadline,
        PolicyName::ShortestPrefill,
        PolicyName::FairShare,
    ];

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            PolicyName::FirstCome => "first-come",
            PolicyName::Priority => "priority",
            PolicyName::Deadline => "deadline",
            PolicyName::ShortestPrefill => "shortest-prefill",
            PolicyName::FairShare => "fair-share",
        }
    }

    /// The policy of this name.
    pub fn named(name: &str) -> Option<PolicyName> {
        PolicyName::ALL.into_iter().find(|policy| policy.name() == name)
    }

    /// The policy, with its usual settings.
    pub fn policy(self) -> Box<dyn Policy> {
        match self {
            PolicyName::FirstCome => Box::new(FirstCome),
            PolicyName::Priority => Box::new(Ageing::default()),
            PolicyName::Deadline => Box::new(EarliestDeadline::default()),
            PolicyName::ShortestPrefill => Box::new(ShortestPrefill::default()),
            PolicyName::FairShare => Box::new(FairShare::default()),
        }
    }
}

/// The more urgent first, within one priority the first to come; but nobody is overtaken by who comes later than the
/// difference between their delays. A more urgent request takes the blocks of less urgent ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ageing {
    /// A normal request comes before high ones that come so much later.
    pub normal: Duration,
    /// A low request comes before high ones that come so much later.
    pub low: Duration,
}

impl Default for Ageing {
    /// Ten seconds and a minute.
    fn default() -> Ageing {
        Ageing { normal: Duration::from_secs(10), low: Duration::from_secs(60) }
    }
}

impl Policy for Ageing {
    fn rank(&self, sequence: &Sequence, _: Duration) -> u64 {
        let delay = match sequence.arrival().priority {
            Priority::High => Duration::ZERO,
            Priority::Normal => self.normal,
            Priority::Low => self.low,
        };
        micros(sequence.arrival().time + delay)
    }

    fn victim(&self, holder: &Sequence, needy: &Sequence, _: Duration) -> bool {
        needy.is_running() || holder.arrival().priority > needy.arrival().priority
    }
}

/// What is due first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarliestDeadline {
    /// When requests without a deadline are due, after they have come.
    pub patience: Duration,
}

impl Default for EarliestDeadline {
    /// A minute.
    fn default() -> EarliestDeadline {
        EarliestDeadline { patience: Duration::from_secs(60) }
    }
}

impl Policy for EarliestDeadline {
    fn rank(&self, sequence: &Sequence, _: Duration) -> u64 {
        let arrival = sequence.arrival();
        micros(arrival.deadline.unwrap_or(arrival.time + self.patience).min(arrival.time + self.patience))
    }
}

/// The shortest prompt first; but a prompt does not wait for others that come later than so much for each of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortestPrefill {
    /// What each token delays a prompt.
    pub per_token: Duration,
}

impl Default for ShortestPrefill {
    /// Ten milliseconds.
    fn default() -> ShortestPrefill {
        ShortestPrefill { per_token: Duration::from_millis(10) }
    }
}

impl Policy for ShortestPrefill {
    fn rank(&self, sequence: &Sequence, _: Duration) -> u64 {
        let arrival = sequence.arrival();
        let delay = micros(self.per_token).saturating_mul(arrival.prompt as u64);
        micros(arrival.time).saturating_add(delay)
    }
}

/// The tenant that was served least first; requests without a tenant are one tenant's. Who comes, or comes back, begins with
/// what the least served of the active ones has had, so that nobody saves up for later and nobody pays for the past.
#[derive(Clone, Debug, Default)]
pub struct FairShare {
    /// Rows computed for each tenant that was active in the last step or is ahead of it.
    served: HashMap<Option<Arc<str>>, u64>,
    /// What the least served of the tenants in the last step had.
    floor: u64,
}

impl Policy for FairShare {
    fn rank(&self, sequence: &Sequence, _: Duration) -> u64 {
        self.served.get(&sequence.arrival().tenant).copied().unwrap_or(0).max(self.floor)
    }

    fn computed(&mut self, batch: &mut dyn Iterator<Item = &Sequence>) {
        let mut least = None;
        for sequence in batch {
            let before = self.rank(sequence, Duration::ZERO);
            least = Some(least.map_or(before, |least: u64| least.min(before)));
            self.served.insert(sequence.arrival().tenant.clone(), before + sequence.rows() as u64);
        }
        self.floor = self.floor.max(least.unwrap_or(0));
        // Who has had less than all that are active is as one who has just come.
        self.served.retain(|_, served| *served > self.floor);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
