//! The far end: what the policy answers over HTTP.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::{Policy, PolicyName};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::table::Table;
use super::{Admit, Change, Chunk, Open, Opened, Order, Question, Rank, Ranked, Rows, Victim, Yes, asks, examples};
use crate::services::{Example, Operation, Refusal, Reply, Service, parsed};

/// Sessions at once: of more, those are forgotten that were not asked for longest.
const MOST: usize = 64;

/// Policies over HTTP, one for each session.
pub struct SchedulerService {
    /// The policy of sessions that name none.
    policy: PolicyName,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: BTreeMap<String, Table>,
    /// Questions so far.
    asked: u64,
}

const OPERATIONS: [Operation; 6] = [
    Operation::post(
        "/open",
        "Begins a session anew: one engine's policy, and no sequences yet",
        "{ session: string, policy?: string | null }",
        "{ session: string, version: integer, policy: string, asks: string[] }",
    ),
    Operation::post(
        "/order",
        "Takes over what has changed in a session, and gives the ranks that are not as they were",
        "{ change: object, now_ns: integer(0..) }",
        "{ version: integer, ranks: integer[][] }",
    ),
    Operation::post(
        "/rank",
        "Where sequences stand: the lowest number comes first",
        "{ policy?: string, change?: object, now_ns: integer(0..), sequences: object[] }",
        "{ ranks: integer[] }",
    ),
    Operation::post(
        "/victim",
        "Whether one sequence gives its blocks to another",
        "{ policy?: string, change?: object, now_ns: integer(0..), holder: object, needy: object }",
        "{ yes: boolean }",
    ),
    Operation::post(
        "/chunk",
        "Rows of prompts in a step",
        "{ policy?: string, change?: object, load: object }",
        "{ rows: integer }",
    ),
    Operation::post(
        "/admit",
        "Whether the first in the queue may start",
        "{ policy?: string, change?: object, sequence: object, blocks: integer(0..), load: object }",
        "{ yes: boolean }",
    ),
];

impl SchedulerService {
    /// Sessions have this policy where they name none.
    pub fn new(policy: PolicyName) -> SchedulerService {
        SchedulerService { policy, state: Mutex::default() }
    }

    fn named(&self, name: Option<&str>) -> Result<PolicyName, Refusal> {
        let Some(name) = name else { return Ok(self.policy) };
        PolicyName::named(name).ok_or_else(|| {
            let all = PolicyName::ALL.map(PolicyName::name).join(", ");
            Refusal::invalid(format!("policy: {name} is none of {all}."))
        })
    }

    fn open(&self, body: &[u8]) -> Result<Reply, Refusal> {
        let Open { session, policy } = parsed(body)?;
        let name = self.named(policy.as_deref())?;
        let mut state = self.lock();
        state.asked += 1;
        let table = Table::new(name, state.asked);
        state.sessions.insert(session.clone(), table);
        if state.sessions.len() > MOST {
            let oldest = state.sessions.iter().min_by_key(|(_, table)| table.last).map(|(name, _)| name.clone());
            oldest.and_then(|name| state.sessions.remove(&name));
        }
        Reply::json(&Opened { session, version: 0, policy: name.name().to_owned(), asks: asks(name) })
    }

    fn order(&self, body: &[u8]) -> Result<Reply, Refusal> {
        let Question { change, asked: Order { now_ns }, .. } = parsed(body)?;
        let change =
            change.ok_or_else(|| Refusal::invalid("change: write the session, its version and what has changed."))?;
        self.with(&change, |table| Reply::json(&table.order(Duration::from_nanos(now_ns))))
    }

    /// Answers a question by the policy of its session, or by that which it names.
    fn asked<T: DeserializeOwned>(
        &self,
        body: &[u8],
        answer: impl FnOnce(&dyn Policy, T) -> Result<Reply, String>,
    ) -> Result<Reply, Refusal> {
        let Question { policy, change, asked } = parsed(body)?;
        match change {
            Some(change) => self.with(&change, |table| answer(&*table.policy, asked).map_err(Refusal::invalid)),
            None => answer(&*self.named(policy.as_deref())?.policy(), asked).map_err(Refusal::invalid),
        }
    }

    /// A session after a change.
    fn with<T>(&self, change: &Change, ask: impl FnOnce(&mut Table) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut state = self.lock();
        state.asked += 1;
        let last = state.asked;
        let table = state
            .sessions
            .get_mut(&change.session)
            .ok_or_else(|| Refusal::version(format!("There is no session {}. Open it.", change.session)))?;
        table.last = last;
        table.change(change)?;
        ask(table)
    }

