//! A policy of eviction that somebody else has: it is asked over HTTP which prefixes to evict next, ahead of need, so that no step
//! waits for it. Where it is late or fails, the engine's own rule decides.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use answer::LoadedModel;
use engine::{MemoryOrder, MemoryReport, PrefixMemory, TierKey};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::App;
use crate::plans::PlanAsk;

/// How often it is looked whether there is something new to ask.
const AGAIN: Duration = Duration::from_millis(20);

/// A step that takes longer than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prefixes that a policy is told of at most: those that were let go first.
const MOST: usize = 1000;

/// Bytes of an answer that are read.
const LONGEST: u64 = 1 << 20;

/// Who is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) url: String,
    /// How long an answer may take.
    pub(crate) deadline: Duration,
    /// Victims that are asked for at once.
    pub(crate) victims: usize,
}

/// The policies of models, by their names.
#[derive(Default)]
pub(crate) struct Policies(Mutex<HashMap<String, Arc<Policy>>>);

struct Policy {
    wanted: Wanted,
    state: Mutex<State>,
}

/// What came of asking.
#[derive(Debug, Default)]
struct State {
    asked: u64,
    answered: u64,
    failed: u64,
    /// Victims that the engine took of the last answer.
    advised: usize,
    last_error: Option<String>,
    ended: bool,
}

impl Policy {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Policies {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Policy>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks this policy from now on, in place of the one before.
pub(crate) fn set_policy(app: &Arc<App>, model: &LoadedModel, wanted: Wanted) {
    let name = model.info.name.clone();
    end_policy(app, &name);
    let policy = Arc::new(Policy { wanted, state: Mutex::default() });
    app.outside.policies.all().insert(name.clone(), Arc::clone(&policy));
    tokio::spawn(run(Arc::downgrade(app), name, policy));
}

/// Asks nobody any more; says whether somebody was asked.
pub(crate) fn end_policy(app: &App, model: &str) -> bool {
    let ended = app.outside.policies.all().remove(model);
    ended.iter().for_each(|policy| policy.state().ended = true);
    ended.is_some()
}

/// Who is asked of a model's memory, and what came of it.
pub(crate) fn policy_json(app: &App, model: &str) -> Value {
    let policy = app.outside.policies.all().get(model).cloned();
    let Some(policy) = policy else { return json!({ "object": "memory.policy", "model": model, "url": null }) };
    let (state, wanted) = (policy.state(), &policy.wanted);
    json!({
        "object": "memory.policy", "model": model, "url": wanted.url, "deadline_ms": wanted.deadline.as_millis() as u64,
        "victims": wanted.victims, "asked": state.asked, "answered": state.answered, "failed": state.failed,
        "advised": state.advised, "last_error": state.last_error,
    })
}

async fn run(app: Weak<App>, model: String, policy: Arc<Policy>) {
    let mut ticks = interval(AGAIN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Vec::new();
    loop {
        ticks.tick().await;
        let (app, model, asked) = (app.clone(), model.clone(), Arc::clone(&policy));
        let known = std::mem::take(&mut last);
        match tokio::task::spawn_blocking(move || ask_once(&app, &model, &asked, known)).await {
            Ok(Some(now)) => last = now,
            Ok(None) | Err(_) => return,
        }
    }
}

/// Asks if there is something new; gives what could be evicted. `None` if there is nothing to ask any more.
fn ask_once(app: &Weak<App>, model: &str, policy: &Policy, last: Vec<TierKey>) -> Option<Vec<TierKey>> {
    let app = app.upgrade()?;
    if policy.state().ended {
        return None;
    }
    let Ok(lease) = app.model(Some(model)) else { return Some(last) };
    let Ok(Ok(report)) = lease.engine().memory(MemoryOrder::Report).recv_timeout(PATIENCE) else { return Some(last) };
    let candidates = candidates(&report);
    let keys: Vec<TierKey> = candidates.iter().map(|prefix| prefix.key).collect();
    if keys.is_empty() || keys == last {
        return Some(keys);
    }
    policy.state().asked += 1;
    let advice = victims(policy, model, &candidates);
    let mut state = policy.state();
    match advice {
        Ok(advice) => {
            state.answered += 1;
            drop(state);
            let taken = lease.engine().memory(MemoryOrder::Advise(advice)).recv_timeout(PATIENCE);
            policy.state().advised = taken.ok().and_then(Result::ok).map_or(0, |report| report.done);
        }
        Err(why) => (state.failed, state.last_error) = (state.failed + 1, Some(why)),
    }
    Some(keys)
}

/// What can be evicted, the longest idle first.
fn candidates(report: &MemoryReport) -> Vec<&PrefixMemory> {
    let mut all: Vec<&PrefixMemory> =
        report.prefixes.iter().filter(|prefix| prefix.idle.is_some() && !prefix.pinned).collect();
    all.sort_by_key(|prefix| (std::cmp::Reverse(prefix.idle), prefix.key));
    all.truncate(MOST);
    all
}

/// Asks the policy which of these go next.
fn victims(policy: &Policy, model: &str, candidates: &[&PrefixMemory]) -> Result<Vec<TierKey>, String> {
    let candidate = |prefix: &&PrefixMemory| json!({ "prefix": prefix.key.to_string(), "blocks": prefix.blocks, "hits": prefix.hits, "idle_steps": prefix.idle });
    let question = json!({
        "model": model, "wanted": policy.wanted.victims, "candidates": candidates.iter().map(candidate).collect::<Vec<_>>(),
    });
    let config = ureq::Agent::config_builder().timeout_global(Some(policy.wanted.deadline)).max_redirects(0).build();
    let answer = ureq::Agent::new_with_config(config)
        .post(&policy.wanted.url)
        .header("content-type", "application/json")
        .send(question.to_string());
    let mut answer = answer.map_err(|why| why.to_string())?;
    let text = answer.body_mut().with_config().limit(LONGEST).read_to_string().map_err(|why| why.to_string())?;
    let answer: Value = serde_json::from_str(&text).map_err(|why| format!("the answer is no JSON: {why}"))?;
    let list = answer["victims"].as_array().ok_or("the answer has no list `victims`")?;
    let key = |value: &Value| value.as_str().and_then(|text| text.parse::<TierKey>().ok());
    list.iter().map(|value| key(value).ok_or_else(|| format!("{value} is no prefix"))).collect()
}

/// What each part of the process takes of the memory, as far as it is known.
pub(crate) fn services(app: &App, model: &str, report: &MemoryReport) -> Value {
    let cache = &report.cache;
    let blocks = cache.block_bytes.map(|bytes| ((cache.used + cache.kept) * bytes) as u64);
    let drafts = report.draft.and_then(|cache| Some((cache.used * cache.block_bytes?) as u64));
    let host: u64 = report.levels.iter().filter(|level| level.name == "host").map(|level| level.used).sum();
    let computation = app.outside.plans.get().and_then(|plans| plans.answer(model, PlanAsk::Memory).ok());
    json!({
        "memory": { "kv_cache_bytes": blocks, "draft_kv_cache_bytes": drafts, "host_bytes": host },
        "computation": computation,
        "elsewhere": crate::services::memory(app),
    })
}
