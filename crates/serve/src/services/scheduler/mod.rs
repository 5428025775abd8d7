//! The scheduler's policy that stands alone: who runs first, who gives way, how large a prompt's share of a step is, who is let in. Both
//! ends, and what goes between them.
//!
//! A session is one engine's policy. It knows every sequence of that engine by what it was told: once what a sequence comes with, then
//! what has changed. Each change has a version, and a change to another version than the one that is there is refused.

mod client;
mod examples;
mod service;
mod table;

use std::sync::Arc;
use std::time::Duration;

use engine::{Arrival, Load, PolicyName, Priority, Progress, RequestId, Sequence, SequenceId};
use serde::{Deserialize, Serialize};

pub use client::RemotePolicy;
pub use service::SchedulerService;

/// What a sequence comes with. Times are nanoseconds of the engine's clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arrived {
    id: u64,
    #[serde(default)]
    request: u64,
    /// `high`, `normal` or `low`.
    #[serde(default = "normal")]
    priority: String,
    #[serde(default)]
    deadline_ns: Option<u64>,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    arrived_ns: u64,
    prompt: usize,
    longest: usize,
    #[serde(default)]
    scored: bool,
    #[serde(default = "one")]
    continuations: usize,
}

fn normal() -> String {
    "normal".to_owned()
}

fn one() -> usize {
    1
}

/// How far a sequence is: its id, tokens, tokens that the cache holds, tokens found there, continuations, whether it runs, since when it is
/// stalled. Short, because each running sequence is in each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Far(u64, usize, usize, usize, usize, bool, Option<u64>);

/// A sequence in full, as single questions have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    arrival: Arrived,
    /// As it came, if nothing is said.
    #[serde(default)]
    progress: Option<Far>,
}

/// What has changed since a version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Change {
    session: String,
    version: u64,
    /// Sequences that the last step has computed, and how many tokens of each.
    computed: Vec<(u64, usize)>,
    arrived: Vec<Arrived>,
    progress: Vec<Far>,
    ended: Vec<u64>,
}

/// What is asked beside a change.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Question<T> {
    /// A policy by name where there is no session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    change: Option<Change>,
    #[serde(flatten)]
    asked: T,
}

/// Who comes first at this time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Order {
    now_ns: u64,
}

/// The ranks that are not as they were last told: id and rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ordered {
    version: u64,
    ranks: Vec<(u64, u64)>,
}

/// Where these stand at this time.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rank {
    now_ns: u64,
    sequences: Vec<Whole>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ranked {
    ranks: Vec<u64>,
}

/// Whether one gives its blocks to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Victim {
    now_ns: u64,
    holder: Whole,
    needy: Whole,
}

/// Rows of prompts in a step.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Chunk {
    load: Loaded,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Rows {
    rows: usize,
}

/// Whether the first in the queue may start.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Admit {
    sequence: Whole,
    blocks: usize,
    load: Loaded,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Yes {
    yes: bool,
}

/// Begins a session anew.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    session: String,
    #[serde(default)]
    policy: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Opened {
    session: String,
    version: u64,
    policy: String,
    /// What is to be asked beside the order; the rest is as an engine decides by itself.
    asks: Vec<Asks>,
}

/// A question that a policy may want to answer itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Asks {
    Victim,
    Chunk,
    Admit,
}

/// What goes on in an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Loaded {
    #[serde(default)]
    now_ns: u64,
    rows: usize,
    #[serde(default)]
    decoding: usize,
    #[serde(default)]
    is_shared: bool,
    #[serde(default)]
    running: usize,
    #[serde(default)]
    waiting: usize,
    #[serde(default)]
    free_blocks: usize,
}

/// What a policy answers itself. A test asks all policies and finds out that they answer nothing else in a way of their own.
fn asks(policy: PolicyName) -> Vec<Asks> {
    match policy {
        PolicyName::Priority => vec![Asks::Victim],
        PolicyName::FirstCome | PolicyName::Deadline | PolicyName::ShortestPrefill | PolicyName::FairShare => {
            Vec::new()
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl From<&Sequence> for Arrived {
    fn from(sequence: &Sequence) -> Arrived {
        let Arrival { request, priority, deadline, tenant, time, prompt, longest, scored, continuations, .. } =
            sequence.arrival();
        Arrived {
            id: sequence.id().0,
            request: request.0,
            priority: named(*priority).to_owned(),
            deadline_ns: deadline.map(nanos),
            tenant: tenant.as_deref().map(str::to_owned),
            arrived_ns: nanos(*time),
            prompt: *prompt,
            longest: *longest,
            scored: *scored,
            continuations: *continuations,
        }
    }
}

const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

fn named(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    }
}

impl Arrived {
    /// # Errors
    /// If a field is not what it should be.
    fn arrival(&self) -> Result<Arrival, String> {
        let known = PRIORITIES.into_iter().find(|priority| named(*priority) == self.priority);
        let priority =
            known.ok_or_else(|| format!("priority: {} is none; write high, normal or low.", self.priority))?;
        if self.prompt == 0 || self.continuations == 0 {
            return Err("prompt and continuations: write 1 or more.".to_owned());
        }
        Ok(Arrival {
            request: RequestId(self.request),
            priority,
            deadline: self.deadline_ns.map(Duration::from_nanos),
            tenant: self.tenant.as_deref().map(Arc::from),
            time: Duration::from_nanos(self.arrived_ns),
            cache_salt: None,
            prompt: self.prompt,
            longest: self.longest,
            scored: self.scored,
            continuations: self.continuations,
        })
    }
}

impl From<&Sequence> for Far {
    fn from(sequence: &Sequence) -> Far {
        let Progress { tokens, cached, found, continuations, is_running, stalled_since, .. } = sequence.progress();
        Far(sequence.id().0, tokens, cached, found, continuations, is_running, stalled_since.map(nanos))
    }
}

impl Far {
    fn progress(self, rows: usize) -> Progress {
        let Far(_, tokens, cached, found, continuations, is_running, stalled) = self;
        let stalled_since = stalled.map(Duration::from_nanos);
        Progress { tokens, cached, found, rows, continuations, is_running, stalled_since }
    }
}

impl From<&Sequence> for Whole {
    fn from(sequence: &Sequence) -> Whole {
        Whole { arrival: sequence.into(), progress: Some(sequence.into()) }
    }
}

impl Whole {
    /// # Errors
    /// If a field is not what it should be.
    fn sequence(&self) -> Result<Sequence, String> {
        let arrival = self.arrival.arrival()?;
        let came = Progress { tokens: arrival.prompt, continuations: arrival.continuations, ..Progress::default() };
        let progress = self.progress.map_or(came, |far| far.progress(0));
        let id = SequenceId(self.arrival.id);
        Sequence::told(id, arrival, progress).ok_or_else(|| {
            format!(
                "progress of {}: a sequence has at least the tokens of its prompt, and no more of them are cached.",
                id.0
            )
        })
    }
}

impl From<&Load> for Loaded {
    fn from(load: &Load) -> Loaded {
        let Load { now, rows, decoding, is_shared, running, waiting, free_blocks } = *load;
        Loaded { now_ns: nanos(now), rows, decoding, is_shared, running, waiting, free_blocks }
    }
}

impl From<Loaded> for Load {
    fn from(load: Loaded) -> Load {
        let Loaded { now_ns, rows, decoding, is_shared, running, waiting, free_blocks } = load;
        Load { now: Duration::from_nanos(now_ns), rows, decoding, is_shared, running, waiting, free_blocks }
    }
}