    /// A panic while it is held leaves nothing half done: a table is changed after everything was checked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service for SchedulerService {
    fn name(&self) -> &'static str {
        "scheduler"
    }

    fn about(&self) -> &'static str {
        "Says in which order sequences are served, who gives way, and who is let in."
    }

    fn operations(&self) -> &'static [Operation] {
        &OPERATIONS
    }

    fn examples(&self) -> Vec<Example> {
        examples::examples()
    }

    fn call(&self, path: &str, body: &[u8]) -> Result<Reply, Refusal> {
        match path {
            "/open" => self.open(body),
            "/order" => self.order(body),
            "/rank" => self.asked(body, |policy, Rank { now_ns, sequences }| {
                let now = Duration::from_nanos(now_ns);
                let rank = |whole: &super::Whole| whole.sequence().map(|sequence| policy.rank(&sequence, now));
                let ranks = sequences.iter().map(rank).collect::<Result<_, _>>()?;
                Reply::json(&Ranked { ranks }).map_err(|why| why.message)
            }),
            "/victim" => self.asked(body, |policy, Victim { now_ns, holder, needy }| {
                let yes = policy.victim(&holder.sequence()?, &needy.sequence()?, Duration::from_nanos(now_ns));
                Reply::json(&Yes { yes }).map_err(|why| why.message)
            }),
            "/chunk" => self.asked(body, |policy, Chunk { load }| {
                Reply::json(&Rows { rows: policy.chunk(&load.into()) }).map_err(|why| why.message)
            }),
            "/admit" => self.asked(body, |policy, Admit { sequence, blocks, load }| {
                let yes = policy.admit(&sequence.sequence()?, blocks, &load.into());
                Reply::json(&Yes { yes }).map_err(|why| why.message)
            }),
            _ => Err(Refusal::unknown(path)),
        }
    }

    fn state(&self) -> Value {
        let state = self.lock();
        let sessions: BTreeMap<&String, Value> =
            state.sessions.iter().map(|(name, table)| (name, table.state())).collect();
        json!({ "policy": self.policy.name(), "sessions": sessions })
    }

    fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        let state = self.lock();
        let sequences: usize = state.sessions.values().map(Table::len).sum();
        vec![
            ("sessions", "Engines that ask", state.sessions.len() as f64),
            ("sequences", "Sequences that are known", sequences as f64),
        ]
    }
}

#[cfg(test)]
mod tests {
    use engine::{Arrival, FirstCome, Load, Progress, Sequence, SequenceId};

    use super::*;
    use crate::services::scheduler::{Arrived, Asks};

    /// What is not asked of a policy is decided by the defaults of the trait; so no policy may have another answer to it.
    #[test]
    fn policies_have_an_answer_of_their_own_to_nothing_else() {
        let arrival = |priority: &str, prompt: usize| -> Arrival {
            let arrived: Arrived = serde_json::from_value(
                json!({ "id": 1, "prompt": prompt, "longest": 99, "priority": priority, "tenant": "a" }),
            )
            .expect("an arrival");
            arrived.arrival().expect("an arrival")
        };
        let progress =
            |is_running| Progress { tokens: 40, cached: 3, continuations: 1, is_running, ..Progress::default() };
        let sequences: Vec<Sequence> = ["high", "normal", "low"]
            .iter()
            .flat_map(|priority| [true, false].map(|runs| (arrival(priority, 7), progress(runs))))
            .map(|(arrival, progress)| Sequence::told(SequenceId(1), arrival, progress).expect("possible"))
            .collect();
        let now = Duration::from_secs(5);
        for name in PolicyName::ALL {
            let (policy, asks) = (name.policy(), asks(name));
            for decoding in [0, 1, 30] {
                let load = Load { now, rows: 512, decoding, free_blocks: 9, running: decoding, ..Load::default() };
                assert!(asks.contains(&Asks::Chunk) || policy.chunk(&load) == FirstCome.chunk(&load), "{name:?}");
                for sequence in &sequences {
                    for blocks in [1, 9, 10] {
                        let same = policy.admit(sequence, blocks, &load) == FirstCome.admit(sequence, blocks, &load);
                        assert!(asks.contains(&Asks::Admit) || same, "{name:?}");
                    }
                    for needy in &sequences {
                        let same = policy.victim(sequence, needy, now) == FirstCome.victim(sequence, needy, now);
                        assert!(asks.contains(&Asks::Victim) || same, "{name:?}");
                    }
                }
            }
        }
    }
}
